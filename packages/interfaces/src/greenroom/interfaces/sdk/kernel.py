"""Calls of the SDK `kernel`. A browser is a lease; its `session_id` is the id of the lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from greenroom.api.bodies import Json, validated
from greenroom.interfaces.mcp.tool import ToolRequest, as_base64
from greenroom.interfaces.sdk import common
from greenroom.interfaces.sdk.common import Browser, Call, Gesture, SdkModel

router = common.adapter_router("kernel", "authorization")

UNSUPPORTED_FIELDS: Final = (
    "stealth", "profile", "proxy", "proxy_id", "location", "extensions", "vaults", "chrome_policy", "gpu", "name",
    "network", "kiosk_mode",
)  # fmt: skip


class KernelRequest(SdkModel):
    """The supported fields of a new browser."""

    timeout_seconds: float | None = None
    start_url: str = ""
    tags: dict[str, str] | None = None


class Region(BaseModel):
    """A part of the screen, in pixels."""

    x: int
    y: int
    width: int
    height: int


class ScreenshotBody(BaseModel):
    """The body of a request for a screenshot; without `region`, for the whole screen."""

    region: Region | None = None


class KernelCommand(SdkModel):
    """The supported fields of a command."""

    command: str
    args: tuple[str, ...] = ()
    cwd: str | None = None
    env: dict[str, str] = Field(default_factory=dict[str, str])
    timeout_sec: float | None = None


class BatchStep(SdkModel):
    """An item of `batch`. The field with the name in `type` contains the fields of the action."""

    type: str


class Batch(BaseModel):
    """The body of a request for several actions."""

    actions: list[BatchStep]


def browser_json(browser: Browser) -> Json:
    """Return a browser in the format of the SDK."""
    lease = browser.lease
    return {
        "session_id": str(lease.lease_id),
        "cdp_ws_url": browser.cdp,
        "webdriver_ws_url": browser.webdriver,
        "browser_live_view_url": browser.live,
        "created_at": lease.created.isoformat(),
        "deleted_at": lease.ended.isoformat() if lease.ended else None,
        "timeout_seconds": browser.duration_s,
        "headless": False,
        "stealth": False,
        "tags": browser.tags,
    }


@router.post("/browsers")
async def create(call: Call, body: KernelRequest) -> Json:
    """Lease a browser; `timeout_seconds` is its deadline, in seconds from now."""
    common.refuse_fields(body, *UNSUPPORTED_FIELDS)
    options: Json = {"kasm_url": body.start_url} if body.start_url else {}
    return browser_json(await call.create(body.timeout_seconds, tags=body.tags, options=options))


@router.get("/browsers")
async def list_browsers(
    call: Call,
    status: str = "active",
    include_deleted: bool = False,
    limit: Annotated[int, Query(ge=1, le=common.MAX_LISTED)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> JSONResponse:
    """List the newest leases that the caller may see."""
    if offset:
        raise common.NotSupportedError(f"Greenroom lists the newest {common.MAX_LISTED} browsers; omit offset.")
    includes_ended = include_deleted or status in ("deleted", "all")
    browsers = [
        browser
        for browser in await call.browsers(ended=includes_ended, limit=limit)
        if includes_ended or browser.lease.status not in common.ENDED
    ]
    if status == "deleted":
        browsers = [browser for browser in browsers if browser.lease.status in common.ENDED]
    return JSONResponse(list(map(browser_json, browsers)), headers={"X-Has-More": "false"})


@router.get("/browsers/{browser_id}")
async def retrieve(call: Call, browser_id: str) -> Json:
    """Return one browser."""
    return browser_json(await call.browser(browser_id))


@router.delete("/browsers/{browser_id}", status_code=204)
async def delete(call: Call, browser_id: str) -> None:
    """End the lease."""
    await call.release(browser_id)


def _press_in_order(gesture: Gesture) -> list[Json]:
    """Return the actions that press the `keys` one after the other."""
    single_presses = (gesture.model_copy(update={"keys": [keys]}) for keys in gesture.keys)
    return [action for single in single_presses for action in single.press(seconds=gesture.duration / 1000)]


_ACTIONS: Final[dict[str, Callable[[Gesture], list[Json]]]] = {
    "click_mouse": Gesture.click,
    "move_mouse": Gesture.move,
    "drag_mouse": Gesture.drag,
    "scroll": Gesture.turn_wheel,
    "press_key": _press_in_order,
    "type_text": Gesture.write,
    "sleep": lambda gesture: [{"action": "wait", "duration": gesture.duration_ms / 1000}],
}


def _actions_of(step: BatchStep) -> list[Json]:
    if (make_actions := _ACTIONS.get(step.type)) is None:
        raise common.not_supported(f"the action {step.type!r}")
    return make_actions(validated(Gesture, (step.model_extra or {}).get(step.type) or {}))


@router.post("/browsers/{browser_id}/computer/batch", status_code=204)
async def batch(call: Call, browser_id: str, body: Batch) -> None:
    """Perform several actions in their order."""
    await call.act(browser_id, *(action for step in body.actions for action in _actions_of(step)))


@router.post("/browsers/{browser_id}/computer/screenshot")
async def screenshot(call: Call, browser_id: str, body: ScreenshotBody) -> Response:
    """Return the screen or its part `region` as PNG."""
    part = body.region
    query = {"region": f"{part.x},{part.y},{part.x + part.width},{part.y + part.height}"} if part else None
    picture = await call.send(
        ToolRequest(method="GET", path=f"{common.lease_path(browser_id)}/screenshot", query=query)
    )
    return Response(picture.content, media_type="image/png")


@router.post("/browsers/{browser_id}/computer/get_mouse_position")
async def mouse_position(call: Call, browser_id: str) -> Json:
    """Return the position of the pointer."""
    (result,) = (await call.act(browser_id, {"action": "cursor_position"}))["results"]
    return {"x": result["coordinate"][0], "y": result["coordinate"][1]}


@router.post("/browsers/{browser_id}/computer/clipboard/read")
async def read_clipboard(call: Call, browser_id: str) -> Json:
    """Return the text on the clipboard."""
    (result,) = (await call.act(browser_id, {"action": "get_clipboard"}))["results"]
    return {"text": result["text"] or ""}


@router.post("/browsers/{browser_id}/computer/clipboard/write", status_code=204)
async def write_clipboard(call: Call, browser_id: str, body: Gesture) -> None:
    """Put a text on the clipboard."""
    await call.act(browser_id, {"action": "set_clipboard", "text": body.text})


def _add_route(path: str, make_actions: Callable[[Gesture], list[Json]]) -> None:
    async def act(call: Call, browser_id: str, body: Gesture) -> None:
        await call.act(browser_id, *make_actions(body))

    router.add_api_route(f"/browsers/{{browser_id}}/computer/{path}", act, methods=["POST"], status_code=204)


for _name in ("click_mouse", "move_mouse", "drag_mouse", "scroll", "press_key"):
    _add_route(_name, _ACTIONS[_name])
_add_route("type", _ACTIONS["type_text"])


@router.post("/browsers/{browser_id}/process/exec")
async def execute(call: Call, browser_id: str, body: KernelCommand) -> Json:
    """Run a command, wait for its end, and return its output."""
    common.refuse_fields(body, "as_root", "as_user")
    command: Json = {
        "command": [body.command, *body.args],
        "env": body.env,
        "workdir": body.cwd,
        "timeout_s": body.timeout_sec or 60,
    }
    begun_s = time.monotonic()
    result: Json = (
        await call.send(ToolRequest(method="POST", path=f"{common.lease_path(browser_id)}/exec", json=command))
    ).json()
    return {
        "exit_code": result["exit_code"],
        "stdout_b64": result["stdout_base64"] or as_base64(result["stdout"].encode()),
        "stderr_b64": result["stderr_base64"] or as_base64(result["stderr"].encode()),
        "duration_ms": round((time.monotonic() - begun_s) * 1000),
    }


@router.get("/browsers/{browser_id}/replays")
async def replays(call: Call, browser_id: str) -> list[Json]:
    """Return an empty list, after a check that the lease exists."""
    await call.browser(browser_id)
    return []


common.refuse_other_calls(router)
