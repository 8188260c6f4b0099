"""Control of a leased session: a person takes over from the program, keeps control, and hands it back.

The database row states the desired holder of control; the page in the session admits input accordingly. Each change
first writes the row and then sends an order to the page, signed with the session's password, which no program has. If
the page cannot be reached, control returns to the program, with a later term.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
import structlog
from fastapi import Depends

from greenroom.api.deps import Db, DesksDep, EventHub, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.desk.transport import Desks, LeaseDesk
from greenroom.api.events import RESYNC, Hub, while_so
from greenroom.api.lease.schemas import ControlChangeView, ControlView
from greenroom.api.security import Caller
from greenroom.api.session.authorized import asking_of, kind_of
from greenroom.core.errors import Forbidden, GreenroomError, NotFound, WrongState
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.lease import USER, Control, Person, expire_control, return_control, take_control, withdraw_control
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import Act, Kind, SessionFacts, decide
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease import controls
from greenroom.db.lease.controls import ChangedControl, EndedControl
from greenroom.db.lease.leases import LeaseRow, get_lease
from greenroom.db.session import viewers
from greenroom.kit.concurrency import warned
from greenroom.kit.secrets import Secrets

log = structlog.get_logger(__name__)

SIGNATURE: Final = "X-Greenroom-Signature"
ORDER_TIMEOUT_S: Final = 5.0
"""Less than the shortest time of a person's control, so that no order arrives after a later one."""
JOIN_FIRST: Final = (
    "Join the session first, with a share that gives control or with Assist. A viewer without control cannot take over."
)


@dataclass(frozen=True, slots=True)
class Controls:
    """The parts that a change of control needs."""

    db: Database
    logs: LogWriter
    secrets: Secrets
    hub: Hub
    desks: Desks
    away_s: float


async def _controls(
    *, db: Db, logs: Logs, secrets: SecretsDep, hub: EventHub, desks: DesksDep, snapshot: SettingsSnapshot
) -> Controls:
    return Controls(db, logs, secrets, hub, desks, snapshot.installation.control_away_s)


ControlsDep = Annotated[Controls, Depends(_controls)]


async def person_of(db: Database, caller: Caller, lease: LeaseRow) -> Person:
    """Return the caller as the person that the page in the session identifies. Raises Forbidden: the caller is neither
    the user of the session nor a viewer with control."""
    kind = kind_of(caller, lease.user_id, lease.key_id)
    viewer_id = USER
    if kind is Kind.OTHER and caller.user_id:
        joined = await viewers.find_controlling(db, lease.session_id, caller.user_id)
        kind, viewer_id = (Kind.GUEST_CONTROL, joined) if joined is not None else (kind, "")
    if decide(Act.CONTROL, asking_of(caller, lease.user_id, kind), SessionFacts()).refused:
        raise Forbidden(JOIN_FIRST)
    return Person(viewer=viewer_id, name=caller.name, owns=kind is not Kind.GUEST_CONTROL)


async def take(parts: Controls, lease: LeaseRow, person: Person, term: int | None) -> ControlView:
    """Give control to a person. With their current `term`, extend the control that they have.

    Raises:
        Held: another person has control, or it changed hands since `term`.
        WrongState, Unavailable: the session has no page that supports control, or the page does not answer.
    """
    desk = await parts.desks.of(lease)

    def decide(control: Control, now: datetime) -> Control:
        return take_control(control, now, person, parts.away_s, term)

    said = f"{person.name} took over"
    changed = await controls.change_control(parts.db, lease.lease_id, decide, said)
    try:
        await _order(parts, desk, lease, changed.after)
    except GreenroomError as error:
        if changed.after.term != changed.before.term:
            await _undo(parts.db, lease, changed.after, f"{person.name} did not get control: {error.message}")
        raise
    await _announce(parts, lease, changed, said, LogCode.CONTROL_TAKEN_OVER)
    return await view(parts, lease)


async def hand_back(parts: Controls, lease: LeaseRow, person: Person, term: int | None) -> ControlView:
    """Give control to the program. A repeated call succeeds.

    Raises:
        Held: another person has control, or it changed hands since `term`.
        Unavailable: the page does not answer; it returns control to the program itself within `away_s`.
    """
    said = f"{person.name} handed back"
    changed = await controls.change_control(
        parts.db, lease.lease_id, lambda control, now: return_control(control, now, person, term), said
    )
    await _announce(parts, lease, changed, said, LogCode.CONTROL_HANDED_BACK)
    await _order(parts, await parts.desks.of(lease), lease, changed.after)
    return await view(parts, lease)


async def _order(parts: Controls, desk: LeaseDesk, lease: LeaseRow, control: Control) -> None:
    credential = parts.secrets.decrypt(await controls.read_credential(parts.db, lease.session_id))
    order = {"term": control.term, "viewer": control.viewer, "name": control.name, "lasts_s": parts.away_s}
    content = msgspec.json.encode(order)
    headers = {SIGNATURE: hmac.digest(credential.encode(), content, "sha256").hex()}
    try:
        await desk.request("PUT", "control", content=content, headers=headers, timeout_s=ORDER_TIMEOUT_S)
    except NotFound as error:
        raise WrongState("The session cannot be taken over, because its image is older than the api.") from error


async def _undo(db: Database, lease: LeaseRow, control: Control, said: str) -> None:
    def decide(last: Control, _now: datetime) -> Control:
        return Control(term=last.term + 1) if last.term == control.term else last

    await controls.change_control(db, lease.lease_id, decide, said)


async def _announce(parts: Controls, lease: LeaseRow, changed: ChangedControl, said: str, code: LogCode) -> None:
    if changed.before.term == changed.after.term:
        return
    from_person = f" from {changed.before.name}" if changed.before.viewer and changed.after.viewer else ""
    parts.logs.write(
        code,
        f"{said}{from_person}: session {lease.session_id} of lease {lease.lease_id}",
        zone_name=lease.zone_name,
        session_id=lease.session_id,
        user_id=lease.user_id,
        details={"lease_id": lease.lease_id, "term": changed.after.term},
        urgent=True,
    )
    await parts.db.notify(ChangeEvent.session(lease.session_id))


async def view(parts: Controls, lease: LeaseRow, *, wait_s: float = 0) -> ControlView:
    """Return the control of a lease; wait at most `wait_s` until the program has control."""

    def has_person(found: Control) -> bool:
        return found.holder == "person"

    async def read() -> Control:
        return await controls.read_control(parts.db, lease.lease_id)

    now = await while_so(parts.hub, lease.session_id, has_person, read, wait_s)
    changes = await controls.list_changes(parts.db, lease.lease_id)
    return ControlView(
        lease_id=UUID(lease.lease_id),
        session_id=UUID(lease.session_id),
        holder=now.holder,
        term=now.term,
        name=now.name or None,
        until=now.until,
        away_s=parts.away_s,
        changes=[ControlChangeView.of(one, holder="person" if one.name else "program") for one in changes],
    )


POLL_S: Final = 5.0
"""The longest time between two checks. An event of a session causes an earlier check."""
COLLECTED_S: Final = 0.1
"""The delay of a check after an event, and of the order to the page.

Events of all sessions in this time are handled together, because each check is a query.
"""


async def end_control(parts: Controls) -> None:
    """Run forever, and return control to the program when a person is away or may no longer control the session.

    Any number of processes may run this at the same time.
    """
    with parts.hub.subscription() as subscriber:
        while True:  # also while the process stops, which cancels this task: its end would count as an error
            happened = await subscriber.take(POLL_S)
            if happened and not any(event is RESYNC or event.topic is Topic.SESSION for event in happened):
                continue
            await asyncio.sleep(COLLECTED_S)
            with warned(log, "control of leased sessions was not looked at", "control"):
                over = await controls.read_ended(parts.db)
                await asyncio.gather(*(_try_end(parts, one) for one in over))


async def _try_end(parts: Controls, one: EndedControl) -> None:
    lease_id = one.lease_id
    with warned(log, "control of a leased session was not given back", "control", lease_id, lease_id=lease_id):
        await _end(parts, one)


async def _end(parts: Controls, one: EndedControl) -> None:
    """Record the change and send it to the page, which itself detects only the absence of the person."""

    def decide(control: Control, now: datetime) -> Control:
        return expire_control(control, now) if one.may else withdraw_control(control, one.term)

    said = f"{one.name} was away" if one.may else f"{one.name} may not control it any more"
    changed = await controls.change_control(parts.db, one.lease_id, decide, said)
    if changed.after.term == changed.before.term:
        return
    lease = await get_lease(parts.db, one.lease_id)
    await _announce(parts, lease, changed, said, LogCode.CONTROL_HANDED_BACK)
    try:
        await _order(parts, await parts.desks.of(lease), lease, changed.after)
    except GreenroomError as error:  # the page returns control itself when the person's time is over
        log.info("a page was not asked to give control back", session_id=one.session_id, reason=error.message)
