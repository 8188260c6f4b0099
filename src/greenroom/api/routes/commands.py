"""What is done inside a session without its stream: commands and screenshots."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from greenroom.api import session_actions as actions
from greenroom.api.commands import order_command, require_command, result_of, sealed_command
from greenroom.api.deps import Camera, Db, InstallationSecrets, Logs
from greenroom.api.schemas.sessions import CommandCreate, CommandView
from greenroom.api.security import Caller, requires_own_or

router = APIRouter(tags=["sessions"])

MOST_PIXELS_ACROSS: Final = 1920

Across = Annotated[int, Query(ge=16, le=MOST_PIXELS_ACROSS, description="pixels; the picture keeps its shape")]


@router.post("/sessions/{session_id}/commands")
async def run_command(
    session_id: UUID,
    body: CommandCreate,
    db: Db,
    logs: Logs,
    secrets: InstallationSecrets,
    caller: Annotated[Caller, requires_own_or("sessions_modify")],
) -> CommandView:
    """Run a command in a running session, at most once, and wait for its result.

    Of a long output the end is kept, and its first line says so. At its deadline a command is left alone, with
    `exit_code` null.
    """
    session = await actions.session_for(db, caller, str(session_id), "sessions_modify")
    require_command(caller, session, body)
    command_id = await order_command(db, logs, caller, session, sealed_command(body, secrets))
    return CommandView.model_validate(await result_of(db, command_id, body.deadline_s))


@router.get(
    "/sessions/{session_id}/screenshot",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "the screen as a JPEG"}},
)
async def get_screenshot(
    session_id: UUID,
    db: Db,
    camera: Camera,
    caller: Annotated[Caller, requires_own_or("sessions_screenshot")],
    width: Across = 300,
    height: Across = 300,
) -> Response:
    """The screen of a running session as a JPEG that fits into width x height; the same one for a second."""
    session = await actions.session_for(db, caller, str(session_id), "sessions_screenshot")
    return Response(await camera.take(caller, session, width, height), media_type="image/jpeg")
