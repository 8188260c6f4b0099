"""Agent replicas: several processes of one Agent. One process acts. The others are on standby, and answer gateways
while no process acts.

The replicas share records (`runtimes.contract.ReplicaStore`): the identity, the journal, the data for gateways, and the
files of the edge gateway. A process that begins to act adopts the sessions like a restarted Agent, and reads from the
journal which work has begun. Managers refuse messages of the previous process, because its incarnation is older.
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

from greenroom.agent.app import HEALTH_PATH, RequireSecret
from greenroom.agent.standby import GATEWAY_DATA_RECORD, Election, SharedRecord, Standby
from greenroom.core.errors import SetupError
from greenroom.kit import serving
from greenroom.kit.concurrency import Loop, keep_running
from greenroom.kit.config import AgentConfig
from greenroom.runtimes.contract import ReplicaStore, RuntimeUnavailable

log = structlog.get_logger(__name__)

MAX_READ_AGE_S: Final = 10.0
"""The age of the last access to the election record above which a standby is not ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaGroup:
    """The records that the acting process shares with the other replicas, the id of their store (`place_id`),
    and the name of the Agent. `fence` raises RuntimeUnavailable if this process does not act."""

    place_id: str
    name: str
    fence: Callable[[], None]
    identity: SharedRecord
    journal: SharedRecord
    gateway_data: SharedRecord
    """The data that other processes need to answer gateways."""
    edge: SharedRecord
    address: str
    on_stored: Callable[[], None]
    """Called after `store_gateway_data` has written the data."""
    on_list_known: Callable[[], None]
    """Called when the desired list is known. After this call, this process answers gateways as the acting process."""

    async def store_gateway_data(self, content: bytes) -> None:
        """Store the data that other processes need to answer gateways."""
        await self.gateway_data.write(content)
        self.on_stored()


class ReplicatedAgent(Protocol):
    """The interface of the Agent (greenroom.agent.main.Agent)."""

    @property
    def loops(self) -> list[tuple[str, Loop]]: ...
    @property
    def app(self) -> ASGIApp: ...
    @property
    def gateway_app(self) -> Starlette: ...
    @property
    def has_desired_list(self) -> bool: ...
    def log_loop_failure(self, sentence: str) -> None: ...
    async def prepare(self) -> None: ...
    async def close(self) -> None: ...


AgentFactory = Callable[[AgentConfig, ReplicaGroup], ReplicatedAgent]


class Replica:
    """This process as one of the replicas of an Agent."""

    def __init__(self, settings: AgentConfig, store: ReplicaStore, build: AgentFactory) -> None:
        self._settings = settings
        self._store = store
        self._build = build
        self._address = own_address(settings)
        holder = f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}"
        self.election = Election(store, holder, self._address)
        self._standby = Standby(settings, store, self.election, self._address)
        self._acting_agent: ReplicatedAgent | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Request the end of this process. Another replica then takes over immediately."""
        self._stopping.set()

    @property
    def loops(self) -> list[tuple[str, Loop]]:
        listener = self._settings.stream_address()
        listening: list[tuple[str, Loop]] = []
        if listener is not None:
            app = RequireSecret(self._gateway_app, listener.secret)
            listening = [("gateways", lambda: serving.serve_until_cancelled(app, listener.host, listener.port))]
        return [("act", self._run), ("stand by", self._standby.run), *listening]

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if await self._is_stopped_during(self.election.acquire()):
                break
            await self._run_while_acting()
        self._stopped.set()
        await asyncio.Event().wait()  # until the process ends

    async def _is_stopped_during(self, work: Coroutine[Any, Any, object]) -> bool:
        """Run the work. Return True if the process must stop before the work is done; the work is then cancelled."""
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

    async def _run_while_acting(self) -> None:
        """Run the Agent until another process acts or this process stops."""
        renewal = asyncio.create_task(self.election.renew_until_lost(), name="lease")
        work = asyncio.create_task(self._run_agent(), name="agent")
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([renewal, work, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, renewal, stop):
                task.cancel()
            await asyncio.gather(work, renewal, stop, return_exceptions=True)
        await self.election.release()
        if renewal.done() and not renewal.cancelled():
            log.warning("this process no longer acts for the Agent", reason=renewal.result())
        if not work.cancelled():
            work.result()

    async def _run_agent(self) -> None:
        try:
            agent = self._build(self._settings, await self._take_over_records())
        except RuntimeUnavailable as error:
            log.warning("the shared data of the processes cannot be taken over", reason=error.message)
            return
        try:
            await agent.prepare()
            self._acting_agent = agent
            async with asyncio.TaskGroup() as group:
                for name, loop in agent.loops:
                    group.create_task(keep_running(name, loop, agent.log_loop_failure), name=name)
        finally:
            self._acting_agent = None
            await agent.close()

    async def _take_over_records(self) -> ReplicaGroup:
        """Take over the shared records, and copy the identity and the journal into the Agent's folder. Raises
        RuntimeUnavailable: the records cannot be taken over."""
        records = {name: SharedRecord(self._store, name, self.election.fence) for name in RECORDS}
        folder = self._settings.agent_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {name: await record.take_over() for name, record in records.items()}
        for name, file in (("identity", "identity.json"), ("journal", "journal.jsonl")):
            stored = content[name]
            if stored is not None:
                (folder / file).write_bytes(stored)
            else:
                (folder / file).unlink(missing_ok=True)
        if stored := content["identity"]:
            agent_id = msgspec.json.decode(stored, type=_IdentityRecord).agent_id
            (folder / "agent_id").write_text(f"{agent_id}\n")
        return ReplicaGroup(
            place_id=self._store.place_id,
            name=self._store.name,
            fence=self.election.fence,
            address=self._address,
            on_stored=self._increase_gateway_data_number,
            on_list_known=self._standby.release_requests,
            identity=records["identity"],
            journal=records["journal"],
            gateway_data=records[GATEWAY_DATA_RECORD],
            edge=records["edge"],
        )

    def _increase_gateway_data_number(self) -> None:
        self.election.gateway_data_number += 1

    # Requests to this process ---------------------------------------------------------------------------------------

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._acting_agent.app if self._acting_agent is not None else self._standby_app()
        await app(scope, receive, send)

    async def _gateway_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == HEALTH_PATH:
            await self.app(scope, receive, send)
        elif self._acting_agent is not None and self._acting_agent.has_desired_list:
            await self._acting_agent.gateway_app(scope, receive, send)
        else:
            await self._standby.app(scope, receive, send)

    def _standby_app(self) -> Starlette:
        async def health(_request: object) -> JSONResponse:
            last_access_s = self.election.last_access_s
            ago_s = None if last_access_s is None else time.clock_gettime(time.CLOCK_BOOTTIME) - last_access_s
            ok = ago_s is not None and ago_s < MAX_READ_AGE_S and self._standby.is_ready
            return JSONResponse(
                {"ok": ok, "role": "standby", "last_look_s": ago_s and round(ago_s, 1)}, status_code=200 if ok else 500
            )

        return Starlette(routes=[Route(HEALTH_PATH, health)])


RECORDS: Final = ("identity", "journal", GATEWAY_DATA_RECORD, "edge")


class _IdentityRecord(msgspec.Struct):
    agent_id: str


def own_address(settings: AgentConfig) -> str:
    """Return the address (host:port) at which gateways reach this process; empty if there is none. Raises SetupError:
    the address must be configured, because the process listens on all addresses."""
    if settings.gateways_address or not settings.gateways_listen:
        host, colon, port = settings.gateways_address.rpartition(":")
        return f"[{host}]{colon}{port}" if ":" in host and not host.startswith("[") else settings.gateways_address
    if settings.gateways_listen.startswith(("0.0.0.0:", "[::]:")):
        raise SetupError("Set GREENROOM_GATEWAYS_ADDRESS to the IP:port at which gateways reach this process.")
    return settings.gateways_listen


async def run(settings: AgentConfig, store: ReplicaStore, build: AgentFactory) -> None:
    """Run this replica until it is stopped. Raises SetupError: a setting or a file cannot be used."""
    await store.open()
    replica = Replica(settings, store, build)
    log.info("a process of the Agent starts", group=store.name, pid=os.getpid())
    try:
        await serving.serve(replica.app, settings.agent_host, settings.agent_port, replica.loops, on_stop=replica.stop)
    finally:
        await store.close()
