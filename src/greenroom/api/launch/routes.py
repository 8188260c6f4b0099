"""The launcher, connect addresses, the ledger of launches, and the settings in force for all users of a workspace.

The launcher is the console page on which users launch workspaces. A connect address opens one session, and contains a
token instead of a log-in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import AwareDatetime, Field

from greenroom.api.bodies import View
from greenroom.api.deps import Db, SecretsDep, SupplyReads
from greenroom.api.lease import control
from greenroom.api.lease.control import ControlPartsDep
from greenroom.api.lease.schemas import ControlByToken, ControlView
from greenroom.api.paging import Counting, Paging, Search, Sorting
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, public_route, requires
from greenroom.api.session import service
from greenroom.api.session.instructions import keep_alive
from greenroom.api.session.schemas import ConnectBody, ConnectionView, KeepaliveView, LaunchOptions, PlacementStep
from greenroom.api.session.service import Streams, connection_of, is_connect_token_of
from greenroom.api.workspace.schemas import LauncherImage
from greenroom.core.access.group_settings import EffectiveSetting, GroupSettings, resolve
from greenroom.core.access.permissions import USER
from greenroom.core.errors import NotFound, require_row
from greenroom.core.launch.compatibility import LaunchFacts, profile_is_allowed
from greenroom.core.launch.forecast import (
    DEFAULT_START_S,
    LIMIT_REACHED,
    ForecastCheck,
    LaunchForecast,
    Supply,
    forecast_checks,
    launch_forecast,
)
from greenroom.core.launch.nearest import NEARER_BY_MS, RoundTripTarget, round_trip_targets
from greenroom.core.launch.plan import LaunchAttempt, plan_launch
from greenroom.core.launch.request import LaunchRequest, current_zone_id, facts_of_members, launch_facts
from greenroom.core.lease import USER as USER_VIEWER
from greenroom.core.lease import Person, limit_refusal
from greenroom.core.listing import order_of, words_of
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.access import groups
from greenroom.db.access.groups import groups_of_user
from greenroom.db.database import Database
from greenroom.db.fleet.views import read_routes
from greenroom.db.launch import ledger
from greenroom.db.launch.ledger import (
    LAUNCHES,
    NEWEST_FIRST,
    LaunchFilter,
    RecordedLaunch,
    UserOfLauncher,
    Workspace,
    WorkspaceSupply,
    read_user_of_launcher,
)
from greenroom.db.lease.leases import find_lease_of
from greenroom.db.pool import configs
from greenroom.db.session import views
from greenroom.db.session.viewers import find_stream_session
from greenroom.db.session.views import Session
from greenroom.kit.concurrency import CoalescedRead
from greenroom.kit.secrets import Secrets


async def launcher_images(
    db: Database, supply_reads: CoalescedRead[WorkspaceSupply], user_id: str, gateway_zone: str | None
) -> list[LauncherImage]:
    """Return the workspaces of the user's groups, by name. `gateway_zone`: see `LaunchRequest`."""
    user = await read_user_of_launcher(db, user_id)
    workspace_supply = await supply_reads.get()
    allowed = set(user.image_ids)
    return [
        _launcher_image(
            workspace,
            _forecast_for(workspace, workspace_supply, user, gateway_zone),
            user.last_launched.get(image_id),
        )
        for image_id, workspace in workspace_supply.workspaces.items()
        if image_id in allowed
    ]


async def round_trip_targets_of(
    db: Database, supply_reads: CoalescedRead[WorkspaceSupply], http_request: Request
) -> tuple[RoundTripTarget, ...]:
    """Return the addresses at which the browser of a user measures its round trip to each zone."""
    zones = (await supply_reads.get()).supply.zones
    if len(zones) < 2:
        return ()
    edges: defaultdict[str, list[str]] = defaultdict(list)
    for route in await read_routes(db):
        if route.edge_url:
            edges[route.zone_id].append(route.edge_url)
    host = http_request.headers.get("host", "")
    request = LaunchRequest(
        user_id="", image_id="", request_host=host, gateway_zone=http_request.headers.get("x-greenroom-zone") or None
    )
    return round_trip_targets(zones, current_zone_id(zones, request, may_choose=False), edges, host)


def _forecast_for(
    workspace: Workspace, workspace_supply: WorkspaceSupply, user: UserOfLauncher, gateway_zone: str | None
) -> LaunchForecast:
    image, supply = workspace.image, workspace_supply.supply
    facts = launch_facts(user, image)
    if limit_refusal(facts.settings, leased=False, user_sessions=user.num_sessions) is not None:
        return LaunchForecast(False, None, LIMIT_REACHED)
    return launch_forecast(image, _attempts(image, supply, facts, gateway_zone), supply)


def _attempts(
    image: ImageFacts, supply: Supply, facts: LaunchFacts, gateway_zone: str | None
) -> tuple[LaunchAttempt, ...]:
    """Return the attempts of a launch without options; none if there is no zone."""
    if not supply.zones:
        return ()
    request = LaunchRequest(user_id="", image_id=image.image_id, request_host="", gateway_zone=gateway_zone)
    first_zone_id = current_zone_id(supply.zones, request, may_choose=False)
    return plan_launch(supply.zones, first_zone_id, image, supply.pools.get(image.image_id, ()), facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnForecast:
    """The forecast of a launch by a user, with the checked attempts. `sessions` is the number of sessions that count
    toward the maximum of the user. `start_s` is the expected time of a start."""

    image: ImageFacts
    memberships: list[GroupSettings]
    settings: Mapping[str, EffectiveSetting]
    sessions: int
    checks: tuple[ForecastCheck, ...]
    start_s: float


async def own_forecast(
    db: Database,
    supply_reads: CoalescedRead[WorkspaceSupply],
    user_id: str,
    image_id: str,
    gateway_zone: str | None,
) -> OwnForecast:
    """Return the forecast of a launch. Raises NotFound: the user may not use the workspace, or it is not enabled."""
    user, workspace_supply = await read_user_of_launcher(db, user_id), await supply_reads.get()
    workspace = workspace_supply.workspaces.get(image_id)
    if workspace is None or image_id not in user.image_ids:
        raise NotFound(f"There is no workspace {image_id}; it may have been deleted or disabled.")
    image, supply = workspace.image, workspace_supply.supply
    facts = launch_facts(user, image)
    return OwnForecast(
        image=image,
        memberships=user.groups,
        settings=facts.settings,
        sessions=user.num_sessions,
        checks=tuple(forecast_checks(image, _attempts(image, supply, facts, gateway_zone), supply)),
        start_s=workspace.measured.start_s or DEFAULT_START_S,
    )


def _launcher_image(workspace: Workspace, forecast: LaunchForecast, last_launched: datetime | None) -> LauncherImage:
    image = workspace.image
    return LauncherImage.of(
        workspace,
        image_id=image.image_id,
        name=image.name,
        friendly_name=image.friendly_name,
        ready=forecast.ready,
        expected_s=None if forecast.expected_s is None else round(forecast.expected_s, 1),
        reason=forecast.reason,
        last_launched=last_launched,
    )


@dataclass(frozen=True, slots=True)
class SimilarUsers:
    """Users with the same groups: their number, and the facts of their launches without launch options."""

    number: int
    facts: LaunchFacts


async def group_similar_users(db: Database, image: ImageFacts) -> list[SimilarUsers]:
    """Return the users who may use the workspace and log in, grouped by their sets of groups."""
    by_id = {group.group_id: group for group in (await groups.list_groups(db)).rows}
    similar_users: list[SimilarUsers] = []
    for row in await configs.group_sets_of_image(db, image.image_id):
        members = [by_id[group_id] for group_id in row.group_ids if group_id in by_id]
        similar_users.append(SimilarUsers(row.number, facts_of_members(resolve(members), image)))
    return similar_users


router = api_router("sessions")

_BY_TOKEN = public_route("the session's token is the credential, as it is for the stream")


class LaunchView(View, row=RecordedLaunch):
    """One launch of the ledger; `session_id` is null if it got no session."""

    launch_id: UUID
    session_id: UUID | None
    user_id: UUID | None
    image_id: UUID | None
    outcome: Literal["staged", "on_demand", "failed"]
    reason: Annotated[str, Field(description="how the launch was served, or the reason why it was not")]
    steps: list[PlacementStep]
    duration_ms: Annotated[float, Field(description="time until the decision of the api")]
    waited_ms: Annotated[
        float | None, Field(description="time until the user could use the session, or was refused; null = unknown")
    ]


@router.get("/me/images")
async def list_own_images(
    request: Request, db: Db, supply_reads: SupplyReads, caller: Annotated[Caller, requires(USER)]
) -> list[LauncherImage]:
    """List the workspaces that this user may launch.

    Each workspace has a forecast of a launch now: at once, after some seconds, or not possible.
    """
    return await launcher_images(
        db, supply_reads, caller.own_user_id(), request.headers.get("x-greenroom-zone") or None
    )


@router.get("/me/launch-options")
async def get_launch_options(
    request: Request, db: Db, supply_reads: SupplyReads, caller: Annotated[Caller, requires(USER)]
) -> LaunchOptions:
    """Return the choices of this user for a launch, and the addresses for the measurement of the nearest zone."""
    settings = resolve(await groups_of_user(db, caller.own_user_id()))
    mode = settings["nearest_zone"].value
    targets = () if mode == "off" else await round_trip_targets_of(db, supply_reads, request)
    return LaunchOptions.model_validate(
        {
            "nearest": {"mode": mode, "nearer_by_ms": NEARER_BY_MS, "targets": targets},
            "zones": await ledger.list_zones(db) if settings["allow_zone_selection"].value else [],
            "images_with_profile": [
                image_id
                for image_id, path in await ledger.list_profile_paths(db)
                if profile_is_allowed(settings["allow_persistent_profile"], path)
            ],
        }
    )


@router.post("/connect", dependencies=[_BY_TOKEN])
async def connect(body: ConnectBody, request: Request, db: Db, streams: Streams, secrets: SecretsDep) -> ConnectionView:
    """Return the progress of a session, and its stream, to anyone with its connect address."""
    session = await _session_of_connect_address(db, secrets, request, body)
    return connection_of(session, streams, secrets, may_open=True, queue=await service.queue_of(db, session))


@router.post("/connect/keepalives", dependencies=[_BY_TOKEN])
async def keep_alive_by_token(body: ConnectBody, request: Request, db: Db, secrets: SecretsDep) -> KeepaliveView:
    """Extend an open session to `keepalive_expiration` from now, by its connect address."""
    session = await _session_of_connect_address(db, secrets, request, body)
    return KeepaliveView(usage_reached=False, expires=await keep_alive(db, session))


@router.post("/connect/control", dependencies=[_BY_TOKEN])
async def change_control_by_token(
    body: ControlByToken, request: Request, parts: ControlPartsDep, secrets: SecretsDep
) -> ControlView:
    """Take, keep or return the control of a leased session, by the connect address of the session."""
    session = await _session_of_connect_address(parts.db, secrets, request, body)
    lease = require_row(await find_lease_of(parts.db, session.session_id), "lease of session", session.session_id)
    person = Person(viewer=USER_VIEWER, name=session.username or "The user", owns=True)
    return await (control.take if body.holder == "person" else control.hand_back)(parts, lease, person, body.term)


async def _session_of_connect_address(db: Database, secrets: Secrets, request: Request, body: ConnectBody) -> Session:
    """Return the session, or its replacement, if the token opens it and its user is enabled.

    Raises:
        NotFound: the access is refused. The sentence is always the same, so that it does not show if the session
            exists.
        TooManyRequests: there were too many wrong tokens from this address.
    """
    session_id, token = str(body.session_id), body.session_token.get_secret_value()
    stream = await find_stream_session(db, session_id)
    user_may_open = stream is not None and stream.user_enabled and stream.user_id == str(body.user_id)
    if stream is None or not user_may_open or not is_connect_token_of(secrets, token, stream):
        request.app.state.failed_attempts.count_wrong_key(request, f"by the connect address of session {session_id}")
        request.app.state.refusals.log_wrong_address(request, session_id)
        raise NotFound("This address is not valid: the session has ended, or the access was withdrawn.")
    return await views.get_session(db, stream.session_id)


@router.get("/launches", dependencies=[requires("sessions_view")])
async def list_launches(
    db: Db,
    page: Paging,
    outcome: Annotated[
        Literal["staged", "on_demand", "failed"] | None, Query(description="only launches with this outcome")
    ] = None,
    user_id: Annotated[UUID | None, Query()] = None,
    image_id: Annotated[UUID | None, Query()] = None,
    since: Annotated[AwareDatetime | None, Query(description="launches from this time on")] = None,
    until: Annotated[AwareDatetime | None, Query(description="launches before this time")] = None,
    q: Search = "",
    sort: Sorting = str(NEWEST_FIRST),
    count: Counting = False,
) -> list[LaunchView]:
    """List launches with all their steps, newest first unless the request sets another order."""
    filter_words = words_of(q, LAUNCHES.columns)
    launch_filter = LaunchFilter(
        outcome=outcome, user_id=user_id, image_id=image_id, since=since, until=until, words=filter_words
    )
    if count:
        page.set_total(await ledger.count_launches(db, launch_filter))
    order = order_of(sort, LAUNCHES.orders)
    after = page.after_row(order)
    rows = await ledger.list_launches(db, launch_filter, order=order, after=after, limit=page.limit)
    return [LaunchView.model_validate(launch) for launch in page.rows(rows, order)]


@router.get("/launches/{launch_id}", dependencies=[requires("sessions_view")])
async def get_launch(launch_id: UUID, db: Db) -> LaunchView:
    """Return one launch. The problem document of a refused launch contains its `launch_id`."""
    row = await ledger.get_launch(db, launch_id)
    if row is None:
        raise NotFound(f"There is no launch {launch_id}; it may have been deleted after launch_retention_days.")
    return LaunchView.model_validate(row)
