"""Every metric of every role is documented, and every documented metric exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support import rows

from greenroom.agent.app import AgentMetrics
from greenroom.api.desk.transport import Desks
from greenroom.api.diagnostics import metrics as api_metrics
from greenroom.api.diagnostics.metrics import RequestMetrics
from greenroom.api.installation import SettingsSnapshot
from greenroom.api.recording.recorder import Recorder
from greenroom.api.webhooks.delivery import DeliveryWorker
from greenroom.core.diagnostics.watched import Watched
from greenroom.core.errors import Unavailable
from greenroom.core.session.states import ObservedState
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import AuditWriter
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.metrics import Figure
from greenroom.db.diagnostics.today import read_watched
from greenroom.db.diagnostics.views import RequestLog
from greenroom.gateway.api_client import MAX_QUEUED, RequestReporter
from greenroom.gateway.health import GatewayMetrics
from greenroom.kit.concurrency import CoalescedRead
from greenroom.kit.secrets import Secrets
from greenroom.manager.status import CheckInNotifier, ManagerMetrics, ManagerStatus
from greenroom.wire.fleet import ManagerRequest

PAGE = Path(__file__).parent.parent.parent / "docs/reference/metrics.md"
OF_NGINX = {"greenroom_gateway_nginx_connections", "greenroom_gateway_nginx_connections_accepted_total"} | {
    "greenroom_gateway_nginx_requests_total"
}
"""Metrics that exist only while nginx answers: tests/acceptance/test_diagnostics.py."""


def documented() -> dict[str, set[str]]:
    found = re.findall(r"^\| `(greenroom_\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in found}


def scraped(page: bytes) -> dict[str, Any]:
    """Name of a family, for a counter with its `_total` → the family; without those of every process."""
    families = text_string_to_metric_families(page.decode())
    named = {f"{f.name}_total" if f.type == "counter" else f.name: f for f in families}
    return {name: family for name, family in named.items() if "_process_" not in name}


async def api_page(db: Database) -> bytes:
    metrics = RequestMetrics()
    logs, snapshot = LogWriter(db, "api"), SettingsSnapshot(db)
    metrics.add_log_metrics(logs, AuditWriter(db, Secrets(bytes(32))))
    metrics.add_recording_metrics(Recorder(db, lambda: cast("Desks", None), snapshot, cast("Any", None)))
    metrics.add_webhook_metrics(DeliveryWorker(db, Secrets(bytes(32)), logs, snapshot))
    for enabled in (True, False):
        await db.write(
            "WITH w AS (INSERT INTO webhooks (name, url, events, enabled, secret_encrypted)"
            " VALUES (%s::text, '', '{pool.full}', %s, '') RETURNING webhook_id)"
            " INSERT INTO webhook_deliveries (webhook_id, event, data, at)"
            " SELECT webhook_id, 'pool.full', '{}', now() - interval '90 s' FROM w",
            (str(enabled), enabled),
        )
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    agent_id = await rows.agent(db, zone_id)
    config_id = await rows.staging_config(db, zone_id, image_id, num_sessions=5)
    await rows.staged_sessions(db, config_id, agent_id, 2)
    full = await rows.staging_config(db, zone_id, await rows.image(db, friendly_name="Full"), num_sessions=1)
    await rows.staged_sessions(db, full, agent_id, 1)
    await db.write("INSERT INTO managers (instance_id, zone_id) VALUES ('m', %s)", (zone_id,))
    await db.write(
        "INSERT INTO audit_events (event_id, time, code, result, message, interface, actor_kind, details, hash)"
        " VALUES (0, now() - interval '1 hour', 'backup', 'done', '', 'cli', 'host', '{}', '')"
    )
    return await metrics.page(db, CoalescedRead(lambda: read_watched(db, "tls://siem:6514")))


def manager_page(db: Database) -> bytes:
    metrics = ManagerMetrics(lambda: ManagerStatus(age_s=1.0, unhealthy_after_s=10.0), CheckInNotifier())
    logs = LogWriter(db, "manager")
    metrics.add_registered_metrics(lambda: None, logs, RequestLog(db, "m", logs), AuditWriter(db, Secrets(bytes(32))))
    return metrics.text()


def agent_page() -> bytes:
    metrics = AgentMetrics()
    metrics.add_dropped_log_rows(lambda: 0)
    return metrics.text_with_states([ObservedState.RUNNING])


async def test_every_metric_is_documented_and_every_documented_one_is_there(db: Database, tmp_path: Path):
    gateway = GatewayMetrics(nginx=lambda: 1, plan=lambda: None, reporter=RequestReporter(tmp_path / "s"))
    there: dict[str, Any] = {}
    for page in (await api_page(db), manager_page(db), agent_page(), gateway.text()):
        there |= scraped(page)
    assert set(there) | OF_NGINX == set(documented())
    for name, family in there.items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == documented()[name], name


async def test_figures_of_the_deployment(db: Database):
    found = {
        (sample.name, *sorted(value for name, value in sample.labels.items() if name != "staging_config")): sample.value
        for family in scraped(await api_page(db)).values()
        for sample in family.samples
    }
    assert found["greenroom_api_database_up",] == 1
    assert found["greenroom_api_sessions", "eu", "running"] == 3
    assert found["greenroom_api_agents", "eu", "running"] == 1
    assert found["greenroom_api_managers", "eu", "unknown"] == 1
    assert found["greenroom_api_zone_has_primary", "eu"] == 0
    assert found["greenroom_api_staged_sessions", "Desktop", "desired", "eu"] == 5
    assert found["greenroom_api_staged_sessions", "Desktop", "current", "eu"] == 2
    assert found["greenroom_api_staging_shortfall", "Desktop", "eu", "no-running-manager"] == 1
    assert found["greenroom_api_staging_refill_blocked", "Full", "eu", "no-running-manager"] == 1
    assert ("greenroom_api_staging_refill_blocked", "Desktop", "eu", "no-running-manager") not in found, "it is short"
    assert 0 <= found["greenroom_api_staged_session_age_seconds", "Desktop", "eu"] < 60
    assert found["greenroom_api_cores_reserved", "eu"] == 3
    assert found["greenroom_api_attention", "failure", "zone-without-manager"] == 1
    assert found["greenroom_api_attention", "directory", "failure"] == 0, "a series from the start, for alerts"
    assert found["greenroom_api_audit_undelivered",] == found["greenroom_api_audit_undelivered_seconds",] == 0
    assert 3600 <= found["greenroom_api_backup_age_seconds",] < 3660
    assert found["greenroom_api_webhook_messages_waiting",] == 1, "that of the disabled webhook is not to be delivered"
    assert 90 <= found["greenroom_api_webhook_oldest_waiting_seconds",] < 150


async def test_without_the_database_the_process_shows_its_own_metrics():
    away = Database("host=/nowhere", application_name="test", acquire_timeout_s=0.1)
    await away.open()
    try:
        found = scraped(await RequestMetrics().page(away, CoalescedRead(lambda: read_watched(away, ""))))
    finally:
        await away.close()
    assert found["greenroom_api_database_up"].samples[0].value == 0
    assert "greenroom_api_launches_total" in found
    assert "greenroom_api_sessions" not in found


async def test_a_page_today_that_cannot_be_read_does_not_hide_the_database(db: Database):
    async def fail() -> Watched:
        raise Unavailable("The statement took too long.")

    found = scraped(await RequestMetrics().page(db, CoalescedRead(fail)))
    assert found["greenroom_api_database_up"].samples[0].value == 1
    assert "greenroom_api_attention" not in found


async def test_a_page_today_that_takes_longer_than_the_figures_is_waited_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    page = CoalescedRead(lambda: read_watched(db, ""))
    read_figures = api_metrics.read_figures

    async def figures_with_little_time_left(db: Database) -> list[Figure]:
        figures = await read_figures(db)
        monkeypatch.setattr(api_metrics, "TIMEOUT_S", 0.0)
        return figures

    monkeypatch.setattr(api_metrics, "read_figures", figures_with_little_time_left)
    assert "greenroom_api_attention" in scraped(await RequestMetrics().page(db, page))


def test_what_the_gateway_loses_is_counted_for_ever(tmp_path: Path):
    reporter = RequestReporter(tmp_path / "s")
    request = ManagerRequest(at=0.0, manager="m", method="POST", path="/", status=503, duration_ms=1.0)
    for _ in range(MAX_QUEUED + 3):
        reporter.add(request)
    reporter.unreported_drops = 0  # it was sent to the api
    found = scraped(GatewayMetrics(nginx=lambda: None, plan=lambda: None, reporter=reporter).text())
    values = {
        name: found[f"greenroom_gateway_{name}"].samples[0].value for name in ("nginx_up", "request_rows_waiting")
    }
    assert values == {"nginx_up": 0, "request_rows_waiting": MAX_QUEUED}
    assert found["greenroom_gateway_request_rows_dropped_total"].samples[0].value == 3
