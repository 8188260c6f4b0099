"""Commands, screenshots and new addresses: what is done inside a session without its stream."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from greenroom.api.deps import Db, Logs, ScreenshotsDep, SecretsDep
from greenroom.api.security import Caller
from greenroom.api.session import service
from greenroom.api.session.authorized import acts, asking_of, kind_of
from greenroom.api.session.commands import act_of, order_command, result_of, sealed_command
from greenroom.api.session.schemas import CommandCreate, CommandView, Go
from greenroom.core.errors import Refused
from greenroom.core.session.authorization import Act, Facts, decide
from greenroom.core.workspace.exec_config import command_of
from greenroom.db.session import sessions
from greenroom.db.workspace import images

router = APIRouter(tags=["sessions"])

MAX_PIXELS_ACROSS: Final = 1920

Across = Annotated[int, Query(ge=16, le=MAX_PIXELS_ACROSS, description="pixels; the picture keeps its shape")]


@router.post("/sessions/{session_id}/commands")
async def run_command(
    session_id: UUID,
    body: CommandCreate,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, acts(Act.COMMAND, Act.COMMAND_AS)],
) -> CommandView:
    """Run a command in a running session, at most once, and wait for its result.

    Of a long output the end is kept, and its first line says so. At its deadline a command is left alone, with
    `exit_code` null.
    """
    session = await service.session_for(db, caller, str(session_id), act_of(body))
    command_id = await order_command(db, logs, caller, session, sealed_command(body, secrets))
    return await result_of(db, command_id, body.deadline_s)


@router.get(
    "/sessions/{session_id}/screenshot",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "the screen as a JPEG"}},
)
async def get_screenshot(
    session_id: UUID,
    db: Db,
    camera: ScreenshotsDep,
    caller: Annotated[Caller, acts(Act.SCREENSHOT)],
    width: Across = 300,
    height: Across = 300,
) -> Response:
    """The screen of a running session as a JPEG that fits into width x height; the same one for a second."""
    session, verdict = await service.judged(db, caller, str(session_id), Act.SCREENSHOT)
    return Response(await camera.take(caller, session, verdict, width, height), media_type="image/jpeg")


WAIT_S: Final = 10.0
"""How long the end of `go` is waited for; a program that stays in the foreground runs on."""


@router.post("/sessions/{session_id}/go")
async def go(
    session_id: UUID, body: Go, db: Db, logs: Logs, caller: Annotated[Caller, acts(Act.COMMAND_OF_WORKSPACE)]
) -> CommandView:
    """Open an address in a running session, with the command that its workspace has for that.

    `KASM_URL` of the command is the address. `exit_code` null: the command still runs after 10 s, and goes on.
    """
    session = await service.session_for(db, caller, str(session_id), Act.COMMAND_OF_WORKSPACE)
    image = await images.get_image(db, session.image_id)
    command = command_of(image.exec_config, "go")
    if command is None:
        raise Refused(f"Workspace {image.friendly_name} has no `go` command, so it cannot open an address.")
    ordered = CommandCreate(
        command=list(command.argv),
        user=command.user,
        environment={**command.environment, "KASM_URL": body.kasm_url},
        workdir=command.workdir,
        deadline_s=WAIT_S,
    )
    command_id = await order_command(db, logs, caller, session, ordered)
    result = await result_of(db, command_id, WAIT_S)
    if result.exit_code in (0, None):
        await sessions.set_kasm_url(db, session.session_id, body.kasm_url)
    asking = asking_of(caller, session.user_id, kind_of(caller, session.user_id))
    is_seen = not decide(Act.OUTPUT_OF_WORKSPACE, asking, Facts(permitted=session.permissions)).refused
    return result if is_seen else result.model_copy(update={"output": ""})
