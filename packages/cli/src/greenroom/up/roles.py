"""The parts of an instance: the command line, environment, folder and account of each process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from greenroom.up.account import Account
from greenroom.up.forks import ForkClient
from greenroom.up.host_programs import search_path
from greenroom.up.instance_folders import INSTANCE_VARIABLE
from greenroom.up.options import has_ipv6
from greenroom.up.processes import ProcessCommand
from greenroom.up.site import AgentSite, ManagerSite, Site
from greenroom.up.supervisor import FORK_SERVER, Part

log = structlog.get_logger(__name__)

_NOT_FOR_ROLES: Final = frozenset(
    ("GREENROOM_URL", "GREENROOM_KEY", "GREENROOM_SECRET", "GREENROOM_DATA", "GREENROOM_DATABASE_URL")
)
"""Settings of the command line, which no role inherits. Only roles that use the database get its address."""

_INHERITED_VARIABLES: Final = frozenset(
    (
        *("LANG", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ"),
        *("PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT"),
        *("ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
    )
)
"""Variables of the caller that roles inherit, also with lower-case names. Other variables may be secrets."""

_INHERITED_PREFIXES: Final = ("GREENROOM_", "LC_")

CALLER: Final = Account(None)
"""The account that started `up`. The Agent runs as this account, because it needs Docker."""


def postgres(site: Site, before_start: Callable[[], Awaitable[None]]) -> Part:
    """Return the part of the embedded PostgreSQL."""
    return Part(
        name="postgres",
        role="postgres",
        before_start=before_start,
        stop_signal=signal.SIGINT,
        command=lambda: ProcessCommand(
            argv=tuple(site.cluster.command("max_connections=200")),
            environment={"LC_ALL": "C", "PATH": os.defpath},
            folder=site.layout.postgres,
            account=site.accounts.database,
            log=site.layout.log("postgres"),
            death_signal="INT",
        ),
    )


def fork_server(site: Site, forks: ForkClient) -> Part:
    """Return the part of the fork server, which forks the roles."""
    return Part(
        name=FORK_SERVER,
        role=FORK_SERVER,
        command=lambda: ProcessCommand(
            argv=site.programs.module("greenroom.up.fork_server"),
            environment=common_environment(site),
            folder=site.layout.data,
            account=CALLER,
            log=site.layout.log(FORK_SERVER),
            death_signal="KILL",
            stdin=forks.connect(),
        ),
    )


def api(site: Site) -> Part:
    """Return the part of the api."""
    return _role(
        site,
        "api",
        "api",
        site.layout.api,
        {
            **_database(site),
            **_addresses(site),
            "GREENROOM_API_DIR": str(site.layout.api),
            "GREENROOM_API_PORT": str(site.ports["api"]),
            **({} if site.custom_certificate else {"GREENROOM_CA_FILE": str(site.layout.ca_file)}),
        },
    )


def manager(site: Site, manager_site: ManagerSite) -> Part:
    """Return the part of a Manager."""
    folder = site.layout.manager(manager_site.name)
    return _role(
        site,
        manager_site.name,
        "manager",
        folder,
        {
            **_database(site),
            "GREENROOM_MANAGER_PORT": str(manager_site.port),
            "GREENROOM_MANAGER_DIR": str(folder),
            "GREENROOM_ZONE": manager_site.zone,
            "GREENROOM_SENTINEL_FILE": str(manager_site.sentinel_file),
            "GREENROOM_GATEWAY_URL": manager_site.gateway_url,
        },
    )


def agent(site: Site, agent_site: AgentSite) -> Part:
    """Return the part of an Agent. Several Agents on one machine share its cores and memory equally."""
    urls = [manager_site.gateway_url for manager_site in site.managers_of(agent_site.zone)]
    return _role(
        site,
        agent_site.name,
        "agent",
        agent_site.folder,
        {
            "GREENROOM_AGENT_PORT": str(agent_site.port),
            "GREENROOM_AGENT_DIR": str(agent_site.folder),
            "GREENROOM_MANAGER_URLS": ",".join(urls),
            "GREENROOM_CA_FILE": str(site.layout.ca_file),
            "GREENROOM_JOIN_TOKEN_FILE": str(agent_site.folder / "join_token"),
            "GREENROOM_SHARE": str(1 / len(site.agents)),
            "GREENROOM_WEB_FILTER_DIR": str(site.layout.web_filter(agent_site.name)),
        },
        account=CALLER,
    )


def gateway(site: Site) -> Part:
    """Return the part of the gateway with its nginx. The main port serves the zone of the first Manager.

    To replace the gateway, `up` kills it: its nginx continues until the next gateway serves, so no stream is cut.
    """
    needs_root = min(site.settings.port, site.ports["stream"]) < 1024
    part = _role(
        site,
        "gateway",
        "gateway",
        site.layout.gateway,
        _gateway_settings(site),
        account=site.accounts.gateway,
        capabilities=("net_bind_service",) if site.accounts.gateway.needs_switch and needs_root else (),
    )
    part.replace_signal = signal.SIGKILL
    return part


def all_parts(site: Site, forks: ForkClient) -> list[Part]:
    """Return all parts of the instance, also PostgreSQL if the database is external."""

    async def do_nothing() -> None:
        pass

    return [
        fork_server(site, forks),
        postgres(site, do_nothing),
        api(site),
        *(manager(site, manager_site) for manager_site in site.managers),
        gateway(site),
        *(agent(site, agent_site) for agent_site in site.agents),
    ]


def _gateway_settings(site: Site) -> dict[str, str]:
    local, ports, ipv6 = "127.0.0.1", site.ports, has_ipv6()
    if not ipv6:
        log.info("the gateway listens on IPv4 addresses alone", reason="this machine has no IPv6")
    listener = partial(site.settings.listener, ipv6=ipv6)
    managers = [
        {
            "name": manager.instance_id,
            "zone": manager.zone,
            "listen": listener(manager.gateway_port),
            "upstream": f"{local}:{manager.port}",
            "sentinel_file": str(manager.sentinel_file),
        }
        for manager in site.managers
    ]
    agents = [{"agent_id": agent.agent_id, "upstream": f"{local}:{agent.port}"} for agent in site.agents]
    certificate, key = site.layout.certificate
    settings = {
        **_addresses(site),
        "GREENROOM_GATEWAY_DIR": str(site.layout.gateway),
        "GREENROOM_MAIN_LISTEN": listener(site.settings.port),
        "GREENROOM_STREAM_LISTEN": listener(ports["stream"]),
        "GREENROOM_TLS_CERTIFICATE": str(certificate),
        "GREENROOM_TLS_KEY": str(key),
        "GREENROOM_API_UPSTREAM": f"{local}:{ports['api']}",
        "GREENROOM_GATEWAY_CREDENTIAL_FILE": str(site.layout.gateway_credential),
        "GREENROOM_GATEWAY_METRICS_PORT": str(ports["gateway-metrics"]),
        "GREENROOM_CONSOLE_DIR": str(site.programs.console),
        "GREENROOM_GATEWAY_MANAGERS": json.dumps(managers),
        "GREENROOM_GATEWAY_AGENTS": json.dumps(agents),
    }
    if site.custom_certificate is None:
        return settings
    certificate, key = site.custom_certificate
    certificate_settings = {"host": site.settings.hostname, "certificate": str(certificate), "key": str(key)}
    return settings | {"GREENROOM_NAMED_CERTIFICATE": json.dumps(certificate_settings)}


def _addresses(site: Site) -> dict[str, str]:
    return {
        "GREENROOM_PUBLIC_URL": site.settings.console_url,
        "GREENROOM_STREAM_URL": site.stream_url,
        "GREENROOM_SERVED_HOSTS": ",".join(site.settings.served_hosts),
    }


def _database(site: Site) -> dict[str, str]:
    return {"GREENROOM_DATABASE_URL": site.service_dsn, "GREENROOM_SECRET_KEY_FILE": str(site.layout.key_file)}


def _role(
    site: Site,
    name: str,
    role: str,
    folder: Path,
    settings: dict[str, str],
    *,
    account: Account | None = None,
    capabilities: Iterable[str] = (),
) -> Part:
    account = account or site.accounts.services
    command = ProcessCommand(
        argv=site.programs.role(role),
        environment=inherited_environment(
            os.environ, folder if account.needs_switch else None, runs_containers=role == "agent"
        )
        | site.programs.environment
        | {INSTANCE_VARIABLE: str(site.layout.data), "GREENROOM_PROCESS_NAME": name}
        | settings,
        folder=folder,
        account=account,
        log=site.layout.log(name),
        capabilities=tuple(capabilities),
    )
    return Part(name=name, role=role, command=lambda: command, is_forked=True)


def common_environment(site: Site) -> dict[str, str]:
    """Return the environment that any process of the instance may have, without GREENROOM_* settings, which may contain
    secrets."""
    settings = inherited_environment(os.environ, None, runs_containers=False)
    return (
        {name: value for name, value in settings.items() if not name.startswith("GREENROOM_")}
        | site.programs.environment
        | {INSTANCE_VARIABLE: str(site.layout.data)}
    )


def inherited_environment(caller: Mapping[str, str], home: Path | None, *, runs_containers: bool) -> dict[str, str]:
    """Return the variables that a role inherits from the caller: settings, and the variables that programs need. `home`
    is the home of a role that runs as another account. `runs_containers`: the role uses Docker with the settings of the
    caller."""
    variables = {
        name: value
        for name, value in caller.items()
        if name not in _NOT_FOR_ROLES
        and (
            name.upper() in _INHERITED_VARIABLES
            or name.startswith(_INHERITED_PREFIXES)
            or (runs_containers and name.startswith("DOCKER_"))
        )
    }
    own_home = {"HOME": str(home)} if home is not None else {"HOME": caller["HOME"]} if "HOME" in caller else {}
    return variables | own_home | {"PATH": search_path(caller)}
