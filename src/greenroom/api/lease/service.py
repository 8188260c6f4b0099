"""Creation, extension and release of leases.

A lease is created by a launch. Its deadline replaces the time limits of the session's user.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends

from greenroom.api.deps import Db, HubDep, LauncherDep, Logs, SecretsDep, SnapshotDep
from greenroom.api.events import RESYNC, EventHub, Subscriber, wait_while_status_in
from greenroom.api.launch.service import Launcher, LaunchRequest
from greenroom.api.lease import egress
from greenroom.api.lease.access import LEASE_FOR_OTHERS, is_holder
from greenroom.api.lease.egress import LeaseSubject, SessionEgress
from greenroom.api.lease.schemas import LeaseCreate, LeaseGranted, LeaseOptions, LeaseUrlsView, LeaseView
from greenroom.api.security import Caller
from greenroom.api.session import service
from greenroom.api.session.authorized import settings_of
from greenroom.api.session.service import Streams, StreamUrls, connect_url, stream_url_of, token_of
from greenroom.core.access.group_settings import resolve
from greenroom.core.access.lifecycle import LAUNCH_FOR_OTHERS
from greenroom.core.access.permissions import implied_codes, limited_to_owner
from greenroom.core.errors import (
    Forbidden,
    GreenroomError,
    IdempotencyMismatch,
    Invalid,
    LeaseLimit,
    NotFound,
    Unauthenticated,
    WrongState,
)
from greenroom.core.installation import Installation
from greenroom.core.lease import LIMIT_TOPICS, LeaseLimits, NewLease, limit_refusal
from greenroom.core.session.authorization import Act, Kind, SessionCaller, SessionFacts, decide
from greenroom.core.session.deadlines import clocks_of, lease_clocks
from greenroom.core.session.states import NOT_YET_RUNNING
from greenroom.db.access.api_keys import find_key
from greenroom.db.access.users import find_user, get_user
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease import leases
from greenroom.db.lease.leases import LeaseRow
from greenroom.db.session import views
from greenroom.db.session.views import Session, SessionFilter
from greenroom.db.workspace.images import find_image, names_of_images
from greenroom.kit import plugins
from greenroom.kit.secrets import Secrets

MAX_LISTED_WORKSPACES: Final = 30
"""The maximum number of workspaces in the message of a refusal."""
ACTS_OF_LEASE_TOKEN: Final = (Act.DEVTOOLS, Act.WEBDRIVER, Act.STREAM_AS_PROGRAM)
"""The acts that the token of a lease permits at the gateway. The first two are also names of session services."""
MCP: Final = "mcp"
"""The interface that serves the Model Context Protocol, if its package is installed."""
MCP_PATH: Final = f"/{MCP}"
MIN_CHECK_INTERVAL_S: Final = 0.2
"""The minimum pause between two checks of a request that waits for other leases to end."""
MAX_CHECK_INTERVAL_S: Final = 2.0
"""The maximum time between two checks, because events of other processes may be lost."""


@dataclass(frozen=True, slots=True)
class LeaseParts:
    """The parts of the api that the creation and the end of a lease need."""

    db: Database
    launcher: Launcher
    logs: LogWriter
    secrets: Secrets
    streams: StreamUrls
    hub: EventHub
    installation: Installation


async def _lease_parts(
    *,
    db: Db,
    launcher: LauncherDep,
    logs: Logs,
    secrets: SecretsDep,
    streams: Streams,
    hub: HubDep,
    snapshot: SnapshotDep,
) -> LeaseParts:
    return LeaseParts(db, launcher, logs, secrets, streams, hub, snapshot.installation)


LeasePartsDep = Annotated[LeaseParts, Depends(_lease_parts)]


async def create(
    leasing: LeaseParts, caller: Caller, body: LeaseCreate, *, gateway_zone: str | None, idempotency_key: str | None
) -> LeaseGranted:
    """Lease a session; the same idempotency key returns the same lease. For `gateway_zone` see `LaunchRequest`.

    Raises:
        Invalid, Forbidden, NotFound, NoResources, Busy: the launch is refused (`Launcher.launch`); `seconds` exceeds
            a limit of the user's sessions or of the API key; or the egress or the secrets are not allowed.
        LeaseLimit: the user or the API key has the maximum number of leases, also after `wait_s`.
        IdempotencyMismatch: another API key, or another request, used the idempotency key for this user.
    """
    requested_id = await _find_user_id(leasing.db, caller, body.user_id)
    user_id = await service.launching_user(leasing.db, caller, requested_id, LEASE_FOR_OTHERS)
    image_id = await find_image(leasing.db, body.workspace)
    if image_id is None:
        raise await _no_workspace_error(leasing.db, body.workspace, user_id)
    now = datetime.now(UTC)
    limits = LeaseLimits(
        created=now,
        max_days=leasing.installation.max_lease_days,
        max_lease_s=caller.max_lease_s,
        not_after=caller.expires if caller.key_id else None,
    )
    limits.require(body.seconds, now)
    options = body.options or LeaseOptions()
    session_egress = await egress.requested_egress(
        leasing.db, caller, LeaseSubject(user_id, image_id, idempotency_key), options
    )
    request = LaunchRequest(
        user_id=user_id,
        image_id=image_id,
        zone_id=str(options.zone_id) if options.zone_id else None,
        gateway_zone=gateway_zone,
        request_host=leasing.streams.request_host,
        environment=dict(options.environment),
        kasm_url=options.kasm_url,
        persistent_profile_mode=options.persistent_profile_mode,
        idempotency_key=idempotency_key,
        for_caller=user_id == caller.owner_id,
        filter_policy=session_egress.filter_policy,
        with_secrets=bool(session_egress.secrets),
    )
    begun_s = time.monotonic()
    lease, session = await _launch_within_limits(leasing, caller, request, body, session_egress)
    remaining_s = body.wait_s - (time.monotonic() - begun_s)
    if caller.key_id is not None:
        await _require_valid_key(leasing, caller.key_id, session, for_other=user_id != caller.owner_id)
    elif caller.user_id is not None and caller.user_id != user_id:
        await _require_enabled(leasing, caller.user_id, session)
    if remaining_s > 0 and lease.status in NOT_YET_RUNNING:
        lease_id = lease.lease_id
        lease = await wait_while_status_in(
            leasing.hub, NOT_YET_RUNNING, lambda: leases.get_lease(leasing.db, lease_id), remaining_s
        )
        session = await views.get_session(leasing.db, lease.session_id)
    return _granted_lease(leasing, lease, session)


async def _find_user_id(db: Database, caller: Caller, id_or_name: str | None) -> UUID | None:
    """Return the id of the user with this id or name; None = no user was named.

    Raises:
        Forbidden: it is a name, and the caller may not lease for others, so that the caller cannot find out the names.
        NotFound: there is no user with this name.
    """
    if id_or_name is None:
        return None
    try:
        return UUID(id_or_name)
    except ValueError:
        if id_or_name.lower() == (caller.username or "").lower() and caller.user_id is not None:
            return UUID(caller.user_id)
    caller.require_one_of("users_auth_session", LEASE_FOR_OTHERS)
    user = await find_user(db, id_or_name)
    if user is None:
        raise NotFound(f"There is no user {id_or_name}; `user_id` is an id or a username.")
    return UUID(user.user_id)


async def _no_workspace_error(db: Database, name: str, user_id: str) -> NotFound:
    names = await names_of_images(db, user_id)
    available_text = (
        f"there are {', '.join(names[:MAX_LISTED_WORKSPACES])}{', …' if names[MAX_LISTED_WORKSPACES:] else ''}"
        if names
        else "the user has no workspace"
    )
    return NotFound(f"There is no workspace {name}; {available_text}. `workspace` is a friendly name or an image_id.")


async def _require_valid_key(leasing: LeaseParts, key_id: str, session: Session, *, for_other: bool) -> None:
    """End the new lease if its API key became invalid during the launch, because the end of the key ended only the
    leases that existed then.

    Raises:
        Unauthenticated: the key is no longer valid.
        Forbidden: the lease is `for_other`, another user, and the owner of the key may no longer lease for others.
    """
    key = await find_key(leasing.db, key_id)
    if key is None or not key.valid:
        await service.destroy(leasing.db, leasing.logs, session, "the API key of its lease is not valid any more")
        raise Unauthenticated("The API key is not valid any more.")
    if for_other and key.created_by is not None:
        await _require_right_for_others(leasing, limited_to_owner(key.permissions, key.owner_permissions), session)


async def _require_enabled(leasing: LeaseParts, user_id: str, session: Session) -> None:
    """End the new lease for another user if the user who took it lost the right to it during the launch. Raises
    Unauthenticated (the user may not log in any more) or Forbidden (the user may not lease for others any more)."""
    try:
        user = await get_user(leasing.db, user_id)
    except NotFound:
        user = None
    if user is None or not user.may_log_in:
        await service.destroy(leasing.db, leasing.logs, session, "the user who leased it may not log in any more")
        raise Unauthenticated
    await _require_right_for_others(leasing, user.permissions, session)


async def _require_right_for_others(leasing: LeaseParts, grants: Collection[str], session: Session) -> None:
    if implied_codes(grants).isdisjoint(LAUNCH_FOR_OTHERS):
        reason = "the user who leased it may not lease for others any more"
        await service.destroy(leasing.db, leasing.logs, session, reason)
        raise Forbidden("The right to lease sessions for other users ended during the launch.")


async def _launch_within_limits(
    leasing: LeaseParts, caller: Caller, request: LaunchRequest, body: LeaseCreate, session_egress: SessionEgress
) -> tuple[LeaseRow, Session]:
    """Launch as `_launch` does. While a limit of leases is reached, wait up to `wait_s` and try again. Raises
    LeaseLimit: the limit is still reached after `wait_s`."""
    end_s = time.monotonic() + body.wait_s
    try:
        return await _launch(leasing, caller, request, body, session_egress)
    except LeaseLimit:
        if body.wait_s <= 0:
            raise
    with leasing.hub.subscription() as subscriber:
        while True:
            refused = await _limit_error(leasing.db, caller, request)
            if refused is None:
                try:
                    return await _launch(leasing, caller, request, body, session_egress)
                except LeaseLimit as error:
                    refused = error
            if subscriber.closed or time.monotonic() >= end_s:
                raise refused
            await asyncio.sleep(min(MIN_CHECK_INTERVAL_S, max(0.0, end_s - time.monotonic())))
            await wait_for_free_lease(subscriber, min(end_s, time.monotonic() + MAX_CHECK_INTERVAL_S))


async def _limit_error(db: Database, caller: Caller, request: LaunchRequest) -> GreenroomError | None:
    """Return the error if a limit of leases refuses the request now, by one query; None = the launch may be tried."""
    counts = await leases.read_counts(
        db, caller.key_id, user_id=request.user_id, idempotency_key=request.idempotency_key
    )
    if counts.repeated:
        return None
    return limit_refusal(
        resolve(counts.groups),
        leased=True,
        user_sessions=counts.user_leases,
        key_leases=counts.key_leases,
        max_leases=counts.max_leases,
    )


async def wait_for_free_lease(subscriber: Subscriber, end_s: float) -> None:
    """Wait for an event after which a limit may allow a lease, until `end_s` (monotonic) or the stop of the process."""
    while not subscriber.closed and (remaining_s := end_s - time.monotonic()) > 0:
        if any(event is RESYNC or event.topic in LIMIT_TOPICS for event in await subscriber.take(remaining_s)):
            return


async def _launch(
    leasing: LeaseParts, caller: Caller, request: LaunchRequest, body: LeaseCreate, session_egress: SessionEgress
) -> tuple[LeaseRow, Session]:
    """Launch the session with its lease. For a repeated request, return the lease and session of the first request."""
    reservation_id = None
    if caller.key_id and caller.max_leases is not None:
        reservation_id = await leases.reserve(
            leasing.db, caller.key_id, user_id=request.user_id, idempotency_key=request.idempotency_key
        )
    new = NewLease(
        lease_id=str(uuid.uuid4()),
        seconds=float(body.seconds),
        holder=caller.name,
        key_id=caller.key_id,
        taken_by=caller.user_id if caller.user_id != request.user_id else None,
        max_lease_s=caller.max_lease_s,
        not_after=caller.expires if caller.key_id else None,
        tags=body.tags or [],
        record=body.record,
        record_text=body.record_text,
        reservation_id=reservation_id,
    )
    try:
        launched = await leasing.launcher.launch(replace(request, lease=new), shows_machines=caller.may("agents_view"))
    except BaseException:
        if reservation_id is not None:
            await leases.delete_reservation(leasing.db, reservation_id)
        raise
    if not launched.repeated:
        lease, session = await asyncio.gather(
            leases.get_lease(leasing.db, new.lease_id), views.get_session(leasing.db, launched.session_id)
        )
        egress.log_granted_secrets(leasing.logs, caller, lease, session_egress)
        return lease, session
    if reservation_id is not None:
        await leases.delete_reservation(leasing.db, reservation_id)
    return await _lease_of_first_request(leasing, caller, launched.session_id)


async def _lease_of_first_request(leasing: LeaseParts, caller: Caller, session_id: str) -> tuple[LeaseRow, Session]:
    """Return the lease of the first request with the same idempotency key, if the caller holds it. Raises
    IdempotencyMismatch: the caller does not hold it."""
    session = await views.get_session(leasing.db, session_id)
    lease = await leases.find_lease_of(leasing.db, session.session_id)
    if lease is None or not is_holder(caller, lease):
        raise IdempotencyMismatch
    return lease, session


async def granted_leases(leasing: LeaseParts, caller: Caller, lease_ids: Iterable[UUID]) -> dict[UUID, LeaseGranted]:
    """Return the leases that the caller holds, with their tokens and addresses, by id. Takes two queries."""
    rows = await leases.get_leases(leasing.db, list(map(str, lease_ids)))
    lease_of_session = {lease.session_id: lease for lease in rows if is_holder(caller, lease)}
    if not lease_of_session:
        return {}
    session_filter = SessionFilter(session_ids=list(map(UUID, lease_of_session)), ended=True)
    sessions = await views.list_sessions(leasing.db, session_filter.conditions())
    granted = (_granted_lease(leasing, lease_of_session[session.session_id], session) for session in sessions.rows)
    return {lease.lease_id: lease for lease in granted}


def _granted_lease(leasing: LeaseParts, lease: LeaseRow, session: Session) -> LeaseGranted:
    """Return a lease with its token and addresses, for its holder."""
    stream, token = stream_url_of(session, leasing.streams), token_of(session, leasing.secrets)
    lease_token = leasing.secrets.lease_token(lease.lease_id, lease.auth_epoch)
    token_address = f"{stream}lease/{lease_token}/" if stream else ""
    program, facts = (
        SessionCaller(kind=Kind.PROGRAM),
        SessionFacts(permitted=lease.permissions, must_record=lease.must_record),
    )
    allowed_acts = {act for act in ACTS_OF_LEASE_TOKEN if token_address and not decide(act, program, facts).refused}
    service_urls = {
        offered.name: token_address + offered.folder for offered in session.services if offered.name in allowed_acts
    }
    live = f"{leasing.streams.page_origin}/watch/{lease.lease_id}"
    page = leasing.streams.page_origin + connect_url(session.session_id, str(session.user_id), token)
    # With the connect token, a program would act as the user, without the recording that their groups require.
    page = live if lease.must_record and lease.key_id is not None else page
    return LeaseGranted(
        **LeaseView.model_validate(lease).model_dump(),
        token=lease_token,
        urls=LeaseUrlsView(
            page=page,
            websocket=f"wss{token_address.removeprefix('https')}websockify"
            if Act.STREAM_AS_PROGRAM in allowed_acts
            else None,
            cdp=service_urls.get("cdp"),
            webdriver=service_urls.get("webdriver"),
            mcp=leasing.streams.page_origin + MCP_PATH if MCP in plugins.plugin_names(plugins.INTERFACES) else None,
            live=live,
        ),
    )


async def extend(leasing: LeaseParts, lease: LeaseRow, seconds: int) -> None:
    """Set the deadline to `seconds` from now.

    Raises:
        Invalid: the user's sessions, the leases of the API key, or leases in general may not last so long.
        WrongState: the lease is over.
    """
    limits = LeaseLimits(
        created=lease.created,
        max_days=leasing.installation.max_lease_days,
        max_lease_s=lease.max_lease_s,
        not_after=lease.not_after,
    )
    limits.require(seconds, datetime.now(UTC))
    session = await views.get_session(leasing.db, lease.session_id)
    settings = await settings_of(leasing.db, session.user_id)
    allowed = clocks_of(settings, session.image_time_limit, session.image_friendly_name)
    lease_clocks(seconds, allowed)
    if await leases.extend(leasing.db, session.session_id, seconds, allowed.time_limit_s):
        return
    current = await leases.get_lease(leasing.db, lease.lease_id)
    if current.status in leases.EXTENDABLE:
        raise Invalid(f"The session of this lease cannot last {seconds} s more: {allowed.time_limit_from}.")
    raise WrongState(f"The lease is over: its session is {current.status}.")


async def release(leasing: LeaseParts, lease: LeaseRow) -> None:
    """End a lease and destroy its session. A repeated call succeeds."""
    session = await views.get_session(leasing.db, lease.session_id)
    await service.destroy(leasing.db, leasing.logs, session, "its lease was released")
