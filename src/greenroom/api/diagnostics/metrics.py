"""Prometheus metrics of an api process, and of the whole deployment from the database."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final

import structlog
from fastapi import Depends, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.api.hardening import METRICS_PATH
from greenroom.api.problems import api_router
from greenroom.api.recording.recorder import Recorder
from greenroom.api.security import public_route, requires
from greenroom.api.webhooks.delivery import DeliveryWorker
from greenroom.core.diagnostics.attention import ATTENTION_CODES, SEVERITIES, needs_attention
from greenroom.core.diagnostics.watched import Watched
from greenroom.core.errors import Unavailable
from greenroom.core.launch.forecast import pool_outcomes
from greenroom.core.launch.plan import TraceStep
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import AuditWriter
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.metrics import Figure, read_figures
from greenroom.kit.concurrency import CoalescedRead
from greenroom.kit.metrics import CONTENT_TYPE, RoleMetrics

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 2.0
WATCHED_TIMEOUT_S: Final = 5.0
"""The limit for Today, whose entries cause alerts: longer, because there are most entries and the database is busiest
during an incident, and because the read can begin after another one. Prometheus waits 10 s by default."""
_CONFIG_LABELS: Final = ("zone", "workspace", "staging_config")
_DURATION_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

router = api_router(prefix="")


class RequestMetrics(RoleMetrics):
    """The metrics of this process; `page` adds the metrics of the deployment."""

    def __init__(self) -> None:
        super().__init__("api")
        self.requests = self.counter("requests", "HTTP requests by path template", ["method", "route", "status"])
        self.request_seconds = self.histogram(
            "request_seconds", "Time until the answer, without event streams", ["route"], buckets=_DURATION_BUCKETS_S
        )
        self.launches = self.counter("launches", "Launches by source of the session", ["outcome"])
        self.launch_seconds = self.histogram(
            "launch_seconds", "Time from the request to the committed session", ["outcome"], buckets=_DURATION_BUCKETS_S
        )
        self.launch_misses = self.counter("launch_misses", "Launches by the codes of their steps", ["code"])
        self.staging_outcomes = self.counter(
            "staging_outcomes", "Launches that considered a staging config, by result", [*_CONFIG_LABELS, "result"]
        )
        text = "Launches that a staging config did not serve, by code of the reason"
        self.staging_misses = self.counter("staging_misses", text, [*_CONFIG_LABELS, "code"])
        self.throttled = self.counter(
            "throttled", "Log-ins and uses of keys that were refused after too many wrong attempts", ["by"]
        )
        self.stream_decisions = self.counter("stream_decisions", "Requests of Agents to admit viewers", ["outcome"])

    def add_log_metrics(self, logs: LogWriter, audit: AuditWriter) -> None:
        self.add_labeled_counter("log_rows", "Log rows by level", "level", lambda: logs.counts)
        self.add_counter("log_rows_dropped", "Log rows that were lost", lambda: logs.dropped)
        self.gauge("audit_wait_seconds", "Time since the oldest event waits to be stored", lambda: audit.waited_s)
        self.gauge("log_wait_seconds", "Time since the oldest log row waits to be stored", lambda: logs.waited_s)

    def add_recording_metrics(self, recorder: Recorder) -> None:
        counts = recorder.counts
        self.add_counter("recording_rows", "Rows of recordings that were written", lambda: counts.rows)
        self.add_counter(
            "recording_rows_left_out", "Rows of recordings that were omitted", lambda: counts.rows_left_out
        )
        self.add_counter("recording_pictures", "Pictures of recordings that were written", lambda: counts.pictures)
        self.add_counter(
            "recording_pictures_left_out", "Pictures of recordings that were omitted", lambda: counts.pictures_left_out
        )

    def add_webhook_metrics(self, delivery_worker: DeliveryWorker) -> None:
        self.add_labeled_counter(
            "webhook_attempts", "Attempts to deliver webhook messages", "outcome", lambda: delivery_worker.outcomes
        )

    def count_launch(self, outcome: str, trace: Sequence[TraceStep], workspace: str, seconds: float) -> None:
        """Count a launch that ended as `staged`, `on_demand` or `failed`.

        Each code of its trace counts once. `staging_misses` includes only launches that got no staged session.
        """
        self.launches.labels(outcome).inc()
        self.launch_seconds.labels(outcome).observe(seconds)
        for code in {step.code for step in trace if step.code}:
            self.launch_misses.labels(code).inc()
        for config in pool_outcomes(trace):
            labels = (config.zone_name, workspace, config.staging_config_id)
            self.staging_outcomes.labels(*labels, config.result).inc()
            for code in config.codes if config.result == "miss" else ():
                self.staging_misses.labels(*labels, code).inc()

    async def page(self, db: Database, watched_reads: CoalescedRead[Watched]) -> bytes:
        """Return the whole page; without the database, only the metrics of this process and `database_up`. The metrics
        of the page Today are missing if they cannot be read in time."""
        figures: list[Figure] = []
        try:
            async with asyncio.timeout(TIMEOUT_S):
                figures = await read_figures(db)
            figures.append(Figure("database_up", "1 while the database answers", {}, 1))
            async with asyncio.timeout(WATCHED_TIMEOUT_S):
                figures += _watched_figures(await watched_reads.get())
        except (Unavailable, TimeoutError) as error:
            log.warning("metrics are missing", reason=str(error) or type(error).__name__)
            figures = figures or [Figure("database_up", "1 while the database answers", {}, 0)]
        return self.text() + _format_figures(figures)


def _watched_figures(seen: Watched) -> list[Figure]:
    """Return the number of entries of the page Today, so that each of them can cause an alert. A code without an entry
    is 0, because an alert needs a series from before."""
    numbers = Counter((entry.code, entry.severity) for entry in needs_attention(seen))
    figures = [
        Figure("attention", "Entries of the page Today", {"code": code, "severity": severity}, numbers[code, severity])
        for code in ATTENTION_CODES
        for severity in SEVERITIES
    ]
    if seen.backlog is not None:
        oldest_s = (seen.now - seen.backlog.oldest).total_seconds() if seen.backlog.oldest else 0.0
        figures += [
            Figure("audit_undelivered", "Events of the audit that the syslog server lacks", {}, seen.backlog.number),
            Figure("audit_undelivered_seconds", "Time since the oldest of these events", {}, oldest_s),
        ]
    if seen.backups is not None and seen.backups.succeeded is not None:
        age_s = (seen.now - seen.backups.succeeded).total_seconds()
        figures.append(Figure("backup_age_seconds", "Time since the last successful backup", {}, age_s))
    return figures


def _format_figures(figures: Sequence[Figure]) -> bytes:
    """Return figures in the format of Prometheus.

    The client library of Prometheus takes several times as long for a thousand pools.
    """
    families: dict[str, list[str]] = {}
    for figure in figures:
        name = f"greenroom_api_{figure.name}"
        lines = families.setdefault(name, [f"# HELP {name} {figure.text}", f"# TYPE {name} gauge"])
        labels = ",".join([f'{label}="{_escaped(value)}"' for label, value in figure.labels.items()])
        lines.append(f"{name}{{{labels}}} {float(figure.value)}")
    return "".join(f"{line}\n" for lines in families.values() for line in lines).encode()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class MetricsMiddleware:
    """ASGI middleware that counts requests and measures their duration, by the template of their path."""

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = time.perf_counter()
        status, is_stream = 500, False

        async def send_and_record(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = (b"content-type", b"text/event-stream; charset=utf-8") in message["headers"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        finally:
            route = _path_template(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            if not is_stream:
                self._metrics.request_seconds.labels(route).observe(time.perf_counter() - begun_s)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _path_template(scope: Scope) -> str:
    """Return the path template of the route of a request, such as `/zones/{zone_id}`; `none` without a route."""
    path_format: str | None = getattr(scope.get("route"), "path_format", None)  # without the prefix of its router
    if path_format is None:
        return "none"
    prefix = "/".join(scope["path"].split("/")[: scope["path"].count("/") - path_format.count("/") + 1])
    return prefix + path_format


async def _metrics(request: Request) -> RequestMetrics:
    return request.app.state.metrics


ApiMetrics = Annotated[RequestMetrics, Depends(_metrics)]


@router.get(METRICS_PATH, dependencies=[public_route("only on the api's own address")], include_in_schema=False)
async def local_metrics(request: Request, metrics: ApiMetrics) -> Response:
    """Return the metrics to a Prometheus that reaches the api directly; the gateway does not serve this path."""
    state = request.app.state
    return Response(await metrics.page(state.db, state.watched_reads), media_type=CONTENT_TYPE)


@router.get("/api/v1/metrics", dependencies=[requires("system_view")], tags=["diagnostics"], response_class=Response)
async def get_metrics(request: Request, metrics: ApiMetrics) -> Response:
    """Return the metrics of this api process and of the whole deployment, in the format of Prometheus."""
    state = request.app.state
    return Response(await metrics.page(state.db, state.watched_reads), media_type=CONTENT_TYPE)
