"""The common part of all adapters: authentication, requests to `/api/v1`, refusals, and input by mouse and keyboard."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import httpx2
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from greenroom.api.bodies import Json
from greenroom.api.csrf import foreign_origin_reason
from greenroom.api.lease import service
from greenroom.api.lease.schemas import LeaseGranted, LeaseView
from greenroom.api.lease.service import LeaseParts, LeasePartsDep
from greenroom.api.problems import error_response
from greenroom.api.security import AccessDeclaration, Caller, key_caller
from greenroom.core.errors import Forbidden, GreenroomError, NotFound, Unauthenticated, Unavailable, WrongState
from greenroom.core.session.states import OVER, SessionStatus
from greenroom.interfaces.mcp.tool import ToolRequest, call_api

DEFAULT_LEASE_S: Final = 600
MIN_LEASE_S: Final = 60
START_TIMEOUT_S: Final = 60
"""The time for which a call waits for the session of a new lease."""
MAX_LISTED: Final = 100
ENDED: Final = OVER | {SessionStatus.LOST}
_REPEATABLE: Final = frozenset({429, 503})
"""The HTTP statuses after which an SDK should repeat a call."""
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class NotSupportedError(GreenroomError, code="not-supported", http_status=501):
    """Greenroom does not support a call, or a part of the call."""


class _RefusedError(Exception):
    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Browser:
    """A lease, which the SDKs call a browser or a session.

    The addresses and the token are empty if the caller does not hold the lease, or if the lease has ended.
    """

    lease: LeaseView
    cdp: str = ""
    """The websocket of Chrome DevTools."""
    webdriver: str = ""
    live: str = ""
    """The address at which a person watches the session."""
    token: str = ""

    @classmethod
    def of(cls, lease: LeaseView) -> Browser:
        if not isinstance(lease, LeaseGranted) or lease.status in ENDED:
            return cls(lease)
        cdp, webdriver = lease.urls.cdp or "", lease.urls.webdriver or ""
        return cls(lease, cdp.replace("https", "wss", 1), webdriver, lease.urls.live, lease.token)

    @property
    def duration_s(self) -> int:
        """The time from the creation of the lease to its deadline; 0 without a deadline."""
        lease = self.lease
        return round((lease.expires - lease.created).total_seconds()) if lease.expires else 0

    @property
    def tags(self) -> dict[str, str]:
        return self.lease.tags if isinstance(self.lease.tags, dict) else {}


@dataclass(frozen=True, slots=True)
class SdkCall:
    """A call of an SDK with a valid API key. `authorization` is the value of the HTTP header with this key. `leasing`
    is the first argument of the functions of `api.lease.service`."""

    request: Request
    caller: Caller
    authorization: str
    leasing: LeaseParts

    async def send(self, tool_request: ToolRequest) -> httpx2.Response:
        """Send a request to a route of `/api/v1`, and return its answer. If the route refuses the request,
        `AdapterRoute` sends the refusal to the client.

        Raises:
            _RefusedError: the route refused the request.
        """
        answer = await call_api(
            self.request, replace(tool_request, headers={**tool_request.headers, "authorization": self.authorization})
        )
        if not answer.is_success:
            raise _RefusedError(answer)
        return answer

    async def create(
        self, seconds: float | None, *, tags: dict[str, str] | None = None, options: Json | None = None
    ) -> Browser:
        """Lease the workspace `GREENROOM_SDK_WORKSPACE` for a number of seconds, and wait until its session runs.

        Raises:
            Unavailable: the session does not run after `START_TIMEOUT_S`. The lease is released.
            WrongState: the workspace has no Chrome DevTools. The lease is released.
        """
        workspace = self.request.app.state.config.sdk_workspace
        body = {
            "workspace": workspace,
            "seconds": DEFAULT_LEASE_S if seconds is None else max(MIN_LEASE_S, round(seconds)),
            "tags": tags or None,
            "options": options or None,
            "wait_s": START_TIMEOUT_S,
        }
        key = self.request.headers.get("idempotency-key")
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.send(ToolRequest(method="POST", path="/leases", json=body, headers=headers))
        browser = Browser.of(LeaseGranted.model_validate_json(answer.content))
        if browser.lease.status == SessionStatus.RUNNING and browser.cdp:
            return browser
        await self.release(browser.lease.lease_id)
        if browser.lease.status != SessionStatus.RUNNING:
            raise Unavailable(
                f"The session of {workspace} did not run within {START_TIMEOUT_S} s; its lease was released."
            )
        raise WrongState(
            f"The workspace {workspace} has no Chrome DevTools; set GREENROOM_SDK_WORKSPACE to another workspace."
        )

    async def browser(self, lease_id: str) -> Browser:
        """Return a lease. Raises NotFound: this is not the id of a lease."""
        answer = await self.send(ToolRequest(method="GET", path=lease_path(lease_id)))
        (browser,) = await self._browsers_of([LeaseView.model_validate_json(answer.content)])
        return browser

    async def browsers(self, *, ended: bool = False, limit: int = MAX_LISTED) -> list[Browser]:
        """Return the newest leases that the caller may see."""
        tool_request = ToolRequest(method="GET", path="/leases", query={"limit": limit, "ended": ended})
        return await self._browsers_of(
            [LeaseView.model_validate(item) for item in (await self.send(tool_request)).json()]
        )

    async def release(self, lease_id: str | UUID) -> None:
        await self.send(ToolRequest(method="DELETE", path=lease_path(lease_id)))

    async def act(self, lease_id: str, *actions: Json, screenshot: bool = False) -> Json:
        """Perform actions. Return an object with `results`, and `screenshot` in base64 or null.

        Raises:
            WrongState: an action failed.
        """
        body = {"actions": actions, "screenshot": screenshot}
        answer = await self.send(ToolRequest(method="POST", path=f"{lease_path(lease_id)}/actions", json=body))
        result: Json = answer.json()
        if failed := next((item for item in result["results"] if not item["done"]), None):
            raise WrongState(f"{failed['action']} was not done: {failed['error']}")
        return result

    async def _browsers_of(self, leases: list[LeaseView]) -> list[Browser]:
        granted = await service.granted_leases(self.leasing, self.caller, [lease.lease_id for lease in leases])
        return [Browser.of(granted.get(lease.lease_id, lease)) for lease in leases]


class AdapterKey(AccessDeclaration):
    """Checks the API key of a call: `KEY:SECRET` in a header. The routes of `/api/v1` check permissions."""

    codes = ()

    def __init__(self, header: str) -> None:
        self._header = header

    async def __call__(self, request: Request) -> None:
        """Authenticate the caller.

        Raises:
            Forbidden: the request comes from a web page of another site.
            Unauthenticated: there is no valid API key.
        """
        if reason := foreign_origin_reason(request.headers):
            raise Forbidden(reason, reason="cross-site")
        credential = request.headers.get(self._header, "")
        if self._header == "authorization":
            scheme, _, credential = credential.partition(" ")
            credential = credential if scheme.lower() == "bearer" else ""
        key_id, separator, secret = credential.strip().partition(":")
        if not separator or "\0" in key_id:
            raise Unauthenticated(
                "The API key of the SDK must have the form KEY:SECRET, with an API key of Greenroom and its secret."
            )
        request.state.caller = await key_caller(request, key_id, secret)
        request.state.sdk_authorization = f"Basic {base64.b64encode(f'{key_id}:{secret}'.encode()).decode()}"


async def _sdk_call(request: Request, leasing: LeasePartsDep) -> SdkCall:
    """Return the call. The state of the request must not refer to it: the cycle would keep the body in memory."""
    return SdkCall(request, request.state.caller, request.state.sdk_authorization, leasing)


Call = Annotated[SdkCall, Depends(_sdk_call)]
"""The call that a route of an adapter answers."""


class AdapterRoute(APIRoute):
    """A route of an adapter. Its refusals have the fields that the SDKs display, and the header `x-should-retry`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except _RefusedError as refusal:
                answer = refusal.answer
                return _refusal_response(answer.status_code, answer.content, answer.headers.get("retry-after"))
            except GreenroomError as error:
                answer = error_response(request.url.path, error)
                return _refusal_response(answer.status_code, bytes(answer.body), answer.headers.get("retry-after"))

        return handler


def adapter_router(prefix: str, header: str) -> APIRouter:
    """Return the router of an adapter. The calls contain the API key in the header `header`."""
    return APIRouter(
        prefix=f"/adapters/{prefix}",
        route_class=AdapterRoute,
        include_in_schema=False,
        dependencies=[Depends(AdapterKey(header))],
    )


def refuse_other_calls(router: APIRouter) -> None:
    """Answer every other call of the SDK with `NotSupportedError`."""

    async def refuse_call(request: Request, path: str) -> None:
        raise not_supported(f"{request.method} /{path}")

    router.add_api_route("/{path:path}", refuse_call, methods=_METHODS)


def not_supported(subject: str, remedy: str = "") -> NotSupportedError:
    """Return the error for a call, or a part of a call, that Greenroom does not support. `remedy` follows the
    sentence."""
    return NotSupportedError(f"Greenroom has no counterpart of {subject}{remedy}.")


class SdkModel(BaseModel):
    """The body of a call. `model_extra` contains the fields that a subclass does not declare."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


def refuse_fields(model: BaseModel, *names: str) -> None:
    """Check that these fields are not set. Raises NotSupportedError: one of them is set."""
    fields = model.model_extra or {}
    if unsupported := [name for name in names if fields.get(name)]:
        raise not_supported(", ".join(unsupported), "; omit it")


def lease_path(lease_id: str | UUID) -> str:
    """Return the path of a lease below `/api/v1`. Raises NotFound: this is not the id of a lease."""
    try:
        return f"/leases/{UUID(str(lease_id))}"
    except ValueError as error:
        raise NotFound(
            f"There is no browser {str(lease_id)[:60]!r}; the id of a browser is the id of its lease."
        ) from error


def _refusal_response(status: int, problem: bytes, retry_after: str | None) -> Response:
    document: Json = json.loads(problem)
    sentence = document.get("detail", "")
    headers = {"x-should-retry": "true" if status in _REPEATABLE else "false"}
    if retry_after:
        headers["Retry-After"] = retry_after
    return JSONResponse(document | {"message": sentence, "error": sentence}, status, headers)


_CLICKS: Final = {("left", 1): "left_click", ("left", 2): "double_click", ("left", 3): "triple_click"}
_PRESS_AND_RELEASE: Final = {"down": "left_mouse_down", "up": "left_mouse_up"}


class Gesture(BaseModel):
    """The fields of all calls for mouse and keyboard, of which each call uses some. The methods return the actions for
    `POST /leases/{id}/actions`."""

    model_config = ConfigDict(allow_inf_nan=False)

    x: float | None = None
    y: float | None = None
    coordinates: tuple[float, float] | None = None
    button: Literal["left", "right", "middle", "back", "forward"] = "left"
    click_type: Literal["click", "down", "up"] = "click"
    num_clicks: int = 1
    hold_keys: list[str] = []
    path: list[tuple[float, float]] = []
    delta_x: float = 0
    delta_y: float = 0
    keys: list[str] = []
    duration: float = 0
    duration_ms: float = 0
    text: str = ""

    @property
    def position(self) -> Json:
        """An object with the field `coordinate` of an action; empty without a position."""
        if self.coordinates is not None:
            return {"coordinate": list(self.coordinates)}
        return {} if self.x is None or self.y is None else {"coordinate": [self.x, self.y]}

    @property
    def pressed_keys(self) -> Json:
        """An object with the field `text` of an action: the keys that are pressed during a click. Empty without
        keys."""
        return {"text": "+".join(self.hold_keys)} if self.hold_keys else {}

    def click(self) -> list[Json]:
        """Press, release or click a button. Raises NotSupportedError: Greenroom has no such action."""
        kind, position = self.click_type, self.position
        if kind != "click" and self.button == "left":
            return [{"action": _PRESS_AND_RELEASE[kind], **position}]
        if kind == "click" and self.button in ("back", "forward") and position:
            x, y = position["coordinate"]
            return [{"type": "click", "button": self.button, "x": x, "y": y}]
        single = f"{self.button}_click" if self.num_clicks == 1 and self.button in ("right", "middle") else ""
        name = _CLICKS.get((self.button, self.num_clicks)) or single
        if kind != "click" or not name:
            raise not_supported(f"click_type {kind} with num_clicks {self.num_clicks} and button {self.button}")
        return [{"action": name, **position, **self.pressed_keys}]

    def move(self) -> list[Json]:
        return [{"action": "mouse_move", **self.position}]

    def drag(self) -> list[Json]:
        """Drag with the left button. Raises NotSupportedError: the call names another button."""
        if self.button != "left":
            raise NotSupportedError(f"Greenroom drags with the left button, not with {self.button}.")
        keys = {"keys": self.hold_keys} if self.hold_keys else {}
        return [{"type": "drag", "path": [list(position) for position in self.path], **keys}]

    def turn_wheel(self) -> list[Json]:
        """Turn the wheel by `delta_x` and `delta_y` notches."""
        directions = (("right", "left", self.delta_x), ("down", "up", self.delta_y))
        return [
            {
                "action": "scroll",
                "scroll_direction": forward if notches > 0 else back,
                "scroll_amount": round(abs(notches)),
                **self.position,
                **self.pressed_keys,
            }
            for forward, back, notches in directions
            if notches
        ]

    def scroll(self) -> list[Json]:
        """Scroll by `delta_x` and `delta_y` pixels."""
        x, y = self.position.get("coordinate", (0, 0))
        keys = {"keys": self.hold_keys} if self.hold_keys else {}
        return [{"type": "scroll", "x": x, "y": y, "scroll_x": self.delta_x, "scroll_y": self.delta_y, **keys}]

    def press(self, *, seconds: float) -> list[Json]:
        """Press `hold_keys` and `keys` together, for a number of seconds, or briefly if `seconds` is 0."""
        text = "+".join([*self.hold_keys, *self.keys])
        return [
            {"action": "hold_key", "text": text, "duration": seconds} if seconds else {"action": "key", "text": text}
        ]

    def write(self) -> list[Json]:
        return [{"action": "type", "text": self.text}]
