"""Sessions in the published shape: request_kasm, get_kasm_status, get_kasms, destroy_kasm."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter
from psycopg.rows import DictRow

from greenroom.api import session_actions as actions
from greenroom.api.anonymous import anonymous_user, forget_anonymous
from greenroom.api.attributes import default_image_of
from greenroom.api.deps import Db, InstallationSecrets, Launches, Logs
from greenroom.api.launch import LaunchRequest
from greenroom.api.lifecycle import keep_alive
from greenroom.api.public.calls import Call, requires_key, validated
from greenroom.api.public.kasms import connect_url, kasm_shape, kasms, token_of
from greenroom.api.public.shapes import now
from greenroom.api.schemas.sessions import IDEMPOTENCY_KEY_MAX, SessionCreate
from greenroom.api.stream_urls import Streams
from greenroom.core.errors import GreenroomError, Invalid, NotFound
from greenroom.core.permissions import USER
from greenroom.core.states import SessionStatus
from greenroom.db import session_views
from greenroom.db.database import Database

router = APIRouter(include_in_schema=False)

FOR_USERS = requires_key("users_auth_session", USER)
"""A key that acts in the name of users."""


@router.post("/request_kasm")
async def request_kasm(db: Db, launcher: Launches, call: Annotated[Call, FOR_USERS]) -> dict[str, Any]:
    """Launch a session; without `user_id` for a new anonymous user, without `image_id` the user's default one."""
    user_id, image_id = call.optional_id("user_id"), call.optional_id("image_id")
    if user_id is not None:
        image_id = image_id or await default_image_of(db, user_id)
        result = await launcher.launch_for(call.caller, _launch_request(call, user_id, image_id))
    else:
        user_id, made = await anonymous_user(db, call.caller.key_id, _idempotency_key(call))
        try:
            image_id = image_id or await default_image_of(db, user_id)
            result = await launcher.launch_for(call.caller, _launch_request(call, user_id, image_id))
        except GreenroomError:
            if made:
                await forget_anonymous(db, user_id)
            raise
    return {
        "kasm_id": result.session_id,
        "username": result.username,
        "status": "starting",
        "share_id": None,
        "user_id": result.user_id,
        "session_token": result.token,
        "kasm_url": connect_url(result.session_id, result.user_id, result.token),
    }


@router.post("/get_kasm_status")
async def get_kasm_status(
    db: Db, streams: Streams, secrets: InstallationSecrets, call: Annotated[Call, FOR_USERS]
) -> dict[str, Any]:
    """Where a session stands; what failed is a refusal with its reason."""
    session = await session_of(db, call)
    token = token_of(session, secrets)
    status = SessionStatus(session["status"])
    shown = actions.progress_of(session, causes=True)
    answer: dict[str, Any] = {
        "current_time": now(),
        "kasm_url": connect_url(str(session["session_id"]), str(session["user_id"]), token),
        "kasm": kasm_shape(session, streams, token),
    }
    if status is not SessionStatus.RUNNING:
        answer |= {
            "operational_status": shown.operational_status,
            "operational_progress": shown.percent,
            "operational_message": shown.message,
        }
    if status is SessionStatus.FAILED:
        answer["error_message"] = shown.message
    return answer


@router.post("/get_kasms", dependencies=[requires_key("sessions_view")])
async def get_kasms(db: Db, streams: Streams) -> dict[str, Any]:
    """All sessions; staged ones have no user."""
    return {"current_time": now(), "kasms": await kasms(db, streams)}


@router.post("/get_user_kasms")
async def get_user_kasms(db: Db, streams: Streams, call: Annotated[Call, FOR_USERS]) -> dict[str, Any]:
    """The sessions of one user."""
    return {"current_time": now(), "kasms": await kasms(db, streams, user_id=call.id("user_id"))}


@router.post("/destroy_kasm")
async def destroy_kasm(db: Db, logs: Logs, call: Annotated[Call, FOR_USERS]) -> dict[str, Any]:
    """Record that a session is to go; done when get_kasm_status is refused."""
    await actions.destroy(db, logs, await session_of(db, call), f"destroyed by {call.caller.name}")
    return {}


@router.post("/keepalive")
async def keepalive(db: Db, call: Annotated[Call, FOR_USERS]) -> dict[str, Any]:
    """Somebody looks at the session: it lives on for `keepalive_expiration` from now."""
    await keep_alive(db, await session_of(db, call))
    return {"usage_reached": False}


def _launch_request(call: Call, user_id: str, image_id: str) -> LaunchRequest:
    wanted = _wanted(call, image_id)
    return LaunchRequest(
        user_id=user_id,
        image_id=image_id,
        request_host=call.headers.get("host", ""),
        zone_id=call.optional_id("zone_id"),
        gateway_zone=call.headers.get("x-greenroom-zone"),
        environment=dict(wanted.environment),
        kasm_url=wanted.kasm_url,
        network_id=wanted.network_id or None,
        persistent_profile_mode=wanted.persistent_profile_mode,
        idempotency_key=_idempotency_key(call),
    )


def _idempotency_key(call: Call) -> str | None:
    key = call.headers.get("idempotency-key") or None
    if key is not None and len(key) > IDEMPOTENCY_KEY_MAX:
        raise Invalid(f"The Idempotency-Key may have {IDEMPOTENCY_KEY_MAX} characters.")
    return key


def _wanted(call: Call, image_id: str) -> SessionCreate:
    """What the container or its `assign` is given, by the rules of /api/v1.

    A name with `=` in it would be another variable there, a text that is too long would keep `assign` from running,
    and a mode that means nothing here must not become the default: it would mount a profile, or not reset it.
    """
    given = call.given("environment").get("environment", {})
    if not isinstance(given, dict):
        raise Invalid("environment must be an object of names and texts.")
    return validated(
        SessionCreate,
        {
            "image_id": image_id,
            "environment": {name: str(value) for name, value in cast("dict[str, Any]", given).items()},
            "kasm_url": call.text("kasm_url"),
            "network_id": call.text("network_id"),
            "persistent_profile_mode": call.text("persistent_profile_mode") or None,
        },
    )


async def session_of(db: Database, call: Call) -> DictRow:
    """The session `kasm_id` of user `user_id`.

    Raises:
        NotFound: there is none, it was deleted, or it is somebody else's.
    """
    kasm_id, user_id = call.id("kasm_id"), call.optional_id("user_id")
    session = await session_views.get_session(db, kasm_id)
    owner = session["user_id"]
    if owner is None or session["status"] == "deleted" or user_id not in (None, str(owner)):
        raise NotFound(f"There is no session {kasm_id} of this user; it may have been deleted.")
    return session
