"""The services of Greenroom on this machine (docs/howto/several-machines.md), as systemd runs them.

The program `systemctl` is the only connection to systemd. All services run the program behind one symbolic link, such
as /usr/local/bin/greenroom.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil

from greenroom.core.errors import SetupError
from greenroom.kit.config import AgentConfig, ApiConfig, GatewayConfig, ManagerConfig
from greenroom.up import health
from greenroom.upgrade.instance_facts import role_version

_PROPERTIES: Final = "LoadState,ActiveState,MainPID,User,Group,Environment,ExecStart"
_CONFIGS: Final = {"manager": ManagerConfig, "api": ApiConfig, "gateway": GatewayConfig, "agent": AgentConfig}
"""Role → the type of its settings, in the order in which services are replaced."""
_HEALTH_PORTS: Final = {"manager": "manager_port", "api": "api_port", "agent": "agent_port"}
_HEALTH_PATHS: Final = {"manager": "/__healthcheck", "api": "/api/__healthcheck", "agent": "/__healthcheck"}
_RESTART_WITHIN_S: Final = 150.0
"""The time limit of one call of systemctl. systemd kills a service that does not stop within 90 s."""
SETTLED_S: Final = 3.0
"""The minimum age of the process of a gateway that works: the nginx of its predecessor answers meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitService:
    """A service of this machine. `program` is the link that its unit runs, `user` and `group` its account (empty =
    root), and `settings` the settings of its role that are not defaults."""

    role: str
    unit: str
    state: str
    pid: int
    program: Path
    user: str
    group: str
    settings: dict[str, Any]

    def setting(self, name: str) -> Any:
        """Return a setting of the role."""
        return self.settings.get(name, _CONFIGS[self.role].model_fields[name].default)

    @property
    def environment(self) -> Path | None:
        """The `bin` folder of the environment that the process runs; None if there is no process."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0") if self.pid else []
        except OSError:  # the process has ended
            return None
        return Path(os.fsdecode(words[0])).parent.resolve() if words and words[0] else None


def read_services() -> list[UnitService]:
    """Return the services of this machine that are not stopped, in the order of their replacement.

    Raises:
        SetupError: systemctl cannot be used, or a file with settings cannot be read.
    """
    services = (_read_service(role) for role in _CONFIGS)
    return [service for service in services if service is not None]


def read_service(role: str) -> UnitService:
    """Return the service of a role. Raises SetupError: as for `read_services`, or it is stopped."""
    if (service := _read_service(role)) is None:
        raise SetupError(f"The service greenroom-{role} is stopped.")
    return service


def _read_service(role: str) -> UnitService | None:
    unit = f"greenroom-{role}.service"
    output = _systemctl("show", f"--property={_PROPERTIES}", unit)
    properties = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    if properties.get("LoadState") != "loaded" or properties.get("ActiveState") == "inactive":
        return None
    path = re.search(r"path=(\S+)", properties.get("ExecStart", ""))
    if path is None:
        raise SetupError(f"The unit {unit} has no ExecStart; install the unit of deploy/systemd.")
    user = properties.get("User", "")
    return UnitService(
        role=role,
        unit=unit,
        state=properties.get("ActiveState", ""),
        pid=int(properties.get("MainPID", "0")),
        program=Path(path[1]),
        user=user,
        group=properties.get("Group", "") or user,
        settings=_settings(unit, properties.get("Environment", "")),
    )


def _settings(unit: str, environment: str) -> dict[str, Any]:
    """Return the settings in the file of a unit, and those in its environment, which take precedence."""
    pairs = (word.partition("=") for word in shlex.split(environment))
    variables = {name: value for name, _, value in pairs}
    own = {name[10:].lower(): value for name, value in variables.items() if name.startswith("GREENROOM_")}
    if (file := own.get("config")) is None:
        return own
    try:
        return {**tomllib.loads(Path(file).read_text()), **own}
    except (OSError, ValueError) as error:
        raise SetupError(f"The settings of {unit} cannot be read from {file} ({error}).") from error


def restart(service: UnitService) -> None:
    """Restart a service with the program behind its link. Raises SetupError: systemd could not start it."""
    _systemctl("restart", service.unit)


def _systemctl(*arguments: str) -> str:
    command = ["systemctl", *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_RESTART_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{' '.join(command)} did not end within {_RESTART_WITHIN_S:g} s.") from error
    except OSError as error:
        raise SetupError(f"systemctl cannot be used ({error}); run the command on a machine with systemd.") from error
    if result.returncode != 0:
        reason = result.stderr.strip().partition("\n")[0] or f"exit code {result.returncode}"
        raise SetupError(f"{' '.join(command)} failed: {reason.rstrip('.')}.")
    return result.stdout


async def find_problem(http: httpx2.AsyncClient, service: UnitService, environment: Path, version: str | None) -> str:
    """Return the reason why a service does not work with the program in `environment` and this version; empty if it
    works. `version` None = any version."""
    if service.state != "active":
        return f"its state is {service.state}"
    if (running := service.environment) != environment:
        return "it has no process" if running is None else f"it runs the program in {running}"
    if (port := service.setting(_HEALTH_PORTS[service.role]) if service.role in _HEALTH_PORTS else None) is not None:
        url = f"http://127.0.0.1:{port}{_HEALTH_PATHS[service.role]}"
        state = await health.probe_health(http, service.role, service.role, url)
        if not state.ok:
            return state.detail
    elif problem := await _problem_of_gateway(service):
        return problem
    reported = await read_version(http, service)
    if version is None or reported is None:
        return ""
    return "" if reported == version else f"it reports the version {reported} in place of {version}"


async def read_version(http: httpx2.AsyncClient, service: UnitService) -> str | None:
    """Return the version that a service reports; None if it does not report its version."""
    port = service.setting(_HEALTH_PORTS.get(service.role, "gateway_metrics_port"))
    return await role_version(http, int(port), service.role) if port else None


async def _problem_of_gateway(service: UnitService) -> str:
    """Return the reason why a gateway does not work; empty if it works."""
    name = "stream_listen" if service.setting("gateway_profile") == "edge" else "main_listen"
    address, _, port = str(service.setting(name)).rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "": "127.0.0.1"}.get(address, address.strip("[]"))
    try:
        age_s = time.time() - psutil.Process(service.pid).create_time()
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), health.TIMEOUT_S)
    except (OSError, TimeoutError, psutil.Error) as error:
        return f"no response: {type(error).__name__} {error}".strip()
    writer.close()
    return "" if age_s >= SETTLED_S else "it has just started"
