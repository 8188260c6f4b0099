"""Leases: a session for a program, with a deadline and a token for this session only."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query, Request

from greenroom.api.deps import Db, RecorderDep
from greenroom.api.lease import control, service
from greenroom.api.lease.access import LEASE_FOR_OTHERS, AuthenticatesControl, AuthorizedLease, lease_for
from greenroom.api.lease.control import ControlPartsDep
from greenroom.api.lease.schemas import ControlOrder, ControlView, LeaseCreate, LeaseExtension, LeaseGranted, LeaseView
from greenroom.api.lease.service import LeasePartsDep
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, requires_one_of
from greenroom.api.session.schemas import MAX_IDEMPOTENCY_KEY
from greenroom.core.access.permissions import USER
from greenroom.core.session.authorization import Act
from greenroom.db.lease import leases
from greenroom.db.lease.leases import LEASES, LeaseFilter

router = api_router("leases")


@router.post("/leases", status_code=201)
async def create_lease(
    body: LeaseCreate,
    request: Request,
    leasing: LeasePartsDep,
    caller: Annotated[Caller, requires_one_of(USER, "users_auth_session", LEASE_FOR_OTHERS)],
    idempotency_key: Annotated[str | None, Header(max_length=MAX_IDEMPOTENCY_KEY)] = None,
) -> LeaseGranted:
    """Lease a session. A staged session is used if one can be claimed. The launch is recorded like every other launch.

    The session is deleted at its deadline, even if it is still in use. A repeated request with the same
    `Idempotency-Key` returns the same lease.
    """
    zone = request.headers.get("x-greenroom-zone") or None
    return await service.create(leasing, caller, body, gateway_zone=zone, idempotency_key=idempotency_key or None)


@router.get("/leases")
async def list_leases(
    db: Db,
    page: Paging,
    caller: Annotated[Caller, requires_one_of(USER, "users_auth_session", LEASE_FOR_OTHERS, "sessions_view")],
    tag: Annotated[str | None, Query(max_length=201, description="only leases with this word, or name=word")] = None,
    ended: Annotated[bool, Query(description="include leases whose session was deleted in the last days")] = False,
) -> list[LeaseView]:
    """List leases, newest first. Callers without `sessions_view` get only the leases that they hold."""
    lease_filter = LeaseFilter(tag=tag, ended=ended)
    if not caller.may("sessions_view"):
        lease_filter = LeaseFilter(tag=tag, ended=ended, user_id=caller.user_id, key_id=caller.key_id)
    return [LeaseView.model_validate(lease) for lease in await page.read(db, LEASES, lease_filter.conditions())]


@router.get("/leases/{lease_id}")
async def get_lease(authorized: Annotated[AuthorizedLease, lease_for(Act.SEE)]) -> LeaseView:
    """Return one lease. A lease that is over remains readable as long as the record of its session exists."""
    return LeaseView.model_validate(authorized.lease)


@router.patch("/leases/{lease_id}")
async def extend_lease(
    body: LeaseExtension, leasing: LeasePartsDep, authorized: Annotated[AuthorizedLease, lease_for(Act.EXTEND)]
) -> LeaseView:
    """Set the deadline to a number of seconds from now. It may be earlier than before."""
    await service.extend(leasing, authorized.lease, body.seconds)
    return LeaseView.model_validate(await leases.get_lease(leasing.db, authorized.lease.lease_id))


@router.get("/leases/{lease_id}/control")
async def get_control(
    parts: ControlPartsDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.SEE)],
    wait_s: Annotated[float, Query(ge=0, le=60, description="maximum wait until no person has control")] = 0,
) -> ControlView:
    """Return the control of a session: the holder, which is the program or a person, and the changes."""
    return await control.control_view(parts, authorized.lease, wait_s=wait_s)


@router.post("/leases/{lease_id}/control")
async def change_control(
    lease_id: UUID,
    body: ControlOrder,
    parts: ControlPartsDep,
    caller: Annotated[Caller, Depends(AuthenticatesControl())],
) -> ControlView:
    """Take, keep or return the control of a session. The caller must be allowed to type in the session.

    While a person has control, the program cannot act on the screen: its calls return 409 `held`.
    """
    lease = await leases.get_lease(parts.db, str(lease_id))
    person = await control.person_of(parts.db, caller, lease)
    return await (control.take if body.holder == "person" else control.hand_back)(parts, lease, person, body.term)


@router.delete("/leases/{lease_id}", status_code=204)
async def release_lease(
    leasing: LeasePartsDep,
    recorder: RecorderDep,
    authorized: Annotated[AuthorizedLease, lease_for(Act.RELEASE)],
) -> None:
    """End the lease: its session is destroyed and never reused. A repeated request succeeds."""
    await recorder.wait_until_written(authorized.lease.lease_id)
    await service.release(leasing, authorized.lease)
