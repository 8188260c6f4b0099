"""What follows from silence of Agents and Managers (docs/explanation/protocols.md §3); and how late a host is: slow is
not dead.

A time limit says how long something healthy takes on a quiet host, with a margin; the waiting side multiplies it by
`times`. Something that ended, or that answers that it cannot, gets no extra time. Invariants, tested as properties: the
factor is 1 to `MAX_TIMES`, is 1 on a quiet host, and never falls when anything becomes later.

    pending ─ first complete check-in ─▶ running ─ silent ─▶ missing ─ silent for long ─▶ dead
                                            ◀───── reports again, complete ─────┴──────────┘

A new Agent stays pending until an administrator, its join token or the setting `auto_agent` enables it. Missing: no new
sessions are placed, running ones continue. Lost: users' sessions there show as lost, and return with the Agent. Dead:
its sessions are ended. Invariants, tested as properties: nothing is concluded from silence while it is quiet; an Agent
that reports never gets worse; planning again after applying plans nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from greenroom.core.text import EXACT, size

MAX_TIMES: Final = 10.0
"""No wait is longer than this many times the limit."""
ON_TIME_S: Final = 0.05
"""A process that runs at most this late is on time; one that runs k times as late needs k times as long, because what
it waits for takes several such turns of this and of other processes.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """What a process measured of itself and its host over the last seconds."""

    own_s: float = 0.0
    """Average delay after the moment at which it wanted to run."""
    queue: float = 0.0
    """Average number of tasks that wanted a core, per core."""
    waiting: float = 1.0
    """Share of the time in which any of them had to wait; 1 where the kernel does not report it."""


ON_TIME: Final = Lateness()


def crowd(lateness: Lateness) -> float:
    """The tasks that each core has beyond the first. `waiting` weighs the queue, because a long queue sampled while
    nothing waited for long is none."""
    return lateness.waiting * max(0.0, lateness.queue - 1.0)


def times(lateness: Lateness) -> float:
    """How many times as long as on a quiet host something healthy may take.

    With n tasks per core everything takes n times as long while they wait for each other.
    """
    return min(MAX_TIMES, max(1.0, 1.0 + crowd(lateness), lateness.own_s / ON_TIME_S))


def allowed_s(limit_s: float, lateness: Lateness, most_s: float = math.inf) -> float:
    """The limit of a quiet host, extended for `lateness`: never less than `limit_s`, at most `most_s`."""
    return max(limit_s, min(most_s, limit_s * times(lateness)))


def because(lateness: Lateness, who: str = "its Agent") -> str:
    """Why more time was allowed, as the end of a sentence; empty on a quiet host. `who` measured the lateness."""
    factor = times(lateness)
    if factor <= 1.0:
        return ""
    return (
        f", {factor:.1f} times as long as on a quiet host ({who} ran {lateness.own_s:.2f} s late,"
        f" {lateness.queue:.0f} tasks wanted each core)"
    )


AgentStatus = Literal["pending", "running", "missing", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTimings:
    """Seconds of silence until an Agent is missing, its users' sessions are lost, and it is dead."""

    missing_s: float
    lost_s: float
    dead_s: float


DELAY_S: Final = 1.0
"""How late, at most, a sign of life is stored."""


def silence_problem(missing_s: float, hold_s: float) -> str | None:
    """Why these timings cannot work, as a sentence; None = they can. A healthy Agent reports once per held check-in,
    and one check-in may be lost. `hold_s` is how long a check-in without news is held.
    """
    needed_s = 2 * hold_s + DELAY_S
    if missing_s >= needed_s:
        return None
    return (
        f"GREENROOM_AGENT_MISSING_S = {missing_s:g} s must be at least 2 * GREENROOM_CHECKIN_HOLD_S + {DELAY_S:g} s ="
        f" {needed_s:g} s, or healthy Agents go missing again and again; raise it, or hold check-ins for less."
    )


@dataclass(frozen=True, slots=True)
class ShownStatus:
    """An Agent as administrators see it: its status, and what is wrong with it as a sentence, or None."""

    status: AgentStatus
    reason: str | None = None


def unattended(zone_name: str, others: int, running_others: int) -> str | None:
    """What disabling a Manager means for its zone, as a warning; None while another enabled Manager runs there."""
    if others == 0 or running_others > 0:
        return None
    return f"No other enabled Manager of zone {zone_name} is running; nothing coordinates its Agents now."


UNATTENDED_S: Final = 15.0
"""After this much silence an Agent without a Manager is no longer shown as running."""


def shown_status(
    status: AgentStatus,
    zone_name: str,
    *,
    silent_s: float | None,
    has_manager: bool,
    runtime_error: str,
    crash_loop: str = "",
    edge_requested: str | None = None,
) -> ShownStatus:
    """How an Agent is shown now.

    Args:
        status: of its row, where the Primary keeps it.
        silent_s: since its last check-in.
        has_manager: whether a Manager of its zone runs.
        runtime_error: why the host's container runtime does not answer, as a sentence; empty when it does.
        crash_loop: why it counts as crash-looping, as a sentence; empty if it does not.
        edge_requested: the unconfirmed address of its edge gateway; None = nothing waits.
    """
    if status == "running" and not has_manager and (silent_s or 0.0) > UNATTENDED_S:
        why = f"No Manager of zone {zone_name} runs, so this Agent cannot report; its sessions go on if it runs."
        return ShownStatus("missing", why)
    if status in {"running", "missing"} and crash_loop:
        return ShownStatus(status, crash_loop)
    if status == "missing":
        since = "" if silent_s is None else f" for {silent_s:.0f} s"
        return ShownStatus(status, f"It has not checked in{since}. Look after its host, its process and its network.")
    if status == "running" and runtime_error:
        return ShownStatus(status, f"It can start nothing: {runtime_error}")
    if edge_requested is not None:
        where = f"is at {edge_requested} now" if edge_requested else "is gone"
        return ShownStatus(status, f"It reports that its edge gateway {where}; an administrator has to confirm that.")
    return ShownStatus(status)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """`silent_s` is None before the first check-in; `complete`: it has reported everything since it registered.
    `has_losable`: it has users' sessions that are not marked lost yet.
    """

    agent_id: str
    hostname: str
    status: AgentStatus
    complete: bool
    silent_s: float | None
    enabled: bool = True
    has_losable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMove:
    """A change of an Agent's status, with its reason as a sentence."""

    agent_id: str
    before: AgentStatus
    to: AgentStatus
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsLost:
    """Mark the users' sessions of an Agent lost until it returns."""

    agent_id: str
    reason: str


def plan(agents: Iterable[AgentReport], timings: FleetTimings, *, quiet: bool) -> list[AgentMove | SessionsLost]:
    """All conclusions of one round, at most one per Agent; `quiet`: silence proves nothing yet
    (docs/explanation/protocols.md §1)."""
    found: list[AgentMove | SessionsLost] = []
    for agent in agents:
        action = _of(agent, timings, quiet)
        if action is not None:
            found.append(action)
    return found


def _of(agent: AgentReport, timings: FleetTimings, quiet: bool) -> AgentMove | SessionsLost | None:
    if agent.silent_s is None:
        return None
    if agent.silent_s <= timings.missing_s:
        return _reporting(agent)
    return None if quiet else _silent(agent, agent.silent_s, timings)


def _reporting(agent: AgentReport) -> AgentMove | None:
    if not agent.complete or agent.status == "running":
        return None
    if agent.status == "pending":
        return _move(agent, "running", "its first complete check-in arrived") if agent.enabled else None
    return _move(agent, "running", "it checks in again")


def _silent(agent: AgentReport, silent_s: float, timings: FleetTimings) -> AgentMove | SessionsLost | None:
    since = f"it has not reported for {silent_s:.0f} s"
    if agent.status == "running":
        return _move(agent, "missing", since)
    if agent.status != "missing":
        return None
    if silent_s > timings.dead_s:
        return _move(agent, "dead", since)
    if silent_s > timings.lost_s and agent.has_losable:
        return SessionsLost(agent_id=agent.agent_id, reason=f"its Agent {agent.hostname} was lost: {since}")
    return None


def _move(agent: AgentReport, to: AgentStatus, reason: str) -> AgentMove:
    return AgentMove(agent_id=agent.agent_id, before=agent.status, to=to, reason=reason)


def offer_change(hostname: str, before: tuple[float, int], after: tuple[float, int]) -> str:
    """The sentence for a changed offer, (cores, bytes of memory) before and after."""
    return (
        f"what Agent {hostname} offers was changed to what it reports and administrators override: cores "
        f"{before[0]:g} → {after[0]:g}, memory {size(before[1], EXACT)} → {size(after[1], EXACT)}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What is reserved on an Agent: as counted, and as the sum over its sessions. Memory in bytes."""

    agent_id: str
    hostname: str
    cores_counted: float
    memory_counted: int
    cores_summed: float
    memory_summed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A count to correct; the sentence names the values before and after."""

    agent_id: str
    cores: float
    memory: int
    reason: str


def corrections(allocations: Iterable[Allocation]) -> list[Correction]:
    """The counts that differ from the sum over the sessions."""
    return [
        Correction(
            agent_id=a.agent_id,
            cores=a.cores_summed,
            memory=a.memory_summed,
            reason=(
                f"the reserved capacity of Agent {a.hostname} was corrected: cores {a.cores_counted:g} → "
                f"{a.cores_summed:g}, memory {size(a.memory_counted, EXACT)} → {size(a.memory_summed, EXACT)}"
            ),
        )
        for a in allocations
        if abs(a.cores_counted - a.cores_summed) > 1e-4 or a.memory_counted != a.memory_summed
    ]


DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerRecord:
    """A Manager of a zone by the database. `silent_s`: since its last sign of life. `is_live`: a process holds the lock
    of its instance id, with or without a sign of life.
    """

    manager_id: str
    instance_id: str
    enabled: bool
    is_live: bool
    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Remove the record of this Manager."""

    manager_id: str
    instance_id: str
    reason: str


def departed(records: Sequence[ManagerRecord], keep_days: float) -> list[Removal]:
    """The records of a zone to remove: silent for longer than `keep_days` (0 = never), without a process. One enabled
    record always stays: the one with the latest sign of life.
    """
    if keep_days <= 0:
        return []
    gone = [record for record in records if not record.is_live and record.silent_s > keep_days * DAY_S]
    if not any(record.enabled for record in records if record not in gone):
        last = min((record for record in gone if record.enabled), key=lambda record: record.silent_s, default=None)
        gone = [record for record in gone if record is not last]
    return [
        Removal(
            manager_id=record.manager_id,
            instance_id=record.instance_id,
            reason=f"it last reported {record.silent_s / DAY_S:.1f} days ago, and records are kept for"
            f" {keep_days:g} {'day' if keep_days == 1 else 'days'} (manager_record_retention_days)",
        )
        for record in gone
    ]
