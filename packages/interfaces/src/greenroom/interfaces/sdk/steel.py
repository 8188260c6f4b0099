"""Calls of the SDK `steel-sdk`. A session is a lease; its `id` is the id of the lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Query

from greenroom.api.bodies import Json
from greenroom.core.session.states import SessionStatus
from greenroom.interfaces.sdk import common
from greenroom.interfaces.sdk.common import Browser, Call, Gesture, SdkModel

router = common.adapter_router("steel", "steel-api-key")

UNSUPPORTED_FIELDS: Final = (
    "sessionId", "proxyUrl", "useProxy", "solveCaptcha", "stealthConfig", "credentials", "extensionIds", "profileId",
    "persistProfile", "sessionContext", "userAgent", "caCertificates", "optimizeBandwidth", "deviceConfig",
)  # fmt: skip
SCREEN: Final = {"width": 1280, "height": 800}
"""The size of the screen until the window of a viewer changes it."""


class SteelRequest(SdkModel):
    """The supported fields of a new session."""

    timeout: float | None = None


class SteelAction(Gesture):
    """One action. With `screenshot`, the answer includes the screen after the action."""

    action: str
    screenshot: bool = False


def session_json(browser: Browser) -> Json:
    """Return a session in the format of the SDK."""
    lease = browser.lease
    is_failed = lease.status in (SessionStatus.FAILED, SessionStatus.LOST)
    end = lease.ended or lease.expires or lease.created
    return {
        "id": str(lease.lease_id),
        "status": "failed" if is_failed else "released" if lease.status in common.ENDED else "live",
        "createdAt": lease.created.isoformat(),
        "timeout": browser.duration_s * 1000,
        "duration": round((end - lease.created).total_seconds() * 1000) if lease.ended else 0,
        "websocketUrl": browser.cdp,
        "sessionViewerUrl": browser.live,
        "debugUrl": browser.live,
        "dimensions": SCREEN,
        "optimizeBandwidth": {},
        "creditsUsed": 0,
        "eventCount": 0,
        "proxyBytesUsed": 0,
        "headless": False,
    }


@router.post("/v1/sessions")
async def create(call: Call, body: SteelRequest) -> Json:
    """Lease a browser; `timeout` is its deadline, in milliseconds from now."""
    common.refuse_fields(body, *UNSUPPORTED_FIELDS)
    return session_json(await call.create(None if body.timeout is None else body.timeout / 1000))


@router.get("/v1/sessions")
async def list_sessions(
    call: Call,
    status: str | None = None,
    limit: Annotated[int, Query(ge=1, le=common.MAX_LISTED)] = common.MAX_LISTED,
    after: Annotated[str, Query(alias="cursorId")] = "",
) -> Json:
    """List the newest leases that the caller may see. The SDK requests pages after the last id until a page is
    empty."""
    sessions_json = map(session_json, await call.browsers(ended=status != "live"))
    sessions = [session for session in sessions_json if status in (None, session["status"])]
    ids = [session["id"] for session in sessions]
    begin = ids.index(after) + 1 if after in ids else len(ids) if after else 0
    return {"sessions": sessions[begin : begin + limit], "totalCount": len(sessions), "nextCursor": None}


@router.post("/v1/sessions/release")
async def release_all(call: Call) -> Json:
    """End every lease that the caller holds."""
    leased = [browser for browser in await call.browsers() if browser.token]
    for browser in leased:
        await call.release(browser.lease.lease_id)
    return {"success": True, "message": f"{len(leased)} sessions were released."}


@router.get("/v1/sessions/{session_id}")
async def retrieve(call: Call, session_id: str) -> Json:
    """Return one session."""
    return session_json(await call.browser(session_id))


@router.post("/v1/sessions/{session_id}/release")
async def release(call: Call, session_id: str) -> Json:
    """End the lease."""
    await call.release(session_id)
    return {"success": True, "message": "The session was released."}


@router.get("/v1/sessions/{session_id}/live-details")
async def live_details(call: Call, session_id: str) -> Json:
    """Return the address at which a person watches the session. The list of browser tabs (`pages`) is empty; DevTools
    provide it."""
    browser = await call.browser(session_id)
    viewer = {"sessionViewerUrl": browser.live, "sessionViewerFullscreenUrl": browser.live}
    return {"pages": [], **viewer, "wsUrl": browser.cdp}


@router.get("/v1/sessions/{session_id}/events")
async def events(call: Call, session_id: str) -> list[Json]:
    """Return an empty list, after a check that the lease exists."""
    await call.browser(session_id)
    return []


_ACTIONS: Final[dict[str, Callable[[SteelAction], list[Json]]]] = {
    "click_mouse": Gesture.click,
    "move_mouse": Gesture.move,
    "drag_mouse": Gesture.drag,
    "scroll": Gesture.scroll,
    "press_key": lambda gesture: gesture.press(seconds=gesture.duration),
    "type_text": Gesture.write,
    "wait": lambda gesture: [{"action": "wait", "duration": gesture.duration}],
    "take_screenshot": lambda _: [],
    "get_cursor_position": lambda _: [{"action": "cursor_position"}],
}


@router.post("/v1/sessions/{session_id}/computer")
async def computer(call: Call, session_id: str, body: SteelAction) -> Json:
    """Perform one action. With `screenshot`, the answer includes the screen after the action."""
    if (make_actions := _ACTIONS.get(body.action)) is None or (body.action == "type_text" and body.hold_keys):
        raise common.not_supported(f"the action {body.action!r} with these fields")
    with_picture = body.screenshot or body.action == "take_screenshot"
    result = await call.act(session_id, *make_actions(body), screenshot=with_picture)
    results: list[Json] = result["results"]
    coordinate = results[-1]["coordinate"] if results else None
    return {
        "output": f"X={coordinate[0]}, Y={coordinate[1]}" if coordinate else "",
        "base64_image": result["screenshot"],
        "error": None,
    }


common.refuse_other_calls(router)
