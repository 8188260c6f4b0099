"""Control of a leased session: a person takes control from the program, keeps it, and returns it.

The row in the database contains the desired holder of control, and the page in the session admits only the input of
this holder. Each change first writes the row and then sends an instruction to the page, signed with the password of the
session, which programs do not have. If the page cannot be reached, control returns to the program. The term of control
is a number that increases with each change of the holder.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
import structlog
from fastapi import Depends

from greenroom.api.deps import Db, DesksDep, HubDep, Logs, SecretsDep, SnapshotDep
from greenroom.api.desk.transport import Desks, LeaseDesk
from greenroom.api.events import RESYNC, EventHub, Resync, wait_while
from greenroom.api.lease.schemas import ControlChangeView, ControlView
from greenroom.api.security import Caller
from greenroom.api.session.authorized import kind_of, session_caller_of
from greenroom.core.errors import Forbidden, GreenroomError, NotFound, WrongState
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.lease import USER, Control, Person, expire_control, return_control, take_control, withdraw_control
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import Act, Kind, SessionFacts, decide
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease import controls
from greenroom.db.lease.controls import ControlUpdate, HeldControl
from greenroom.db.lease.leases import LeaseRow, get_lease
from greenroom.db.session import viewers
from greenroom.kit.concurrency import warn_of_item_error
from greenroom.kit.secrets import Secrets

log = structlog.get_logger(__name__)

SIGNATURE_HEADER: Final = "X-Greenroom-Signature"
INSTRUCTION_TIMEOUT_S: Final = 5.0
"""Timeout of an instruction, less than the minimum of `control_away_s`, so that instructions arrive in order."""
JOIN_FIRST: Final = (
    "Join the session first, with a share that gives control or with Assist. A viewer without control cannot take over."
)


@dataclass(frozen=True, slots=True)
class ControlParts:
    """The parts of the api that a change of control needs. `away_s` is the duration of control without a renewal."""

    db: Database
    logs: LogWriter
    secrets: Secrets
    hub: EventHub
    desks: Desks
    away_s: float


async def _control_parts(
    *, db: Db, logs: Logs, secrets: SecretsDep, hub: HubDep, desks: DesksDep, snapshot: SnapshotDep
) -> ControlParts:
    return ControlParts(db, logs, secrets, hub, desks, snapshot.installation.control_away_s)


ControlPartsDep = Annotated[ControlParts, Depends(_control_parts)]


async def person_of(db: Database, caller: Caller, lease: LeaseRow) -> Person:
    """Return the caller as the person that the page in the session identifies. Raises Forbidden: the caller is neither
    the user of the session nor a viewer with control."""
    kind = kind_of(caller, lease.user_id, lease.key_id)
    viewer_id = USER
    if kind is Kind.OTHER and caller.user_id:
        joined = await viewers.find_controlling_viewer(db, lease.session_id, caller.user_id)
        kind, viewer_id = (Kind.GUEST_CONTROL, joined) if joined is not None else (kind, "")
    if decide(Act.CONTROL, session_caller_of(caller, lease.user_id, kind), SessionFacts()).refused:
        raise Forbidden(JOIN_FIRST)
    return Person(viewer=viewer_id, name=caller.name, owns=kind is not Kind.GUEST_CONTROL)


async def take(parts: ControlParts, lease: LeaseRow, person: Person, term: int | None) -> ControlView:
    """Give control to a person. With their current `term`, extend the control that they have.

    Raises:
        Held: another person has control, or control has changed since `term`.
        WrongState, Unavailable: the session has no page that supports control, or the page does not answer.
    """
    desk = await parts.desks.of(lease)

    def give_to_person(control: Control, now: datetime) -> Control:
        return take_control(control, now, person, parts.away_s, term)

    sentence = f"{person.name} took over"
    changed = await controls.change_control(parts.db, lease.lease_id, give_to_person, sentence)
    try:
        await _instruct_page(parts, desk, lease, changed.after)
    except GreenroomError as error:
        if changed.after.term != changed.before.term:
            await _revoke_control(parts.db, lease, changed.after, f"{person.name} did not get control: {error.message}")
        raise
    await _log_and_notify(parts, lease, changed, sentence, LogCode.CONTROL_TAKEN_OVER)
    return await control_view(parts, lease)


async def hand_back(parts: ControlParts, lease: LeaseRow, person: Person, term: int | None) -> ControlView:
    """Give control to the program. A repeated call succeeds.

    Raises:
        Held: another person has control, or control has changed since `term`.
        Unavailable: the page does not answer; it returns control to the program itself within `away_s`.
    """
    sentence = f"{person.name} handed back"
    changed = await controls.change_control(
        parts.db, lease.lease_id, lambda control, now: return_control(control, now, person, term), sentence
    )
    await _log_and_notify(parts, lease, changed, sentence, LogCode.CONTROL_HANDED_BACK)
    await _instruct_page(parts, await parts.desks.of(lease), lease, changed.after)
    return await control_view(parts, lease)


async def _instruct_page(parts: ControlParts, desk: LeaseDesk, lease: LeaseRow, control: Control) -> None:
    credential = parts.secrets.decrypt(await controls.read_page_credential(parts.db, lease.session_id))
    order = {"term": control.term, "viewer": control.viewer, "name": control.name, "lasts_s": parts.away_s}
    content = msgspec.json.encode(order)
    headers = {SIGNATURE_HEADER: hmac.digest(credential.encode(), content, "sha256").hex()}
    try:
        await desk.request("PUT", "control", content=content, headers=headers, timeout_s=INSTRUCTION_TIMEOUT_S)
    except NotFound as error:
        raise WrongState(
            "The session cannot be taken over, because its image is older than the api; update its workspace."
        ) from error


async def _revoke_control(db: Database, lease: LeaseRow, control: Control, sentence: str) -> None:
    def give_to_program(last: Control, _now: datetime) -> Control:
        return Control(term=last.term + 1) if last.term == control.term else last

    await controls.change_control(db, lease.lease_id, give_to_program, sentence)


async def _log_and_notify(
    parts: ControlParts, lease: LeaseRow, changed: ControlUpdate, sentence: str, code: LogCode
) -> None:
    if changed.before.term == changed.after.term:
        return
    from_person = f" from {changed.before.name}" if changed.before.viewer and changed.after.viewer else ""
    parts.logs.write(
        code,
        f"{sentence}{from_person}: session {lease.session_id} of lease {lease.lease_id}",
        zone_name=lease.zone_name,
        session_id=lease.session_id,
        user_id=lease.user_id,
        details={"lease_id": lease.lease_id, "term": changed.after.term},
        urgent=True,
    )
    await parts.db.notify(ChangeEvent.session(lease.session_id), ChangeEvent.lease(lease.lease_id))


async def control_view(parts: ControlParts, lease: LeaseRow, *, wait_s: float = 0) -> ControlView:
    """Return the control of a lease; wait at most `wait_s` until the program has control."""

    async def read() -> Control:
        return await controls.read_control(parts.db, lease.lease_id)

    current = await wait_while(parts.hub, lease.session_id, lambda now: now.holder == "person", read, wait_s)
    changes = await controls.list_changes(parts.db, lease.lease_id)
    return ControlView(
        lease_id=UUID(lease.lease_id),
        session_id=UUID(lease.session_id),
        holder=current.holder,
        term=current.term,
        name=current.name or None,
        until=current.until,
        away_s=parts.away_s,
        changes=[ControlChangeView.of(change, holder="person" if change.name else "program") for change in changes],
    )


MAX_CHECK_INTERVAL_S: Final = 5.0
"""The longest time between two checks. Some events cause an earlier check (`requires_control_check`)."""
EVENT_DELAY_S: Final = 0.1
"""The delay of a check after an event, and so of the instruction to the page. Events of all sessions in this time cause
one check, because each check is a query."""


async def end_control(parts: ControlParts) -> None:
    """Run forever, and return control to the program when a person is away or may no longer control the session. Any
    number of processes may run this at the same time."""
    held_sessions: set[str] | None = None
    due_s = time.monotonic() + MAX_CHECK_INTERVAL_S
    with parts.hub.subscription() as subscriber:
        while True:  # it runs until it is canceled, because its end would count as an error
            events = await subscriber.take(max(0.0, due_s - time.monotonic()))
            if time.monotonic() < due_s and not any(requires_control_check(event, held_sessions) for event in events):
                continue
            await asyncio.sleep(EVENT_DELAY_S)
            due_s = time.monotonic() + MAX_CHECK_INTERVAL_S
            with warn_of_item_error(log, "the ended controls of leased sessions were not read", "control"):
                held = await controls.read_held_controls(parts.db)
                held_sessions = {control.session_id for control in held}
                await asyncio.gather(*(_end_or_warn(parts, control) for control in held if control.has_ended))


def requires_control_check(event: ChangeEvent | Resync, held_sessions: Collection[str] | None) -> bool:
    """Return whether a person may have got or lost control by this event. `held_sessions` are the sessions that people
    control; None = not known. Launches of other sessions cause no check, because each check is a query.
    """
    if event is RESYNC or event.topic is Topic.LEASE:
        return True
    return event.topic is Topic.SESSION and (held_sessions is None or event.id in held_sessions)


async def _end_or_warn(parts: ControlParts, ended: HeldControl) -> None:
    lease_id = ended.lease_id
    with warn_of_item_error(
        log, "control of a leased session was not returned to the program", "control", lease_id, lease_id=lease_id
    ):
        await _end(parts, ended)


async def _end(parts: ControlParts, ended: HeldControl) -> None:
    """Store the end of control and instruct the page, which by itself detects only that a person is away."""

    def give_to_program(control: Control, now: datetime) -> Control:
        return expire_control(control, now) if ended.may_control else withdraw_control(control, ended.term)

    sentence = f"{ended.name} was away" if ended.may_control else f"{ended.name} may not control it any more"
    changed = await controls.change_control(parts.db, ended.lease_id, give_to_program, sentence)
    if changed.after.term == changed.before.term:
        return
    lease = await get_lease(parts.db, ended.lease_id)
    await _log_and_notify(parts, lease, changed, sentence, LogCode.CONTROL_HANDED_BACK)
    try:
        await _instruct_page(parts, await parts.desks.of(lease), lease, changed.after)
    except GreenroomError as error:  # the page returns control itself when the person's time is over
        log.info("a page was not instructed to return control", session_id=ended.session_id, reason=error.message)
