"""Authorization of the routes by the authorization table: relations of callers to sessions, and the facts."""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

from fastapi import Depends

from greenroom.api.security import Caller, Requires
from greenroom.core.access.group_settings import EffectiveSetting, resolve
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Forbidden, GreenroomError, Held, NotFound
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import (
    TABLE,
    Act,
    Kind,
    SessionCaller,
    SessionFacts,
    Verdict,
    decide,
    needs_settings,
)
from greenroom.db.access.groups import memberships_of
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter

NOTED_S: Final = 600.0
"""An act of a caller in another user's session is logged once in this time, not for each request."""
MAX_NOTED: Final = 10_000
_ENTERED: Final = {
    Act.TREE: "reads the elements on the screen of",
    Act.INPUT: "acts on the desktop of",
    Act.READ_FILES: "reads files of",
    Act.WRITE_FILES: "changes files of",
}


class Subject(Protocol):
    """A session, or a lease with the facts of its session that the table needs."""

    @property
    def session_id(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def zone_name(self) -> str: ...
    @property
    def permissions(self) -> dict[str, bool]: ...


class ActsOnSession(Requires):
    """Requires a permission that can allow one of these acts to a caller; `session_for` checks the session."""

    def __init__(self, *acts: Act) -> None:
        rows = [TABLE[act] for act in acts]
        own = [USER] if any(Kind.USER in row.kinds for row in rows) else []
        super().__init__(one_of=(*dict.fromkeys([*own, *(code for row in rows for code in row.others)]),))
        self.acts = acts


def acts(*acts: Act) -> Any:
    """Return the dependency of a route about one session that does one of these acts; its value is the `Caller`."""
    return Depends(ActsOnSession(*acts))


def kind_of(caller: Caller, user_id: str | None, key_id: str | None = None) -> Kind:
    """Return the relation of a caller to a session of `user_id`, whose lease the API key `key_id` created."""
    if caller.key_id is not None:
        return Kind.HOLDER if caller.key_id == key_id else Kind.OTHER
    return Kind.USER if caller.user_id is not None and caller.user_id == user_id else Kind.OTHER


def asking_of(caller: Caller, user_id: str | None, kind: Kind) -> SessionCaller:
    """Return the caller in the form that the table compares."""
    owns = caller.owner_id is not None and caller.owner_id == user_id
    return SessionCaller(kind=kind, permissions=caller.permissions, owns=owns)


async def settings_of(db: Database, user_id: str | None) -> dict[str, EffectiveSetting]:
    """Return the settings in force for a user; without a user, the defaults."""
    return resolve(await memberships_of(db, user_id) if user_id else [])


async def authorized(db: Database, act: Act, asking: SessionCaller, subject: Subject, *, held_by: str = "") -> Verdict:
    """Return the verdict of the table on an act that is allowed.

    Raises:
        NotFound: the caller may not see that the session exists.
        Held: a person has control.
        Forbidden: it is not allowed; the sentence contains the reason.
    """
    facts = SessionFacts(
        permitted=subject.permissions,
        settings=await settings_of(db, subject.user_id) if needs_settings(act, asking) else {},
        user=(subject.username or subject.user_id or "") if subject.user_id else "",
        held_by=held_by,
    )
    verdict = decide(act, asking, facts)
    if verdict.refused:
        raise _refusal(verdict, subject)
    return verdict


def _refusal(verdict: Verdict, subject: Subject) -> GreenroomError:
    if verdict.refused == "hidden":
        lease_id = getattr(subject, "holder", None) and getattr(subject, "lease_id", None)
        what = f"lease {lease_id}" if lease_id else f"session {subject.session_id}"
        return NotFound(f"There is no {what}; it may have been deleted.")
    if verdict.refused == "held":
        return Held(verdict.reason)
    return Forbidden(verdict.reason, **({"required": list(verdict.missing)} if verdict.missing else {}))


class Notes:
    """Log rows about acts of callers in sessions of others; one instance per process."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._noted: dict[tuple[str, str, Act], float] = {}

    def note(self, caller: Caller, act: Act, subject: Subject) -> None:
        """Write a row, unless the last one is less than `NOTED_S` old."""
        now_s, what = time.monotonic(), (caller.name, subject.session_id, act)
        if now_s - self._noted.get(what, float("-inf")) < NOTED_S:
            return
        self._noted = {k: at for k, at in self._noted.items() if now_s - at < NOTED_S}
        if len(self._noted) < MAX_NOTED:
            self._noted[what] = now_s
        code = LogCode.SESSION_SCREENSHOT if act is Act.SCREENSHOT else LogCode.SESSION_ENTERED
        done = _ENTERED.get(act, "takes screenshots of")
        self._logs.write(
            code,
            f"{caller.name} {done} session {subject.session_id} of {subject.username}",
            zone_name=subject.zone_name,
            session_id=subject.session_id,
            user_id=caller.user_id,
            username=caller.name,
        )
