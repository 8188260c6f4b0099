"""The status of Agents and Managers that do not report (docs/explanation/protocols.md §1 and §2), and the lateness of
hosts.

A time limit is the time that a healthy operation takes on a quiet host (a host without load), with a margin. The
process that waits for the operation multiplies the limit by `lateness_factor`. Invariants, tested as properties: the
factor is 1 to `MAX_LATENESS_FACTOR`, is 1 on a quiet host, and never falls when the lateness grows.

    pending ─ first complete check-in ─▶ running ─ silent ─▶ missing ─ silent for long ─▶ dead
                                            ◀──────── complete check-in ────────┴──────────┘

An Agent is silent while no report arrives; a complete check-in reports all sessions of the Agent. An Agent that closes
the connection of its open check-in and does not check in again has ended, or has lost its gateway: it is missing after
`DISCONNECTED_S` already. A new Agent stays
pending until an administrator, its join token or the setting `auto_agent` enables it. A missing Agent gets no new
sessions, and its running sessions continue. After `FleetTimings.lost_s`, its sessions with users are marked lost until
it returns. The sessions of a dead Agent are ended. Invariants, tested as properties: silence has no effect during the
quiet period; the status of an Agent that reports never gets worse; after a plan was applied, the next plan is empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from greenroom.core.fleet.disk import FreeDisk, shortage
from greenroom.core.fleet.restarts import with_subject
from greenroom.core.text import exact_size, rough_duration

MAX_LATENESS_FACTOR: Final = 10.0
"""The maximum factor by which a time limit is multiplied."""
MAX_ON_TIME_DELAY_S: Final = 0.05
"""The delay up to which a process counts as on time. With k times this delay, a time limit is k times as long, because
the process runs several times during an operation, and each run begins late.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """The lateness of a process and its host, as the process measured it over the last seconds."""

    own_s: float = 0.0
    """Average delay of the process after the time at which it was due to run."""
    queue: float = 0.0
    """Average number of tasks that ran or waited for a core, per core."""
    waiting: float = 1.0
    """Fraction of the time in which at least one task waited, 0 to 1; 1 if the kernel does not report it."""


ON_TIME: Final = Lateness()


def waiting_tasks(lateness: Lateness) -> float:
    """Return the average number of waiting tasks per core. The queue is multiplied by `waiting`, because a queue slows
    a host down only if tasks wait for long.
    """
    return lateness.waiting * max(0.0, lateness.queue - 1.0)


def lateness_factor(lateness: Lateness) -> float:
    """Return the factor by which a healthy operation may take longer than on a quiet host, 1 to `MAX_LATENESS_FACTOR`.

    With n tasks per core, each operation takes n times as long while the tasks wait for each other.
    """
    return min(MAX_LATENESS_FACTOR, max(1.0, 1.0 + waiting_tasks(lateness), lateness.own_s / MAX_ON_TIME_DELAY_S))


def extended_limit_s(limit_s: float, lateness: Lateness, max_s: float = math.inf) -> float:
    """Return the time limit `limit_s` of a quiet host, extended for `lateness` to at most `max_s`."""
    return max(limit_s, min(max_s, limit_s * lateness_factor(lateness)))


def lateness_reason(lateness: Lateness, process: str = "its Agent") -> str:
    """Return the reason for a longer limit, as the end of a sentence; empty on a quiet host. `process` is the process
    that measured the lateness.
    """
    factor = lateness_factor(lateness)
    if factor <= 1.0:
        return ""
    return (
        f", {factor:.1f} times as long as on a quiet host ({process} ran {lateness.own_s:.2f} s late, "
        f"{lateness.queue:.0f} tasks waited for each core)"
    )


AgentStatus = Literal["pending", "running", "missing", "dead"]
PlacementStatus = AgentStatus | Literal["in another zone"]
"""The status of an Agent for a zone. An Agent that has moved to another zone does not serve the zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTimings:
    """The seconds of silence after which an Agent is missing, its sessions with users are lost, and it is dead."""

    missing_s: float
    lost_s: float
    dead_s: float


MAX_CHECKIN_DELAY_S: Final = 1.0
"""The maximum delay with which a check-in is stored."""


def checkin_timings_problem(missing_s: float, hold_s: float) -> str | None:
    """Return the reason why these timings cannot work, as a sentence; None if they can.

    `hold_s` is the time for which a Manager delays the answer to a check-in while it has no instructions. A healthy
    Agent reports once in this time, and one check-in may be lost.
    """
    needed_s = 2 * hold_s + MAX_CHECKIN_DELAY_S
    if missing_s >= needed_s:
        return None
    return (
        f"GREENROOM_AGENT_MISSING_S = {missing_s:g} s must be at least 2 * GREENROOM_CHECKIN_HOLD_S + "
        f"{MAX_CHECKIN_DELAY_S:g} s = {needed_s:g} s, or healthy Agents are marked missing again and again. Raise "
        "GREENROOM_AGENT_MISSING_S or lower GREENROOM_CHECKIN_HOLD_S."
    )


@dataclass(frozen=True, slots=True)
class EffectiveStatus:
    """The status of an Agent as administrators see it. `reason` is the problem of the Agent as a sentence, or None."""

    status: AgentStatus
    reason: str | None = None


def unattended_zone_warning(zone_name: str, others: int, running_others: int) -> str | None:
    """Return a warning about the zone of a disabled Manager; None if another enabled Manager of the zone runs, or if
    the zone has none. `others` is the number of other enabled Managers of the zone; `running_others` of them run.
    """
    if others == 0 or running_others > 0:
        return None
    return f"No other enabled Manager of zone {zone_name} is running, so its Agents have no coordinator now."


UNATTENDED_S: Final = 15.0
"""The time since its last check-in after which an Agent without a Manager is displayed as missing."""


def effective_status(
    status: AgentStatus,
    zone_name: str,
    *,
    silent_s: float | None,
    has_manager: bool,
    runtime_error: str,
    crash_loop: str = "",
    check_in_refused: str = "",
    edge_requested: str | None = None,
) -> EffectiveStatus:
    """Return the status of an Agent as administrators see it. `status` is the status in its row, which the Primary
    writes.

    `has_manager`: a Manager of its zone runs. `runtime_error` and `crash_loop` are sentences: the reasons why its
    container runtime does not answer, or why it counts as crash-looping. `check_in_refused` is the reason for which a
    Manager refused its last check-in. `edge_requested` is `EdgeRegistration.requested` of the Agent.
    """
    if status == "running" and not has_manager and (silent_s or 0.0) > UNATTENDED_S:
        reason = f"No Manager of zone {zone_name} runs, so this Agent cannot report. If it runs, its sessions continue."
        return EffectiveStatus("missing", reason)
    refusal = f"The Managers refuse its check-ins: {check_in_refused}" if check_in_refused else ""
    if status != "pending" and (refusal or crash_loop):
        return EffectiveStatus(status, refusal or crash_loop)
    if status == "missing":
        since = "" if silent_s is None else f" for {rough_duration(silent_s)}"
        return EffectiveStatus(status, f"It has not checked in{since}. Check its host, its process and its network.")
    if status == "running" and runtime_error:
        return EffectiveStatus(status, f"It cannot start sessions: {runtime_error}")
    if edge_requested is not None:
        state = f"is at {edge_requested} now" if edge_requested else "is gone"
        return EffectiveStatus(
            status, f"It reports that its edge gateway {state}; an administrator must confirm the change."
        )
    return EffectiveStatus(status)


ClosedCode = Literal["status", "disabled", "draining", "runtime", "disk"]


@dataclass(frozen=True, slots=True)
class Closed:
    """The reason why an Agent takes no new sessions. `reason` is a sentence about its host without a full stop."""

    code: ClosedCode
    reason: str


class HostState(Protocol):
    """The facts that decide whether an Agent takes new sessions."""

    @property
    def hostname(self) -> str: ...
    @property
    def status(self) -> PlacementStatus: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def draining(self) -> bool: ...
    @property
    def runtime_error(self) -> str: ...
    @property
    def crash_loop(self) -> str: ...
    @property
    def disk(self) -> FreeDisk: ...


def closed(agent: HostState) -> Closed | None:
    """Return the reason why an Agent takes no new sessions; None if it takes them, as far as it has room.

    Placement, the free capacity and all pages about Agents use this function.
    """
    hostname = agent.hostname
    if agent.status != "running":
        reason = _status_reason(hostname, agent.status, enabled=agent.enabled, crash_loop=agent.crash_loop)
        return Closed("status", reason)
    if not agent.enabled:
        return Closed("disabled", f"{hostname} is disabled")
    if agent.draining:
        return Closed("draining", f"{hostname} is draining and takes no new sessions")
    if agent.runtime_error:
        failure = start_failure(hostname, runtime_error=agent.runtime_error, crash_loop=agent.crash_loop)
        return Closed("runtime", failure)
    if disk_reason := shortage(hostname, agent.disk):
        return Closed("disk", disk_reason)
    return None


def start_failure(hostname: str, *, runtime_error: str, crash_loop: str) -> str:
    """Return the reason why a host cannot start sessions now, as a clause; empty if it can."""
    if crash_loop:
        return with_subject(hostname, crash_loop).rstrip(".")
    return f"{hostname} cannot start sessions: {runtime_error.rstrip('.')}" if runtime_error else ""


def _status_reason(hostname: str, status: PlacementStatus, *, enabled: bool, crash_loop: str) -> str:
    if status == "pending" and not enabled:
        return f"{hostname} is new and waits for an administrator to enable it"
    if status == "missing" and crash_loop:
        return start_failure(hostname, runtime_error="", crash_loop=crash_loop)
    what = {
        "pending": "is waiting for its first complete check-in",
        "missing": "is missing: it has not checked in for some time",
    }.get(status, "is dead: it has not checked in for a long time")
    return f"{hostname} {what}"


DISCONNECTED_S: Final = 3.0
"""The time on a quiet host after which an Agent that closed its connection is missing. It is longer than the restart of
an Agent or of a gateway, after which the Agent checks in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """The last report of an Agent. `silent_s` is the time since then; None = it has not checked in yet. `complete` is
    True if the Agent has sent a complete check-in since it registered. `has_sessions_to_mark_lost` is True if it has
    sessions with users that are not marked lost. `disconnected_s` is the time since it closed the connection of a
    check-in; None = it has checked in since. `lateness` is that of its last report.
    """

    agent_id: str
    hostname: str
    status: AgentStatus
    complete: bool
    silent_s: float | None
    enabled: bool = True
    has_sessions_to_mark_lost: bool = False
    disconnected_s: float | None = None
    lateness: Lateness = ON_TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTransition:
    """A change of the status of an Agent, with its reason as a clause."""

    agent_id: str
    before: AgentStatus
    to: AgentStatus
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsLost:
    """Mark the sessions with users on an Agent as lost until the Agent returns."""

    agent_id: str
    reason: str


def plan(
    agents: Iterable[AgentReport], timings: FleetTimings, *, quiet: bool, lateness: Lateness = ON_TIME
) -> list[AgentTransition | SessionsLost]:
    """Return the actions of one round, at most one per Agent. `quiet` is True during the quiet period; `lateness` is
    that of the Manager.
    """
    return [action for agent in agents if (action := _action_for(agent, timings, quiet, lateness)) is not None]


def _action_for(
    agent: AgentReport, timings: FleetTimings, quiet: bool, lateness: Lateness
) -> AgentTransition | SessionsLost | None:
    if agent.silent_s is None:
        return None
    if agent.silent_s <= timings.missing_s:
        if agent.disconnected_s is None:
            return _after_report(agent)
        return None if quiet else _after_disconnection(agent, agent.disconnected_s, timings, lateness)
    return None if quiet else _after_silence(agent, agent.silent_s, timings)


def _after_disconnection(
    agent: AgentReport, disconnected_s: float, timings: FleetTimings, lateness: Lateness
) -> AgentTransition | None:
    larger = max(agent.lateness, lateness, key=lateness_factor)
    if agent.status != "running" or disconnected_s <= extended_limit_s(DISCONNECTED_S, larger, timings.missing_s):
        return None
    return _transition(
        agent, "missing", f"it closed its connection {disconnected_s:.0f} s ago and has not checked in since"
    )


def _after_report(agent: AgentReport) -> AgentTransition | None:
    if not agent.complete or agent.status == "running":
        return None
    if agent.status == "pending":
        return _transition(agent, "running", "its first complete check-in arrived") if agent.enabled else None
    return _transition(agent, "running", "it checks in again")


def _after_silence(agent: AgentReport, silent_s: float, timings: FleetTimings) -> AgentTransition | SessionsLost | None:
    since = f"it has not reported for {rough_duration(silent_s)}"
    if agent.status == "running":
        return _transition(agent, "missing", since)
    if agent.status != "missing":
        return None
    if silent_s > timings.dead_s:
        return _transition(agent, "dead", since)
    if silent_s > timings.lost_s and agent.has_sessions_to_mark_lost:
        return SessionsLost(agent_id=agent.agent_id, reason=f"its Agent {agent.hostname} was lost: {since}")
    return None


def _transition(agent: AgentReport, to: AgentStatus, reason: str) -> AgentTransition:
    return AgentTransition(agent_id=agent.agent_id, before=agent.status, to=to, reason=reason)


def offer_change_text(hostname: str, before: tuple[float, int], after: tuple[float, int]) -> str:
    """Return the sentence about a change of the capacity that an Agent offers to sessions. `before` and `after` are
    cores and bytes of memory.
    """
    return (
        f"the capacity that Agent {hostname} offers changed with its report or an override: cores "
        f"{before[0]:g} → {after[0]:g}, memory {exact_size(before[1])} → {exact_size(after[1])}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The reserved capacity of an Agent, as stored in its row and as the sum over its sessions. Memory is in bytes."""

    agent_id: str
    hostname: str
    cores_stored: float
    memory_stored: int
    cores_summed: float
    memory_summed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """The correction of the stored reservation of an Agent. `reason` has the values before and after."""

    agent_id: str
    cores: float
    memory: int
    reason: str


def corrections(allocations: Iterable[Allocation]) -> list[Correction]:
    """Return a correction for each Agent whose stored reservation differs from the sum over its sessions."""
    return [
        Correction(
            agent_id=a.agent_id,
            cores=a.cores_summed,
            memory=a.memory_summed,
            reason=(
                f"the reserved capacity of Agent {a.hostname} was corrected: cores {a.cores_stored:g} → "
                f"{a.cores_summed:g}, memory {exact_size(a.memory_stored)} → {exact_size(a.memory_summed)}"
            ),
        )
        for a in allocations
        if abs(a.cores_stored - a.cores_summed) > 1e-4 or a.memory_stored != a.memory_summed
    ]


DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerRecord:
    """The record of a Manager of a zone. `silent_s` is the time since its last heartbeat. `is_live` is True if a
    process holds the lock of its instance id, even if it sends no heartbeats.
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


def records_to_remove(records: Sequence[ManagerRecord], keep_days: float) -> list[Removal]:
    """Return the records of a zone to remove: those without a process and without a heartbeat for `keep_days` (0 =
    remove none). If all enabled records would be removed, the one with the latest heartbeat stays.
    """
    if keep_days <= 0:
        return []
    removed = [record for record in records if not record.is_live and record.silent_s > keep_days * DAY_S]
    if not any(record.enabled for record in records if record not in removed):
        last = min((record for record in removed if record.enabled), key=lambda record: record.silent_s, default=None)
        removed = [record for record in removed if record is not last]
    return [
        Removal(
            manager_id=record.manager_id,
            instance_id=record.instance_id,
            reason=f"it last reported {record.silent_s / DAY_S:.1f} days ago, and records are kept for"
            f" {keep_days:g} {'day' if keep_days == 1 else 'days'} (manager_record_retention_days)",
        )
        for record in removed
    ]
