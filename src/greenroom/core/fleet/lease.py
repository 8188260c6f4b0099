"""Who may act, for how long, and when another may take over: as Primary of a zone (docs/explanation/protocols.md §1),
and for an Agent.

Times are seconds of CLOCK_BOOTTIME, which also runs while the machine sleeps. The database's clock decides who is
Primary; the values here only decide what this process *believes*. A wrong belief wastes work, but does no harm, because
every privileged write is fenced. Invariant: a belief never outlasts the lease as the database saw it, because its
window begins when the renewal was *sent* and ends one margin early.

No clocks are compared: a process that stands by takes the record after it has *seen* it unchanged for the whole time
that it counts, by its own steady clock; the one that acts stops a margin earlier, counted from when its last renewal
was *sent*. So two never act at one time as long as no clock runs too fast or too slow by more than
margin / (2 * ttl - margin): one acts for at most (ttl - margin) * (1 + drift), the other waits for ttl * (1 - drift).
Terms only grow: each taking raises the number. Times are seconds of a clock that also runs while the machine sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

EVICT_JITTER_S: Final = 0.05
"""Managers look at a lease up to this long after its end, so that they do not all look at once."""

LOOK_AGAIN_S: Final = 2.0
"""Longest time between two looks at the lease: a NOTIFY may be lost. A heartbeat, once a second, is such a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The lease's timings, seconds."""

    ttl_s: float
    renew_s: float
    margin_s: float
    statement_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What a Manager believes after a successful renewal: Primary with this term until `trusted_until_s`."""

    term: int
    trusted_until_s: float


def timings_problem(timings: Timings) -> str | None:
    """Why these timings cannot work, as a sentence; None = they can. Two renewals, the second of which takes as long as
    a statement may, must fit into the trust window.
    """
    window_s = timings.ttl_s - timings.margin_s
    needed_s = 2 * timings.renew_s + timings.statement_timeout_s
    if needed_s < window_s:
        return None
    return (
        f"2 * GREENROOM_LEASE_RENEW_S + statement timeout = {needed_s:g} s must be less than GREENROOM_LEASE_TTL_S - "
        f"GREENROOM_LEASE_MARGIN_S = {window_s:g} s; raise the ttl or renew more often."
    )


def renewed(term: int, sent_at_s: float, timings: Timings) -> Belief:
    """The belief after a renewal that was sent at `sent_at_s` and succeeded, however late its answer came."""
    return Belief(term=term, trusted_until_s=sent_at_s + timings.ttl_s - timings.margin_s)


def may_act(belief: Belief | None, now_s: float) -> bool:
    """Whether a privileged plan may begin now."""
    return belief is not None and now_s < belief.trusted_until_s


def next_renewal_in_s(sent_at_s: float, now_s: float, timings: Timings) -> float:
    """Seconds until the next renewal; renewals keep their interval however long one took."""
    return max(0.0, sent_at_s + timings.renew_s - now_s)


def look_in_s(remaining_s: float, jitter: float) -> float:
    """When to look at the lease again. `remaining_s` is until its end by the database's clock: ≤ 0 when it has ended,
    may be infinite. `jitter` is 0 to 1.
    """
    if remaining_s <= 0:
        return EVICT_JITTER_S
    return min(LOOK_AGAIN_S, remaining_s + jitter * EVICT_JITTER_S)


def is_quiet(*, since_take_s: float, since_reconnect_s: float, since_server_start_s: float, missing_s: float) -> bool:
    """Whether silence proves nothing yet: Agents had no full missing-interval in which they could report."""
    return min(since_take_s, since_reconnect_s, since_server_start_s) < missing_s


def raised_term(term: int, seen_term: int) -> int | None:
    """The term to go on with after an Agent has seen a higher one (the database was restored); None = no change."""
    return seen_term + 1 if seen_term > term else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The previous Primary, and how its lease ended."""

    instance_id: str | None
    """None if its record was removed."""
    enabled: bool
    is_this: bool
    resigned: bool
    """It resigned, or the lease was taken from it when it was disabled."""
    expired: bool
    """The lease ran out: the Manager was frozen or cut off. Otherwise its connection had ended."""


def election_reason(previous: Predecessor | None) -> str:
    """Why a Manager became Primary, to follow "because"."""
    if previous is None:
        return "no Manager held the role before"
    if previous.is_this:
        return "it held the role before and came back first"
    if previous.instance_id is None:
        return "the Manager that held the role was deleted"
    return _ending(previous).format(previous.instance_id)


def _ending(previous: Predecessor) -> str:
    if not previous.enabled:
        return "{} was disabled"
    if previous.resigned:
        return "{} resigned"
    if previous.expired:
        return "{} stopped answering"
    return "the process of {}, or its connection to the database, ended"


def loss_reason(belief: Belief, now_s: float, failure: str) -> str:
    """Why a Primary that did not resign is no longer Primary, to follow "because". `now_s` is when it noticed,
    `failure` the error of its lease connection, a sentence without a full stop.
    """
    if may_act(belief, now_s):
        return failure
    return "it did not renew its lease in time"


LOOK_S: Final = 0.5
"""How often those who stand by look at the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """The record. `holder` is empty once it was given back; `address` is where the holder answers gateways; `copy`
    grows with each copy that the holder made of what others need."""

    holder: str
    address: str
    term: int
    ttl_s: float
    beat: int = 0
    """Another with each renewal."""
    copy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a process last read, and since when it was like that; `version` None = there is no record."""

    record: LeaseRecord | None
    version: str | None
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordClaim:
    """Replace what has `version` (None = make it) by `record`; `reason` says why it may be done."""

    record: LeaseRecord
    version: str | None
    reason: str


def noticed(before: Seen | None, record: LeaseRecord | None, version: str | None, read_at_s: float) -> Seen:
    """After a reading that ended at `read_at_s`."""
    if before is not None and before.version == version:
        return before
    return Seen(record=record, version=version, since_s=read_at_s)


def claim(seen: Seen, own: str, address: str, now_s: float, ttl_s: float) -> RecordClaim | None:
    """What a process that stands by may do now; None = wait."""
    record = seen.record
    if record is None:
        return RecordClaim(
            record=LeaseRecord(holder=own, address=address, term=1, ttl_s=ttl_s), version=None, reason="it is the first"
        )
    taken = replace(record, holder=own, address=address, term=record.term + 1, ttl_s=ttl_s, beat=0)
    if not record.holder:
        return RecordClaim(record=taken, version=seen.version, reason="the one before gave it back")
    if record.holder == own:
        return RecordClaim(record=taken, version=seen.version, reason="it held it before")
    # its own time as well: the one that acts may have other settings
    if now_s - seen.since_s >= max(record.ttl_s, ttl_s):
        return RecordClaim(record=taken, version=seen.version, reason=f"{record.holder} did not renew it in time")
    return None


def renewal(held: LeaseRecord, copy: int) -> LeaseRecord:
    """The record of who goes on acting; `copy` as in `LeaseRecord`."""
    return replace(held, beat=held.beat + 1, copy=copy)


def given_back(held: LeaseRecord) -> LeaseRecord:
    """The next one takes it at once."""
    return replace(held, holder="", beat=held.beat + 1)
