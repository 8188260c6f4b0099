"""Sessions: launch, list, follow, keep alive, command, destroy. Users see and act on their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from psycopg.rows import DictRow

from greenroom.api import session_actions as actions
from greenroom.api.deps import Config, Db, InstallationSecrets, Launches, Logs
from greenroom.api.launch import LaunchRequest
from greenroom.api.paging import Page, Paging
from greenroom.api.schemas.sessions import (
    IDEMPOTENCY_KEY_MAX,
    CommandCreate,
    CommandView,
    ConnectionView,
    Deleting,
    KeepaliveView,
    Launched,
    PlacementView,
    SessionCreate,
    SessionView,
    StepView,
)
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Invalid
from greenroom.core.origins import stream_origin
from greenroom.core.permissions import USER
from greenroom.core.states import OPERATIONAL, SessionStatus
from greenroom.db import session_views
from greenroom.db.database import Database
from greenroom.db.launches import launch_of_session

router = APIRouter(tags=["sessions"])


class Filters:
    """Which sessions a list shows."""

    def __init__(
        self,
        user_id: Annotated[UUID | None, Query()] = None,
        image_id: Annotated[UUID | None, Query()] = None,
        staging_config_id: Annotated[UUID | None, Query()] = None,
        agent_id: Annotated[UUID | None, Query()] = None,
        status: Annotated[SessionStatus | None, Query()] = None,
        staged: Annotated[bool | None, Query(description="true = without a user, false = with one")] = None,
        ended: Annotated[bool, Query(description="also those that ended in the last days")] = False,
    ) -> None:
        self.values: dict[str, Any] = {
            "user_id": user_id,
            "image_id": image_id,
            "staging_config_id": staging_config_id,
            "agent_id": agent_id,
            "status": status,
            "staged": staged,
            "ended": ended,
        }


@router.get("/sessions")
async def list_sessions(
    db: Db, page: Paging, filters: Annotated[Filters, Depends()], caller: Annotated[Caller, requires()]
) -> list[SessionView]:
    """Sessions, newest first: all with `sessions_view`, otherwise the own ones."""
    values = filters.values
    if not caller.may("sessions_view"):
        caller.require(USER)
        values = values | {"user_id": caller.own_user_id()}
    return await _listed(db, page, values)


@router.get("/me/sessions")
async def list_own_sessions(db: Db, page: Paging, caller: Annotated[Caller, requires(USER)]) -> list[SessionView]:
    """The own sessions, newest first."""
    return await _listed(db, page, {"user_id": caller.own_user_id()})


async def _listed(db: Database, page: Page, values: dict[str, Any]) -> list[SessionView]:
    after = page.after_texts(2)
    before = (after[0], after[1]) if after[0] is not None and after[1] is not None else None
    found = await session_views.list_sessions(db, **values, before=before, limit=page.limit + 1)
    rows = page.cut(found, lambda row: [row["created"].isoformat(), str(row["session_id"])])
    return [_view(row) for row in rows]


@router.post("/sessions", status_code=202)
async def launch_session(
    body: SessionCreate,
    request: Request,
    launcher: Launches,
    caller: Annotated[Caller, requires()],
    idempotency_key: Annotated[str | None, Header(max_length=IDEMPOTENCY_KEY_MAX)] = None,
) -> Launched:
    """Launch a workspace; the answer never waits for a container.

    The same `Idempotency-Key` gives the same session; 409 `no-resources` says what is missing where.
    """
    result = await launcher.launch(
        LaunchRequest(
            user_id=_launching_user(caller, body.user_id),
            image_id=str(body.image_id),
            zone_id=str(body.zone_id) if body.zone_id else None,
            gateway_zone=request.headers.get("x-greenroom-zone") or None,
            request_host=request.headers.get("host", ""),
            environment=dict(body.environment),
            kasm_url=body.kasm_url,
            network_id=body.network_id or None,
            persistent_profile_mode=body.persistent_profile_mode,
            idempotency_key=idempotency_key or None,
        )
    )
    return Launched(
        session_id=UUID(result.session_id),
        user_id=UUID(result.user_id),
        username=result.username,
        image_id=body.image_id,
        status=result.status,
        operational_status=OPERATIONAL[SessionStatus(result.status)],
        staged=result.staged,
        session_token=result.token,
        connect_url=f"/session/{result.session_id}",
    )


def _launching_user(caller: Caller, user_id: UUID | None) -> str:
    launching = str(user_id) if user_id else caller.user_id
    if launching is None:
        raise Invalid("An API key has no account of its own; say with user_id for whom the session is.")
    caller.require(USER if launching == caller.user_id else "users_auth_session")
    return launching


@router.get("/sessions/{session_id}")
async def get_session(session_id: UUID, db: Db, caller: Annotated[Caller, requires()]) -> SessionView:
    """One session, or the one that took its place."""
    return _view(await actions.session_for(db, caller, str(session_id), "sessions_view"))


@router.delete("/sessions/{session_id}", status_code=202)
async def delete_session(session_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires()]) -> Deleting:
    """Destroy a session; doing so again is a success."""
    session = await actions.session_for(db, caller, str(session_id), "sessions_delete")
    if not caller.may("sessions_delete"):
        await actions.require_setting(db, session, "allow_kasm_delete", "delete")
    row = await actions.destroy(db, logs, session, f"deleted by {caller.name}")
    status = SessionStatus.DELETED if session["status"] == "deleted" else SessionStatus.DELETING
    return Deleting(session_id=row["session_id"], status=status, operational_status=OPERATIONAL[status])


@router.get("/sessions/{session_id}/connection")
async def get_connection(
    session_id: UUID,
    request: Request,
    db: Db,
    config: Config,
    secrets: InstallationSecrets,
    caller: Annotated[Caller, requires()],
) -> ConnectionView:
    """How far the session is; once it is running, where its stream is (for its user, or a program acting for him)."""
    session = await actions.session_for(db, caller, str(session_id), "sessions_view")
    shown = actions.progress_of(session)
    path = _stream_path(session)
    may_open = actions.is_own(caller, session) or (caller.kind == "key" and caller.may("users_auth_session"))
    is_open = session["status"] == SessionStatus.RUNNING and session["user_id"] is not None and may_open
    found_id, user_id = str(session["session_id"]), str(session["user_id"])
    token = secrets.connect_token(found_id, user_id, session["auth_epoch"])
    origin = stream_origin(config.stream_url, config.public_url, request.headers["host"])
    return ConnectionView(
        session_id=session["session_id"],
        status=session["status"],
        operational_status=shown.operational_status,
        operational_progress=shown.percent,
        operational_message=shown.message,
        steps=[
            StepView(name=s.name, title=s.title, at=datetime.fromtimestamp(s.at, UTC) if s.at is not None else None)
            for s in shown.steps
        ],
        frame_url=f"{origin}{path}/?token={token}" if is_open else None,
        websocket_path=f"{path}/websockify" if is_open else None,
    )


@router.get("/sessions/{session_id}/placement")
async def get_placement(session_id: UUID, db: Db, caller: Annotated[Caller, requires()]) -> PlacementView:
    """How the session came about: every step of its launch and why others were passed over."""
    session = await actions.session_for(db, caller, str(session_id), "sessions_view")
    launch = await launch_of_session(db, str(session["session_id"]))
    if launch is None:
        return PlacementView(outcome="staged" if session["staging_config_id"] else "on_demand", steps=[])
    return PlacementView.model_validate(launch)


@router.post("/sessions/{session_id}/commands")
async def run_command(
    session_id: UUID, body: CommandCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires()]
) -> CommandView:
    """Run a command in the session and wait for its result."""
    session = await actions.session_for(db, caller, str(session_id), "sessions_modify")
    if body.user is not None or not actions.is_own(caller, session):
        caller.require("sessions_modify")
    actions.require_transfer(caller, session)
    logs.write(
        "INFO",
        "session-command",
        f"{caller.name} runs {body.command[0]} in session {session['session_id']}",
        session_id=str(session["session_id"]),
        username=caller.username,
    )
    result = await actions.run_command(
        db,
        session,
        body.command,
        run_as=body.user,
        env=dict(body.environment),
        workdir=body.workdir,
        deadline_s=body.deadline_s,
    )
    return CommandView.model_validate(result)


@router.post("/sessions/{session_id}/keepalive", include_in_schema=False)
@router.post("/sessions/{session_id}/keepalives")
async def keep_session_alive(session_id: UUID, db: Db, caller: Annotated[Caller, requires()]) -> KeepaliveView:
    """Somebody looks at the session: it lives on for `keepalive_expiration` from now."""
    session = await actions.session_for(db, caller, str(session_id), "sessions_modify")
    return KeepaliveView(usage_reached=False, expires=await actions.keep_alive(db, session))


def _stream_path(session: DictRow) -> str:
    return f"/{session['proxy_path']}/{str(session['agent_id'])[:8]}/{session['session_id']}"


def _view(session: DictRow) -> SessionView:
    shown = actions.progress_of(session)
    return SessionView.model_validate(
        session
        | {
            "operational_status": shown.operational_status,
            "operational_progress": shown.percent,
            "operational_message": shown.message,
        }
    )
