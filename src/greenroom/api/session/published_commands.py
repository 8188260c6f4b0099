"""Published calls inside a session: exec_command_kasm, get_kasm_screenshot, and what is not offered."""

from __future__ import annotations

import shlex
from typing import Annotated, Final, cast

from fastapi import APIRouter
from fastapi.responses import Response

from greenroom.api.deps import Db, DesksDep, Logs, ScreenshotsDep, SecretsDep
from greenroom.api.published.calls import Answer, Call, validated
from greenroom.api.published.shapes import now
from greenroom.api.session import published_shares, stream_stats
from greenroom.api.session.commands import act_of, order_command, sealed_command
from greenroom.api.session.published import FOR_USERS, judged_of, kasm_shape, session_of
from greenroom.api.session.schemas import CommandCreate
from greenroom.api.session.share_service import SharingDep
from greenroom.api.session.streams import Streams, connect_url, token_of
from greenroom.core.errors import Invalid, Refused
from greenroom.core.session.authorization import Act
from greenroom.core.session.states import OPERATIONAL, SessionStatus
from greenroom.db.access.users import get_user
from greenroom.db.database import Database
from greenroom.db.session.views import Session, get_session

router = APIRouter(include_in_schema=False)

AS_ROOT: Final = "as root in the container, without further rights, although it was to be privileged"
USUAL_PIXELS: Final = 300
MIN_PIXELS: Final = 16
MAX_PIXELS: Final = 1920


@router.post("/exec_command_kasm")
async def exec_command_kasm(
    db: Db, streams: Streams, secrets: SecretsDep, logs: Logs, call: Annotated[Call, FOR_USERS]
) -> Answer:
    """Run a command in a session; the answer does not wait for it, and nothing of its output comes back. A privileged
    one runs as root in the container, with no right that the container does not have.
    """
    exec_config = call.part("exec_config")
    remark = AS_ROOT if exec_config.flag("privileged") or call.flag("privileged") else ""
    command = _command(call, exec_config, root=bool(remark))
    session = await session_of(db, call, act_of(command))
    await order_command(db, logs, call.caller, session, sealed_command(command, secrets), remark=remark)
    answer: Answer = {"kasm": kasm_shape(session, streams, token_of(session, secrets)), "current_time": now()}
    return answer | {"message": f"The command runs {remark}."} if remark else answer


@router.post("/get_kasm_screenshot")
async def get_kasm_screenshot(db: Db, camera: ScreenshotsDep, call: Annotated[Call, FOR_USERS]) -> Response:
    """The screen of a session as image/jpeg that fits into width x height; a failure is JSON."""
    session, verdict = await judged_of(db, call, Act.SCREENSHOT)
    picture = await camera.take(call.caller, session, verdict, _pixels(call, "width"), _pixels(call, "height"))
    return Response(picture, media_type="image/jpeg")


@router.post("/get_kasm_frame_stats")
async def get_kasm_frame_stats(
    db: Db, desks: DesksDep, secrets: SecretsDep, call: Annotated[Call, FOR_USERS]
) -> Answer:
    """A frame of a stream that is watched, measured now: its size, how long the server took, and of viewers how
    long a message takes there and back. `client` is `auto` (who came first), `all`, `none`, or one of them.
    """
    session = await _running(db, call)
    return await stream_stats.frame_stats(desks, secrets, session, call.text("client") or "auto")


@router.post("/get_kasm_bottleneck_stats")
async def get_kasm_bottleneck_stats(
    db: Db, desks: DesksDep, secrets: SecretsDep, call: Annotated[Call, FOR_USERS]
) -> Answer:
    """What holds up each viewer of a stream, from 0 to 10 (nothing): the processor now and on average, the network now
    and on average.
    """
    return dict(await stream_stats.bottleneck_stats(desks, secrets, await _running(db, call)))


@router.post("/join_kasm")
async def join_kasm(sharing: SharingDep, secrets: SecretsDep, call: Annotated[Call, FOR_USERS]) -> Answer:
    """Join a shared session as a user, to watch; some clients call its id `shared_id`. The session's own user gets the
    address and the token of the session, and `view_only_token` is null.
    """
    share_id = call.text("share_id") or call.text("shared_id")
    user = await get_user(sharing.db, call.id("user_id"))
    share = await published_shares.share_for_users(sharing, share_id, user)
    session = await get_session(sharing.db, share.session_id)
    kasm = kasm_shape(session, sharing.streams)
    if user.user_id == session.user_id:
        token = token_of(session, secrets)
        kasm_url = connect_url(session.session_id, user.user_id, token)
    else:
        token = (await published_shares.joined(sharing, share, user)).session_token
        kasm_url = f"/#/connect/join/{share_id}/{user.user_id}/{token}"
        kasm["view_only_token"] = token
    return {
        "current_time": now(),
        "session_token": token,
        "user_id": user.user_id,
        "username": user.username,
        "status": OPERATIONAL[session.status],
        "kasm": kasm,
        "kasm_url": kasm_url,
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


async def _running(db: Database, call: Call) -> Session:
    """The session of a call. Raises Refused: it shows nothing now."""
    session = await session_of(db, call, Act.SEE)
    if session.status is not SessionStatus.RUNNING:
        raise Refused(f"The session is {OPERATIONAL[session.status]}; only a running one has stats.")
    return session


def _pixels(call: Call, name: str) -> int:
    value = call.body.get(name)
    if value is None:
        return USUAL_PIXELS
    try:
        pixels = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"{name} must be a number of pixels.") from error
    return min(max(pixels, MIN_PIXELS), MAX_PIXELS)
