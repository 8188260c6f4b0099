"""The settings of a process: `GREENROOM_*` environment variables, then the TOML file named by GREENROOM_CONFIG.

Each role has one class; a value that cannot be used stops the process with a sentence that names the variable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from greenroom.core.errors import SetupError


class ProcessConfig(BaseSettings):
    """What every role has."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", extra="ignore", frozen=True)

    process_name: str = "greenroom"
    """Name of this process under its supervisor, e.g. manager-1; names its stop socket and its log lines."""
    log_level: str = "INFO"
    stop_dir: Path | None = None
    """Tests only: folder of the stop sockets (greenroom.kit.stops)."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get("GREENROOM_CONFIG")
        toml = (TomlConfigSettingsSource(settings_cls, Path(file)),) if file else ()
        return (init_settings, env_settings, *toml)


class DatabaseConfig(ProcessConfig):
    """Roles with a database."""

    database_url: str
    database_session_url: str | None = None
    """Direct address for session locks and LISTEN, when `database_url` goes through a transaction pooler."""
    secret_key_file: Path
    """32 random bytes, base64: the installation's key for connect tokens and encrypted columns (kit.secrets)."""


class ApiConfig(DatabaseConfig):
    """The api."""

    api_host: str = "127.0.0.1"
    api_port: int = 8080
    public_url: str = "https://127.0.0.1:8443"
    stream_url: str = "https://127.0.0.1:8445"
    served_hosts: str = "127.0.0.1,localhost"
    """Comma list of host names the gateway serves; another Host header is answered 421."""


class ManagerConfig(DatabaseConfig):
    """A Manager."""

    manager_host: str = "127.0.0.1"
    manager_port: int = 8181
    manager_dir: Path
    """Folder that survives the container; holds `instance_id`."""
    zone: str = "default"
    sentinel_file: Path = Path("/tmp/kasm_manager_draining")  # noqa: S108 -- the path is fixed by the seed page
    gateway_url: str = ""
    """Address under which Agents reach this Manager, e.g. https://127.0.0.1:8446."""
    lease_ttl_s: float = Field(6.0, gt=0)
    lease_renew_s: float = Field(2.0, gt=0)
    lease_margin_s: float = Field(1.0, gt=0)
    guardian_interval_s: float = Field(1.0, gt=0)
    checkin_hold_s: float = Field(5.0, gt=0)
    agent_missing_s: float = Field(15.0, gt=0)
    session_lost_s: float = Field(600.0, gt=0)
    agent_dead_s: float = Field(3600.0, gt=0)
    unhealthy_after_s: float = Field(10.0, gt=0)
    handover_received_s: float = Field(2.0, gt=0)
    handover_assigned_s: float = Field(3.0, gt=0)
    cpu_overcommit: float = Field(16.0, gt=0)
    auto_agent: bool = True
    """Promote an Agent after its first complete check-in without asking: a join token vouched for it."""
    verdict_grace_s: float = Field(10.0, gt=0)
    """How long a container without a session is left alone after its Agent first asked about it."""
    failed_keep_s: float = Field(3600.0, gt=0)
    """How long a user's failed session stays, so that he can read why."""
    ended_keep_days: float = Field(7.0, gt=0)


class AgentConfig(ProcessConfig):
    """An Agent."""

    agent_host: str = "127.0.0.1"
    agent_port: int = 4444
    agent_dir: Path
    """Identity and journal of this Agent."""
    manager_urls: str = ""
    """Comma list of gateway addresses of Managers, used until the first answer names them."""
    ca_file: Path | None = None
    join_token_file: Path | None = None
    runtime: str = "docker"
    docker_host: str | None = None
    share: float = Field(1.0, gt=0, le=1)
    """Fraction of the host this Agent offers; `up` divides a host among several Agents."""
    probe_interval_s: float = Field(10.0, gt=0)


class GatewayConfig(ProcessConfig):
    """A gateway: everything else is in the file the parent generates nginx's configuration from."""

    gateway_file: Path
    """JSON of greenroom.gateway.plan.GatewayPlan."""
    gateway_dir: Path
    """Prefix of nginx: configuration, pid and temporary files."""


Config = TypeVar("Config", bound=ProcessConfig)


def load(kind: type[Config]) -> Config:
    """Read the settings of one role.

    Raises:
        SetupError: a variable is missing or cannot be used; the sentence names each.
    """
    try:
        return kind()
    except ValidationError as error:
        problems = "; ".join(f"GREENROOM_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SetupError(f"Settings that cannot be used: {problems}") from error
