"""How an instance is now, part by part."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass

from greenroom.db.database import Database
from greenroom.kit.program import version
from greenroom.kit.starts import StartLog
from greenroom.up import health
from greenroom.up.describe import describe, pids_by_role
from greenroom.up.description import Description
from greenroom.up.health import Health
from greenroom.up.layout import Layout
from greenroom.up.site import site_of
from greenroom.up.supervisor import PartState, State


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part: whether it works, its process, the port it listens on, and why it counts as crash-looping, as a sentence
    (empty: it does not)."""

    check: Health
    state: PartState
    port: int | None
    crash_loop: str = ""

    def as_json(self) -> dict[str, object]:
        return {**asdict(self.check), **asdict(self.state), "port": self.port, "crash_loop": self.crash_loop}


@dataclass(frozen=True, slots=True)
class Status:
    """An instance and its parts; it is not `described` while the database is away."""

    url: str
    pids: dict[str, list[int]]
    phase: str
    parts: list[PartStatus]
    described: Description | None

    def as_json(self) -> dict[str, object]:
        """The object of `up --json`, as far as it is known, with `phase` and `parts`."""
        shown = asdict(self.described) if self.described else {"url": self.url, "pids": self.pids}
        return {**shown, "version": version(), "phase": self.phase, "parts": [part.as_json() for part in self.parts]}


async def read_status(layout: Layout) -> Status:
    """What works now, also while the database is away."""
    site, described = site_of(layout), None
    async with AsyncExitStack() as stack:
        db = Database(site.dsn, application_name="greenroom status", max_size=2)
        await db.open()
        stack.push_async_callback(db.close)
        http = await stack.enter_async_context(health.client(layout.ca_file))
        checks = await health.check_all(http, db, site)
        if next(check.ok for check in checks if check.role == "postgres"):
            described = await describe(db, site)
    state = State.read(layout.state)
    known = {part.name: part for part in state.parts}
    loops = {name: StartLog(folder).read_crash_loop() for name, folder in site.folders.items()}
    parts = [
        PartStatus(
            check,
            known.get(check.name, PartState(name=check.name, role=check.role)),
            site.ports.get(check.name),
            loops.get(check.name, ""),
        )
        for check in checks
    ]
    return Status(site.url, pids_by_role(layout), state.phase, parts, described)
