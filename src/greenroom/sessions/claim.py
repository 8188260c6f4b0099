"""Claim a staged session of the pool of an attempt."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec

from greenroom.core.launch.plan import Attempt, PoolContents, TraceStep, pool_miss, success_step
from greenroom.core.workspace.spec_builder import config_hash_of
from greenroom.db.launch.claims import Claim
from greenroom.sessions.wanted import Misses, PlacedSession, WantedSession, Writer


async def claim_staged(
    wanted: WantedSession, writer: Writer, attempt: Attempt, *, trace: Sequence[TraceStep]
) -> PlacedSession | Misses:
    """Claim a staged session for the user, or say why there is none; `trace` is that of the search so far."""
    pool, zone = attempt.pool, attempt.zone
    if pool is None:
        raise AssertionError("a staged attempt without misses has a pool")
    assignment = msgspec.structs.replace(wanted.assignment, assignment_id=str(uuid.uuid4()))
    claim = Claim(
        user=wanted.user,
        staging_config_id=pool.staging_config_id,
        config_hash=config_hash_of(wanted.image, zone.facts, pool.permissions),
        assignment_id=assignment.assignment_id,
        assignment=msgspec.structs.asdict(assignment),
    )
    reason = wanted.reason_of(f"A staged session of zone {zone.zone_name} was assigned{wanted.instead}.")
    steps = (*trace, success_step(attempt, pool.staging_config_id, reason))
    claimed = await writer.claim(claim, zone.zone_id, steps)
    if isinstance(claimed, PoolContents):
        return (pool_miss(claimed, wanted.image, zone),)
    return PlacedSession(
        session_id=claimed.session_id,
        agent_id=claimed.agent_id,
        edge_url=claimed.edge_url,
        auth_epoch=claimed.auth_epoch,
        attempt=attempt,
        reason=reason,
        steps=steps,
    )
