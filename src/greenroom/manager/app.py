"""The Manager's HTTP interface: five routes for Agents, health (docs/reference/managers.md), metrics.

It is a plain ASGI function that uses the request and response classes of Starlette. The layers of a Starlette
application would add a quarter to the CPU time and memory of a check-in.
"""

from __future__ import annotations

import ipaddress
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol, TypeVar

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from greenroom.core.errors import GreenroomError, Invalid, Unauthenticated
from greenroom.db.diagnostics.views import RequestLog
from greenroom.kit.metrics import CONTENT_TYPE, METRICS_PATH
from greenroom.kit.serving import LimitedBody
from greenroom.manager.checkin.enrollment import Enrollment, ImageCopies
from greenroom.manager.checkin.polling import CheckIns, ManagerDisabledError
from greenroom.manager.status import ManagerMetrics, ManagerStatus
from greenroom.wire.fleet import MissingImages, TicketCheck
from greenroom.wire.messages import CheckIn, EdgeRequest, Message, Register

Health = Literal["starting", "running", "disabled", "unhealthy", "stopping"]

RETRY_AFTER_S: Final[dict[Health, int]] = {"starting": 1, "stopping": 1, "disabled": 30}
"""The value of the `Retry-After` header by health. A Manager that starts or stops is soon replaced by a running one. An
administrator who disables a Manager rarely enables it within 30 s (docs/reference/managers.md)."""


def health_answer(manager: ManagerStatus) -> Response:
    """Return the answer to a health request. A disabled Manager is healthy, unless it hangs."""
    if manager.starting:
        return _health_response("starting", manager.enabled)
    if not manager.healthy:
        return _health_response("unhealthy", manager.enabled)
    if not manager.enabled:
        return _health_response("disabled", manager.enabled)
    # a failing task would also fail on another Manager of the zone, so Agents are not redirected
    return _health_response("running", manager.enabled, manager.guardian.failing_tasks)


def unavailable_answer(manager: ManagerStatus) -> Response:
    """Return the answer that redirects an Agent to another Manager, with the reason and the time after which it may
    return."""
    if manager.stopping or manager.enabled is None:
        return _health_response("stopping" if manager.stopping else "starting", manager.enabled)
    if manager.hangs:
        return health_answer(manager)
    # A check-in that waits for changes may read that the Manager is disabled before the guardian reads it.
    return _health_response("disabled", enabled=False)


def _health_response(health: Health, enabled: bool | None, failing_tasks: Sequence[str] = ()) -> Response:
    body = {"ok": health == "running", "status": health, "enabled": enabled}
    if failing_tasks:
        body |= {"failing_tasks": failing_tasks}
    status = 200 if health == "running" else 500 if health == "unhealthy" else 503
    headers = {"Retry-After": str(RETRY_AFTER_S[health])} if health in RETRY_AFTER_S else {}
    # json.dumps writes the same spaces as the documentation and the gateway; scripts compare the text
    return Response(json.dumps(body), status, headers, media_type="application/json")


log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 4 << 20
PREFIX: Final = "/manager_api"
"""The gateway removes this prefix; request rows contain the path as the Agent sent it."""

_encoder = msgspec.json.Encoder()
_MessageT = TypeVar("_MessageT", bound=Message)
_AgentMessageT = TypeVar("_AgentMessageT", EdgeRequest, MissingImages, TicketCheck)


@dataclass(frozen=True, slots=True)
class AgentServices:
    """The services of a registered Manager for Agents."""

    enrollment: Enrollment
    check_ins: CheckIns
    copies: ImageCopies
    requests: RequestLog


class ManagerProcess(Protocol):
    """The parts of the process that the routes need. `agent_services` is None until the Manager is registered."""

    metrics: ManagerMetrics

    @property
    def agent_services(self) -> AgentServices | None: ...

    def status(self) -> ManagerStatus: ...


def create_app(process: ManagerProcess) -> ASGIApp:
    """Return the ASGI application."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, LimitedBody(receive, MAX_BODY_BYTES))
        path, method = scope["path"], request.method
        if path in _AGENT_ROUTES and method == "POST":
            response = await _answer_and_record(process, request, _AGENT_ROUTES[path])
        elif path in _PUBLIC_ROUTES and method in {"GET", "HEAD"}:
            response = _PUBLIC_ROUTES[path](process)
        else:
            known = path in _AGENT_ROUTES or path in _PUBLIC_ROUTES
            response = Response(status_code=405 if known else 404)
        await response(scope, receive, send)

    return app


async def _register(services: AgentServices, request: Request) -> Message:
    message = await _decoded(request, Register)
    request.state.agent_id = message.agent_id
    return await services.enrollment.register(message, _address(request))


async def _check_in(services: AgentServices, request: Request) -> Message:
    try:
        message = await _decoded(request, CheckIn)
        return await services.check_ins.check_in(
            message, _credential(request, message.agent_id), closed=partial(_closed, request)
        )
    except Invalid as error:
        agent_id, _, credential = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(".")
        request.state.agent_id = agent_id
        if _agent_id(request) == agent_id:
            await services.check_ins.record_refusal(agent_id, credential, error.message)
        raise


async def _closed(request: Request) -> None:
    """Wait until the client has closed the connection. The body of the request was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _authenticated_route(
    kind: type[_AgentMessageT], method: Callable[[AgentServices], Callable[[_AgentMessageT, str], Awaitable[Message]]]
) -> Callable[[AgentServices, Request], Awaitable[Message]]:
    """Return a route that passes the message and the credential of the Agent to a method of the services, which checks
    the credential."""

    async def answer(services: AgentServices, request: Request) -> Message:
        message = await _decoded(request, kind)
        return await method(services)(message, _credential(request, message.agent_id))

    return answer


_AGENT_ROUTES: Final[Mapping[str, Callable[[AgentServices, Request], Awaitable[Message]]]] = {
    "/v1/register": _register,
    "/v1/check-in": _check_in,
    "/v1/edge-certificate": _authenticated_route(EdgeRequest, lambda services: services.enrollment.edge_certificate),
    "/v1/image-sources": _authenticated_route(MissingImages, lambda services: services.copies.sources),
    "/v1/image-ticket": _authenticated_route(TicketCheck, lambda services: services.copies.check_ticket),
}


def _health(process: ManagerProcess) -> Response:
    return health_answer(process.status())


def _metrics(process: ManagerProcess) -> Response:
    return Response(process.metrics.text(), media_type=CONTENT_TYPE)


_PUBLIC_ROUTES: Final[Mapping[str, Callable[[ManagerProcess], Response]]] = {
    "/health": _health,
    "/__healthcheck": _health,
    METRICS_PATH: _metrics,
}


def _credential(request: Request, agent_id: str) -> str:
    """Return the credential of the request. Raises Unauthenticated: it is missing, or belongs to another Agent."""
    owner, _, credential = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(".")
    if owner != agent_id:
        raise Unauthenticated("The credential of the request is missing or belongs to another Agent.")
    request.state.agent_id = agent_id
    return credential


def _address(request: Request) -> str:
    """Return the client's address: that in the header X-Real-IP, which the gateway always sets, or else that of the
    connection."""
    text = request.headers.get("X-Real-IP") or (request.client.host if request.client else "")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return "an unknown address"


async def _answer_and_record(
    process: ManagerProcess, request: Request, route: Callable[[AgentServices, Request], Awaitable[Message]]
) -> Response:
    begun_s = time.perf_counter()
    request.state.agent_id = None
    response = await _response(process, request, route)
    path, duration_s = PREFIX + request.scope["path"], time.perf_counter() - begun_s
    process.metrics.requests.labels(path, str(response.status_code)).inc()
    process.metrics.request_seconds.labels(path).observe(duration_s)
    if (services := process.agent_services) is not None:
        agent_id = _agent_id(request)
        services.requests.add(agent_id, request.method, path, response.status_code, round(duration_s * 1000, 3))
    return response


async def _response(
    process: ManagerProcess, request: Request, route: Callable[[AgentServices, Request], Awaitable[Message]]
) -> Response:
    services, manager = process.agent_services, process.status()
    if services is None or not manager.serves_agents:
        return unavailable_answer(manager)
    try:
        message = await route(services, request)
    except ManagerDisabledError:
        return unavailable_answer(process.status())
    except GreenroomError as error:
        return _refusal(error)
    except Exception as error:
        log.error("a request cannot be answered", path=request.scope["path"], exc_info=error)
        return _refusal(GreenroomError())
    return Response(_encoder.encode(message), media_type="application/json")


def _refusal(error: GreenroomError) -> Response:
    body = {"code": error.code, "message": error.message}
    return Response(_encoder.encode(body), error.http_status, media_type="application/json")


async def _decoded(request: Request, kind: type[_MessageT]) -> _MessageT:
    """Return the message in the body of the request. Raises Invalid: the body is no such message."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as error:
        raise Invalid(f"The message is not a {kind.__name__}: {error}") from error


def _agent_id(request: Request) -> str | None:
    """Return the id of the Agent in the message, even if the message was refused; None if the id is not a UUID."""
    try:
        return str(uuid.UUID(request.state.agent_id))
    except (ValueError, AttributeError, TypeError):
        return None
