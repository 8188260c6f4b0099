"""A running session is given a new address: the workspace's `go` command runs in it."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter

from greenroom.api import session_actions as actions
from greenroom.api.commands import order_command, result_of, visible_output
from greenroom.api.deps import Db, Logs
from greenroom.api.schemas.sessions import CommandCreate, CommandView, Go
from greenroom.api.security import Caller, requires_own_or
from greenroom.core.errors import Refused
from greenroom.core.exec_config import command_of
from greenroom.db import images, sessions

router = APIRouter(tags=["sessions"])

WAIT_S: Final = 10.0
"""How long the end of `go` is waited for; a program that stays in the foreground goes on."""


@router.post("/sessions/{session_id}/go")
async def go(
    session_id: UUID, body: Go, db: Db, logs: Logs, caller: Annotated[Caller, requires_own_or("sessions_modify")]
) -> CommandView:
    """Open an address in a running session, with the command that its workspace has for that.

    `KASM_URL` of the command is the address. `exit_code` null: the command still runs after 10 s, and goes on.
    """
    session = await actions.session_for(db, caller, str(session_id), "sessions_modify")
    image = await images.get_image(db, str(session["image_id"]))
    command = command_of(image["exec_config"], "go")
    if command is None:
        raise Refused(f"Workspace {image['friendly_name']} has no `go` command, so it cannot open an address.")
    ordered = CommandCreate(
        command=list(command.argv),
        user=command.user,
        environment={**command.environment, "KASM_URL": body.kasm_url},
        workdir=command.workdir,
        deadline_s=WAIT_S,
    )
    command_id = await order_command(db, logs, caller, session, ordered)
    result = await result_of(db, command_id, WAIT_S)
    if result["exit_code"] in (0, None):
        await sessions.set_kasm_url(db, str(session["session_id"]), body.kasm_url)
    return CommandView.model_validate(result | {"output": visible_output(caller, session, result["output"])})
