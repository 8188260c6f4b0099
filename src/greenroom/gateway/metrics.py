"""Prometheus metrics of a gateway: its nginx, and the requests for Managers that nginx answered itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.gateway import health
from greenroom.gateway.api_client import RequestReporter
from greenroom.gateway.plan import GatewayPlan
from greenroom.kit.metrics import CONTENT_TYPE, PATH, RoleMetrics

_STUB: Final = re.compile(
    r"Active connections: (?P<active>\d+)\s+server accepts handled requests\s+(?P<accepted>\d+) \d+ (?P<requests>\d+)"
    r"\s+Reading: (?P<reading>\d+) Writing: (?P<writing>\d+) Waiting: (?P<waiting>\d+)"
)


class Metrics(RoleMetrics):
    """`nginx` returns the pid of the nginx that serves, or None; `plan` what it serves."""

    def __init__(
        self, *, nginx: Callable[[], int | None], plan: Callable[[], GatewayPlan | None], reporter: RequestReporter
    ) -> None:
        super().__init__("gateway")
        self._plan = plan
        self.starts = self.counter("nginx_starts", "Times an nginx was started, also for a changed plan")
        self.probes = self.counter("nginx_probes", "Times nginx was asked whether it answers", ["outcome"])
        self.gauge("nginx_up", "1 while there is an nginx that serves", lambda: float(nginx() is not None))
        self.gauge("request_rows_waiting", "Refused requests of Agents not reported to the api yet", reporter.waiting)
        self.counted("request_rows_dropped", "Refused requests of Agents that were lost", lambda: reporter.lost)

    def app(self) -> Starlette:
        async def page(_request: Request) -> Response:
            return Response(self.text() + await self._of_nginx(), media_type=CONTENT_TYPE)

        return Starlette(routes=[Route(PATH, page)])

    async def _of_nginx(self) -> bytes:
        """nginx's own figures; nothing if it does not answer, or has no such page (profile `edge`)."""
        plan = self._plan()
        found = _STUB.search(await health.status_page(plan)) if plan is not None and plan.profile == "web" else None
        if found is None:
            return b""
        registry = CollectorRegistry()
        name = "greenroom_gateway_nginx"
        connections = Gauge(f"{name}_connections", "Connections by what they do", ["state"], registry=registry)
        for state in ("active", "reading", "writing", "waiting"):
            connections.labels(state).set(int(found[state]))
        for what, text in (("accepted", "Connections accepted"), ("requests", "Requests")):
            suffix = "connections_accepted" if what == "accepted" else what
            Counter(f"{name}_{suffix}", f"{text} since nginx started", registry=registry).inc(int(found[what]))
        return generate_latest(registry)
