"""The life of a session by order of users: stop, pause, resume, delete, and delete by force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from greenroom.api.security import Caller
from greenroom.api.session.authorized import asking_of, kind_of, settings_of
from greenroom.core.access.group_settings import Resolved
from greenroom.core.errors import WrongState
from greenroom.core.events import session_events
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import Act, Facts, decide
from greenroom.core.session.deadlines import Clocks, Expiry, clocks_of, next_expiry
from greenroom.core.session.states import TRANSITIONS, LifecycleCommand, SessionStatus, possible, refusal, sources_of
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.session import lifecycle, views
from greenroom.db.session.sessions import end_sessions, request_delete
from greenroom.db.session.views import Session

Action = Literal["stop", "pause", "resume", "delete", "force_delete"]

_CODES: Final[dict[LifecycleCommand, LogCode]] = {
    "stop": LogCode.SESSION_STOP_REQUESTED,
    "pause": LogCode.SESSION_PAUSE_REQUESTED,
    "resume": LogCode.SESSION_RESUME_REQUESTED,
}
_DELETABLE: Final = sources_of(SessionStatus.DELETING)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a caller may do with the sessions they see, for the buttons of a page."""

    caller: Caller
    settings: Mapping[str, Resolved] = field(default_factory=dict[str, Resolved])
    """In force for the caller."""

    def actions(self, session: Session) -> list[Action]:
        """The actions that the caller may take now and that would change something."""
        status, has_user = session.status, session.user_id is not None
        can: list[Action] = [*possible(status, has_user=has_user, pauses=session.pauses)]
        if status in _DELETABLE:
            can.append("delete")
        if status is not SessionStatus.DELETED:
            can.append("force_delete")
        return [action for action in can if self._may(session, action)]

    def _may(self, session: Session, action: Action) -> bool:
        asking = asking_of(self.caller, session.user_id, kind_of(self.caller, session.user_id))
        return not decide(Act(action), asking, Facts(settings=self.settings)).refused


async def rights_of(db: Database, caller: Caller) -> Rights:
    """The rights of a caller."""
    return Rights(caller, await settings_of(db, caller.user_id))


async def order(
    db: Database, logs: LogWriter, caller: Caller, session: Session, command: LifecycleCommand
) -> SessionStatus:
    """Record that the session is to be stopped, paused or resumed; repeating it is a success. Returns its status now.

    The authorization table was asked before.

    Raises:
        WrongState: the session is in a status in which it cannot be done; the sentence says in which it can.
    """
    session_id, status = session.session_id, session.status
    if reason := refusal(command, status, has_user=session.user_id is not None, pauses=session.pauses):
        raise WrongState(reason)
    if status in TRANSITIONS[command].settled:
        return status
    clocks = await clocks_now(db, session) if command == "resume" else None
    async with db.transaction() as connection:
        if clocks is not None:
            changed = await lifecycle.resume(connection, session_id, clocks)
        else:
            changed = await lifecycle.stop_or_pause(connection, session_id, command, f"{caller.name} asked for it.")
    if changed is None:
        return await _overtaken(db, session_id, command)
    await db.notify(*session_events(session_id, agent_id=changed.agent_id, zone_key=session.zone_key))
    logs.write(
        _CODES[command],
        f"The session {session_id} of {session.username} is to {command}: {caller.name} asked for it.",
        zone_name=session.zone_name,
        session_id=session_id,
        user_id=changed.user_id,
        username=session.username,
    )
    return changed.status


async def _overtaken(db: Database, session_id: str, command: LifecycleCommand) -> SessionStatus:
    """The session changed between reading and writing."""
    status = (await views.get_session(db, session_id)).status
    if status in TRANSITIONS[command].settled:
        return status
    raise WrongState(refusal(command, status, has_user=True) or "The session changed just now; try again.")


async def clocks_now(db: Database, session: Session) -> Clocks:
    """The clocks of a user's session, by the present settings; a lease's stay as they are."""
    if session.clocks.leased:
        return session.clocks
    settings = await settings_of(db, session.user_id)
    return clocks_of(settings, session.image_time_limit, session.image_friendly_name)


async def keep_alive(db: Database, session: Session) -> datetime:
    """A user looks at the session: its keepalive clock restarts; nothing prolongs its time limit. Returns when it
    expires now.

    Raises:
        WrongState: it has no user, is stopped or paused, or is being deleted.
    """
    if session.user_id is None:
        raise WrongState("A staged session has no user whose interest could keep it alive.")
    expires = await lifecycle.keep_alive(db, session.session_id, await clocks_now(db, session))
    if expires is None:
        raise WrongState(f"The session is {session.status}; it cannot be kept alive.")
    return expires


def expiry_of(session: Session) -> Expiry | None:
    """What will happen to a session by itself, and when; for one without a user its pool decides."""
    return None if session.user_id is None else next_expiry(session)


async def end_by_force(db: Database, logs: LogWriter, session: Session, reason: str) -> None:
    """End a session's row now, in any status and without its Agent; repeating it is a success. Its reservation is
    released at once. An Agent that still has the container gets a verdict to destroy it."""
    session_id, agent_id = session.session_id, session.agent_id
    if session.superseded_by is None:  # otherwise it has failed already, and what took its place lives on
        async with db.transaction() as connection:
            deleted = await request_delete(connection, session_id, reason)
        session_id, agent_id = deleted.session_id, deleted.agent_id
    async with db.transaction() as connection:  # a second one: the capacity is locked before the session
        ended = await end_sessions(connection, [session_id], reason)
    if not ended:
        return  # it was over already
    config_id, zone_key = session.staging_config_id, session.zone_key
    await db.notify(*session_events(session_id, agent_id=agent_id, staging_config_id=config_id, zone_key=zone_key))
    logs.write(
        LogCode.SESSION_FORCE_DELETED,
        f"The session {session_id} was ended by force while it was {session.status}: {reason}; its container is"
        " removed when its Agent next reports it.",
        zone_name=session.zone_name,
        session_id=session_id,
        user_id=session.user_id,
        username=session.username,
        staging_config_id=config_id,
    )
