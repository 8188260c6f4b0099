"""Published calls for one session: commands, screenshots, statistics of its stream, and shares with single users."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from fastapi.responses import Response

from greenroom.api.bodies import validated
from greenroom.api.deps import Db, DesksDep, Logs, ScreenshotsDep, SecretsDep
from greenroom.api.desk.transport import Desks
from greenroom.api.session import share_service
from greenroom.api.session.instructions import act_of_command, order_command, with_encrypted_variables
from greenroom.api.session.schemas import CommandCreate
from greenroom.api.session.service import Streams, connect_url, token_of
from greenroom.api.session.share_service import SharingDep, SharingParts
from greenroom.core.errors import Invalid, Refused
from greenroom.core.session.authorization import Act
from greenroom.core.session.sharing import ShareRequest
from greenroom.core.session.states import OPERATIONAL, SessionStatus
from greenroom.core.session.streams import Access
from greenroom.db.access.users import get_user
from greenroom.db.database import Database
from greenroom.db.session import shares
from greenroom.db.session.shares import Share
from greenroom.db.session.views import Session, get_session
from greenroom.interfaces.public import sessions
from greenroom.interfaces.public.calls import Answer, CallBody, current_time, public_router, requires_key
from greenroom.interfaces.public.frames import BottleneckStats, FrameStats, published_frame
from greenroom.interfaces.public.sessions import ACT_FOR_USERS, kasm_shape, session_and_verdict_of, session_of
from greenroom.kit.secrets import Secrets

T = TypeVar("T")

NOT_MEASURED: Final = "{} stats are not available: the server of this session's desktop does not measure them."
NO_VIEWER: Final = "Error retrieving {} stats with status code ({})"
"""The exact text by which clients recognize that the stream has no viewer."""
_NO_VIEWER_STATUSES: Final = frozenset({502, 503})
_NOT_MEASURED_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 500, 501})


async def frame_stats(desks: Desks, secrets: Secrets, session: Session, client: str) -> dict[str, Any]:
    """Return the statistics of one frame, measured now, in the published shape.

    Raises:
        Refused: the stream has no viewer, or the server of the desktop does not measure frames.
        Unavailable: the gateway does not answer.
    """
    return published_frame(await _fetch_stats(desks, secrets, session, "frame", FrameStats, client=client))


async def bottleneck_stats(desks: Desks, secrets: Secrets, session: Session) -> BottleneckStats:
    """Return the statistics of the bottleneck of each viewer. Raises the same errors as `frame_stats`."""
    return await _fetch_stats(desks, secrets, session, "bottleneck", BottleneckStats)


async def _fetch_stats(
    desks: Desks, secrets: Secrets, session: Session, name: str, result_type: type[T], **params: str
) -> T:
    page = await desks.page_of(session.session_id, token_of(session, secrets))
    answer = await page.request(
        "GET", f"api/get_{name}_stats", params=params, accepted=_NO_VIEWER_STATUSES | _NOT_MEASURED_STATUSES
    )
    if answer.status_code in _NO_VIEWER_STATUSES:
        raise Refused(NO_VIEWER.format(name, answer.status_code))
    try:
        return msgspec.json.decode(answer.content, type=result_type)
    except (ValueError, RecursionError) as error:
        raise Refused(NOT_MEASURED.format(name.capitalize())) from error


router = public_router()

ROOT_REMARK: Final = "as root in the container, without the further rights of a privileged command"
"""The end of the sentence that reports a privileged command, in the log and in the answer."""
DEFAULT_PIXELS: Final = 300
MIN_PIXELS: Final = 16
MAX_PIXELS: Final = 1920


@router.post("/exec_command_kasm")
async def exec_command_kasm(
    db: Db, streams: Streams, secrets: SecretsDep, logs: Logs, call: Annotated[CallBody, ACT_FOR_USERS]
) -> Answer:
    """Run a command in a session. The answer does not wait for the end of the command, and does not contain its output.

    A privileged command runs as root, with no more rights than the container has.
    """
    exec_config = call.nested("exec_config")
    remark = ROOT_REMARK if exec_config.flag("privileged") or call.flag("privileged") else ""
    command = _parse_command(call, exec_config, root=bool(remark))
    session = await session_of(db, call, act_of_command(command))
    await order_command(db, logs, call.caller, session, with_encrypted_variables(command, secrets), remark=remark)
    answer: Answer = {"kasm": kasm_shape(session, streams, token_of(session, secrets)), "current_time": current_time()}
    return answer | {"message": f"The command runs {remark}."} if remark else answer


@router.post("/get_kasm_screenshot")
async def get_kasm_screenshot(
    db: Db, screenshots: ScreenshotsDep, call: Annotated[CallBody, ACT_FOR_USERS]
) -> Response:
    """Return the screen of a session as image/jpeg that fits into width x height; a failure is JSON."""
    session, verdict = await session_and_verdict_of(db, call, Act.SCREENSHOT)
    picture = await screenshots.take(call.caller, session, verdict, _pixels(call, "width"), _pixels(call, "height"))
    return Response(picture, media_type="image/jpeg")


@router.post("/get_kasm_frame_stats")
async def get_kasm_frame_stats(
    db: Db, desks: DesksDep, secrets: SecretsDep, call: Annotated[CallBody, ACT_FOR_USERS]
) -> Answer:
    """Measure a frame of a stream that has viewers: its size, the time of the server, and the round trip of each
    viewer.

    `client` is `auto` (the first viewer), `all`, `none`, or one of the viewers.
    """
    session = await _running_session(db, call)
    return await frame_stats(desks, secrets, session, call.text("client") or "auto")


@router.post("/get_kasm_bottleneck_stats")
async def get_kasm_bottleneck_stats(
    db: Db, desks: DesksDep, secrets: SecretsDep, call: Annotated[CallBody, ACT_FOR_USERS]
) -> Answer:
    """Return four scores for each viewer of a stream: processor now and on average, network now and on average.

    The scores range from 0 to 10 (no bottleneck).
    """
    return dict(await bottleneck_stats(desks, secrets, await _running_session(db, call)))


@router.post("/join_kasm")
async def join_kasm(sharing: SharingDep, secrets: SecretsDep, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Let a user join a shared session, to watch. Some clients send `shared_id` instead of `share_id`.

    The user of the session gets the address and the token of the session, and `view_only_token` is null.
    """
    share_id = call.text("share_id") or call.text("shared_id")
    user = await get_user(sharing.db, call.id("user_id"))
    call.caller.require_right_over(user.permissions)  # the answer has a token of this user
    share = await sessions.share_for_users(sharing, share_id, user)
    session = await get_session(sharing.db, share.session_id)
    kasm = kasm_shape(session, sharing.streams)
    if user.user_id == session.user_id:
        token = token_of(session, secrets)
        kasm_url = connect_url(session.session_id, user.user_id, token)
    else:
        token = (await sessions.join_as_user(sharing, share, user)).session_token
        kasm_url = f"/#/connect/join/{share_id}/{user.user_id}/{token}"
        kasm["view_only_token"] = token
    return {
        "current_time": current_time(),
        "session_token": token,
        "user_id": user.user_id,
        "username": user.username,
        "status": OPERATIONAL[session.status],
        "kasm": kasm,
        "kasm_url": kasm_url,
    }


@router.post("/get_rdp_client_connection_info", dependencies=[ACT_FOR_USERS])
async def get_rdp_client_connection_info() -> Answer:
    """Refuse the call: no session has RDP."""
    raise Refused("This session has no RDP connection: all workspaces are containers.")


def _parse_command(call: CallBody, exec_config: CallBody, *, root: bool) -> CommandCreate:
    """Return the command of a call, validated by the rules of `/api/v1`. The string `cmd` is split into words by the
    rules of a shell, but no shell runs.

    Raises:
        Invalid: the command is missing, or cannot be split.
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


async def _running_session(db: Database, call: CallBody) -> Session:
    """Return the session of a call. Raises Refused: the session is not running."""
    session = await session_of(db, call, Act.SEE)
    if session.status is not SessionStatus.RUNNING:
        raise Refused(f"The session is {OPERATIONAL[session.status]}; only a running one has stats.")
    return session


def _pixels(call: CallBody, name: str) -> int:
    value = call.body.get(name)
    if value is None:
        return DEFAULT_PIXELS
    try:
        pixels = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"{name} must be a number of pixels.") from error
    return min(max(pixels, MIN_PIXELS), MAX_PIXELS)


permission_router = public_router()

TARGET_FIELD: Final = "target_session_permissions"
ACCESS: Final[dict[str, Access]] = {"r": "view", "rw": "control"}
PUBLISHED_ACCESS: Final[dict[Access, str]] = {access: published for published, access in ACCESS.items()}
VIEW_SESSIONS: Final = requires_key("sessions_view")
CHANGE_SESSIONS: Final = requires_key("sessions_modify")


@permission_router.post("/set_session_permissions")
async def set_session_permissions(sharing: SharingDep, call: Annotated[CallBody, CHANGE_SESSIONS]) -> Answer:
    """Let users join a session by its `share_id`, to watch or to control.

    `access` next to `session_permissions` applies to entries without `access`. If `session_permissions` is missing,
    `access` applies to all users who may already join.
    """
    target = call.nested(TARGET_FIELD)
    session = await session_of(sharing.db, target, Act.SHARE_BY_NAME)
    current_shares = {share.user_id: share for share in await _user_shares(sharing, session)}
    for user_id, access in _requested_access(target, [str(user_id) for user_id in current_shares]).items():
        share = current_shares.get(user_id)
        if share is None or share.access != access:
            user = await get_user(sharing.db, user_id)
            await share_service.create(
                sharing, call.caller, session, ShareRequest(access=access, audience="user"), user
            )
            if share is not None:
                await share_service.end(sharing, call.caller, session, share.share_id)
    return await _permissions_answer(sharing, session)


@permission_router.post("/get_session_permissions")
async def get_session_permissions(sharing: SharingDep, call: Annotated[CallBody, VIEW_SESSIONS]) -> Answer:
    """List the users who may join a session, with their access."""
    return await _permissions_answer(sharing, await session_of(sharing.db, call.nested(TARGET_FIELD), Act.SEE))


@permission_router.post("/delete_session_permissions")
async def delete_session_permissions(sharing: SharingDep, call: Annotated[CallBody, CHANGE_SESSIONS]) -> Answer:
    """Withdraw the permission of `user_ids` to join. The streams of these users end immediately."""
    target = call.nested(TARGET_FIELD)
    session = await session_of(sharing.db, target, Act.SHARE_BY_NAME)
    ids: object = target.body.get("user_ids")
    if not isinstance(ids, list):
        raise Invalid("user_ids must be a list of ids.")
    user_ids = {
        CallBody(call.change, {"user_id": user_id}, call.headers).id("user_id") for user_id in cast("list[Any]", ids)
    }
    for share in await _user_shares(sharing, session):
        if share.user_id in user_ids:
            await share_service.end(sharing, call.caller, session, share.share_id)
    return await _permissions_answer(sharing, session)


@permission_router.post("/delete_all_session_permissions")
async def delete_all_session_permissions(sharing: SharingDep, call: Annotated[CallBody, CHANGE_SESSIONS]) -> Answer:
    """Withdraw the permission of all users who may join by name. The share of the session for all users remains."""
    session = await session_of(sharing.db, call.nested(TARGET_FIELD), Act.SHARE_BY_NAME)
    for share in await _user_shares(sharing, session):
        await share_service.end(sharing, call.caller, session, share.share_id)
    return await _permissions_answer(sharing, session)


async def _user_shares(sharing: SharingParts, session: Session) -> list[Share]:
    """Return the shares of a session with single users."""
    session_shares = await shares.list_shares(sharing.db, session.session_id, silent=False)
    return [share for share in session_shares if share.audience == "user"]


async def _permissions_answer(sharing: SharingParts, session: Session) -> Answer:
    user_shares = await _user_shares(sharing, session)
    return {
        "session_permissions": [
            {
                "user_id": share.user_id,
                "access": PUBLISHED_ACCESS[share.access],
                "username": share.username,
                "vnc_username": share.username,
            }
            for share in user_shares
        ]
    }


def _requested_access(target: CallBody, current_user_ids: list[str]) -> dict[str, Access]:
    """Return the requested access by user id. A call without a list changes the access of `current_user_ids`.

    Raises:
        Invalid: an entry has no user, or an access that does not exist.
    """
    default_access, entries = target.text("access"), target.body.get("session_permissions")
    if entries is None:
        return {user_id: _parse_access(default_access) for user_id in current_user_ids}
    if not isinstance(entries, list):
        raise Invalid("session_permissions must be a list of user_id and access.")
    requested: dict[str, Access] = {}
    for entry in cast("list[object]", entries):
        body = CallBody(target.change, {"entry": entry}, target.headers).nested("entry")
        requested[body.id("user_id")] = _parse_access(body.text("access") or default_access)
    return requested


def _parse_access(published: str) -> Access:
    if published not in ACCESS:
        raise Invalid(f'access {published[:20]!r} does not exist; "r" permits watching, "rw" also control.')
    return ACCESS[published]
