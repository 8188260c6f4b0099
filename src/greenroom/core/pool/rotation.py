"""The rotation of staged sessions: the replacement of a session starts while the session is still claimable.

One session of a pool is in rotation at a time. Its replacement starts while the old session still exists (column
`replaces`), and the old session ends when the replacement is claimable. Sessions that were created together expire
together, but are replaced one after another. Therefore the k-th session in the order of expiry needs k starts before it
expires, and the first start is due at `min over k of (expires_k - margin - k * time of one replacement)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from greenroom.core.pool.model import PooledSession, PoolSnapshot
from greenroom.core.workspace.definition import Definition

START_SLACK: Final = 2.0
"""The factor by which the next starts may be slower than the measured starts, because hosts may become busier."""
START_OVERHEAD_S: Final = 2.0
"""The time that is added to each start, for the end of the previous session and its report."""
MARGIN_S: Final = 10.0
"""The time by which a replacement must be ready before its session expires, in case the host becomes busy."""

ASSUMED_START_S: Final = 30.0

MAX_LEAD_FRACTION: Final = 0.5
"""A replacement starts at most this fraction of the session's lifetime before the expiry, even if starts are slow."""


def starting_replacement(counted: Sequence[PooledSession]) -> PooledSession | None:
    """Return the session that is starting as a replacement while its original still exists; None if there is none."""
    session_ids = {session.session_id for session in counted}
    return next((s for s in counted if not s.claimable and s.replaces in session_ids), None)


def replaced(counted: Sequence[PooledSession]) -> list[PooledSession]:
    """Return the sessions whose replacement is claimable."""
    replaced_ids = {session.replaces for session in counted if session.claimable}
    return [session for session in counted if session.session_id in replaced_ids]


def next_to_replace(snapshot: PoolSnapshot, counted: Sequence[PooledSession]) -> tuple[PooledSession, str] | None:
    """Return the session to replace now, with the reason as a clause; None if no session is due."""
    usable = sorted((s for s in counted if s.claimable), key=_by_expiry)
    if usable and due_at(usable, start_time_s(usable)) <= snapshot.now:
        return usable[0], f"it expires at {usable[0].expires:%H:%M:%S} UTC"
    return next(iter(outdated(snapshot, usable)), None)


def outdated(snapshot: PoolSnapshot, counted: Sequence[PooledSession]) -> list[tuple[PooledSession, str]]:
    """Return the claimable sessions that are outdated, in the order of their replacement, each with the reason."""
    usable = sorted((s for s in counted if s.claimable), key=_by_expiry)
    return [(session, reason) for session in usable if (reason := snapshot.outdated(session)) is not None]


def due_at(sessions: Sequence[PooledSession], start_s: float) -> datetime:
    """Return the time at which the first replacement must start, so that each replacement is ready before its session
    expires. `sessions` are the claimable sessions in the order of expiry, at least one; `start_s` is the measured
    time of a start.
    """
    margin, per_replacement = timedelta(seconds=MARGIN_S), timedelta(seconds=START_SLACK * start_s + START_OVERHEAD_S)
    return min(
        session.expires
        - min(margin + (number + 1) * per_replacement, MAX_LEAD_FRACTION * (session.expires - session.created))
        for number, session in enumerate(sessions)
    )


def start_time_s(sessions: Sequence[PooledSession]) -> float:
    """Return the time from creation to usability of the pool's sessions in seconds, as the 95th percentile."""
    times = sorted((s.started - s.created).total_seconds() for s in sessions if s.started is not None)
    return times[int(0.95 * (len(times) - 1) + 0.5)] if times else ASSUMED_START_S


def expiration_problem(expiration_h: float, num_sessions: int, start_s: float | None) -> str | None:
    """Return the reason why a pool cannot stay full with this expiration (in hours), as sentences; None if it can.

    The sessions are replaced one after another in the second half of their lifetime, as in `due_at`. `num_sessions` is
    the desired number. `start_s` None = not known yet.
    """
    expected_s = ASSUMED_START_S if start_s is None else start_s
    needed_s = (MARGIN_S + num_sessions * (START_SLACK * expected_s + START_OVERHEAD_S)) / MAX_LEAD_FRACTION
    if num_sessions == 0 or expiration_h * 3600 >= needed_s:
        return None
    start_text = (
        f"a start takes {expected_s:.3g} s" if start_s is not None else f"a start is expected to take {expected_s:g} s"
    )
    return (
        f"Staged sessions expire after {expiration_h * 3600:.3g} s and are replaced one after the other. This time is "
        f"too short to replace all of them ({num_sessions} desired, {start_text}), so Current Sessions falls below "
        "Desired repeatedly, and containers start constantly. Set Expiration (Hours) to "
        f"{math.ceil(needed_s / 36) / 100:g} or more."
    )


def _by_expiry(session: PooledSession) -> tuple[datetime, datetime, str]:
    return session.expires, session.created, session.session_id


class Rollover(IntEnum):
    """The effect of a change of a workspace on its staged sessions. The greatest effect of several changes applies.

    KEEP: staged sessions do not change. REPLACE: staged sessions are outdated, but can be claimed until they are
    replaced. END: staged sessions must not be claimed any more, and end.
    """

    KEEP = 0
    REPLACE = 1
    END = 2


EFFECTS: Final[Mapping[str, Rollover]] = {
    # `volume_mappings`: if the change only adds mappings
    **dict.fromkeys(("name", "cores", "memory", "memory_limit", "volume_mappings"), Rollover.REPLACE),
    **dict.fromkeys(("disk_limit_bytes", "cpu_allocation_method", "port", "protocol", "auth_user"), Rollover.END),
    # `assign` of `exec_config` runs in staged sessions
    **dict.fromkeys(("page_path", "ready_path", "port_map", "run_config", "exec_config"), Rollover.END),
    **dict.fromkeys(("restrict_to_zone", "zone_id", "restrict_to_server", "server_id"), Rollover.END),
    **dict.fromkeys(("filter_policy_id", "filter_policy_force_disabled"), Rollover.END),
}
"""Field of a workspace → the effect of its change; other fields have no effect on containers. A change that removes
something from users, or that concerns the isolation or the address of a container, ends sessions. A change that only
makes later sessions better, larger or newer replaces them.
"""


def rollover(before: Definition, after: Definition) -> Rollover:
    """Return the effect of a change of a workspace on its staged sessions."""
    changed = [effect for name, effect in EFFECTS.items() if getattr(before, name) != getattr(after, name)]
    if any(after.volume_mappings.get(path) != options for path, options in before.volume_mappings.items()):
        changed.append(Rollover.END)
    return max(changed, default=Rollover.KEEP)
