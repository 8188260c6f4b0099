"""The settings of a process, with one class for each role. They are read from `GREENROOM_*` environment variables, then
from the TOML file that GREENROOM_CONFIG names (`greenroom.kit.environment`). Plug-ins have separate classes.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

import greenroom
from greenroom.core.errors import SetupError
from greenroom.core.syslog import checked_target
from greenroom.kit import plugins

CODE_FOLDER: Final = Path(__file__).parents[1]
"""The folder of the server's packages."""


def _require_https(urls: str) -> str:
    """Refuse addresses without https, because tokens and credentials are sent there. A loopback address may have http:
    its traffic does not leave this machine.
    """
    if wrong := [url for url in comma_parts(urls) if not url.startswith("https://") and not _is_loopback_http(url)]:
        raise ValueError(f"{', '.join(wrong)} must begin with https://")
    return urls


def _is_loopback_http(url: str) -> bool:
    try:
        return url.startswith("http://") and ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return False


HttpsUrls = Annotated[str, AfterValidator(_require_https)]
"""One address or a comma list; may be empty."""


def _require_installed_adapters(names: str) -> str:
    for name in comma_parts(names):
        if name not in (installed := plugins.plugin_names(plugins.SDK_ADAPTERS)):
            unknown = f"there is no adapter {name}; installed adapters: {', '.join(installed) or 'none'}"
            raise ValueError(plugins.installation_hint(plugins.SDK_ADAPTERS, name) or unknown)
    return names


def comma_parts(names: str) -> list[str]:
    """Return the parts of a comma list."""
    return [name.strip() for name in names.split(",") if name.strip()]


Port = Annotated[int, Field(ge=0, lt=65536)]

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


class FromEnvironment(BaseSettings):
    """Settings that are read from the environment and the TOML file: those of a role, or of a plug-in (kit.plugins)."""

    model_config = SettingsConfigDict(env_prefix="GREENROOM_", extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order: arguments, environment, TOML file."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get("GREENROOM_CONFIG")
        toml = (TomlConfigSettingsSource(settings_cls, Path(file)),) if file else ()
        return (init_settings, env_settings, *toml)


class ProcessConfig(FromEnvironment):
    """The settings of every role."""

    process_name: str = "greenroom"
    """The name of this process under its supervisor, such as manager-1; used for its stop socket and its log lines."""
    log_level: LogLevel = "INFO"
    stop_dir: Path | None = None
    """For tests only: the folder of the stop sockets (greenroom.kit.stops)."""


class DatabaseConfig(ProcessConfig):
    """The settings of roles with a database."""

    database_url: str
    secret_key_file: Path
    """32 random bytes, base64: the installation's key for connect tokens and encrypted columns (kit.secrets)."""


class ApiConfig(DatabaseConfig):
    """The settings of the api."""

    api_dir: Path | None = None
    """The folder in which the api records its starts, to detect a crash loop; None = no record."""
    api_host: str = "127.0.0.1"
    api_port: Port = 8080
    public_url: str = "https://127.0.0.1:8443"
    stream_url: str = "https://127.0.0.1:8445"
    served_hosts: str = "127.0.0.1,localhost"
    """Comma list of the host names that the gateway serves; a request with another Host header gets 421."""
    ca_file: Path | None = None
    """The certificate of the private authority of the gateways, whose fingerprint join commands contain; None = the
    authority is public."""
    sdk_adapters: Annotated[str, AfterValidator(_require_installed_adapters)] = ""
    """Comma list of the SDKs of hosted browser services whose calls are served below `/adapters`; empty = none."""
    sdk_workspace: str = "Chromium"
    """Friendly name or image_id of the workspace of sessions that these adapters lease."""
    audit_syslog: Annotated[str, AfterValidator(checked_target)] = ""
    """`tls://host:port` or `tcp://host:port` of a syslog server that gets the events of the audit; empty = none."""
    audit_syslog_ca_file: Path | None = None
    """The authorities of the certificate of this server; None = those of the system."""
    gateway_address: str = ""
    """`host[:port]` at which this api reaches the web gateway, to act in leased sessions; empty = the zone setting
    Upstream Auth Address (docs/reference/zones.md) of each session.
    """


class ManagerConfig(DatabaseConfig):
    """The settings of a Manager."""

    manager_host: str = "127.0.0.1"
    manager_port: Port = 8181
    manager_dir: Path
    """A persistent folder of this Manager; contains the file `instance_id`."""
    zone: str = "default"
    sentinel_file: Path = Path("/tmp/kasm_manager_draining")  # noqa: S108 -- see docs/reference/managers.md
    gateway_url: HttpsUrls = ""
    """The address at which Agents reach this Manager, such as https://127.0.0.1:8446."""
    lease_ttl_s: float = Field(default=6.0, gt=0)
    """The duration of the leadership of a zone. `lease_…` here means this leadership, not leased sessions."""
    lease_renew_s: float = Field(default=2.0, gt=0)
    """The interval at which a Primary renews its leadership."""
    lease_margin_s: float = Field(default=1.0, gt=0)
    """The time before the end of its leadership at which a Primary stops writing."""
    guardian_interval_s: float = Field(default=1.0, gt=0)
    """Interval of the guardian's rounds."""
    checkin_hold_s: float = Field(default=5.0, gt=0)
    """The maximum time for which a check-in is held while nothing changes."""
    agent_missing_s: float = Field(default=15.0, gt=0)
    session_lost_s: float = Field(default=600.0, gt=0)
    agent_dead_s: float = Field(default=3600.0, gt=0)
    """Times without a check-in of an Agent. After `agent_missing_s` the Agent is missing, after `session_lost_s` the
    sessions of users on it are lost, and after `agent_dead_s` it is dead.
    """
    unhealthy_after_s: float = Field(default=10.0, gt=0)
    """The time without a finished round of the guardian after which this Manager reports itself as unhealthy."""
    handover_received_s: float = Field(default=2.0, gt=0)
    """The time within which an Agent must acknowledge a hand-over."""
    handover_assigned_s: float = Field(default=3.0, gt=0)
    """The time limit of the `assign` command of a hand-over."""
    cpu_overcommit: float = Field(default=16.0, gt=0)
    """The cores that an Agent offers for each core of its host, unless an administrator sets an override."""
    verdict_grace_s: float = Field(default=10.0, gt=0)
    """A container without a session is removed at the earliest this time after its Agent first reported it."""
    ended_keep_days: float = Field(default=7.0, gt=0)
    """The days for which ended sessions stay in the lists."""


class AgentStreamAddress(NamedTuple):
    """The address at which an Agent accepts gateways on other hosts, and the `secret` that they must send. `host` has
    no brackets.
    """

    host: str
    port: int
    secret: str


MIN_SECRET_CHARACTERS: Final = 32


def read_stream_secret(file: Path) -> str:
    """Return the secret that an Agent shares with gateways on other hosts. Raises SetupError: the file cannot be read,
    or contains no valid secret."""
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"The stream secret {file} cannot be read: {error}.") from error
    if len(secret) < MIN_SECRET_CHARACTERS or not re.fullmatch(r"[A-Za-z0-9_-]+", secret):
        raise SetupError(
            f"The stream secret {file} must have {MIN_SECRET_CHARACTERS} characters or more, of A-Z, a-z, 0-9, _ and -;"
            " create one with: openssl rand -hex 32"
        )
    return secret


class AgentConfig(ProcessConfig):
    """The settings of an Agent."""

    agent_host: str = "127.0.0.1"
    agent_port: Port = 4444
    agent_dir: Path
    """The folder with the identity and the journal of this Agent."""
    manager_urls: HttpsUrls = ""
    """Comma list of gateway addresses of Managers. The first response of a Manager replaces this list."""
    ca_file: Path | None = None
    """The authority of the gateways in `manager_urls` and `gateway_address`; None = the authorities of the system."""
    gateway_address: str = ""
    """`host[:port]` of the gateway at which this Agent checks viewers; empty = the zone setting Upstream Auth Address
    (docs/reference/zones.md) of each session.
    """
    join_token_file: Path | None = None
    edge_url: str = ""
    """`https://host:port` of the edge gateway of this Agent, as web gateways and browsers reach it; empty = none."""
    edge_dir: Path | None = None
    """The folder of the edge gateway's files (edge.key, edge.pem, agent_id), by default `edge` in agent_dir."""
    runtime: str = "docker"
    """The name of an installed runtime (kit.plugins), which may have separate settings."""
    share: float = Field(default=1.0, gt=0, le=1)
    """The fraction of the host that this Agent offers; `up` divides a host among several Agents."""
    probe_interval_s: float = Field(default=10.0, gt=0)
    web_filter_dir: Path | None = None
    """The folder of the web filters' files, by default `web-filter` in agent_dir. The account greenroom-filter needs
    access to this folder.
    """
    web_filter_resolvers: str = ""
    """Comma list of IP addresses: the name servers that web filters use; empty = those of /etc/resolv.conf."""
    disk_kept_bytes: int = Field(default=5_000_000_000, ge=0)
    """The free bytes of the disk below which the host accepts no new session; 0 = no limit."""
    runtime_classes: str = ""
    """Comma list: the runtimes of this host's Docker, other than its default runtime, that workspaces may request."""
    gateways_listen: str = ""
    """IP:port at which this Agent serves gateways on other hosts; needs `stream_secret_file`. Empty = none."""
    gateways_address: str = ""
    """IP:port at which gateways on other hosts reach this Agent; needed if `gateways_listen` is a wildcard address
    such as 0.0.0.0.
    """
    stream_secret_file: Path | None = None
    """The secret that gateways on other hosts must send."""
    agent_group: str = ""
    """The common name of the processes that form this Agent, if its runtime supports several; empty = one process."""
    session_connections: int = Field(default=4096, ge=0, le=1_000_000)
    """The maximum number of simultaneous connections of a session; 0 = no limit."""
    volume_folders: str = ""
    """Comma list of folders. Sessions mount only these folders, `own_volumes()`, and folders below them."""
    homes_folder: Path | None = None
    """The folder of the users' homes, by default `homes` in agent_dir; on a disk of this host, for this Agent only."""
    instance_data: Path | None = None
    """The data folder of `greenroom up`. Of its folders, sessions can mount only those below `volumes`."""

    def filter_resolvers(self) -> tuple[str, ...]:
        """Return `web_filter_resolvers` as addresses. Raises SetupError: one of them is not an IP address."""
        try:
            return tuple(str(ipaddress.ip_address(part)) for part in comma_parts(self.web_filter_resolvers))
        except ValueError as error:
            raise SetupError(f"Invalid settings: GREENROOM_WEB_FILTER_RESOLVERS: {error}") from error

    def stream_address(self) -> AgentStreamAddress | None:
        """Return the address for gateways on other hosts, with its secret; None = there is none. Raises SetupError: the
        address is not valid, or would be open without a secret."""
        if not self.gateways_listen:
            return None
        host, _, port = self.gateways_listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") if host.startswith("[") or ":" not in host else ""
        try:
            ipaddress.ip_address(host)
            number = int(port)
        except ValueError as error:
            raise SetupError(
                f"GREENROOM_GATEWAYS_LISTEN {self.gateways_listen!r} is not IP:port; write an IPv6 address in brackets,"
                " as in [::]:4445."
            ) from error
        if self.stream_secret_file is None:
            raise SetupError(
                f"GREENROOM_GATEWAYS_LISTEN {self.gateways_listen} requires GREENROOM_STREAM_SECRET_FILE, a secret that"
                " this Agent and its gateways share. Without it, any client could request the credentials of sessions."
            )
        return AgentStreamAddress(host, number, read_stream_secret(self.stream_secret_file))

    def extra_runtime_classes(self) -> tuple[str, ...]:
        return tuple(comma_parts(self.runtime_classes))

    def mountable_folders(self) -> list[str]:
        return comma_parts(self.volume_folders)

    def own_volumes(self) -> str:
        """Return the folder `volumes` of the instance; without an instance, of this Agent. Sessions may mount folders
        below it.
        """
        return str((self.instance_data or self.agent_dir).resolve() / "volumes")

    def homes_path(self) -> Path:
        return (self.homes_folder or self.agent_dir / "homes").resolve()

    def private_folders(self) -> list[str]:
        """Return the folders of this Agent, its instance and the code that they run. No session may mount them, because
        a user who can write there gets the rights of these programs.
        """
        code = (Path(sys.prefix), Path(sys.base_prefix), *map(Path, greenroom.__path__))
        own_folders = (self.agent_dir, self.instance_data)
        return sorted({str(folder.resolve()) for folder in (*own_folders, *code) if folder is not None})


class GatewayManager(BaseModel, frozen=True, extra="forbid"):
    """A Manager to which a gateway forwards requests, in `gateway_managers`."""

    name: str = "manager"
    """The instance id of the Manager, for Diagnostics. If `instance_id_file` exists, its content is used instead."""
    instance_id_file: Path | None = None
    zone: str = ""
    """The name of its zone. Requests to `/api/` through its listener count as requests to that zone."""
    upstream: str = "127.0.0.1:8181"
    sentinel_file: Path = Path("/tmp/kasm_manager_draining")  # noqa: S108 -- see docs/reference/managers.md
    listen: str = ""
    """IP:port of a listener for this Manager only, several with commas. The main port serves the first Manager."""


class GatewayAgent(BaseModel, frozen=True, extra="forbid"):
    """An Agent on the host of the gateway, in `gateway_agents`."""

    agent_id: str
    upstream: str = "127.0.0.1:4444"


class GatewayCertificate(BaseModel, frozen=True, extra="forbid"):
    """A certificate of the administrator for one host name, in `named_certificate`."""

    host: str
    certificate: Path
    key: Path


class GatewayConfig(ProcessConfig):
    """The settings of a gateway. With `gateway_file`, a gateway serves the plan in that file, which another process
    writes. Without it, the gateway creates its plan itself (greenroom.gateway.plan_builder) from the settings below and
    from the reports of the api, or of the Agent next to it.
    """

    gateway_file: Path | None = None
    """JSON of greenroom.gateway.plan.GatewayPlan."""
    gateway_dir: Path
    """The prefix of nginx: configuration, pid and temporary files."""
    gateway_metrics_port: int | None = Field(default=None, gt=0, lt=65536)
    """The port of the metrics on 127.0.0.1; None = no metrics."""
    gateway_workers: int = Field(default=0, ge=0, le=1024)
    """The number of worker processes of nginx; 0 = one for each core."""
    gateway_connections: int = Field(default=0, ge=0)
    """The maximum connections of each worker (a stream uses two); 0 = the number of files that a worker may open."""
    gateway_profile: Literal["web", "edge"] = "web"
    main_listen: str = "127.0.0.1:8443"
    """IP:port of the console, `/api/` and the first Manager (profile `web`); several with commas, all with one port."""
    stream_listen: str = "127.0.0.1:8445"
    """IP:port of the streams; several with commas, all with one port."""
    public_url: str = ""
    """The origin of the console in browsers. An edge gateway needs it, because the console frames its streams."""
    stream_url: str = ""
    """The origin of the streams in browsers, if it is not the served host with the port of `stream_listen`."""
    served_hosts: str = "127.0.0.1,localhost"
    """Comma list of served host names, in addition to those of `public_url` and `stream_url`."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    named_certificate: GatewayCertificate | None = None
    api_upstream: str = "127.0.0.1:8080"
    """host:port of the api, on this host or in a separate network, because the connection is not encrypted."""
    gateway_credential_file: Path | None = None
    console_dir: Path = CODE_FOLDER / "gateway" / "console"
    gateway_managers: tuple[GatewayManager, ...] = ()
    gateway_agents: tuple[GatewayAgent, ...] = ()
    """Agents on this host, in addition to that of `edge_dir`."""
    stream_agents: str = ""
    """Comma list of host:port: stream addresses of Agents on other hosts whose sessions this gateway reaches directly,
    without an edge gateway. A host name stands for all its addresses.
    """
    stream_secret_file: Path | None = None
    """The secret that the gateway sends to these Agents."""
    edge_dir: Path | None = None
    """The folder in which the Agent on this host stores files for its gateway: `agent_id`, `edge.pem`, `edge.key`."""
    agent_upstream: str = "127.0.0.1:4444"
    """host:port of the Agent of `edge_dir`."""

    def stream_agent_addresses(self) -> list[str]:
        """Return the entries of `stream_agents`. Raises SetupError: one is not host:port."""
        addresses = comma_parts(self.stream_agents)
        for address in addresses:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or (":" in host and not (host.startswith("[") and host.endswith("]"))):
                raise SetupError(
                    f"GREENROOM_STREAM_AGENTS: {address!r} is not host:port; write an IPv6 address in brackets."
                )
        return addresses
