"""Screenshots of sessions, for both HTTP interfaces. The Agent takes them, ordered through the check-in like a command.

A session's screen is read at most once a second, however many ask: they share the picture. It stays in the database
until the next one is asked for, or the clean-up finds it.

Whoever may look at the screen of somebody else does so openly: a group may forbid it, the log has a row, and the
session says when a picture was last taken, which its user sees.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Final, NamedTuple

from psycopg.rows import DictRow

from greenroom.api.security import Caller
from greenroom.api.session_actions import settings_of
from greenroom.core.errors import Forbidden, NoScreenshot, TooManyRequests, Unavailable, WrongState
from greenroom.core.states import SessionStatus
from greenroom.db import commands as sql
from greenroom.db import session_views
from greenroom.db.commands import Ordered
from greenroom.db.database import Database
from greenroom.db.logs import LogWriter

DEADLINE_S: Final = 10.0
POLL_S: Final = 0.05
LOOKED_S: Final = 600.0
"""A log row says that somebody looks at another person's session, not every picture they take."""
MOST_LOOKERS: Final = 10_000
MOST_SIZES: Final = 4
"""Sizes in which pictures of one session are waited for at the same time."""


class _Size(NamedTuple):
    """A picture somebody waits for."""

    session_id: str
    width: int
    height: int


class Screenshots:
    """See the module; one per process."""

    def __init__(self, db: Database, logs: LogWriter) -> None:
        self._db = db
        self._logs = logs
        self._looked: dict[tuple[str, str], float] = {}
        self._waits: dict[_Size, asyncio.Task[bytes]] = {}

    async def take(self, caller: Caller, session: DictRow, width: int, height: int) -> bytes:
        """The screen of a session as a JPEG that fits into width x height pixels.

        Who asks for the same at the same time waits once.

        Raises:
            Forbidden: it is another user's, and their groups forbid it.
            WrongState: the session is not running.
            NoScreenshot: its Agent could not take a picture; the sentence says why.
            Unavailable: its Agent sent nothing in time.
            TooManyRequests: pictures of this session are waited for in `MOST_SIZES` other sizes.
        """
        owner_id = str(session["user_id"]) if session["user_id"] else None
        is_watched = owner_id != caller.owner_id
        if owner_id is not None and is_watched:
            await self._require_allowed(owner_id, session["username"])
            self._note(caller, session)
        size = _Size(str(session["session_id"]), width, height)
        if (waiting := self._waits.get(size)) is None:
            if sum(other.session_id == size.session_id for other in self._waits) >= MOST_SIZES:
                raise TooManyRequests("Too many screenshots of this session are being taken; ask again in a moment.")
            waiting = self._waits[size] = asyncio.create_task(self._wait(size), name="screenshot")
            waiting.add_done_callback(lambda ended: self._waited(size, ended))
        picture = await asyncio.shield(waiting)
        if is_watched:
            await sql.mark_screenshot(self._db, size.session_id)
        return picture

    async def _require_allowed(self, owner_id: str, username: str) -> None:
        setting = (await settings_of(self._db, owner_id))["allow_kasm_screenshot"]
        if not setting.value:
            raise Forbidden(f"Nobody but {username} may take pictures of their sessions: {setting.trace}.")

    def _waited(self, size: _Size, ended: asyncio.Task[bytes]) -> None:
        del self._waits[size]
        if not ended.cancelled():
            ended.exception()  # everybody who asked may have left meanwhile

    async def _wait(self, size: _Size) -> bytes:
        end_s = time.monotonic() + DEADLINE_S
        while (left_s := end_s - time.monotonic()) > 0:
            ordered = await sql.order_screenshot(
                self._db,
                command_id=str(uuid.uuid4()),
                session_id=size.session_id,
                width=size.width,
                height=size.height,
                deadline_s=left_s,
            )
            if ordered is None:
                await self._require_running(size.session_id)
            else:
                if ordered.agent_id is not None:
                    await self._db.notify(f"agent:{ordered.agent_id}")
                if (picture := await self._picture(ordered, end_s)) is not None:
                    return picture
            await asyncio.sleep(POLL_S)
        raise Unavailable(f"The session's Agent sent no screenshot within {DEADLINE_S:.0f} s.")

    async def _require_running(self, session_id: str) -> None:
        status = (await session_views.get_session(self._db, session_id))["status"]
        if status != SessionStatus.RUNNING:
            raise WrongState(f"The session is {status}; a screenshot can be taken while it is running.")

    async def _picture(self, ordered: Ordered, end_s: float) -> bytes | None:
        """Wait for a picture that was ordered; None when it is of another size, or went out of date meanwhile."""
        while ordered.fits and time.monotonic() < end_s:
            result = await sql.read_command(self._db, ordered.command_id)
            if result is None:
                return None
            if result["state"] in ("done", "unknown"):
                if not result["picture"]:
                    raise NoScreenshot(result["output"] or "The Agent sent no picture; ask again.")
                return bytes(result["picture"])
            await asyncio.sleep(POLL_S)
        return None

    def _note(self, caller: Caller, session: DictRow) -> None:
        """Write down that somebody looks at a session of another person."""
        now_s, who = time.monotonic(), (caller.name, str(session["session_id"]))
        if now_s - self._looked.get(who, float("-inf")) < LOOKED_S:
            return
        self._looked = {k: at for k, at in self._looked.items() if now_s - at < LOOKED_S}
        if len(self._looked) < MOST_LOOKERS:
            self._looked[who] = now_s
        self._logs.write(
            "INFO",
            "session-screenshot",
            f"{caller.name} takes screenshots of session {session['session_id']} of {session['username']}",
            zone_name=session["zone_name"],
            session_id=str(session["session_id"]),
            user_id=caller.user_id,
            username=caller.username,
        )
