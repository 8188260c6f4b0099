"""A lease, as the client decodes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from greenroom.client import Lease

LEASE: Final = Lease(
    lease_id="l",
    session_id="s",
    image_friendly_name="Desktop",
    outcome="staged",
    status="running",
    tags=[],
    created=datetime(2026, 1, 1, tzinfo=UTC),
    expires=None,
)
