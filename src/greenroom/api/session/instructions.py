"""Instructions of users for a session: stop, pause, resume, delete, commands and screenshots.

The Agent gets them in the answers to its check-ins. The screen of a session is captured at most once per second, and
all clients share the screenshot. It stays in the database until the next request, or until the clean-up deletes it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from greenroom.api.bodies import View
from greenroom.api.security import Caller
from greenroom.api.session.authorized import ActLog, kind_of, session_caller_of, settings_of
from greenroom.api.session.schemas import CommandCreate
from greenroom.core.access.group_settings import EffectiveSetting
from greenroom.core.access.roles import codes_in_every, places_with
from greenroom.core.errors import NoScreenshot, TooManyRequests, Unavailable, WrongState
from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import Act, SessionFacts, Verdict, decide
from greenroom.core.session.deadlines import Clocks, Expiry, clocks_of, next_expiry
from greenroom.core.session.progress import request_reason
from greenroom.core.session.states import (
    COMMAND_EFFECTS,
    LifecycleCommand,
    SessionStatus,
    command_refusal,
    possible_commands,
    sources_of,
)
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.session import commands, lifecycle, views
from greenroom.db.session.commands import CommandState, RequestedScreenshot
from greenroom.db.session.sessions import end_sessions, request_delete
from greenroom.db.session.views import Session
from greenroom.kit.secrets import Secrets

Action = Literal["stop", "pause", "resume", "delete", "force_delete"]

_CODES: Final[dict[LifecycleCommand, LogCode]] = {
    "stop": LogCode.SESSION_STOP_REQUESTED,
    "pause": LogCode.SESSION_PAUSE_REQUESTED,
    "resume": LogCode.SESSION_RESUME_REQUESTED,
}
_DELETABLE: Final = sources_of(SessionStatus.DELETING)


class CommandView(View, row=CommandState, without={"picture"}):
    """The result of a command; `state` unknown = the Agent was restarted while the command ran.

    `output_complete` is false if the output was still open some seconds after the end of the command: a child process
    kept it open, or Docker delivered it too late.
    """

    command_id: UUID
    state: Literal["done", "unknown"]
    exit_code: int | None
    output: str


@dataclass(frozen=True, slots=True)
class PermittedActions:
    """The actions that a caller may take on the sessions they see, for the buttons of a page."""

    caller: Caller
    settings: Mapping[str, EffectiveSetting] = field(default_factory=dict[str, EffectiveSetting])
    """The settings in force for the caller."""

    def actions(self, session: Session) -> list[Action]:
        """Return the actions that are possible now and allowed to the caller."""
        status, has_user = session.status, session.user_id is not None
        candidates: list[Action] = [*possible_commands(status, has_user=has_user, can_pause=session.can_pause)]
        if status in _DELETABLE:
            candidates.append("delete")
        if status is not SessionStatus.DELETED:
            candidates.append("force_delete")
        return [action for action in candidates if self._is_permitted(session, action)]

    def _is_permitted(self, session: Session, action: Action) -> bool:
        session_caller = session_caller_of(self.caller, session.user_id, kind_of(self.caller, session.user_id))
        return not decide(Act(action), session_caller, SessionFacts(settings=self.settings)).refused


def caller_in_sessions(caller: Caller) -> Caller:
    """Return the caller with the codes that count for all sessions that the scope of the caller's roles shows."""
    seen = places_with(caller.permissions, "sessions_view")
    return replace(caller, local=codes_in_every(caller.permissions, seen))


async def permitted_actions_of(db: Database, caller: Caller) -> PermittedActions:
    """Return the actions that a caller may take on sessions."""
    return PermittedActions(caller, await settings_of(db, caller.user_id))


async def request_lifecycle_command(
    db: Database, logs: LogWriter, caller: Caller, session: Session, command: LifecycleCommand
) -> SessionStatus:
    """Record that the session must stop, pause or resume; return its status now. A repeated call succeeds.

    The caller must be authorized already. Raises WrongState: the status of the session does not permit it; the sentence
    contains the statuses that do.
    """
    session_id, status = session.session_id, session.status
    if reason := command_refusal(command, status, has_user=session.user_id is not None, can_pause=session.can_pause):
        raise WrongState(reason)
    if status in COMMAND_EFFECTS[command].settled:
        return status
    clocks = await current_clocks(db, session) if command == "resume" else None
    async with db.transaction() as connection:
        if clocks is not None:
            changed = await lifecycle.resume(connection, session_id, clocks)
        else:
            reason = request_reason(caller.name, is_own=caller.user_id == session.user_id)
            changed = await lifecycle.stop_or_pause(connection, session_id, command, reason)
    if changed is None:
        return await _status_after_change(db, session_id, command)
    await db.notify(*session_events(session_id, agent_id=changed.agent_id, zone_key=session.zone_key))
    logs.write(
        _CODES[command],
        f"A {command} of the session {session_id} of {session.username} was requested by {caller.name}.",
        zone_name=session.zone_name,
        session_id=session_id,
        user_id=changed.user_id,
        username=session.username,
    )
    return changed.status


async def _status_after_change(db: Database, session_id: str, command: LifecycleCommand) -> SessionStatus:
    """Return the status of a session that changed between reading and writing. Raises WrongState: the command is still
    needed, but was not recorded."""
    status = (await views.get_session(db, session_id)).status
    if status in COMMAND_EFFECTS[command].settled:
        return status
    raise WrongState(command_refusal(command, status, has_user=True) or "The session changed just now; try again.")


async def current_clocks(db: Database, session: Session) -> Clocks:
    """Return the clocks of a session (keepalive, time limit) by the present settings. Those of a lease are fixed."""
    if session.clocks.leased:
        return session.clocks
    settings = await settings_of(db, session.user_id)
    return clocks_of(settings, session.image_time_limit, session.image_friendly_name)


async def keep_alive(db: Database, session: Session, report: lifecycle.PageReport | None = None) -> datetime:
    """Restart the keepalive clock of a session that a user views; return the new deadline of this clock. `report` is
    the report of the page that shows the session. The time limit of the session does not change.
    Raises WrongState: the session has no user, is stopped or paused, or is being deleted."""
    if session.user_id is None:
        raise WrongState("A staged session has no user, so it has no keepalive; launch it for a user first.")
    expires = await lifecycle.keep_alive(db, session.session_id, await current_clocks(db, session), report)
    if expires is None:
        raise WrongState(f"The session is {session.status}, so it has no keepalive.")
    return expires


def expiry_of(session: Session) -> Expiry | None:
    """Return the next automatic action on a session, with its time.

    None for a session without a user, which its pool ends.
    """
    return None if session.user_id is None else next_expiry(session)


async def end_by_force(db: Database, logs: LogWriter, session: Session, reason: str) -> None:
    """End the row of a session now, in any status and without its Agent. A repeated call succeeds.

    Its reservation is released immediately. An Agent that still has the container is instructed to destroy it.
    """
    session_id, agent_id = session.session_id, session.agent_id
    if session.superseded_by is None:  # otherwise it has failed already, and its replacement continues
        async with db.transaction() as connection:
            deleted = await request_delete(connection, session_id, reason)
        session_id, agent_id = deleted.session_id, deleted.agent_id
    # A second transaction, because the capacity must be locked before the session.
    async with db.transaction() as connection:
        ended = await end_sessions(connection, [session_id], reason)
    if not ended:
        return  # the session had already ended
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


TRANSPORT_TIME_S: Final = 10.0
"""Added to the deadline of a command for the transport to the Agent and back."""
RESULT_POLL_S: Final = 0.1


def act_of_command(command: CommandCreate) -> Act:
    """Return the act that corresponds to a command."""
    return Act.COMMAND if command.user is None else Act.COMMAND_AS


def with_encrypted_variables(command: CommandCreate, secrets: Secrets) -> CommandCreate:
    """Return the command with encrypted variables. The Manager decrypts them for the Agent."""
    environment = {name: secrets.seal(value) for name, value in command.environment.items()}
    return command.model_copy(update={"environment": environment})


async def order_command(
    db: Database, logs: LogWriter, caller: Caller, session: Session, command: CommandCreate, *, remark: str = ""
) -> str:
    """Request a command; return its id. The command runs at most once, and only while a caller waits for its result.

    The variables of `command` are encrypted. The log contains the program and the account, but no arguments and no
    variables. `remark` replaces the account in the log.

    Raises:
        WrongState: the session is not running, or it is staged. A staged session must be unused when it gets its user.
        TooManyRequests: too many commands in the session have no result yet.
    """
    session_id, command_id = session.session_id, str(uuid.uuid4())
    agent_id = await commands.request_command(
        db,
        command_id=command_id,
        session_id=session_id,
        argv=command.command,
        run_as=command.user,
        env=dict(command.environment),
        workdir=command.workdir,
        deadline_s=command.deadline_s,
    )
    if agent_id is None:
        raise _command_error(await views.get_session(db, session_id))
    account = f" {remark}" if remark else f" as {command.user}" if command.user else ""
    logs.write(
        LogCode.SESSION_COMMAND,
        f"{caller.name} runs {command.command[0]} in session {session_id}{account}",
        zone_name=session.zone_name,
        session_id=session_id,
        user_id=caller.user_id,
        username=caller.name,
        details={"command_id": command_id, "program": command.command[0], "run_as": command.user},
    )
    await db.notify(ChangeEvent.agent(agent_id))
    return command_id


def _command_error(session: Session) -> WrongState | TooManyRequests:
    if session.user_id is None:
        return WrongState("Commands do not run in a staged session, because it must stay unused until a user gets it.")
    if session.status != "running":
        return WrongState(f"The session is {session.status}; a command can be run while it is running.")
    return TooManyRequests(f"{commands.MAX_OPEN} commands in this session are not finished; wait for one of them.")


async def wait_for_result(db: Database, command_id: str, deadline_s: float) -> CommandView:
    """Wait for the end of a command, at most `deadline_s` plus `TRANSPORT_TIME_S`. Raises Unavailable: no result came
    in time; the command may still run."""
    end_s = time.monotonic() + deadline_s + TRANSPORT_TIME_S
    while time.monotonic() < end_s:
        result = await commands.read_command(db, command_id)
        if result is not None and result.state in ("done", "unknown"):
            return CommandView.of(result, command_id=command_id, output=result.output or "")
        await asyncio.sleep(RESULT_POLL_S)
    raise Unavailable(f"The command returned no result within {deadline_s:.0f} s; it may still be running.")


SCREENSHOT_DEADLINE_S: Final = 10.0
SCREENSHOT_POLL_S: Final = 0.05
MAX_SIZES: Final = 4
"""The maximum number of sizes in which screenshots of one session are requested at the same time."""


class _ScreenshotKey(NamedTuple):
    """The session and the size of a screenshot, in pixels."""

    session_id: str
    width: int
    height: int


class Screenshots:
    """Takes screenshots; one instance per process."""

    def __init__(self, db: Database, act_log: ActLog) -> None:
        self._db = db
        self._act_log = act_log
        self._pending: dict[_ScreenshotKey, asyncio.Task[bytes]] = {}

    async def take(self, caller: Caller, session: Session, verdict: Verdict, width: int, height: int) -> bytes:
        """Return the screen of a session as a JPEG that fits into width x height pixels. `verdict` permits this.

        Equal requests at the same time share one screenshot.

        Raises:
            WrongState: the session is not running.
            NoScreenshot: its Agent could not take a screenshot; the sentence contains the reason.
            Unavailable: its Agent sent no screenshot in time.
            TooManyRequests: screenshots of this session are pending in `MAX_SIZES` other sizes.
        """
        if verdict.logged:
            self._act_log.record(caller, Act.SCREENSHOT, session)
        key = _ScreenshotKey(session.session_id, width, height)
        if (pending := self._pending.get(key)) is None:
            if sum(other.session_id == key.session_id for other in self._pending) >= MAX_SIZES:
                raise TooManyRequests("Too many screenshots of this session are requested. Try again in a moment.")
            pending = self._pending[key] = asyncio.create_task(self._capture(key), name="screenshot")
            pending.add_done_callback(lambda task: self._remove(key, task))
        picture = await asyncio.shield(pending)
        if verdict.informs_user:
            await commands.mark_screenshot(self._db, key.session_id)
        return picture

    def _remove(self, key: _ScreenshotKey, task: asyncio.Task[bytes]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # otherwise asyncio logs an error without a caller

    async def _capture(self, key: _ScreenshotKey) -> bytes:
        end_s = time.monotonic() + SCREENSHOT_DEADLINE_S
        while (remaining_s := end_s - time.monotonic()) > 0:
            requested = await commands.request_screenshot(
                self._db,
                command_id=str(uuid.uuid4()),
                session_id=key.session_id,
                width=key.width,
                height=key.height,
                deadline_s=remaining_s,
            )
            if requested is None:
                await self._require_running(key.session_id)
            else:
                if requested.agent_id is not None:
                    await self._db.notify(ChangeEvent.agent(requested.agent_id))
                if (picture := await self._wait_for_picture(requested, end_s)) is not None:
                    return picture
            await asyncio.sleep(SCREENSHOT_POLL_S)
        raise Unavailable(f"The session's Agent sent no screenshot within {SCREENSHOT_DEADLINE_S:.0f} s.")

    async def _require_running(self, session_id: str) -> None:
        status = (await views.get_session(self._db, session_id)).status
        if status != SessionStatus.RUNNING:
            raise WrongState(f"The session is {status}; a screenshot can be taken while it is running.")

    async def _wait_for_picture(self, requested: RequestedScreenshot, end_s: float) -> bytes | None:
        """Wait for a screenshot. None = it does not have the requested size, or was replaced or deleted meanwhile."""
        while requested.fits and time.monotonic() < end_s:
            result = await commands.read_command(self._db, requested.command_id)
            if result is None:
                return None
            if result.state in ("done", "unknown"):
                if not result.picture:
                    raise NoScreenshot(result.output or "The Agent sent no screenshot. Try again.")
                return result.picture
            await asyncio.sleep(SCREENSHOT_POLL_S)
        return None
