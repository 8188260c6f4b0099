"""Published calls for sessions, which the published interface calls kasms. A session has at most one share for all
users.

Clients call stop_kasm, pause_kasm and resume_kasm with and without `public/` in the path.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Final, cast

from greenroom.api.access.accounts import default_image_of, delete_anonymous_user
from greenroom.api.bodies import validated
from greenroom.api.deps import Config, Db, HubDep, LauncherDep, Logs, SecretsDep
from greenroom.api.events import wait_while_status_in
from greenroom.api.session import instructions, service, share_service
from greenroom.api.session.authorized import authorize, session_caller_of
from greenroom.api.session.instructions import keep_alive
from greenroom.api.session.schemas import MAX_IDEMPOTENCY_KEY, SessionCreate
from greenroom.api.session.service import Streams, StreamUrls, connect_url, launch_request, token_of
from greenroom.api.session.share_service import JoinedView, JoiningPerson, SharingDep, SharingParts
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Forbidden, GreenroomError, Invalid, NotFound, Refused
from greenroom.core.session.authorization import Act, Kind, Verdict
from greenroom.core.session.sharing import ShareRequest
from greenroom.core.session.states import OPERATIONAL, LifecycleCommand, SessionStatus
from greenroom.core.workspace.page import folders_of
from greenroom.db import session_videos
from greenroom.db.access.roles import read_grants
from greenroom.db.access.users import User
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.session import shares, views
from greenroom.db.session.shares import Share
from greenroom.db.session.views import Session, SessionFilter
from greenroom.db.session_videos import SessionVideo
from greenroom.interfaces.public.calls import (
    Answer,
    CallBody,
    LifecycleRoute,
    current_time,
    format_time,
    hex_id,
    public_router,
    requires_key,
)
from greenroom.interfaces.public.statements import anonymous_user


async def share_launched_session(
    sharing: SharingParts, call: CallBody, session_id: str
) -> tuple[str | None, str | None]:
    """Return the id of the share of a launched session, or None and the reason why its user may not share it.

    A repeated request returns the share of the first request.
    """
    session = await views.get_session(sharing.db, session_id)
    if session.share_id is not None:
        return session.share_id, None
    try:
        share = await share_service.create(sharing, call.caller, session, ShareRequest(access="view", audience="users"))
    except (Forbidden, Refused) as refusal:
        return None, f"The session is not shared. {refusal.message}"
    return share.share_id, None


async def share_for_users(sharing: SharingParts, share_id: str, user: User) -> Share:
    """Return the share that a user wants to join.

    Raises:
        NotFound: the share does not exist, has ended, or is not for users.
        Forbidden: the user is disabled or locked.
    """
    share = await shares.find_share(sharing.db, share_id)
    if share is None or share.is_over or share.audience not in ("users", "user"):
        raise NotFound(f"There is no share {share_id[:60]}; it may have ended with its session.")
    if user.disabled or user.locked:
        raise Forbidden(f"The user {user.username} is disabled or locked.")
    return share


async def join_as_user(sharing: SharingParts, share: Share, user: User) -> JoinedView:
    """Admit a user by a share for all users. A share of the session with this user by name has precedence.

    Raises:
        Forbidden: the user may not join.
    """
    named_shares = await shares.list_shares_with(sharing.db, user.user_id)
    effective_share = next((named for named in named_shares if named.session_id == share.session_id), share)
    return await share_service.join(sharing, effective_share, JoiningPerson(user.username, user.user_id))


_UNSUPPORTED_SETTINGS: Final = (
    "allow_kasm_clipboard_seamless",
    "allow_point_of_presence",
    "enable_webp",
    "kasm_audio_default_on",
    "lock_sharing_video_mode",
)
"""Settings that clients expect in `client_settings`, and that Greenroom does not have."""
_SETTINGS_OF_CONSOLE: Final = frozenset({"watermark", "watermark_text", "record_sessions"})
"""Stored settings that only the console reads."""


def kasm_shape(session: Session, streams: StreamUrls, token: str | None = None) -> Answer:
    """Return a session in the published shape. `token` is given only for callers who may open the stream."""
    host, port = streams.host_and_port(session.proxy)
    kasm_id, agent_id = session.session_id, session.agent_id
    path = session.proxy.path_of(agent_id or "", kasm_id).removeprefix("/")
    return {
        "kasm_id": kasm_id,
        "user_id": session.user_id,
        "user": {"username": session.username},
        "username": session.username,
        "image_id": hex_id(session.image_id),
        "image": {
            "image_id": hex_id(session.image_id),
            "name": session.image_name,
            "friendly_name": session.image_friendly_name,
            "image_src": session.image_src,
        },
        "operational_status": OPERATIONAL[session.status],
        "token": token,
        "view_only_token": None,
        "share_id": session.share_id,
        "created_date": format_time(session.created),
        "start_date": format_time(session.started or session.created),
        "expiration_date": format_time(session.expires),
        "keepalive_date": format_time(session.keepalive),
        "hostname": host,
        "host": host,
        "port": port,
        "port_map": _port_map(session, port, path),
        "container_id": session.container_id,
        "container_ip": None,
        "docker_network": None,
        "server_id": agent_id,
        "agent_installed": False,
        "zone_name": session.zone_name,
        "point_of_presence": None,
        "cores": session.cores,
        "memory": session.memory,
        "gpus": 0,
        "is_persistent_profile": session.persistent_profile_mode is not None,
        "persistent_profile_mode": session.persistent_profile_mode,
        "client_settings": dict.fromkeys(_UNSUPPORTED_SETTINGS, False)
        | {name: value for name, value in session.client_settings.items() if name not in _SETTINGS_OF_CONSOLE},
        "connection_info": {},
        "queued_tasks": [],
        "staging_config_id": session.staging_config_id,
        "cast_config_id": None,
        "autoscale_config_id": None,
        "is_standby": False,
        "border": None,
    }


def _port_map(session: Session, port: int, path: str) -> Answer:
    """Return the port and the path of the stream, and of each service of the image that the session may use."""
    folders = folders_of(session.services, session.client_settings)
    paths = {"vnc": path, **{name: f"{path}/{folder}" for name, folder in folders.items()}}
    return {name: {"port": port, "path": service_path} for name, service_path in paths.items()}


async def list_kasms(
    db: Database, streams: StreamUrls, session_filter: SessionFilter, *, deleting: bool = False
) -> list[Answer]:
    """List the sessions that match the filter, each with its `server`. `deleting` adds sessions that are being
    deleted."""
    shapes: list[Answer] = []
    for session in (await views.list_sessions(db, session_filter.conditions())).rows:
        if session.status is SessionStatus.DELETING and not deleting:
            continue
        kasm = kasm_shape(session, streams)
        server = {
            "port": kasm["port"],
            "hostname": session.hostname,
            "zone_name": session.zone_name,
            "provider": None,
        }
        shapes.append(kasm | {"server": server})
    return shapes


async def list_kasms_of_users(db: Database, streams: StreamUrls, user_id: str | None = None) -> dict[str, list[Answer]]:
    """Return user id → sessions in the published shape, for all users or for one user."""
    kasms_by_user: dict[str, list[Answer]] = defaultdict(list)
    for kasm in await list_kasms(db, streams, SessionFilter(user_id=user_id, staged=False)):
        kasms_by_user[kasm["user_id"]].append(kasm)
    return kasms_by_user


router = public_router()

_FIXED_REQUEST_FIELDS: Final[Answer] = {
    "server_id": None,
    "egress_gateway_id": None,
    "connection_info": {},
    "rdp_client_type": None,
}

HAND_OVER_WAIT_S: Final = 1.0
"""The time for which get_kasm_status waits for a hand-over."""

ACT_FOR_USERS = requires_key("users_auth_session", USER)


@router.post("/request_kasm")
async def request_kasm(sharing: SharingDep, launcher: LauncherDep, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Launch a session.

    Without `user_id`, the session is for a new anonymous user; without `image_id`, it uses the user's default
    workspace. With `enable_sharing`, other users may join the session by its `share_id`, to watch. If the user may not
    share the session, it starts anyway, `share_id` is null, and `warning` contains the reason.
    """
    call.require_fixed_values(
        _FIXED_REQUEST_FIELDS, "every session is a container on an Agent, without RDP and egress gateways"
    )
    db = sharing.db
    user_id, image_id = call.optional_id("user_id"), call.optional_id("image_id")
    is_new_user = False
    if user_id is None:
        user_id, is_new_user = await anonymous_user(db, call.caller.key_id, _idempotency_key(call))
    else:
        call.caller.require_right_over(await read_grants(db, user_id))
    try:
        image_id = image_id or await default_image_of(db, user_id)
        request = launch_request(
            _session_fields(call, image_id), user_id, image_id, call.headers, _idempotency_key(call)
        )
        result = await launcher.launch(request, shows_machines=call.caller.may("agents_view"))
    except GreenroomError:
        if is_new_user:
            await delete_anonymous_user(db, user_id)
        raise
    share_id, warning = None, None
    if call.flag("enable_sharing"):
        share_id, warning = await share_launched_session(sharing, call, result.session_id)
    return {
        "kasm_id": result.session_id,
        "username": result.username,
        "status": "starting",
        "share_id": share_id,
        "user_id": result.user_id,
        "session_token": result.token,
        "kasm_url": connect_url(result.session_id, result.user_id, result.token),
        **({"warning": warning} if warning else {}),
    }


@router.post("/get_kasm_status")
async def get_kasm_status(
    db: Db, hub: HubDep, streams: Streams, secrets: SecretsDep, call: Annotated[CallBody, ACT_FOR_USERS]
) -> Answer:
    """Return the state of a session. For a failed session, `error_message` contains the reason.

    Unless `skip_agent_check` is set, the call waits up to one second for the end of a hand-over. Therefore the first
    call already finds most staged sessions running, and the client need not wait for its next poll.
    """
    session = await session_of(db, call, Act.OPEN)
    if session.status is SessionStatus.ASSIGNING and not call.flag("skip_agent_check"):
        session = await wait_while_status_in(
            hub, {SessionStatus.ASSIGNING}, lambda: session_of(db, call, Act.OPEN), HAND_OVER_WAIT_S
        )
    token = token_of(session, secrets)
    progress = service.progress_of(session, shows_causes=True, queue=await service.queue_of(db, session))
    answer: Answer = {
        "current_time": current_time(),
        "kasm_url": connect_url(session.session_id, str(session.user_id), token),
        "kasm": kasm_shape(session, streams, token),
    }
    if session.status is not SessionStatus.RUNNING:
        answer |= {
            "operational_status": progress.operational_status,
            "operational_progress": progress.percent,
            "operational_message": progress.message,
        }
    if session.status is SessionStatus.FAILED:
        answer["error_message"] = progress.message
    return answer


@router.post("/get_kasms")
async def get_kasms(db: Db, streams: Streams, call: Annotated[CallBody, requires_key("sessions_view")]) -> Answer:
    """List the sessions of all users, or of the user `user_id`.

    `include_staged` adds staged sessions, which have no user; `include_deleting` adds sessions that are being deleted.
    """
    staged = None if call.flag("include_staged") else False
    session_filter = SessionFilter(user_id=call.optional_id("user_id"), staged=staged)
    sessions = await list_kasms(db, streams, session_filter, deleting=call.flag("include_deleting"))
    return {"current_time": current_time(), "kasms": sessions}


@router.post("/get_user_kasms")
async def get_user_kasms(db: Db, streams: Streams, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """List the sessions of one user; `include_deleting` adds sessions that are being deleted."""
    session_filter = SessionFilter(user_id=call.id("user_id"))
    sessions = await list_kasms(db, streams, session_filter, deleting=call.flag("include_deleting"))
    return {"current_time": current_time(), "kasms": sessions}


@router.post("/destroy_kasm")
async def destroy_kasm(db: Db, logs: Logs, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Record that a session must end. The session has ended when get_kasm_status is refused."""
    await service.destroy(
        db, logs, await session_of(db, call, Act.DESTROY_FOR_USERS), f"destroyed by {call.caller.name}"
    )
    return {}


@router.post("/keepalive")
async def keepalive(db: Db, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Extend an open session to `keepalive_expiration` from now."""
    await keep_alive(db, await session_of(db, call, Act.KEEP_ALIVE))
    return {"usage_reached": False}


def _idempotency_key(call: CallBody) -> str | None:
    key = call.headers.get("idempotency-key") or None
    if key is not None and len(key) > MAX_IDEMPOTENCY_KEY:
        raise Invalid(f"The Idempotency-Key may have at most {MAX_IDEMPOTENCY_KEY} characters.")
    return key


def _session_fields(call: CallBody, image_id: str) -> SessionCreate:
    """Return the fields of a launch, validated by the rules of `/api/v1`.

    The fields are sent to the container or its `assign` command: the name of a variable with `=` would set another
    variable, and a string that is too long would prevent the command from running. An unknown `persistent_profile_mode`
    is refused: the default mode might mount a profile that the client excluded, or keep one that it wanted to reset.
    """
    environment = call.sent("environment").get("environment", {})
    if not isinstance(environment, dict):
        raise Invalid("environment must be an object of names and texts.")
    return validated(
        SessionCreate,
        {
            "image_id": image_id,
            "zone_id": call.optional_id("zone_id"),
            "environment": {name: str(value) for name, value in cast("dict[str, object]", environment).items()},
            "kasm_url": call.text("kasm_url"),
            "network_id": call.text("network_id"),
            "persistent_profile_mode": call.text("persistent_profile_mode") or None,
        },
    )


async def session_of(db: Database, call: CallBody, act: Act) -> Session:
    """Return the session of a call (`kasm_id`, and optionally `user_id`) if the caller may perform `act`.

    Raises the same errors as `session_and_verdict_of`.
    """
    return (await session_and_verdict_of(db, call, act))[0]


async def session_and_verdict_of(db: Database, call: CallBody, act: Act) -> tuple[Session, Verdict]:
    """Return the session of a call (`kasm_id`, and optionally `user_id`), and the verdict of the authorization table on
    `act`.

    Raises:
        NotFound: the session does not exist, was deleted, or belongs to another user.
        Forbidden: the caller may not perform `act`.
    """
    kasm_id, user_id = call.id("kasm_id"), call.optional_id("user_id")
    session = await views.get_session(db, kasm_id)
    owner = session.user_id
    if owner is None or session.status is SessionStatus.DELETED or user_id not in (None, owner):
        raise NotFound(f"There is no session {kasm_id} of this user; it may have been deleted.")
    kind = Kind.FOR_USERS if call.caller.may("users_auth_session", USER) else Kind.OTHER
    return session, await authorize(db, act, session_caller_of(call.caller, owner, kind), session)


VIEW_VIDEOS: Final = requires_key("sessions_view", "session_videos_view")


@router.post("/get_session_recordings")
async def get_session_recordings(db: Db, config: Config, call: Annotated[CallBody, VIEW_VIDEOS]) -> Answer:
    """Return the video of a session. Recordings of leases are separate (docs/reference/recordings.md)."""
    session_id = call.id("target_kasm_id")
    videos = await session_videos.videos_of(db, [session_id])
    return {"session_recordings": [_as_recording(video, config.public_url) for video in videos]}


@router.post("/get_sessions_recordings")
async def get_sessions_recordings(db: Db, config: Config, call: Annotated[CallBody, VIEW_VIDEOS]) -> Answer:
    """Return the videos of several sessions."""
    sent: object = call.body.get("target_kasm_ids") or []
    if not isinstance(sent, list):
        raise Invalid("target_kasm_ids must be a list of ids.")
    ids = {str(kasm_id): CallBody(call.change, {"id": kasm_id}, {}).id("id") for kasm_id in cast("list[object]", sent)}
    found = {video.session_id: video for video in await session_videos.videos_of(db, list(ids.values()))}
    return {
        "kasm_sessions": {
            kasm_id: {
                "session_recordings": [_as_recording(found[session_id], config.public_url)]
                if session_id in found
                else []
            }
            for kasm_id, session_id in ids.items()
        }
    }


def _as_recording(video: SessionVideo, public_url: str) -> Answer:
    """Return the published shape of a video. It has no file that could be downloaded without a viewing."""
    return {
        "recording_id": video.session_id,
        "account_id": None,
        "session_recording_url": f"{public_url.rstrip('/')}/admin/session-videos/{video.session_id}",
        "session_recording_download_url": None,
        "session_recording_metadata": {
            "kasm_id": video.session_id,
            "username": video.username,
            "image_friendly_name": video.image_friendly_name,
            "start_date": format_time(video.begun),
            "end_date": format_time(video.ended),
            "duration_s": video.duration_ms / 1000,
            "size_bytes": video.size_bytes,
        },
    }


lifecycle_router = public_router(LifecycleRoute)


@lifecycle_router.post("/stop_kasm")
async def stop_kasm(db: Db, logs: Logs, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Stop a session: its programs end, and its disk remains. The groups of its user must allow this."""
    return await _request_command(db, logs, call, "stop")


@lifecycle_router.post("/pause_kasm")
async def pause_kasm(db: Db, logs: Logs, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Pause a session: its programs are frozen in memory. The groups of its user must allow this."""
    return await _request_command(db, logs, call, "pause")


@lifecycle_router.post("/resume_kasm")
async def resume_kasm(db: Db, logs: Logs, call: Annotated[CallBody, ACT_FOR_USERS]) -> Answer:
    """Let a stopped or paused session run again."""
    return await _request_command(db, logs, call, "resume")


async def _request_command(db: Database, logs: LogWriter, call: CallBody, command: LifecycleCommand) -> Answer:
    await instructions.request_lifecycle_command(
        db, logs, call.caller, await session_of(db, call, Act(command)), command
    )
    return {}
