"""One attempt of a launch on a pool: the claim of a staged session."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from greenroom.api.launch_plan import Got, Launch, assignment_of, ledger
from greenroom.core.launching import Attempt, Miss, TraceStep, pool_miss, used
from greenroom.core.specs import fingerprint
from greenroom.db.claims import Claim, claim
from greenroom.db.database import Database
from greenroom.kit.stops import hold, stop


async def claim_staged(
    db: Database, launch: Launch, attempt: Attempt, trace: Sequence[TraceStep]
) -> tuple[Got | None, list[Miss]]:
    """Assign a staged session of the attempt's pool to the user; `trace` is that of the launch so far.

    Returns:
        The session and nothing, or None and why there was none.

    Raises:
        SessionLimit: `max_kasms_per_user` is reached.
        RepeatedRequest: the idempotency key was used by another request meanwhile.
        IdempotencyMismatch: it was used for a different request.
    """
    pool, request, zone = attempt.pool, launch.request, attempt.zone
    if pool is None:
        raise AssertionError("a staged attempt without misses has a pool")
    assignment_id = str(uuid.uuid4())
    reason = launch.told(f"A staged session of zone {zone.zone_name} was assigned.")
    row, contents = await claim(
        db,
        Claim(
            user_id=request.user_id,
            staging_config_id=pool.staging_config_id,
            config_hash=fingerprint(launch.image, zone.facts, pool.permissions, pool.revision),
            launch_id=launch.launch_id,
            assignment_id=assignment_id,
            assignment=assignment_of(launch, assignment_id),
            max_sessions=launch.max_sessions,
            clocks=launch.clocks,
            kasm_url=request.kasm_url,
            idempotency_key=request.idempotency_key,
            idempotency_body=request.body() if request.idempotency_key else None,
            client_settings=launch.client_settings(),
            steps=ledger(trace, used(attempt, pool.staging_config_id, reason)),
            duration_ms=launch.elapsed_ms(),
            current_zone_id=launch.current_zone_id,
            request_host=request.request_host,
        ),
        after_user_lock=hold("claim.after_user_lock"),
    )
    if row is None:
        return None, [pool_miss(contents, launch.image, zone)]
    await stop("claim.after_commit")
    return Got(str(row["session_id"]), str(row["agent_id"]), row["auth_epoch"], reason), []
