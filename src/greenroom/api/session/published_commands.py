"""Published calls inside a session: exec_command_kasm, get_kasm_screenshot, and what is not offered."""

from __future__ import annotations

import shlex
from typing import Annotated, Final, cast

from fastapi import APIRouter
from fastapi.responses import Response

from greenroom.api.deps import Db, Logs, ScreenshotsDep, SecretsDep
from greenroom.api.published.calls import Answer, Call, validated
from greenroom.api.published.shapes import now
from greenroom.api.session import published_shares
from greenroom.api.session.commands import order_command, require_command, sealed_command
from greenroom.api.session.published import FOR_USERS, kasm_shape, session_of
from greenroom.api.session.schemas import CommandCreate
from greenroom.api.session.share_service import SharingDep
from greenroom.api.session.streams import Streams, token_of
from greenroom.core.errors import Invalid, Refused
from greenroom.core.session.states import OPERATIONAL, SessionStatus
from greenroom.db.access.users import get_user
from greenroom.db.database import Database
from greenroom.db.session.views import get_session

router = APIRouter(include_in_schema=False)

AS_ROOT: Final = "as root in the container, without further rights, although it was to be privileged"
USUAL_PIXELS: Final = 300
MIN_PIXELS: Final = 16
MAX_PIXELS: Final = 1920
NOT_MEASURED: Final = "{} stats are not available: the server of this session's desktop does not measure them."
_NO_ENCODING: Final = {"time": 0, "count": 0, "area": 0}
_NO_FRAME: Final[Answer] = {
    **dict.fromkeys(("resx", "resy", "changed", "server_time"), 0),
    "clients": [],
    **dict.fromkeys(("analysis", "screenshot", "encoding_total", "videoscaling"), 0),
    "tightjpegencoder": _NO_ENCODING,
    "tightwebpencoder": _NO_ENCODING,
}


@router.post("/exec_command_kasm")
async def exec_command_kasm(
    db: Db, streams: Streams, secrets: SecretsDep, logs: Logs, call: Annotated[Call, FOR_USERS]
) -> Answer:
    """Run a command in a session; the answer does not wait for it, and nothing of its output comes back. A privileged
    one runs as root in the container, with no right that the container does not have.
    """
    session, exec_config = await session_of(db, call), call.part("exec_config")
    remark = AS_ROOT if exec_config.flag("privileged") or call.flag("privileged") else ""
    command = _command(call, exec_config, root=bool(remark))
    require_command(call.caller, session, command)
    await order_command(db, logs, call.caller, session, sealed_command(command, secrets), remark=remark)
    answer: Answer = {"kasm": kasm_shape(session, streams, token_of(session, secrets)), "current_time": now()}
    return answer | {"message": f"The command runs {remark}."} if remark else answer


@router.post("/get_kasm_screenshot")
async def get_kasm_screenshot(db: Db, camera: ScreenshotsDep, call: Annotated[Call, FOR_USERS]) -> Response:
    """The screen of a session as image/jpeg that fits into width x height; a failure is JSON."""
    session = await session_of(db, call)
    picture = await camera.take(call.caller, session, _pixels(call, "width"), _pixels(call, "height"))
    return Response(picture, media_type="image/jpeg")


@router.post("/get_kasm_frame_stats")
async def get_kasm_frame_stats(db: Db, call: Annotated[Call, FOR_USERS]) -> Answer:
    """Nothing is measured: every number is 0, and `error_message` says so."""
    await _require_running(db, call)
    return {"frame": _NO_FRAME, "clients": [], "error_message": NOT_MEASURED.format("Frame")}


@router.post("/get_kasm_bottleneck_stats")
async def get_kasm_bottleneck_stats(db: Db, call: Annotated[Call, FOR_USERS]) -> Answer:
    """Nothing is measured: no client has numbers, and `error_message` says so."""
    await _require_running(db, call)
    return {"kasm_user": {}, "error_message": NOT_MEASURED.format("Bottleneck")}


@router.post("/join_kasm")
async def join_kasm(sharing: SharingDep, call: Annotated[Call, FOR_USERS]) -> Answer:
    """Join a shared session as a user, to watch; some clients call its id `shared_id`."""
    share_id = call.text("share_id") or call.text("shared_id")
    user = await get_user(sharing.db, call.id("user_id"))
    joined = await published_shares.joined(sharing, share_id, user)
    session = await get_session(sharing.db, str(joined.session_id))
    return {
        "current_time": now(),
        "session_token": joined.session_token,
        "user_id": user.user_id,
        "username": user.username,
        "status": OPERATIONAL[session.status],
        "kasm": {**kasm_shape(session, sharing.streams), "view_only_token": joined.session_token},
        "kasm_url": f"/#/connect/join/{share_id}/{user.user_id}/{joined.session_token}",
    }


@router.post("/get_rdp_client_connection_info", dependencies=[FOR_USERS])
async def get_rdp_client_connection_info() -> Answer:
    """Refused: no session has RDP."""
    raise Refused("This session has no RDP connection: all workspaces are containers.")


def _command(call: Call, exec_config: Call, *, root: bool) -> CommandCreate:
    """The command by the rules of /api/v1. Its string is split once as a shell would; no shell runs it.

    Raises:
        Invalid: it is missing, or cannot be split.
    """
    try:
        argv = shlex.split(exec_config.text("cmd"))
    except ValueError as error:
        raise Invalid(f"exec_config.cmd cannot be split into words: {error}.") from error
    environment: object = exec_config.body.get("environment") or {}
    if not isinstance(environment, dict):
        raise Invalid("exec_config.environment must be an object of names and texts.")
    values = {
        "command": argv,
        "user": "root" if root else exec_config.text("user") or call.text("exec_user") or None,
        "environment": {name: str(value) for name, value in cast("dict[str, object]", environment).items()},
        "workdir": exec_config.text("workdir") or None,
    }
    return validated(CommandCreate, values)


async def _require_running(db: Database, call: Call) -> None:
    """Raises Refused: the session shows nothing now."""
    session = await session_of(db, call)
    if session.status is not SessionStatus.RUNNING:
        raise Refused(f"The session is {OPERATIONAL[session.status]}; only a running one has stats.")


def _pixels(call: Call, name: str) -> int:
    value = call.body.get(name)
    if value is None:
        return USUAL_PIXELS
    try:
        pixels = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"{name} must be a number of pixels.") from error
    return min(max(pixels, MIN_PIXELS), MAX_PIXELS)
