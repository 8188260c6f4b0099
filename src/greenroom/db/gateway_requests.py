"""Requests for Managers that a gateway answered itself, beside those that Managers report."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.db.database import Database
from greenroom.db.requests import RequestRow


async def add_gateway_requests(db: Database, requests: Sequence[RequestRow]) -> None:
    """Record them for Diagnostics. Their `agent_id` is what the caller claimed to be: nobody checked it."""
    await db.write(
        "INSERT INTO manager_requests (time, agent_id, manager_instance_id, method, path, status, duration_ms)"
        " SELECT * FROM unnest(%s::timestamptz[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::int[],"
        " %s::double precision[])",
        (
            [r.time for r in requests],
            [r.agent_id for r in requests],
            [r.manager_instance_id for r in requests],
            [r.method for r in requests],
            [r.path for r in requests],
            [r.status for r in requests],
            [r.duration_ms for r in requests],
        ),
    )
