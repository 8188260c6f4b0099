"""The HTTP applications of the Agent: one for this host, with health, metrics and the authorization of streams, and one
for gateways on other hosts.
"""

from __future__ import annotations

import hmac
import time
from collections import Counter as CounterOf
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import Gauge
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from greenroom.core.errors import GreenroomError
from greenroom.core.session.states import ObservedState
from greenroom.kit.metrics import CONTENT_TYPE, METRICS_PATH, RoleMetrics
from greenroom.kit.serving import LimitedBody
from greenroom.wire.viewers import SECRET_HEADER


class AgentMetrics(RoleMetrics):
    """The metrics of one Agent. Each instance has a separate registry, because tests run several Agents."""

    def __init__(self) -> None:
        super().__init__("agent")
        self._sessions = Gauge(
            "greenroom_agent_sessions",
            "Sessions that this Agent should run, by state",
            ["state"],
            registry=self.registry,
        )
        self.actions = self.counter("actions", "Changes of containers", ["kind", "outcome"])
        self.start_seconds = self.histogram(
            "start_seconds",
            "Time from the instruction to a usable session",
            buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64),
        )
        self.check_ins = self.counter("check_ins", "Messages to Managers", ["outcome"])
        self.registrations = self.counter("registrations", "Registrations of this Agent", ["outcome"])
        self.failovers = self.counter("failovers", "Changes to the next Manager", ["reason"])
        self.stream_decisions = self.counter("stream_decisions", "Requests of viewers at the gateway", ["outcome"])
        self.video_segments = self.counter("video_segments", "Segments of session videos", ["outcome"])

    def add_dropped_log_rows(self, dropped: Callable[[], int]) -> None:
        self.add_counter("log_rows_dropped", "Log rows that were lost", dropped)

    def text_with_states(self, states: Iterable[ObservedState]) -> bytes:
        counts = CounterOf(states)
        for state in ObservedState:
            self._sessions.labels(state.value).set(counts[state])
        return self.text()


HEALTH_PATH: Final = "/__healthcheck"
MAX_ROUND_AGE_S: Final = 30.0
"""The age of the reconciler's last round above which the Agent is unhealthy. A round starts at least every 5 s."""


@dataclass(slots=True)
class AgentHealth:
    """The last successes of the Agent's loops, as times of `time.monotonic()`, and their errors."""

    started: float = field(default_factory=time.monotonic)
    last_round: float | None = None
    last_answer: float | None = None
    last_fresh: float | None = None
    """The time of the last answer of a Manager with data from the database. The Agent knows all withdrawals of access
    until this time. At the start, the value is read from the session cache, which an earlier process wrote.
    """
    runtime_error: str = ""
    manager_error: str = ""
    crash_loop: Callable[[], str] = lambda: ""
    """Returns the reason why this process is in a crash loop; empty = it is not."""

    def set_runtime_error(self, error: str) -> None:
        self.runtime_error = error

    def report(self, now: float) -> tuple[bool, dict[str, Any]]:
        """Return True if the Agent is healthy, and the body of `/__healthcheck`. The Agent is unhealthy if the
        reconciler hangs or the runtime does not answer. Unreachable Managers have no effect, because a restart would
        not help and the sessions keep running.
        """
        round_age_s = now - (self.last_round if self.last_round is not None else self.started)
        ok = round_age_s <= MAX_ROUND_AGE_S and not self.runtime_error
        body: dict[str, Any] = {
            "ok": ok,
            "last_round_s": round(round_age_s, 1),
            "last_answer_s": None if self.last_answer is None else round(now - self.last_answer, 1),
        }
        if self.runtime_error:
            body["runtime_error"] = self.runtime_error
        if self.manager_error:
            body["manager_error"] = self.manager_error
        if crash_loop := self.crash_loop():
            body["crash_loop"] = crash_loop
        return ok, body


MAX_BODY_BYTES: Final = 4 << 20


class RequireSecret:
    """Refuses requests without the stream secret in `SECRET_HEADER`, except requests to `HEALTH_PATH`."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        secret = Headers(scope=scope).get(SECRET_HEADER, "").encode()
        if scope["path"] == HEALTH_PATH or hmac.compare_digest(secret, self._secret):
            await self._app(scope, receive, send)
        else:
            sentence = "This address requires the stream secret of the Agent."
            await JSONResponse({"error_message": sentence}, status_code=401)(scope, receive, send)


def gateway_app(health: AgentHealth, routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application for gateways on other hosts."""
    return _application([Route(HEALTH_PATH, _healthcheck(health)), *routes])


def _application(routes: list[BaseRoute]) -> Starlette:
    """Return the application with these routes, which refuses bodies before a route reads them."""

    async def refuse(_request: Request, error: Any) -> Response:
        return JSONResponse({"error_message": error.message}, status_code=error.http_status)

    application = Starlette(routes=routes, exception_handlers={GreenroomError: refuse})
    application.add_middleware(_LimitedBodies)
    return application


class _LimitedBodies:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, LimitedBody(receive, MAX_BODY_BYTES), send)


def _healthcheck(health: AgentHealth) -> Callable[[Request], Awaitable[Response]]:
    async def healthcheck(_request: Request) -> Response:
        ok, body = health.report(time.monotonic())
        return JSONResponse(body, status_code=200 if ok else 500)

    return healthcheck


def local_app(health: AgentHealth, metrics_text: Callable[[], bytes], routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application for this host. `routes` are the routes of the stream authorizer."""

    async def metrics(_request: Request) -> Response:
        return Response(metrics_text(), media_type=CONTENT_TYPE)

    own_routes = [Route(HEALTH_PATH, _healthcheck(health)), Route(METRICS_PATH, metrics)]
    return _application([*own_routes, *routes])
