"""The state of an instance and of each of its parts, for `greenroom up` and `greenroom status`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Final

import structlog

from greenroom.core.errors import SetupError
from greenroom.db.database import Database
from greenroom.kit.processes import children, read_start_ticks
from greenroom.kit.starts import StartLog
from greenroom.up import health
from greenroom.up.control import Describe, send_request
from greenroom.up.first_start import read_credentials
from greenroom.up.health import Health
from greenroom.up.installation import find_manager_ids, find_zones
from greenroom.up.layout import Layout
from greenroom.up.processes import read_command_line
from greenroom.up.progress import AgentDescription, InstanceDescription, ManagerDescription, ZoneDescription
from greenroom.up.site import Site, site_of
from greenroom.up.supervisor import PartState, State

log = structlog.get_logger(__name__)

ROLES: Final = ("up", "postgres", "api", "manager", "agent", "gateway", "nginx")


async def describe(db: Database, site: Site) -> InstanceDescription:
    """Return the description of the instance from its database and its state file."""
    managers = await find_manager_ids(db, [manager.instance_id for manager in site.managers])
    zones = await find_zones(db, [agent.zone for agent in site.agents])

    def name_of(zone: str) -> str:
        return zones[zone].zone_name if zone in zones else zone

    layout = site.layout
    pid_of = {part.name: part.pid for part in State.read(layout.state).parts}
    credentials = await read_credentials(db, layout)
    return InstanceDescription(
        url=site.url,
        stream_url=site.stream_url,
        ca_file=str(layout.ca_file),
        admin=credentials.admin,
        api_key=credentials.api_key,
        api_key_secret=credentials.api_key_secret,
        zones=[
            ZoneDescription(
                zones[zone].zone_id if zone in zones else None, name_of(zone), site.managers_of(zone)[0].gateway_url
            )
            for zone in dict.fromkeys(agent.zone for agent in site.agents)
        ],
        managers=[
            ManagerDescription(
                manager_id=managers.get(manager.instance_id),
                instance_id=manager.instance_id,
                zone_name=name_of(manager.zone),
                port=manager.port,
                gateway_url=manager.gateway_url,
                pid=pid_of.get(manager.name),
                sentinel_file=str(manager.sentinel_file),
            )
            for manager in site.managers
        ],
        agents=[AgentDescription(agent.agent_id, name_of(agent.zone), agent.port) for agent in site.agents],
        pids=pids_by_role(layout),
        data=str(layout.data),
        public_url=site.settings.console_url,
        database_url=db.dsn,
    )


def pids_by_role(layout: Layout) -> dict[str, list[int]]:
    """Return role → the pids of its running processes; for nginx, the masters and then their workers."""
    state = State.read(layout.state)
    pids: dict[str, list[int]] = {role: [] for role in ROLES}
    if state.up is not None:
        pids["up"].append(state.up)
    for part in state.parts:
        if part.pid is not None and part.role in pids:
            pids[part.role].append(part.pid)
    pids["nginx"] = find_nginx_pids([*pids["gateway"], *pids["up"]])
    return pids


def find_nginx_pids(parents: Sequence[int]) -> list[int]:
    """Return the pids of nginx: its masters, the newest first, then all workers. `parents` are the gateway and `up`:
    both adopt the nginx processes of a killed master or gateway.
    """
    pids = [pid for parent in parents for pid in _nginx_of(parent)]
    masters = sorted(filter(is_nginx_master, pids), key=lambda pid: read_start_ticks(pid) or 0, reverse=True)
    return [
        *masters,
        *(pid for pid in pids if pid not in masters),
        *(worker for master in masters for worker in _nginx_of(master)),
    ]


def _nginx_of(parent: int) -> list[int]:
    return [child.pid for child in children(parent) if child.name == "nginx" and not child.is_zombie]


def is_nginx_master(pid: int) -> bool:
    """True if this nginx is a master, by its process title."""
    return read_command_line(pid).startswith("nginx: master")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """The status of a part: its health, its process and its port. `crash_loop` is a sentence about why the part counts
    as crash-looping; empty = it does not.
    """

    health: Health
    state: PartState
    port: int | None
    crash_loop: str = ""

    def as_json(self) -> dict[str, object]:
        return {**asdict(self.health), **asdict(self.state), "port": self.port, "crash_loop": self.crash_loop}


@dataclass(frozen=True, slots=True)
class Status:
    """The status of an instance and its parts. `version` is that of the supervisor, the process `up`; None if it does
    not answer. `description` is None while the database is unavailable.
    """

    url: str
    version: str | None
    pids: dict[str, list[int]]
    phase: str
    parts: list[PartStatus]
    description: InstanceDescription | None

    def as_json(self) -> dict[str, object]:
        """Return the known fields of the description of the instance, with `version`, `phase` and `parts`."""
        description = asdict(self.description) if self.description else {"url": self.url, "pids": self.pids}
        return {
            **description,
            "version": self.version,
            "phase": self.phase,
            "parts": [part.as_json() for part in self.parts],
        }


async def read_status(layout: Layout) -> Status:
    """Return the current status, even if the database is unavailable."""
    site, description = site_of(layout), None
    async with AsyncExitStack() as stack:
        db = Database(site.dsn, application_name="greenroom status", max_size=2)
        await db.open()
        stack.push_async_callback(db.close)
        http = await stack.enter_async_context(health.client(layout.ca_file))
        checks = await health.check_all(http, db, site)
        if next(check.ok for check in checks if check.role == "postgres"):
            description = await describe(db, site)
    state = State.read(layout.state)
    states = {part.name: part for part in state.parts}
    loops = {name: StartLog(folder).read_crash_loop() for name, folder in site.folders.items()}
    parts = [
        PartStatus(
            check,
            states.get(check.name, PartState(name=check.name, role=check.role)),
            site.ports.get(check.name),
            loops.get(check.name, ""),
        )
        for check in checks
    ]
    return Status(site.url, await _running_version(layout), pids_by_role(layout), state.phase, parts, description)


async def _running_version(layout: Layout) -> str | None:
    try:
        return (await send_request(layout, Describe())).version
    except SetupError as error:
        log.info("the version of the supervisor is unknown", reason=error.message)
        return None
