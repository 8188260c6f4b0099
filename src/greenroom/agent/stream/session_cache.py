"""The data for the authorization of viewers, stored on disk, so that viewers may return after a restart of the Agent.

A restarted Agent has no desired list until a Manager sends the complete list. Until then, it admits viewers with the
stored data: each session with its permitted viewers, and the time at which a Manager last confirmed the list. The first
list replaces the data, and the Agent disconnects viewers that the list does not permit. The data is used only for
viewers; the Agent changes no container before the first list. It also records no session before the first list, so
sessions that must be recorded are stored as not handed over: they admit no viewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from greenroom.agent.concurrency import Signal
from greenroom.agent.fleet.identity import write_private
from greenroom.agent.session.desired import ListChange
from greenroom.agent.session.observed import SessionSnapshot
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import Unavailable
from greenroom.core.workspace.session_spec import Service, SessionSpec
from greenroom.kit.concurrency import wait_for
from greenroom.wire.messages import Authorised, Observed

log = structlog.get_logger(__name__)

FILE: Final = "viewable.json"
SAVE_EVERY_S: Final = 20.0
"""The interval at which the file is written with the current `last_fresh`. After a change of permitted viewers, it is
also written immediately."""
COPY_RETRY_S: Final = 1.0
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class CachedSession(msgspec.Struct, frozen=True, kw_only=True):
    """The data of one session for answers to nginx. `credential` is the credential of its page."""

    session_id: str
    authorised: Authorised
    handed_over: bool
    image: str
    image_id: str
    credential: str
    protocol: str
    auth_user: str
    allow_origin: tuple[str, ...]
    upstream_auth: str
    page_path: str = "/"
    services: tuple[Service, ...] = ()
    address: str | None = None
    addresses: dict[str, str] = {}
    """The addresses of the other services by name, for other replicas of this Agent."""
    database: str = ""

    @property
    def snapshot(self) -> SessionSnapshot:
        return SessionSnapshot(
            session_id=self.session_id,
            spec=self.spec,
            address=self.address,
            services=self.addresses,
            authorised=self.authorised,
            handed_over=self.handed_over,
            database=self.database,
        )

    @property
    def spec(self) -> SessionSpec:
        values = msgspec.structs.asdict(self)
        return msgspec.convert({name: values[name] for name in _SPEC_FIELDS}, SessionSpec)


_SPEC_FIELDS: Final = (
    *("image", "image_id", "credential", "protocol", "auth_user", "allow_origin", "upstream_auth"),
    *("page_path", "services"),
)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. `last_fresh` is `AgentHealth.last_fresh`, in seconds of `time.monotonic()` since the
    boot."""

    boot_id: str
    last_fresh: float | None
    sessions: list[msgspec.Raw]
    """The `CachedSession`s, each encoded."""


class SessionCache:
    """The table of sessions for the stream authorizer (`observed.SessionReader`)."""

    def __init__(
        self,
        sessions: Sessions,
        folder: Path,
        boot_id: str | None = None,
        share: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> None:
        """`share` stores the encoded sessions for other replicas of this Agent; None = there are none."""
        self._sessions = sessions
        self._share = share
        self._shared_content = b""
        self._file = folder / FILE
        self._boot_id = boot_id or BOOT_ID.read_text().strip()
        self.authorised_changed = Signal[str]()
        """Emitted with the id of a session whose permitted viewers changed, or which is not in the list any more."""
        self._changed = asyncio.Event()
        self._encoded: dict[str, msgspec.Raw] = {}
        """The encoded sessions of the file by id. To encode 700 sessions at each change would be slower than a
        launch."""
        self._outdated = set[str]()
        """The sessions that must be encoded again."""
        sessions.acknowledged.subscribe(self._acknowledged)
        stored, self._stored_sessions = self._read()
        self._file_may_have_sessions = self._file.exists()
        self.last_fresh = stored.last_fresh
        """The time at which a Manager last confirmed the list to an earlier process of this Agent; None = never."""

    def _acknowledged(self, observed: Observed) -> None:
        self._outdated.add(observed.session_id)
        if self._share is not None:
            self._changed.set()

    def _read(self) -> tuple[_Stored, dict[str, CachedSession]]:
        empty = _Stored(boot_id=self._boot_id, last_fresh=None, sessions=[]), dict[str, CachedSession]()
        try:
            stored = msgspec.json.decode(self._file.read_bytes(), type=_Stored)
            sessions = [msgspec.json.decode(session, type=CachedSession) for session in stored.sessions]
        except FileNotFoundError:
            return empty
        except msgspec.MsgspecError as error:  # at worst, viewers wait for a Manager
            log.warning("the stored data of viewers cannot be read", file=str(self._file), reason=str(error))
            return empty
        return (
            (stored, {session.session_id: session for session in sessions})
            if stored.boot_id == self._boot_id
            else empty
        )

    # For the stream authorizer ------------------------------------------------------------------------------------

    def get(self, session_id: str) -> SessionSnapshot | None:
        """Return the session; None if it is unknown. Before the first list, the stored data is used."""
        stored = None if self._sessions.desired.is_known else self._stored_sessions.get(session_id)
        if stored is None:
            return self._sessions.get(session_id)
        container = self._sessions.observed.container(session_id)
        return SessionSnapshot(
            session_id=session_id,
            spec=stored.spec,
            address=container.address if container else None,
            services=container.services if container else {},
            authorised=stored.authorised,
            handed_over=stored.handed_over,
            database=stored.database,
        )

    def list_changed(self, change: ListChange) -> None:
        """Process a new list. The first list replaces the stored data, and all viewers are checked again."""
        self._outdated.update(*((desired.session_id for desired in change.changed), change.removed))
        revoked = list(change.with_changed_viewers)
        if change.is_first:  # the list may be from another database, where an equal grant is that of another user
            revoked = list({*revoked, *self._stored_sessions, *change.now})
            self._stored_sessions = {}
        for session_id in revoked:
            self._changed.set()
            self.authorised_changed.emit(session_id)

    # On the disk --------------------------------------------------------------------------------------------------

    async def run(self, last_fresh: Callable[[], float | None]) -> None:
        """Write the file after changes and every `SAVE_EVERY_S`, forever. It is not written before the first list."""
        while True:
            if not await wait_for(self._changed, SAVE_EVERY_S):
                self._outdated.update(self._sessions.desired.entries)
            self._changed.clear()
            if self._sessions.desired.is_known:
                await self._save(last_fresh())

    async def _save(self, last_fresh: float | None) -> None:
        outdated, self._outdated = self._outdated, set[str]()
        for session_id in outdated:
            if (session := self._cached(session_id)) is not None:
                self._encoded[session_id] = msgspec.Raw(msgspec.json.encode(session))
            else:
                self._encoded.pop(session_id, None)
        sessions = list(self._encoded.values())
        await self._share_sessions(sessions)
        if not (sessions or self._file_may_have_sessions):
            return  # there is no session with viewers, and the file contains none
        stored = _Stored(boot_id=self._boot_id, last_fresh=last_fresh, sessions=sessions)
        try:
            await asyncio.to_thread(write_private, self._file, msgspec.json.encode(stored))
            self._file_may_have_sessions = bool(sessions)
        except OSError as error:
            log.warning("the data of viewers cannot be stored for a restart", file=str(self._file), reason=str(error))

    async def _share_sessions(self, sessions: list[msgspec.Raw]) -> None:
        content = msgspec.json.encode(sessions)
        if self._share is None or content == self._shared_content:
            return
        try:
            await self._share(content)
            self._shared_content = content
        except Unavailable as error:
            log.warning("other processes of this Agent have an outdated copy", reason=error.message)
            asyncio.get_running_loop().call_later(COPY_RETRY_S, self._changed.set)

    def _cached(self, session_id: str) -> CachedSession | None:
        snapshot = self._sessions.get(session_id)
        if snapshot is None or snapshot.authorised is None:
            return None
        return CachedSession(
            session_id=session_id,
            authorised=snapshot.authorised,
            handed_over=snapshot.handed_over and not snapshot.authorised.recorded,
            database=snapshot.database,
            address=snapshot.address,
            addresses=dict(snapshot.services),
            **{name: getattr(snapshot.spec, name) for name in _SPEC_FIELDS},
        )
