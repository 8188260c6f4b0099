"""Sessions: launch, list, read, keep alive, stop, pause, resume, destroy. Users control their own sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from fastapi.responses import Response

from greenroom.api.access.accounts import default_image_of
from greenroom.api.deps import Db, LauncherDep, Logs, ScreenshotsDep, SecretsDep
from greenroom.api.paging import MAX_LIMIT, Counting, Page, Paging, Search, Sorting
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED
from greenroom.api.security import Caller, client_address, requires, requires_own_or
from greenroom.api.session import instructions, service
from greenroom.api.session.authorized import caller_for, kind_of, session_caller_of, verdict_on
from greenroom.api.session.instructions import (
    CommandView,
    PermittedActions,
    act_of_command,
    caller_in_sessions,
    end_by_force,
    expiry_of,
    keep_alive,
    order_command,
    permitted_actions_of,
    wait_for_result,
    with_encrypted_variables,
)
from greenroom.api.session.schemas import (
    MAX_IDEMPOTENCY_KEY,
    AddressChange,
    CommandCreate,
    ConnectionView,
    KeepaliveCreate,
    KeepaliveView,
    Launched,
    LifecycleOrder,
    PlacementView,
    SessionCreate,
    SessionState,
    SessionView,
)
from greenroom.api.session.service import (
    SessionAct,
    Streams,
    StreamUrls,
    connection_of,
    session_act_for,
    stream_url_of,
)
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Refused
from greenroom.core.listing import SortOrder, order_of, words_of
from greenroom.core.session.authorization import Act, Kind
from greenroom.core.session.states import OPERATIONAL
from greenroom.core.workspace.exec_config import command_of
from greenroom.db.database import Database
from greenroom.db.launch.ledger import launch_of_session
from greenroom.db.session import sessions
from greenroom.db.session.lifecycle import PageReport
from greenroom.db.session.views import NEWEST_FIRST, SESSIONS, Session, SessionFilter, SessionScope
from greenroom.db.workspace import images
from greenroom.shared.states import SessionStatus

router = api_router("sessions")


async def _filters(
    user_id: Annotated[UUID | None, Query()] = None,
    image_id: Annotated[UUID | None, Query()] = None,
    staging_config_id: Annotated[UUID | None, Query()] = None,
    agent_id: Annotated[UUID | None, Query()] = None,
    status: Annotated[SessionStatus | None, Query(description="only sessions in this status")] = None,
    staged: Annotated[
        bool | None, Query(description="true = sessions without a user; false = sessions with a user")
    ] = None,
    ended: Annotated[bool, Query(description="include sessions that ended in the last days")] = False,
    set_aside: Annotated[
        bool, Query(description="only quarantined sessions, whose hand-over to a user failed")
    ] = False,
    session_id: Annotated[list[UUID] | None, Query(max_length=MAX_LIMIT, description="only these sessions")] = None,
    q: Search = "",
) -> SessionFilter:
    return SessionFilter(
        user_id=user_id,
        image_id=image_id,
        staging_config_id=staging_config_id,
        agent_id=agent_id,
        status=status,
        staged=staged,
        ended=ended,
        set_aside=set_aside,
        session_ids=session_id,
        words=words_of(q, SESSIONS.columns),
    )


Follow = Annotated[bool, Query(description="false = the session itself, even if another session replaced it")]
Filters = Annotated[SessionFilter, Depends(_filters)]


@router.get("/sessions")
async def list_sessions(
    db: Db,
    page: Paging,
    streams: Streams,
    filters: Filters,
    caller: Annotated[Caller, requires_own_or("sessions_view", scope=LISTED)],
    sort: Sorting = str(NEWEST_FIRST),
    count: Counting = False,
) -> list[SessionView]:
    """List sessions, newest first unless the request sets another order.

    Callers without `sessions_view` get only their own sessions, and those in the scope of their roles.
    """
    zones, groups = (caller.ids_in_scope("sessions_view", kind) for kind in ("zone", "group"))
    if zones or groups:
        filters = replace(filters, scope=SessionScope(zones=zones or [], groups=groups or [], user_id=caller.user_id))
        caller = caller_in_sessions(caller)
    elif not caller.may("sessions_view"):
        caller.require(USER)
        filters = replace(filters, user_id=caller.own_user_id())
    if count:
        page.set_total(await SESSIONS.count(db, filters.conditions(), "created"))
    order = order_of(sort, filters.orders)
    return await _session_views(db, page, streams, await permitted_actions_of(db, caller), filters, order)


@router.get("/me/sessions")
async def list_own_sessions(
    db: Db, page: Paging, streams: Streams, caller: Annotated[Caller, requires(USER)]
) -> list[SessionView]:
    """List the sessions of the caller, newest first."""
    return await _session_views(
        db, page, streams, await permitted_actions_of(db, caller), SessionFilter(user_id=caller.own_user_id())
    )


async def _session_views(
    db: Database,
    page: Page,
    streams: StreamUrls,
    permitted_actions: PermittedActions,
    filters: SessionFilter,
    order: SortOrder = NEWEST_FIRST,
) -> list[SessionView]:
    found = await page.read(db, SESSIONS, filters.conditions(), order)
    return [_session_view(session, streams, permitted_actions) for session in found]


@router.post("/sessions", status_code=202)
async def launch_session(
    body: SessionCreate,
    request: Request,
    streams: Streams,
    db: Db,
    launcher: LauncherDep,
    caller: Annotated[Caller, requires_own_or("users_auth_session")],
    idempotency_key: Annotated[str | None, Header(max_length=MAX_IDEMPOTENCY_KEY)] = None,
) -> Launched:
    """Launch a workspace; without `image_id`, the default workspace. The answer does not wait for a container.

    The same `Idempotency-Key` returns the same session. 409 `no-resources` lists the missing resources by zone.
    """
    user_id = await service.launching_user(db, caller, body.user_id)
    image_id = str(body.image_id) if body.image_id else await default_image_of(db, user_id)
    launch_request = replace(
        service.launch_request(body, user_id, image_id, request.headers, idempotency_key),
        for_caller=user_id == caller.owner_id,
    )
    result = await launcher.launch(launch_request, shows_machines=caller.may("agents_view"))
    return Launched(
        session_id=UUID(result.session_id),
        user_id=UUID(result.user_id),
        username=result.username,
        image_id=UUID(image_id),
        zone_id=UUID(result.zone_id),
        zone_name=result.zone_name,
        status=result.status,
        operational_status=OPERATIONAL[SessionStatus(result.status)],
        staged=result.staged,
        session_token=result.token,
        stream_url=streams.of(result.proxy, result.agent_id, result.session_id),
        connect_url=f"/session/{result.session_id}",
    )


@router.get("/sessions/{session_id}")
async def get_session(
    session_id: UUID, db: Db, streams: Streams, caller: Annotated[Caller, caller_for(Act.SEE)], follow: Follow = True
) -> SessionView:
    """Return one session, or its replacement."""
    session = await service.session_for(db, caller, str(session_id), Act.SEE, follow=follow)
    return _session_view(session, streams, await permitted_actions_of(db, caller))


@router.delete("/sessions/{session_id}", status_code=202)
async def delete_session(
    session_id: UUID,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, caller_for(Act.DELETE, Act.FORCE_DELETE)],
    force: Annotated[bool, Query(description="delete it immediately, even if its Agent does not respond")] = False,
    follow: Follow = True,
) -> SessionState:
    """Destroy a session, or its replacement. A repeated request succeeds.

    With `force`, it is deleted immediately in any status and its reservation is released; its container is removed when
    its Agent next reports it. That needs `sessions_delete`, or `allow_kasm_force_delete` of the caller's groups.
    """
    act = Act.FORCE_DELETE if force else Act.DELETE
    session = await service.session_for(db, caller, str(session_id), act, follow=follow)
    if force:
        await end_by_force(db, logs, session, f"deleted by force by {caller.name}")
    elif session.superseded_by is not None:
        await service.destroy_quarantined(db, logs, session, f"deleted by {caller.name}")
    else:
        await service.destroy(db, logs, session, f"deleted by {caller.name}")
    is_over = force or session.status == SessionStatus.DELETED
    status = SessionStatus.DELETED if is_over else SessionStatus.DELETING
    return SessionState(session_id=UUID(session.session_id), status=status, operational_status=OPERATIONAL[status])


@router.get("/sessions/{session_id}/connection")
async def get_connection(
    db: Db, streams: Streams, secrets: SecretsDep, act: Annotated[SessionAct, session_act_for(Act.SEE)]
) -> ConnectionView:
    """Return the progress of the session.

    Once it runs, its user, or a program that acts for users, also gets the address of the stream.
    """
    launches_for_users = act.caller.kind == "key" and act.caller.may("users_auth_session")
    kind = Kind.FOR_USERS if launches_for_users else kind_of(act.caller, act.session.user_id)
    session_caller = session_caller_of(act.caller, act.session.user_id, kind)
    may_open = not (await verdict_on(db, Act.OPEN, session_caller, act.session)).refused
    shows_causes = service.may_know_causes(act.caller)
    queue = await service.queue_of(db, act.session)
    return connection_of(act.session, streams, secrets, may_open=may_open, shows_causes=shows_causes, queue=queue)


@router.get("/sessions/{session_id}/placement")
async def get_placement(db: Db, act: Annotated[SessionAct, session_act_for(Act.SEE)]) -> PlacementView:
    """Return the placement of the session: every step of its launch, with the reasons against other candidates."""
    launch = await launch_of_session(db, act.session.session_id)
    if launch is None:
        return PlacementView(outcome="staged" if act.session.staging_config_id else "on_demand", steps=[])
    return PlacementView.model_validate(launch)


@router.post("/sessions/{session_id}/keepalives")
async def keep_session_alive(
    db: Db,
    request: Request,
    act: Annotated[SessionAct, session_act_for(Act.KEEP_ALIVE)],
    body: KeepaliveCreate | None = None,
) -> KeepaliveView:
    """Extend an open session: it expires `keepalive_expiration` from now. The page that shows the session to its user
    sends a body; then the address of the browser is stored with the session."""
    report = None
    if body is not None and act.caller.user_id == act.session.user_id:
        report = PageReport(
            round_trip_ms=body.round_trip_ms,
            frames_s=body.frames_s,
            kbit_s=body.kbit_s,
            client_address=client_address(request),
        )
    # Clients of the published API read `usage_reached`. Greenroom has no limit of usage.
    return KeepaliveView(usage_reached=False, expires=await keep_alive(db, act.session, report))


def _session_view(session: Session, streams: StreamUrls, permitted_actions: PermittedActions) -> SessionView:
    shows_causes = service.may_know_causes(permitted_actions.caller)
    start_progress, expiry = service.progress_of(session, shows_causes=shows_causes), expiry_of(session)
    if session.error and not shows_causes:
        session = replace(session, error=start_progress.message, log_tail=None, exit_code=None)
    return SessionView.of(
        session,
        stream_url=stream_url_of(session, streams),
        operational_status=start_progress.operational_status,
        operational_progress=start_progress.percent,
        operational_message=start_progress.message,
        expires_action=expiry.action if expiry else None,
        expires_reason=expiry.reason if expiry else None,
        expires_setting=expiry.setting if expiry and expiry.is_of_group else None,
        actions=permitted_actions.actions(session),
        status_reason=session.status_reason if shows_causes else None,
    )


@router.post("/sessions/{session_id}/lifecycle-commands", status_code=202)
async def order_lifecycle(
    session_id: UUID,
    body: LifecycleOrder,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, caller_for(Act.STOP, Act.PAUSE, Act.RESUME)],
) -> SessionState:
    """Stop, pause or resume a session; its Agent does this later. A repeated request succeeds.

    Users may stop and pause their own sessions if their groups allow it (`allow_kasm_stop`, `allow_kasm_pause`), and
    always resume them. Sessions of others need `sessions_modify`.
    """
    session = await service.session_for(db, caller, str(session_id), Act(body.command))
    status = await instructions.request_lifecycle_command(db, logs, caller, session, body.command)
    return SessionState(session_id=UUID(session.session_id), status=status, operational_status=OPERATIONAL[status])


command_router = api_router("sessions")

MAX_SIDE_PX: Final = 1920

SideLength = Annotated[int, Query(ge=16, le=MAX_SIDE_PX, description="pixels; the aspect ratio stays the same")]


@command_router.post("/sessions/{session_id}/commands")
async def run_command(
    session_id: UUID,
    body: CommandCreate,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, caller_for(Act.COMMAND, Act.COMMAND_AS)],
) -> CommandView:
    """Run a command in a running session, at most once, and wait for its result.

    Of a long output, only the end is returned, below a line that reports the omission. A command that exceeds its
    deadline continues to run, and its `exit_code` is null.
    """
    session = await service.session_for(db, caller, str(session_id), act_of_command(body))
    command_id = await order_command(db, logs, caller, session, with_encrypted_variables(body, secrets))
    return await wait_for_result(db, command_id, body.deadline_s)


@command_router.get(
    "/sessions/{session_id}/screenshot",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "the screen as a JPEG"}},
)
async def get_screenshot(
    screenshots: ScreenshotsDep,
    act: Annotated[SessionAct, session_act_for(Act.SCREENSHOT)],
    width: SideLength = 300,
    height: SideLength = 300,
) -> Response:
    """Return the screen of a running session as a JPEG that fits into width x height.

    It is refreshed once per second.
    """
    return Response(
        await screenshots.take(act.caller, act.session, act.verdict, width, height), media_type="image/jpeg"
    )


GO_TIMEOUT_S: Final = 10.0
"""The time limit of the request `go`. A command that has not ended continues to run."""


@command_router.post("/sessions/{session_id}/go")
async def go(
    body: AddressChange, db: Db, logs: Logs, act: Annotated[SessionAct, session_act_for(Act.COMMAND_OF_WORKSPACE)]
) -> CommandView:
    """Open an address in a running session, with the `go` command of its workspace.

    The command gets the address as `KASM_URL`. A null `exit_code` means that the command did not end within 10 s and
    continues to run.
    """
    image = await images.get_image(db, act.session.image_id)
    command = command_of(image.exec_config, "go")
    if command is None:
        raise Refused(f"Workspace {image.friendly_name} has no `go` command, so it cannot open an address.")
    go_command = CommandCreate(
        command=list(command.argv),
        user=command.user,
        environment={**command.environment, "KASM_URL": body.kasm_url},
        workdir=command.workdir,
        deadline_s=GO_TIMEOUT_S,
    )
    command_id = await order_command(db, logs, act.caller, act.session, go_command)
    result = await wait_for_result(db, command_id, GO_TIMEOUT_S)
    if result.exit_code in (0, None):
        await sessions.set_kasm_url(db, act.session.session_id, body.kasm_url)
    session_caller = session_caller_of(act.caller, act.session.user_id, kind_of(act.caller, act.session.user_id))
    may_see_output = not (await verdict_on(db, Act.OUTPUT_OF_WORKSPACE, session_caller, act.session)).refused
    return result if may_see_output else result.model_copy(update={"output": ""})
