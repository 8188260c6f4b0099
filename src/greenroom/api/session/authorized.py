"""Authorizes acts of callers on sessions and leases by the authorization table (`core.session.authorization`)."""

from __future__ import annotations

from typing import Any, Final, Protocol

from fastapi import Depends

from greenroom.api.scopes import LISTED
from greenroom.api.security import Caller, Requires
from greenroom.core.access.group_settings import EffectiveSetting, resolve
from greenroom.core.access.permissions import USER
from greenroom.core.access.roles import places_with
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
    needs_right_over,
    needs_settings,
)
from greenroom.db.access.groups import groups_of_user
from greenroom.db.access.places import places_of_session
from greenroom.db.access.roles import read_grants
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.repeats import RepeatFilter

LOG_INTERVAL_S: Final = 600.0
"""An act of a caller in the session of another user is logged once in this time, not for each request."""
VERBS: Final = {
    Act.SCREENSHOT: "takes screenshots of",
    Act.TREE: "reads the elements on the screen of",
    Act.INPUT: "acts on the desktop of",
    Act.EXEC: "runs a command in",
    Act.READ_FILES: "reads files of",
    Act.WRITE_FILES: "changes files of",
    Act.COMMAND: "runs a command in",
    Act.COMMAND_AS: "runs a command in",
    Act.COMMAND_OF_WORKSPACE: "opens an address in",
}
"""The verb of each logged act. There is no default: a row must never name another act."""


class SessionOrLease(Protocol):
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
    """Requires a permission with which one of these acts can be allowed; `session_for` then checks the session and its
    places."""

    def __init__(self, *acts: Act) -> None:
        rows = [TABLE[act] for act in acts]
        user_codes = [USER] if any(Kind.USER in row.kinds for row in rows) else []
        super().__init__(
            one_of=(*dict.fromkeys([*user_codes, *(code for row in rows for code in row.others_need)]),), scope=LISTED
        )
        self.acts = acts


def caller_for(*acts: Act) -> Any:
    """Return the dependency for a route that does one of these acts in one session. Its value is the `Caller`."""
    return Depends(ActsOnSession(*acts))


def kind_of(caller: Caller, user_id: str | None, key_id: str | None = None) -> Kind:
    """Return the relation of a caller to a session of `user_id`, whose lease the API key `key_id` created."""
    if caller.key_id is not None:
        return Kind.LEASE_KEY if caller.key_id == key_id else Kind.OTHER
    return Kind.USER if caller.user_id is not None and caller.user_id == user_id else Kind.OTHER


def session_caller_of(caller: Caller, user_id: str | None, kind: Kind) -> SessionCaller:
    """Return the caller in the form that the authorization table needs."""
    owns = caller.owner_id is not None and caller.owner_id == user_id
    return SessionCaller(kind=kind, permissions=caller.counted, codes=caller.permissions, owns=owns)


async def caller_in_session(db: Database, caller: Caller, act: Act, zone_id: str, user_id: str | None) -> Caller:
    """Return the caller with the codes that others need for this act, if the scope of a role contains the session: its
    zone, or a group of its user."""
    needed = [code for code in TABLE[act].others_need if places_with(caller.permissions, code)]
    return caller.in_places(needed, await places_of_session(db, zone_id, user_id)) if needed else caller


async def settings_of(db: Database, user_id: str | None) -> dict[str, EffectiveSetting]:
    """Return the settings in force for a user; without a user, the defaults."""
    return resolve(await groups_of_user(db, user_id) if user_id else [])


async def verdict_on(
    db: Database, act: Act, session_caller: SessionCaller, subject: SessionOrLease, *, held_by: str = ""
) -> Verdict:
    """Return the verdict of the authorization table on the act, also if it refuses the act."""
    user_id = subject.user_id
    facts = SessionFacts(
        permitted=subject.permissions,
        settings=await settings_of(db, user_id) if needs_settings(act, session_caller) else {},
        user=(subject.username or user_id) if user_id else "",
        user_permissions=await read_grants(db, user_id) if user_id and needs_right_over(act, session_caller) else (),
        held_by=held_by,
    )
    return decide(act, session_caller, facts)


async def authorize(
    db: Database, act: Act, session_caller: SessionCaller, subject: SessionOrLease, *, held_by: str = ""
) -> Verdict:
    """Return the verdict of the authorization table if it allows the act.

    Raises:
        NotFound: the caller may not see the session.
        Held: a person has control.
        Forbidden: the act is not allowed; the sentence contains the reason.
    """
    verdict = await verdict_on(db, act, session_caller, subject, held_by=held_by)
    if verdict.refused:
        raise _refusal(verdict, subject)
    return verdict


def _refusal(verdict: Verdict, subject: SessionOrLease) -> GreenroomError:
    if verdict.refused == "hidden":
        lease_id = getattr(subject, "holder", None) and getattr(subject, "lease_id", None)
        name = f"lease {lease_id}" if lease_id else f"session {subject.session_id}"
        return NotFound(f"There is no {name}; it may have been deleted.")
    if verdict.refused == "held":
        return Held(verdict.reason)
    return Forbidden(verdict.reason, **({"required": list(verdict.missing)} if verdict.missing else {}))


class ActLog:
    """Writes log rows about acts of callers in sessions of others; one instance per process."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._repeats = RepeatFilter(LOG_INTERVAL_S)

    def record(self, caller: Caller, act: Act, subject: SessionOrLease) -> None:
        """Write a row, unless the last row for this caller, session and act is less than `LOG_INTERVAL_S` old."""
        if not self._repeats.must_log(caller.name, subject.session_id, act):
            return
        code = LogCode.SESSION_SCREENSHOT if act is Act.SCREENSHOT else LogCode.SESSION_ENTERED
        self._logs.write(
            code,
            f"{caller.name} {VERBS[act]} session {subject.session_id} of {subject.username}",
            zone_name=subject.zone_name,
            session_id=subject.session_id,
            user_id=caller.user_id,
            username=caller.name,
        )
