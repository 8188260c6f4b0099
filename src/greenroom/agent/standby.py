"""The election of the acting process of an Agent, and the standby processes, which answer gateways in its place.

Like the acting process, a standby checks unknown viewers at the api. It never answers that a session does not exist,
because its copy of the data may be outdated; the viewer must try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from greenroom.agent.fleet.identity import write_private
from greenroom.agent.session.observed import SessionSnapshot
from greenroom.agent.stream.admission import Pages, UpstreamAuth
from greenroom.agent.stream.authorizer import StreamAuthorizer
from greenroom.agent.stream.gateways import Gateways
from greenroom.agent.stream.session_cache import CachedSession
from greenroom.agent.stream.viewers import StreamEvents
from greenroom.core.errors import Unavailable
from greenroom.core.fleet.election import (
    POLL_S,
    ElectionRecord,
    ObservedRecord,
    after_read,
    next_takeover,
    released,
    renewal,
)
from greenroom.core.fleet.leadership import ActingWindow, Timings, may_act, window_after_renewal
from greenroom.kit.clock import boottime_s
from greenroom.kit.config import AgentConfig
from greenroom.kit.tcp import StreamTerminator
from greenroom.runtimes.contract import ContainerConflict, ReplicaStore, RuntimeUnavailable

log = structlog.get_logger(__name__)

TIMINGS: Final = Timings(ttl_s=4.0, renew_s=0.75, margin_s=1.0, statement_timeout_s=1.0)
RENEWAL_RETRY_S: Final = 0.25
"""The pause after a failed renewal."""


@dataclass(eq=False)
class Election:
    """Elects the acting process. `own_name` is the name of this process. `address` is its address for gateways; empty =
    it has none."""

    store: ReplicaStore
    own_name: str
    address: str
    timings: Timings = TIMINGS
    clock: Callable[[], float] = boottime_s

    def __post_init__(self) -> None:
        self._held_record: ElectionRecord | None = None
        self._version: str | None = None
        self._window: ActingWindow | None = None
        self.observed: ObservedRecord | None = None
        """The record of the election at the last read; None = it was not read yet."""
        self.gateway_data_number = 0
        """The number of the last stored data for gateways. Renewals contain it, so that standbys read the new data."""
        self.last_access_s: float | None = None
        """The time at which the record was last read or written, by `clock`; None = never."""

    @property
    def may_act(self) -> bool:
        return self._held_record is not None and may_act(self._window, self.clock())

    def fence(self) -> None:
        """Raise RuntimeUnavailable if this process is not the acting process."""
        if not self.may_act:
            raise RuntimeUnavailable("Another process of this Agent may act now, so this process changes nothing.")

    async def acquire(self) -> ElectionRecord:
        """Wait until this process is the acting process. Return its record of the election."""
        while True:
            try:
                if (record := await self._try_to_acquire()) is not None:
                    return record
            except ContainerConflict:
                log.info("another process of this Agent changed the record first", next_try_s=POLL_S)
            except RuntimeUnavailable as error:
                log.warning("the acting process of this Agent is unknown", reason=error.message, next_try_s=POLL_S)
            await asyncio.sleep(POLL_S)

    async def _try_to_acquire(self) -> ElectionRecord | None:
        record, version = await self.store.read_election_record()
        self.last_access_s = self.clock()
        self.observed = after_read(self.observed, record, version, self.last_access_s)
        takeover = next_takeover(self.observed, self.own_name, self.address, self.clock(), self.timings.ttl_s)
        if takeover is None:
            return None
        sent_at_s = self.clock()
        await self._write(takeover.record, takeover.version, sent_at_s)
        log.info("this process acts for the Agent", term=takeover.record.term, because=takeover.reason)
        return takeover.record

    async def renew_until_lost(self) -> str:
        """Renew the record until this fails for too long or another process takes over. Return the reason."""
        while self._held_record is not None:
            sent_at_s = self.clock()
            reason = await self._renew(self._held_record, sent_at_s)
            if reason is not None and not self.may_act:
                self._held_record = None
                return reason
            pause_s = self.timings.renew_s if reason is None else RENEWAL_RETRY_S
            await asyncio.sleep(min(pause_s, self._remaining_s()))
        return "the record of the election was released"

    async def _renew(self, held_record: ElectionRecord, sent_at_s: float) -> str | None:
        """Renew the record once. Return None, or the reason why it was not renewed."""
        try:
            async with asyncio.timeout(self._remaining_s()):
                await self._write(renewal(held_record, self.gateway_data_number), self._version, sent_at_s)
        except ContainerConflict:
            return await self._read_after_conflict(held_record)
        except (RuntimeUnavailable, TimeoutError) as error:
            return str(error) or "the renewal took too long"
        return None

    async def _read_after_conflict(self, held_record: ElectionRecord) -> str:
        """Read the record after a conflict, which a renewal of this process may have caused, if its answer was lost.
        Return the reason why the record was not renewed."""
        try:
            record, version = await self.store.read_election_record()
        except RuntimeUnavailable as error:
            return error.message
        if record is not None and (record.holder, record.term) == (self.own_name, held_record.term):
            self._held_record, self._version = record, version
            return "the answer to a renewal was lost"
        self._window = None
        return f"{record.holder if record and record.holder else 'another process'} took over"

    async def _write(self, record: ElectionRecord, version: str | None, sent_at_s: float) -> None:
        self._version = await self.store.write_election_record(record, version)
        self._held_record, self.last_access_s = record, self.clock()
        self._window = window_after_renewal(record.term, sent_at_s, self.timings)

    def _remaining_s(self) -> float:
        """Return the seconds for which this process may act without a renewal."""
        return max(0.0, self._window.trusted_until_s - self.clock()) if self._window else 0.0

    async def release(self) -> None:
        """Release the record of the election, so that another process takes over immediately."""
        held_record, self._held_record = self._held_record, None
        if held_record is None or not may_act(self._window, self.clock()):
            return
        try:
            self._version = await self.store.write_election_record(released(held_record), self._version)
        except (ContainerConflict, RuntimeUnavailable) as error:
            log.warning(
                "the record of the election could not be released; another process must wait until it expires",
                reason=error.message,
            )


class SharedRecord:
    """A record that the replicas share. Only the acting process can write it."""

    def __init__(self, store: ReplicaStore, name: str, fence: Callable[[], None]) -> None:
        self._store = store
        self._name = name
        self._fence = fence
        self._version: str | None = None
        self._attempted: bytes | None = None
        """The content of a write whose answer did not arrive; None = the last write succeeded."""

    async def read(self) -> bytes | None:
        """Return the content; None = there is none yet."""
        stored = await self._store.read(self._name)
        return stored.content if stored else None

    async def take_over(self) -> bytes | None:
        """Change the version of the record, so that writes of other processes fail. Return the content, or None."""
        while True:
            stored = await self._store.read(self._name)
            if stored is None:
                self._version = None
                return None
            try:
                self._version = await self._store.write(self._name, stored.content + b" ", stored.version)
                self._version = await self._store.write(self._name, stored.content, self._version)
            except ContainerConflict:
                self._fence()
                continue
            return stored.content

    async def write(self, content: bytes) -> None:
        """Write the record. Raises RuntimeUnavailable: it was not written, or this process may not act any more."""
        self._fence()
        attempted, self._attempted = self._attempted, content
        try:
            self._version = await self._store.write(self._name, content, self._version)
        except ContainerConflict as error:
            stored = await self._store.read(self._name)
            if stored is None or stored.content not in {attempted, content}:
                raise RuntimeUnavailable("Another process of this Agent acts now.") from error
            self._version = await self._store.write(self._name, content, stored.version)
        self._attempted = None


GATEWAY_DATA_RECORD: Final = "shown"
"""The name of the shared record with the data that a process needs to answer gateways."""
COPY_POLL_S: Final = 0.5
READ_INTERVAL_S: Final = 20.0
"""The interval at which a standby reads the data for gateways even if its number has not changed."""
ACTING_PROCESS_SILENT: Final = "The acting process of the Agent does not answer at the moment; try again."


class _Identity(msgspec.Struct):
    """The shared identity, as stored by `greenroom.agent.fleet.identity`."""

    agent_id: str
    credential: str

    @property
    def route(self) -> str:
        return self.agent_id.replace("-", "")[:8]

    @property
    def bearer(self) -> str:
        return f"Bearer {self.agent_id}.{self.credential}"


class CopiedSessions:
    """The sessions in the data for gateways that the acting process stored. Implements `observed.SessionReader`."""

    def __init__(self) -> None:
        self._sessions: Mapping[str, SessionSnapshot] = {}

    def replace(self, content: bytes) -> None:
        """Replace the sessions by those in `content`."""
        sessions = msgspec.json.decode(content, type=list[CachedSession])
        self._sessions = {session.session_id: session.snapshot for session in sessions}

    def get(self, session_id: str) -> SessionSnapshot | None:
        session = self._sessions.get(session_id)
        if session is None or not session.handed_over or session.address is None:
            raise Unavailable(ACTING_PROCESS_SILENT)
        return session


class Standby:
    """The work of this process while another process acts: it reads the shared data and answers gateways."""

    def __init__(self, settings: AgentConfig, store: ReplicaStore, election: Election, address: str) -> None:
        self._settings = settings
        self._store = store
        self._election = election
        self._address = address
        self._copied_sessions = CopiedSessions()
        self._last_gateway_data_number = -1
        """The number of the data that was read last."""
        self._version: str | None = None
        self._identity: _Identity | None = None
        self._authorizer: StreamAuthorizer | None = None
        self.is_ready = False

    async def run(self) -> None:
        """Read the shared data after each change and every `READ_INTERVAL_S`, forever."""
        waited_s = READ_INTERVAL_S
        while True:
            observed = self._election.observed
            number = observed.record.copy if observed is not None and observed.record is not None else 0
            if not self._election.may_act and (number != self._last_gateway_data_number or waited_s >= READ_INTERVAL_S):
                waited_s = 0.0
                try:
                    await self._read_shared()
                    self._last_gateway_data_number = number
                except (RuntimeUnavailable, msgspec.MsgspecError, OSError) as error:
                    log.warning("the shared data of the Agent's processes cannot be read", reason=str(error))
            await asyncio.sleep(COPY_POLL_S)
            waited_s += COPY_POLL_S

    async def _read_shared(self) -> None:
        identity, gateway_data = await self._store.read("identity"), await self._store.read(GATEWAY_DATA_RECORD)
        edge = await self._store.read("edge")
        if gateway_data is not None:
            self._copied_sessions.replace(gateway_data.content)
        if edge is not None:
            self._write_edge_files(msgspec.json.decode(edge.content, type=dict[str, str]))
        if identity is not None:
            identity_record = msgspec.json.decode(identity.content, type=_Identity)
            if identity_record != self._identity:
                self._identity, self._authorizer = identity_record, self._create_authorizer(identity_record)
        self.is_ready = True

    def _write_edge_files(self, files: dict[str, str]) -> None:
        folder = self._settings.edge_dir or self._settings.agent_dir / "edge"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in files.items():
            file = folder / name
            if not file.exists() or file.read_text() != text:
                write_private(file, text.encode(), owner=folder.stat())

    def _create_authorizer(self, identity: _Identity) -> StreamAuthorizer:
        folder = self._settings.agent_dir / "standby"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return StreamAuthorizer(
            self._copied_sessions,
            identity,
            UpstreamAuth(self._settings.ca_file, self._settings.gateway_address),
            StreamTerminator(),
            folder,
            pages=Pages(),
            gateways=Gateways(identity, self._copied_sessions, acting=lambda: False, replicas=self._replicas),
            events=StreamEvents(
                refused=lambda sentence, session_id: log.info(sentence, session_id=session_id),
                opened=lambda sentence, session_id, _: log.info(sentence, session_id=session_id),
                closed=lambda sentence, session_id, _: log.info(sentence, session_id=session_id),
            ),
            last_fresh=lambda: None,
        )

    def release_requests(self) -> None:
        """Answer the open requests of gateways, because this process acts now."""
        if self._authorizer is not None:
            self._authorizer.gateways.release_requests()

    def _replicas(self) -> list[str]:
        observed = self._election.observed
        acting = observed.record.address if observed is not None and observed.record is not None else ""
        return [address for address in (acting, self._address) if address]

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._authorizer is None:
            await JSONResponse({"error_message": ACTING_PROCESS_SILENT}, status_code=503)(scope, receive, send)
            return
        routes = [*self._authorizer.routes, *self._authorizer.gateways.routes]
        await Starlette(routes=routes)(scope, receive, send)
