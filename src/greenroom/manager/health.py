"""The health routes: `/__healthcheck` for Docker and the supervisor, `/health` for nginx (table in CONTRACT)."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import Response

from greenroom.manager.status import ManagerStatus

DISABLED_RETRY_S: Final = 30
"""Fixed by CONTRACT; an administrator who disables a Manager rarely enables it sooner."""
MOMENT_RETRY_S: Final = 1
"""For a Manager that starts or stops: it, or its replacement, answers in a moment."""


def body_and_status(manager: ManagerStatus) -> tuple[dict[str, Any], int]:
    """The Manager's health. A disabled Manager is healthy, unless it hangs."""
    if manager.starting:
        return {"ok": False, "status": "starting", "enabled": None}, 503
    if not manager.healthy:
        return {"ok": False, "status": "unhealthy", "enabled": manager.enabled}, 500
    if not manager.enabled:
        return {"ok": False, "status": "disabled", "enabled": False}, 503
    # a task that fails is the zone's problem: another Manager would fail too, so no Agent is sent elsewhere
    failing = {"failing_tasks": tasks} if (tasks := manager.guardian.failing_tasks) else {}
    return {"ok": True, "status": "running", "enabled": True, **failing}, 200


def answer(manager: ManagerStatus) -> Response:
    """The reply to a health request."""
    body, status = body_and_status(manager)
    moment = MOMENT_RETRY_S if body["status"] == "starting" else DISABLED_RETRY_S
    return _response(body, status, moment if status == 503 else None)


def elsewhere(manager: ManagerStatus) -> Response:
    """The reply that sends an Agent to another Manager: why, and when it may come back."""
    if manager.stopping or manager.enabled is None:
        status = "stopping" if manager.stopping else "starting"
        return _response({"ok": False, "status": status, "enabled": manager.enabled}, 503, MOMENT_RETRY_S)
    if manager.hangs:
        return answer(manager)
    # A held check-in may learn of the flag before the guardian's next round does.
    return _response({"ok": False, "status": "disabled", "enabled": False}, 503, DISABLED_RETRY_S)


def _response(body: dict[str, Any], status: int, retry_after_s: int | None) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    # spaces as in the documentation and the gateway: scripts compare it
    return Response(json.dumps(body), status, headers, media_type="application/json")
