"""A pool in the form of its plan's input, for tests of the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.launch.placement import PlacementAgent
from greenroom.core.pool.model import PoolConfig, PooledSession, PoolSnapshot
from greenroom.core.session.states import SessionStatus
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OFF: dict[str, Any] = dict.fromkeys(STAGED_PERMISSIONS, False)
CONFIG = PoolConfig(
    staging_config_id="c",
    num_sessions=3,
    expiration=1,
    paused=False,
    config_hash="h",
    **OFF,
)
IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop", cores=1.0, memory=1_000_000)
ZONE = ZoneFacts(zone_id="z", zone_name="eu", allow_origin_domain="a.example", upstream_auth_address="a.example")
BIG = PlacementAgent(agent_id="a1", hostname="agent-1", cores=100, memory=10**9)


def session(number: int, status: str = "running", **changes: Any) -> PooledSession:
    """Number `number` of a pool, the oldest first."""
    made = PooledSession(
        session_id=f"s{number}",
        agent_id="a1",
        status=SessionStatus(status),
        claimable=status == "running",
        created=NOW - timedelta(minutes=30 - number),
        expires=NOW + timedelta(minutes=30 + number),
        config_hash="h",
        cores=IMAGE.cores,
        memory=IMAGE.memory,
    )
    return replace(made, **changes)


def snapshot(*sessions: PooledSession, **changes: Any) -> PoolSnapshot:
    """A snapshot with one large Agent and 3 desired sessions."""
    made = PoolSnapshot(
        now=NOW, config=CONFIG, image=IMAGE, zone=ZONE, strategy="Least Load", sessions=sessions, agents=(BIG,)
    )
    return replace(made, **changes)
