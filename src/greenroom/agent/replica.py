"""Several processes of one Agent: one acts, the others stand by and answer gateways in its place when it is away.

They share the identity, the journal, the data for gateways, and the files of the edge gateway, as records
(`runtimes.contract.Shared`). A process that takes over adopts the sessions like a restarted Agent: the shared journal
contains the work that was begun, and Managers refuse messages of the earlier process because of the new incarnation.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from greenroom.agent.app import HEALTH_PATH, WithSecret
from greenroom.agent.standby import Election, SharedRecord, Standby
from greenroom.core.errors import SetupError
from greenroom.kit import serving
from greenroom.kit.concurrency import Loop, keep_running
from greenroom.kit.config import AgentConfig
from greenroom.runtimes.contract import RuntimeUnavailable, Shared

log = structlog.get_logger(__name__)

READ_WITHIN_S: Final = 10.0
"""A process that has not read the record for this time is not ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaGroup:
    """The shared records of an Agent that acts for a group of processes; it acts while `fence` raises nothing."""

    place: str
    name: str
    fence: Callable[[], None]
    identity: SharedRecord
    journal: SharedRecord
    shown: SharedRecord
    edge: SharedRecord
    address: str
    copied: Callable[[], None]
    """Called after the copy for the other processes was written."""
    listed: Callable[[], None]
    """Called when the desired list is known: this process now answers gateways as the acting one, not as a standby."""

    async def copy(self, content: bytes) -> None:
        """Store the data that other processes need."""
        await self.shown.write(content)
        self.copied()


class Acting(Protocol):
    """The interface of the Agent (greenroom.agent.main.Agent)."""

    @property
    def loops(self) -> list[tuple[str, Loop]]: ...
    @property
    def app(self) -> ASGIApp: ...
    @property
    def for_gateways(self) -> Starlette: ...
    @property
    def is_complete(self) -> bool: ...
    def log_loop_failure(self, sentence: str) -> None: ...
    async def prepare(self) -> None: ...
    async def close(self) -> None: ...


Build = Callable[[AgentConfig, ReplicaGroup], Acting]


class Replica:
    """This process as one of several of an Agent."""

    def __init__(self, settings: AgentConfig, shared: Shared, build: Build) -> None:
        self._settings = settings
        self._shared = shared
        self._build = build
        self._address = own_address(settings)
        own = f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}"
        self.election = Election(shared, own, self._address)
        self._standby = Standby(settings, shared, self.election, self._address)
        self._acting: Acting | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Request the end of the process, so that another one acts at once."""
        self._stopping.set()

    @property
    def loops(self) -> list[tuple[str, Loop]]:
        at = self._settings.stream_address()
        listening: list[tuple[str, Loop]] = []
        if at is not None:
            asked = WithSecret(self._for_gateways, at.secret)
            listening = [("gateways", lambda: serving.serve_until_cancelled(asked, at.host, at.port))]
        return [("act", self._run), ("stand by", self._standby.run), *listening]

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if await self._until_stopped(self.election.acquire()):
                break
            await self._act()
        self._stopped.set()
        await asyncio.Event().wait()  # until the process ends

    async def _until_stopped(self, work: Coroutine[Any, Any, object]) -> bool:
        """Return True if the process must end before the work is done."""
        task, stop = asyncio.ensure_future(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if task.done():
            task.result()
            return False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return True

    async def _act(self) -> None:
        """Act as the Agent until another process does, or this one ends."""
        keeping = asyncio.create_task(self.election.keep(), name="lease")
        work = asyncio.create_task(self._work(), name="agent")
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([keeping, work, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, keeping, stop):
                task.cancel()
            await asyncio.gather(work, keeping, stop, return_exceptions=True)
        await self.election.give_back()
        if keeping.done() and not keeping.cancelled():
            log.warning("this process no longer acts for the Agent", reason=keeping.result())
        if not work.cancelled():
            work.result()

    async def _work(self) -> None:
        try:
            agent = self._build(self._settings, await self._group())
        except RuntimeUnavailable as error:
            log.warning("the shared data of the processes cannot be taken over", reason=error.message)
            return
        try:
            await agent.prepare()
            self._acting = agent
            async with asyncio.TaskGroup() as group:
                for name, loop in agent.loops:
                    group.create_task(keep_running(name, loop, agent.log_loop_failure), name=name)
        finally:
            self._acting = None
            await agent.close()

    async def _group(self) -> ReplicaGroup:
        """Take over the shared records, into the Agent's folder. Raises RuntimeUnavailable: they cannot be read."""
        records = {name: SharedRecord(self._shared, name, self.election.fence) for name in RECORDS}
        folder = self._settings.agent_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {name: await record.take() for name, record in records.items()}
        for name, file in (("identity", "identity.json"), ("journal", "journal.jsonl")):
            taken = content[name]
            if taken is not None:
                (folder / file).write_bytes(taken)
            else:
                (folder / file).unlink(missing_ok=True)
        if taken := content["identity"]:
            agent_id = msgspec.json.decode(taken, type=_Named).agent_id
            (folder / "agent_id").write_text(f"{agent_id}\n")
        return ReplicaGroup(
            place=self._shared.place,
            name=self._shared.name,
            fence=self.election.fence,
            address=self._address,
            copied=self._copied,
            listed=self._standby.release_requests,
            identity=records["identity"],
            journal=records["journal"],
            shown=records["shown"],
            edge=records["edge"],
        )

    def _copied(self) -> None:
        self.election.copy += 1

    # Requests to this process ---------------------------------------------------------------------------------------

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._acting.app if self._acting is not None else self._standby_app()
        await asked(scope, receive, send)

    async def _for_gateways(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == HEALTH_PATH:
            await self.app(scope, receive, send)
        elif self._acting is not None and self._acting.is_complete:
            await self._acting.for_gateways(scope, receive, send)
        else:
            await self._standby.app(scope, receive, send)

    def _standby_app(self) -> Starlette:
        async def health(_request: object) -> JSONResponse:
            looked_s = self.election.looked_s
            ago_s = None if looked_s is None else time.clock_gettime(time.CLOCK_BOOTTIME) - looked_s
            ok = ago_s is not None and ago_s < READ_WITHIN_S and self._standby.is_ready
            return JSONResponse(
                {"ok": ok, "role": "standby", "last_look_s": ago_s and round(ago_s, 1)}, status_code=200 if ok else 500
            )

        return Starlette(routes=[Route(HEALTH_PATH, health)])


RECORDS: Final = ("identity", "journal", "shown", "edge")


class _Named(msgspec.Struct):
    agent_id: str


def own_address(settings: AgentConfig) -> str:
    """The address at which gateways reach this process; empty without one. Raises SetupError: the address is not
    configured."""
    if settings.gateways_address or not settings.gateways_listen:
        host, colon, port = settings.gateways_address.rpartition(":")
        return f"[{host}]{colon}{port}" if ":" in host and not host.startswith("[") else settings.gateways_address
    if settings.gateways_listen.startswith(("0.0.0.0:", "[::]:")):
        raise SetupError("Set GREENROOM_GATEWAYS_ADDRESS to the IP:port at which gateways reach this process.")
    return settings.gateways_listen


async def run(settings: AgentConfig, shared: Shared, build: Build) -> None:
    """Run this process until it is stopped. Raises SetupError: its settings, or a file, cannot be used."""
    await shared.open()
    replica = Replica(settings, shared, build)
    log.info("a process of the Agent starts", group=shared.name, pid=os.getpid())
    try:
        await serving.serve(replica.app, settings.agent_host, settings.agent_port, replica.loops, on_stop=replica.stop)
    finally:
        await shared.close()
