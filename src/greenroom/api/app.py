"""The application of the api: all routes with their prefixes and permissions, and the format of errors.

Other Python packages add interfaces for programs, each as a router (entry points `INTERFACES`).
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, Response

from greenroom.api import branding_routes, installation_routes, problems
from greenroom.api.access import (
    api_key_routes,
    group_routes,
    login_routes,
    second_factor_routes,
    service_account_routes,
    user_routes,
)
from greenroom.api.access.failed_attempts import FailedAttempts
from greenroom.api.catalogue import routes as catalogue_routes
from greenroom.api.deps import Db
from greenroom.api.desk import routes as desk_routes
from greenroom.api.desk.transport import Desks
from greenroom.api.diagnostics import audit_routes, search_routes, stage_map_routes, today_routes, why_routes
from greenroom.api.diagnostics import routes as diagnostics_routes
from greenroom.api.diagnostics.audit import RefusalLog
from greenroom.api.diagnostics.audit_events import AuditMiddleware, row_receiver
from greenroom.api.diagnostics.metrics import MetricsMiddleware, RequestMetrics
from greenroom.api.diagnostics.metrics import router as metrics_router
from greenroom.api.events import EventHub
from greenroom.api.examples.document import LICENSE, SERVERS, add_credentials, add_examples
from greenroom.api.fleet import internal_routes, joining, machine_routes
from greenroom.api.fleet import routes as fleet_routes
from greenroom.api.hardening import HEALTH_PATH, HardeningMiddleware, parse_served_hosts
from greenroom.api.installation import SettingsSnapshot
from greenroom.api.launch import routes as launch_routes
from greenroom.api.launch.service import Launcher
from greenroom.api.lease import routes as lease_routes
from greenroom.api.pool import preview_routes
from greenroom.api.pool import routes as pool_routes
from greenroom.api.recording import routes as recording_routes
from greenroom.api.recording import session_video_routes
from greenroom.api.recording.recorder import Recorder
from greenroom.api.secret import routes as secret_routes
from greenroom.api.security import access_of, check_access_declared, public_route
from greenroom.api.series import routes as series_routes
from greenroom.api.session import routes as session_routes
from greenroom.api.session import share_routes
from greenroom.api.session.authorized import ActLog
from greenroom.api.session.instructions import Screenshots
from greenroom.api.webhooks import routes as webhook_routes
from greenroom.api.webhooks.delivery import DeliveryWorker
from greenroom.api.workspace import routes as workspace_routes
from greenroom.core.errors import SetupError, Unavailable
from greenroom.core.fleet.enrollment import RefusalLogLimiter
from greenroom.db.access.api_keys import find_key
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import AuditWriter
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.today import read_fleet, read_watched
from greenroom.db.launch.ledger import read_workspace_supply
from greenroom.kit import plugins
from greenroom.kit.concurrency import CoalescedRead, CoalescedReads
from greenroom.kit.config import ApiConfig, comma_parts
from greenroom.kit.passwords import Passwords
from greenroom.kit.secrets import Secrets

health_router = APIRouter()

_DATABASE_TIMEOUT_S: Final = 2.0


@health_router.get(HEALTH_PATH, dependencies=[public_route("probes have no credential")], include_in_schema=False)
async def healthcheck(db: Db) -> Response:
    """Answer 200 if the api is operational, else 503 with the reason."""
    reason = await degradation_reason(db)
    if reason is None:
        return Response('{"ok": true}', media_type="application/json")  # the documented body
    return JSONResponse({"ok": False, "status": "degraded", "reason": reason}, 503)


async def degradation_reason(db: Database) -> str | None:
    """Return the reason why the api is not operational, as a sentence; None if it is."""
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT_S):
            await db.fetch_one("SELECT 1 AS one")
    except TimeoutError:
        return f"The database did not answer within {_DATABASE_TIMEOUT_S:g} s."
    except Unavailable as error:
        return error.message
    return None


ROUTERS: Final[tuple[APIRouter, ...]] = (
    health_router,
    metrics_router,
    installation_routes.document_router,
    login_routes.router,
    second_factor_routes.router,
    session_routes.router,
    launch_routes.router,
    lease_routes.router,
    desk_routes.router,
    desk_routes.commands_and_files_router,
    recording_routes.router,
    session_video_routes.router,
    session_routes.command_router,
    share_routes.router,
    preview_routes.image_router,
    preview_routes.router,
    pool_routes.router,
    workspace_routes.router,
    workspace_routes.filter_policy_router,
    workspace_routes.home_router,
    catalogue_routes.router,
    catalogue_routes.list_router,
    user_routes.router,
    user_routes.attribute_router,
    group_routes.router,
    api_key_routes.router,
    service_account_routes.router,
    fleet_routes.zone_router,
    fleet_routes.manager_router,
    fleet_routes.agent_router,
    joining.token_router,
    fleet_routes.gateway_router,
    machine_routes.router,
    joining.router,
    webhook_routes.router,
    secret_routes.router,
    diagnostics_routes.router,
    series_routes.router,
    audit_routes.router,
    today_routes.router,
    stage_map_routes.router,
    why_routes.router,
    search_routes.router,
    installation_routes.router,
    branding_routes.router,
    installation_routes.event_router,
    internal_routes.router,
)
"""The routers, in the order of the documentation."""


def _all_routes() -> APIRouter:
    """Return a router with all routes. Raises AssertionError: a route does not declare its requirements."""
    root = APIRouter()
    plugin_routers = [_load_router(plugins.INTERFACES, name) for name in plugins.plugin_names(plugins.INTERFACES)]
    for router in (*ROUTERS, *plugin_routers):
        root.routes += router.routes
    check_access_declared(root)
    return root


def _load_router(group: str, name: str) -> APIRouter:
    """Return the router of an entry point. Raises SetupError: it is not a router."""
    router = plugins.load_object(group, name)
    if not isinstance(router, APIRouter):
        raise SetupError(f"The entry point {name} of {group} is not a router.")
    return router


_ROUTES: Final = _all_routes()
"""Created at import: `greenroom up` imports this module once and forks each api, so an api starts sooner."""


def create_app(config: ApiConfig, db: Database, secrets: Secrets, logs: LogWriter) -> FastAPI:
    """Return the application, with its parts in `app.state`.

    The parts are config, db, secrets, logs, audit, refusals, join_log_limiter, hub, snapshot, passwords, metrics,
    failed_attempts, launcher, act_log, screenshots, desks, supply_reads, fleet_reads, watched_reads, keys,
    recorder, recording_view_log, audit_read_log and delivery_worker.
    """
    app = _DocumentedApp(
        title="Greenroom",
        version=version("greenroom"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        license_info=LICENSE,
        servers=SERVERS,
        redirect_slashes=False,
    )
    app.state.config = config
    app.state.db = db
    app.state.secrets = secrets
    app.state.logs = logs
    app.state.audit = audit = AuditWriter(db, secrets)
    logs.on_security_row = row_receiver(audit)
    app.state.refusals = RefusalLog(logs)
    app.state.join_log_limiter = RefusalLogLimiter()
    app.state.hub = EventHub()
    app.state.snapshot = SettingsSnapshot(db)
    app.state.passwords = Passwords()
    app.state.metrics = metrics = RequestMetrics()
    metrics.add_log_metrics(logs, audit)
    app.state.failed_attempts = FailedAttempts(app.state.snapshot, app.state.refusals, metrics)
    app.state.launcher = Launcher(db, secrets, logs, metrics)
    app.state.act_log = ActLog(logs)
    app.state.screenshots = Screenshots(db, app.state.act_log)
    app.state.desks = Desks(db, app.state.hub, secrets, config)
    app.state.supply_reads = CoalescedRead(lambda: read_workspace_supply(db))
    app.state.fleet_reads = CoalescedRead(lambda: read_fleet(db))
    app.state.watched_reads = CoalescedRead(
        lambda: read_watched(db, config.audit_syslog, app.state.snapshot.installation)
    )
    app.state.keys = CoalescedReads(lambda key_id: find_key(db, key_id))
    app.state.recorder = Recorder(db, lambda: app.state.desks, app.state.snapshot, logs)
    app.state.audit_read_log = audit_routes.AuditReadLog(logs)
    app.state.recording_view_log = recording_routes.RecordingViewLog(logs)
    metrics.add_recording_metrics(app.state.recorder)
    app.state.delivery_worker = DeliveryWorker(db, secrets, logs, app.state.snapshot)
    metrics.add_webhook_metrics(app.state.delivery_worker)
    problems.add_error_handlers(app)
    app.add_middleware(AuditMiddleware, logs=logs, writer=audit)
    app.add_middleware(
        HardeningMiddleware, served_hosts=parse_served_hosts(config.served_hosts), public_url=config.public_url
    )
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.router.routes += _ROUTES.routes
    for name in comma_parts(config.sdk_adapters):
        adapter = _load_router(plugins.SDK_ADAPTERS, name)
        check_access_declared(adapter)
        app.include_router(adapter)
    return app


class _DocumentedApp(FastAPI):
    """Adds the format of problems, an example of each operation, and the credentials to the OpenAPI document."""

    def openapi(self) -> problems.OpenApi:
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = problems.PROBLEM_SCHEMA
            add_examples(document)
            add_credentials(document, access_of(self))
        return super().openapi()
