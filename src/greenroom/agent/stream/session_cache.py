"""The Agent's facts about viewed desktops, kept on disk, so that viewers may return after its restart.

A restarted Agent has no desired list until a Manager sent it a whole one; known viewers (agent.stream.viewers) would be
locked out until then. So for each session with permitted viewers the facts for its authorization are kept, and the time
at which a Manager last confirmed it. The first list replaces them and revokes all that it does not confirm. They serve
no other purpose: no container is changed before there is a list.
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
"""The file is written at once when permitted viewers change, and at this interval for the time of the last answer."""
COPY_AGAIN_S: Final = 1.0
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class CachedSession(msgspec.Struct, frozen=True, kw_only=True):
    """The input of the answer to nginx; `credential` is that of its container."""

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
    """Addresses of its page, and of its other services by name: for other processes of this Agent."""
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
        known = msgspec.structs.asdict(self)
        return msgspec.convert({name: known[name] for name in _OF_SPEC}, SessionSpec)


_OF_SPEC: Final = (
    *("image", "image_id", "credential", "protocol", "auth_user", "allow_origin", "upstream_auth"),
    *("page_path", "services"),
)


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file. Times are seconds of `time.monotonic()`, which counts from the start of the machine."""

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
        """`share` stores a copy for other processes of this Agent."""
        self._sessions = sessions
        self._share = share
        self._copied = b""
        self._file = folder / FILE
        self._boot_id = boot_id or BOOT_ID.read_text().strip()
        self.authorised_changed = Signal[str]()
        """Emitted when the permitted viewers of this session changed, or it left the list."""
        self._changed = asyncio.Event()
        self._encoded: dict[str, msgspec.Raw] = {}
        """Encoded sessions of the file: with 700 sessions, encoding all again after one change costs more than its
        launch."""
        self._outdated = set[str]()
        sessions.acknowledged.subscribe(self._acknowledged)
        stored, self._kept = self._read()
        self._has_saved = self._file.exists()
        self.last_fresh = stored.last_fresh
        """The time at which a Manager last confirmed the list to an earlier process of this Agent."""

    def _acknowledged(self, observed: Observed) -> None:
        self._outdated.add(observed.session_id)
        if self._share is not None:
            self._changed.set()

    def _read(self) -> tuple[_Stored, dict[str, CachedSession]]:
        nothing = _Stored(boot_id=self._boot_id, last_fresh=None, sessions=[]), dict[str, CachedSession]()
        try:
            stored = msgspec.json.decode(self._file.read_bytes(), type=_Stored)
            sessions = [msgspec.json.decode(session, type=CachedSession) for session in stored.sessions]
        except FileNotFoundError:
            return nothing
        except msgspec.MsgspecError as error:  # at worst, viewers wait for a Manager
            log.warning("the stored data of viewers cannot be read", file=str(self._file), reason=str(error))
            return nothing
        return (stored, {one.session_id: one for one in sessions}) if stored.boot_id == self._boot_id else nothing

    # For the stream authorizer ------------------------------------------------------------------------------------

    def get(self, session_id: str) -> SessionSnapshot | None:
        """The session; before the first list, in the state that an earlier process received."""
        kept = None if self._sessions.desired.is_known else self._kept.get(session_id)
        if kept is None:
            return self._sessions.get(session_id)
        seen = self._sessions.observed.container(session_id)
        return SessionSnapshot(
            session_id=session_id,
            spec=kept.spec,
            address=seen.address if seen else None,
            services=seen.services if seen else {},
            authorised=kept.authorised,
            handed_over=kept.handed_over,
            database=kept.database,
        )

    def list_changed(self, change: ListChange) -> None:
        """Process a new list. From the first one on only the list counts, and viewers that it does not confirm are
        revoked."""
        self._outdated.update(*((desired.session_id for desired in change.changed), change.left))
        revoked = list(change.reauthorised)
        if change.is_first:  # a grant may have another meaning, although the list is equal
            revoked = list({*revoked, *self._kept, *change.now})
            self._kept = {}
        for session_id in revoked:
            self._changed.set()
            self.authorised_changed.emit(session_id)

    # On the disk --------------------------------------------------------------------------------------------------

    async def run(self, last_fresh: Callable[[], float | None]) -> None:
        """Keep the file up to date, forever. Nothing is written before the first list."""
        while True:
            if not await wait_for(self._changed, SAVE_EVERY_S):
                self._outdated.update(self._sessions.desired.entries)
            self._changed.clear()
            if self._sessions.desired.is_known:
                await self._save(last_fresh())

    async def _save(self, last_fresh: float | None) -> None:
        outdated, self._outdated = self._outdated, set[str]()
        for session_id in outdated:
            if (session := self._of(session_id)) is not None:
                self._encoded[session_id] = msgspec.Raw(msgspec.json.encode(session))
            else:
                self._encoded.pop(session_id, None)
        sessions = list(self._encoded.values())
        await self._copy(sessions)
        if not (sessions or self._has_saved):
            return  # there is no viewer, and the file contains none
        stored = _Stored(boot_id=self._boot_id, last_fresh=last_fresh, sessions=sessions)
        try:
            await asyncio.to_thread(write_private, self._file, msgspec.json.encode(stored))
            self._has_saved = bool(sessions)
        except OSError as error:
            log.warning("the data of viewers cannot be stored for a restart", file=str(self._file), reason=str(error))

    async def _copy(self, sessions: list[msgspec.Raw]) -> None:
        content = msgspec.json.encode(sessions)
        if self._share is None or content == self._copied:
            return
        try:
            await self._share(content)
            self._copied = content
        except Unavailable as error:
            log.warning("other processes of this Agent have an outdated copy", reason=error.message)
            asyncio.get_running_loop().call_later(COPY_AGAIN_S, self._changed.set)

    def _of(self, session_id: str) -> CachedSession | None:
        snapshot = self._sessions.get(session_id)
        if snapshot is None or snapshot.authorised is None:
            return None
        return CachedSession(
            session_id=session_id,
            authorised=snapshot.authorised,
            handed_over=snapshot.handed_over,
            database=snapshot.database,
            address=snapshot.address,
            addresses=dict(snapshot.services),
            **{name: getattr(snapshot.spec, name) for name in _OF_SPEC},
        )
