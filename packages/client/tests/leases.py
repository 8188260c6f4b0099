"""A lease, as the client decodes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from greenroom.client import Lease

LEASE: Final = Lease(
    lease_id="l",
    session_id="s",
    holder="ada@example.org",
    image_id="i",
    image_friendly_name="Desktop",
    zone_name="default",
    outcome="staged",
    status="running",
    tags=[],
    record="none",
    record_text=False,
    created=datetime(2026, 1, 1, tzinfo=UTC),
    expires=None,
)
