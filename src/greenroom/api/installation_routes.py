"""Routes about the installation as a whole: its settings, its events, and the OpenAPI document.

The document describes the interface and contains no data, so anyone may read it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.access.schemas import InstallationSettingView, SettingProblem, SettingsToTest
from greenroom.api.bodies import Json
from greenroom.api.deps import ChangeDep, Db, HubDep, SnapshotDep
from greenroom.api.events import HEARTBEAT_S, MIN_ALIVE_S, RESYNC, live_frames, recent_frames
from greenroom.api.problems import OpenApi, api_router
from greenroom.api.security import Caller, authenticate, public_route, requires
from greenroom.core.access.permissions import USER
from greenroom.core.access.setting_checks import problems_of
from greenroom.core.events import MAX_RECENT
from greenroom.core.installation import INSTALLATION_SETTINGS, Installation, validated_installation
from greenroom.core.log_codes import LogCode
from greenroom.db.installation import change_installation_settings

router = api_router("settings")


@router.get("/settings", dependencies=[requires("settings_view")])
async def list_settings(snapshot: SnapshotDep) -> list[InstallationSettingView]:
    """List all settings with their values."""
    return _views(snapshot.installation)


@router.patch("/settings", dependencies=[requires("settings_modify")])
async def update_settings(body: Json, change: ChangeDep, snapshot: SnapshotDep) -> list[InstallationSettingView]:
    """Change settings: the body contains names and new values; null restores the default."""
    changes = {
        name: None if value is None and name in INSTALLATION_SETTINGS else validated_installation(name, value)
        for name, value in body.items()
    }
    before = snapshot.installation
    async with access_transaction(change.db, change.logs, everyone=True) as access:
        await change_installation_settings(access.connection, changes)
    await snapshot.reload()
    old, new = ({name: getattr(values, name) for name in changes} for values in (before, snapshot.installation))
    change.audit(LogCode.SETTING_CHANGED, "of the installation", before=old, after=new)
    return _views(snapshot.installation)


@router.post("/settings/test", dependencies=[requires("settings_modify")])
async def test_settings(body: SettingsToTest) -> list[SettingProblem]:
    """Return the values that would be refused, with the reasons. Nothing is changed."""
    return [SettingProblem(name=name, problem=text) for name, text in problems_of(body.values, validated_installation)]


def _views(values: Installation) -> list[InstallationSettingView]:
    return [
        InstallationSettingView.of(setting, value=getattr(values, setting.name))
        for setting in INSTALLATION_SETTINGS.values()
    ]


document_router = api_router()


@document_router.get(
    "/openapi.json", dependencies=[public_route("the description of the interface")], include_in_schema=False
)
async def openapi(request: Request) -> OpenApi:
    """Return the OpenAPI 3.1 document of `/api/v1`."""
    return request.app.openapi()


event_router = api_router("events")


@event_router.get("/events", response_class=StreamingResponse)
async def events(
    request: Request,
    db: Db,
    hub: HubDep,
    caller: Annotated[Caller, requires(USER)],
    last: Annotated[int, Query(ge=0, le=MAX_RECENT, description="number of past events to send first")] = 0,
    alive_s: Annotated[
        float | None,
        Query(ge=MIN_ALIVE_S, le=HEARTBEAT_S, description="silence after which the event `alive` follows"),
    ] = None,
) -> StreamingResponse:
    """Stream change events (text/event-stream); 429 for a caller with twenty open streams."""
    owner = caller.user_id or caller.key_id or ""
    hub.require_free_subscription(owner)
    reconnected = "last-event-id" in request.headers

    async def authenticate_again() -> Caller:
        return await authenticate(request)

    async def frames() -> AsyncGenerator[str]:
        with hub.subscription(owner) as subscriber:
            if reconnected:
                subscriber.put(RESYNC)
            async for frame in recent_frames(db, caller, hub.recent(last)):
                yield frame
            async for frame in live_frames(db, subscriber, caller, authenticate_again, alive_s):
                yield frame

    return StreamingResponse(frames(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
