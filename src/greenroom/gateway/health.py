"""Health checks of nginx, warnings about certificates that expire, and the metrics of a gateway."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import httpx2
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.core.fleet.addresses import EDGE_DOMAIN
from greenroom.gateway.api_client import RequestReporter
from greenroom.gateway.nginx import STATUS_PATH
from greenroom.gateway.plan import GatewayPlan
from greenroom.kit.certificates import validity
from greenroom.kit.metrics import CONTENT_TYPE, METRICS_PATH, RoleMetrics

log = structlog.get_logger(__name__)

NGINX_TIMEOUT_S: Final = 2.0


@cache
def _unverified_tls() -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls


async def _request_nginx(plan: GatewayPlan, path: str) -> httpx2.Response:
    """Send nginx a request over TLS on its first listener. The certificate is not verified, because this gateway runs
    the nginx and connects to it on this host."""
    host, _, port = plan.listeners[0].rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    async with httpx2.AsyncClient(verify=_unverified_tls(), timeout=NGINX_TIMEOUT_S, trust_env=False) as client:
        return await client.get(f"https://{host}:{port}{path}", headers={"Host": plan.served_hosts[0]})


async def nginx_failure(plan: GatewayPlan) -> str | None:
    """Return the reason why nginx does not answer a request with status 200; None = it does."""
    path = STATUS_PATH if plan.profile == "web" else "/health"
    try:
        status = (await _request_nginx(plan, path)).status_code
    except httpx2.HTTPError as error:
        return f"nginx does not answer on {plan.listeners[0]}: {str(error) or type(error).__name__}"
    return None if status == 200 else f"nginx returned {status} on {plan.listeners[0]}{path}"


async def status_page(plan: GatewayPlan) -> str:
    """Return the status page of nginx (profile `web`); empty if nginx does not respond."""
    try:
        page = await _request_nginx(plan, STATUS_PATH)
    except httpx2.HTTPError as error:
        log.info("the status page of nginx cannot be read", reason=str(error) or type(error).__name__)
        return ""
    return page.text if page.is_success else ""


WARN_BEFORE_DAYS: Final = 29
"""The number of days before the end of a certificate at which warnings begin. Greenroom renews its own certificates one
day earlier, so a warning means that no process renews the certificate."""
CERTIFICATE_POLL_S: Final = 6 * 3600.0
FIRST_PLAN_POLL_S: Final = 1.0


def certificate_warning(file: Path, text: str, now: datetime) -> str | None:
    """Return the warning about this certificate (PEM); None = it is valid for more than `WARN_BEFORE_DAYS` days."""
    try:
        until = validity(text)[1]
    except ValueError as error:
        return f"The certificate {file} cannot be read: {error}."
    days_left = (until - now).days
    if days_left > WARN_BEFORE_DAYS:
        return None
    ends = f"ended on {until:%Y-%m-%d}" if until <= now else f"ends in {days_left} days, on {until:%Y-%m-%d}"
    return f"The certificate {file} {ends}; renew it, because browsers and Agents refuse an expired certificate."


async def watch_certificates(plan: Callable[[], GatewayPlan | None], report: Callable[[Sequence[str]], None]) -> None:
    """Log and report warnings about served certificates that expire, at the start and every six hours. Certificates of
    edge gateways are skipped, because Agents renew them.
    """
    while True:
        current_plan = plan()
        if current_plan is not None and current_plan.profile == "web":
            named_files = [
                certificate.certificate
                for certificate in current_plan.named_certificates
                if not certificate.host.endswith(EDGE_DOMAIN)
            ]
            report(certificate_warnings([Path(file) for file in (current_plan.tls_certificate, *named_files)]))
        await asyncio.sleep(CERTIFICATE_POLL_S if current_plan is not None else FIRST_PLAN_POLL_S)


def certificate_warnings(files: Sequence[Path]) -> list[str]:
    """Return and log the warnings about these certificates."""
    warnings: list[str] = []
    for file in files:
        try:
            sentence = certificate_warning(file, file.read_text(), datetime.now(UTC))
        except OSError as error:
            sentence = f"The certificate {file} cannot be read: {error.strerror}."
        if sentence is not None:
            log.warning(sentence)
            warnings.append(sentence)
    return warnings


_STATUS_PATTERN: Final = re.compile(
    r"Active connections: (?P<active>\d+)\s+server accepts handled requests\s+(?P<accepted>\d+) \d+ (?P<requests>\d+)"
    r"\s+Reading: (?P<reading>\d+) Writing: (?P<writing>\d+) Waiting: (?P<waiting>\d+)"
)


class GatewayMetrics(RoleMetrics):
    """The metrics of a gateway. `nginx` returns the pid of the nginx that serves, or None; `plan` returns the served
    plan.
    """

    def __init__(
        self, *, nginx: Callable[[], int | None], plan: Callable[[], GatewayPlan | None], reporter: RequestReporter
    ) -> None:
        super().__init__("gateway")
        self._plan = plan
        self.starts = self.counter("nginx_starts", "Starts of nginx, including those for a changed plan")
        self.probes = self.counter("nginx_probes", "Health checks of nginx", ["outcome"])
        self.gauge("nginx_up", "1 while an nginx serves", lambda: float(nginx() is not None))
        self.gauge("request_rows_waiting", "Refused requests of Agents not reported to the api yet", reporter.waiting)
        self.add_counter(
            "request_rows_dropped", "Refused requests of Agents that were lost", lambda: reporter.total_dropped
        )

    def app(self) -> Starlette:
        async def page(_request: Request) -> Response:
            return Response(self.text() + await self._nginx_metrics(), media_type=CONTENT_TYPE)

        return Starlette(routes=[Route(METRICS_PATH, page)])

    async def _nginx_metrics(self) -> bytes:
        """Return the metrics of nginx; empty if nginx does not respond or has no status page (profile `edge`)."""
        plan = self._plan()
        match = _STATUS_PATTERN.search(await status_page(plan)) if plan is not None and plan.profile == "web" else None
        if match is None:
            return b""
        registry = CollectorRegistry()
        name = "greenroom_gateway_nginx"
        connections = Gauge(f"{name}_connections", "Connections of nginx by state", ["state"], registry=registry)
        for state in ("active", "reading", "writing", "waiting"):
            connections.labels(state).set(int(match[state]))
        for counter, text in (("accepted", "Connections accepted"), ("requests", "Requests")):
            suffix = "connections_accepted" if counter == "accepted" else counter
            Counter(f"{name}_{suffix}", f"{text} since nginx started", registry=registry).inc(int(match[counter]))
        return generate_latest(registry)
