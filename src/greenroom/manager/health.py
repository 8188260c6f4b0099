"""The health routes: `/__healthcheck` for Docker and the supervisor, `/health` for nginx (table in CONTRACT)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from greenroom.manager.standing import Standing

RETRY_AFTER_S: Final = "30"


def body_and_status(standing: Standing) -> tuple[dict[str, Any], int]:
    """What the Manager says of its health. Disabled is not unhealthy, but a disabled one that hangs is."""
    if not standing.healthy:
        return {"ok": False, "status": "unhealthy", "enabled": standing.enabled}, 500
    if not standing.enabled:
        return {"ok": False, "status": "disabled", "enabled": False}, 503
    return {"ok": True, "status": "running", "enabled": True}, 200


def answer(standing: Standing) -> Response:
    """The reply to a health request."""
    body, status = body_and_status(standing)
    headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else {}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def elsewhere(standing: Standing) -> Response:
    """The reply to an Agent that has to go to another Manager: why, and when it may come back."""
    status = "stopping" if standing.stopping else "starting" if standing.me is None else "disabled"
    # A held check-in may learn of the flag before the guardian's next round writes it into `standing`.
    enabled = standing.enabled and status != "disabled"
    body = {"ok": False, "status": status, "enabled": enabled}
    return Response(msgspec.json.encode(body), 503, {"Retry-After": RETRY_AFTER_S}, media_type="application/json")
