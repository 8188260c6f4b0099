"""What both HTTP interfaces do with a session: find it for a caller, show its progress, destroy it."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from greenroom.api.security import Caller
from greenroom.api.session.authorized import asking_of, authorized, kind_of
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Invalid
from greenroom.core.events import session_events
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import Act, Verdict
from greenroom.core.session.progress import Progress, Queue, progress
from greenroom.core.session.states import RESTING, SessionStatus
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch import replacement
from greenroom.db.session import sessions, views
from greenroom.db.session.views import Session
from greenroom.kit.stops import stop


async def judged(
    db: Database, caller: Caller, session_id: str, act: Act, *, follow: bool = True
) -> tuple[Session, Verdict]:
    """A session, and what the authorization table says of this act of the caller on it.

    It is the replacement, if there is one; without `follow` the replaced one itself, which has no user any more.

    Raises:
        NotFound: there is none with this id, or the caller may not see it.
        Forbidden: the caller may not do this.
    """
    session = await views.get_session(db, session_id, follow=follow)
    asking = asking_of(caller, session.user_id, kind_of(caller, session.user_id))
    return session, await authorized(db, act, asking, session)


async def session_for(db: Database, caller: Caller, session_id: str, act: Act, *, follow: bool = True) -> Session:
    """A session on which the caller may do this. Raises as `judged`."""
    return (await judged(db, caller, session_id, act, follow=follow))[0]


def launching_user(caller: Caller, user_id: UUID | None, *for_others: str) -> str:
    """The user of the session that a caller asks for: the one they name, or else the caller, for an API key its owner.

    Raises:
        Invalid: no user was named, and the API key has no owner.
        Forbidden: it is another user, and the caller has neither `users_auth_session` nor a code of `for_others`.
    """
    launching = str(user_id) if user_id else caller.owner_id
    if launching is None:
        raise Invalid("This API key has no owner; name the session's user with user_id.")
    if launching == caller.owner_id:
        caller.require_one_of(USER, "users_auth_session")
    else:
        caller.require_one_of("users_auth_session", *for_others)
    return launching


def may_know_causes(caller: Caller) -> bool:
    """Whether the caller may read why a session failed: the cause names machines, registries and their answers."""
    return caller.may("sessions_view")


async def queue_of(db: Database, session: Session) -> Queue | None:
    """The queue in which a session waits for its turn on its Agent; None if it does not."""
    waits = session.status == SessionStatus.STARTING and "queued" in session.steps and "admitted" not in session.steps
    return await views.read_queue(db, session.session_id) if waits else None


def progress_of(session: Session, *, causes: bool, queue: Queue | None = None) -> Progress:
    """The progress of a session. An assigned session of a pool shows the steps of its hand-over. With `causes` a
    failure is described in the words of Agent and container (`may_know_causes`)."""
    staged = session.staging_config_id is not None and session.user_id is not None
    error = (session.error or session.set_aside_reason or "no reason was given") if causes else ""
    shown = progress(session.status, session.steps, staged=staged, error=error, queue=queue)
    if session.awaits_successor:
        return replace(shown, message="It did not work there; another one is being made ready")
    if session.stopped_reason and session.status in RESTING:
        return replace(shown, message=f"{shown.message} ({session.stopped_reason.rstrip('.')})")
    return shown


async def destroy(db: Database, logs: LogWriter, session: Session, reason: str) -> None:
    """Record that the session is to end; its Agent removes the container. Repeating it is a success."""
    async with db.transaction() as connection:
        deleted = await sessions.request_delete(connection, session.session_id, reason)
    await stop("destroy.after_commit")
    await db.notify(
        *session_events(
            deleted.session_id,
            agent_id=deleted.agent_id,
            staging_config_id=session.staging_config_id if session.user_id is None else None,
            zone_key=session.zone_key,
        )
    )
    if deleted.changed:
        logs.write(
            LogCode.SESSION_DELETE_REQUESTED,
            f"The session {deleted.session_id} ends: {reason}",
            zone_name=session.zone_name,
            session_id=deleted.session_id,
            user_id=session.user_id,
            username=session.username,
        )


async def destroy_quarantined(db: Database, logs: LogWriter, session: Session, reason: str) -> None:
    """Record that a quarantined session must end; its replacement lives on."""
    session_id = session.session_id
    async with db.transaction() as connection:
        if not await replacement.destroy_quarantined(connection, session_id, reason):
            return  # it is on its way out already
    await db.notify(*session_events(session_id, agent_id=session.agent_id, zone_key=session.zone_key))
    logs.write(
        LogCode.SESSION_DELETE_REQUESTED,
        f"The session {session_id}, which was quarantined, ends: {reason}",
        zone_name=session.zone_name,
        session_id=session_id,
        staging_config_id=session.staging_config_id,
    )
