"""The health routes: `/__healthcheck` for Docker and the supervisor, `/health` for nginx
(docs/reference/managers.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal

from starlette.responses import Response

from greenroom.manager.status import ManagerStatus

Health = Literal["starting", "running", "disabled", "unhealthy", "stopping"]

RETRY_AFTER_S: Final[dict[Health, int]] = {"starting": 1, "stopping": 1, "disabled": 30}
"""A Manager that starts or stops, or its replacement, answers in a moment. The 30 s are part of the interface
(docs/reference/managers.md): an administrator who disables a Manager rarely enables it sooner."""


def answer(manager: ManagerStatus) -> Response:
    """The reply to a health request. A disabled Manager is healthy, unless it hangs."""
    if manager.starting:
        return _response("starting", manager.enabled)
    if not manager.healthy:
        return _response("unhealthy", manager.enabled)
    if not manager.enabled:
        return _response("disabled", manager.enabled)
    # a task that fails is the zone's problem: another Manager would fail too, so no Agent is sent elsewhere
    return _response("running", manager.enabled, manager.guardian.failing_tasks)


def elsewhere(manager: ManagerStatus) -> Response:
    """The reply that sends an Agent to another Manager: why, and when it may come back."""
    if manager.stopping or manager.enabled is None:
        return _response("stopping" if manager.stopping else "starting", manager.enabled)
    if manager.hangs:
        return answer(manager)
    # A held check-in may learn of the flag before the guardian's next round does.
    return _response("disabled", enabled=False)


def _response(health: Health, enabled: bool | None, failing_tasks: Sequence[str] = ()) -> Response:
    body = {"ok": health == "running", "status": health, "enabled": enabled}
    if failing_tasks:
        body |= {"failing_tasks": failing_tasks}
    status = 200 if health == "running" else 500 if health == "unhealthy" else 503
    headers = {"Retry-After": str(RETRY_AFTER_S[health])} if health in RETRY_AFTER_S else {}
    # spaces as in the documentation and the gateway: scripts compare it
    return Response(json.dumps(body), status, headers, media_type="application/json")
