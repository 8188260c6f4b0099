"""The api as an application: all routes, their permissions, and the shape of errors."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute

from greenroom.api import health, problems
from greenroom.api.access.guesses import Guesses
from greenroom.api.diagnostics.audit import AuditBeforeAnswer, Refusals
from greenroom.api.diagnostics.metrics import Measured, Metrics
from greenroom.api.diagnostics.metrics import router as metrics_router
from greenroom.api.events.hub import Hub
from greenroom.api.hardening import Hardening, served
from greenroom.api.installation.service import Snapshot
from greenroom.api.launch.service import Launcher
from greenroom.api.routers import PUBLIC_ROUTERS, ROUTERS, UNPREFIXED_ROUTERS
from greenroom.api.security import check_declared
from greenroom.api.session.commands import Screenshots
from greenroom.core.fleet.enrolment import JoinAttemptLimiter
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.forecast import read_offer
from greenroom.kit.concurrency import Coalesced
from greenroom.kit.config import ApiConfig
from greenroom.kit.passwords import Passwords
from greenroom.kit.secrets import Secrets


def create_app(config: ApiConfig, db: Database, secrets: Secrets, logs: LogWriter) -> FastAPI:
    """The application with its parts in `app.state`: config, db, secrets, logs, hub, snapshot, passwords, metrics,
    launcher, screenshots, offers.

    Raises:
        AssertionError: a route does not say who may use it.
    """
    app = _Documented(
        title="Greenroom",
        version=version("greenroom"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses=problems.PROBLEMS,
    )
    app.state.config = config
    app.state.db = db
    app.state.secrets = secrets
    app.state.logs = logs
    app.state.refusals = Refusals(logs)
    app.state.join_attempts = JoinAttemptLimiter()
    app.state.hub = Hub()
    app.state.snapshot = Snapshot(db)
    app.state.passwords = Passwords()
    app.state.metrics = metrics = Metrics()
    metrics.show_log(logs)
    app.state.guesses = Guesses(app.state.snapshot, app.state.refusals, metrics)
    app.state.launcher = Launcher(db, secrets, logs, metrics)
    app.state.screenshots = Screenshots(db, logs)
    app.state.offers = Coalesced(lambda: read_offer(db))
    problems.install(app)
    app.add_middleware(AuditBeforeAnswer, logs=logs)
    app.add_middleware(Hardening, served_hosts=served(config.served_hosts))
    app.add_middleware(Measured, metrics=metrics)
    app.include_router(health.router)
    app.include_router(metrics_router)
    for router, prefix in ROUTERS:
        app.include_router(router, prefix=prefix)
    for router in PUBLIC_ROUTERS:
        app.include_router(router, prefix="/api/public")
    for router in UNPREFIXED_ROUTERS:
        app.include_router(router, prefix="/api")
    check_declared(app)
    return app


class _Documented(FastAPI):
    """The OpenAPI document includes the shape of problems, which every route may answer."""

    def openapi(self) -> problems.OpenApi:
        document = super().openapi()
        document["components"]["schemas"].setdefault("Problem", problems.PROBLEM_SCHEMA)
        return document


def _operation_id(route: APIRoute) -> str:
    return route.name
