"""Which of several Agent processes with one identity acts, by a record that they replace with compare-and-swap.

No clocks are compared: a process that stands by takes the record after it has *seen* it unchanged for the whole time
that it counts, by its own steady clock; the one that acts stops a margin earlier, counted from when its last renewal
was *sent*. So two never act at one time as long as no clock runs too fast or too slow by more than
margin / (2 * ttl - margin): one acts for at most (ttl - margin) * (1 + drift), the other waits for ttl * (1 - drift).
Terms only grow: each taking raises the number. Times are seconds of a clock that also runs while the machine sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

LOOK_S: Final = 0.5
"""How often those who stand by look at the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
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

    record: Record | None
    version: str | None
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Replace what has `version` (None = make it) by `record`; `reason` says why it may be done."""

    record: Record
    version: str | None
    reason: str


def noticed(before: Seen | None, record: Record | None, version: str | None, read_at_s: float) -> Seen:
    """After a reading that ended at `read_at_s`."""
    if before is not None and before.version == version:
        return before
    return Seen(record=record, version=version, since_s=read_at_s)


def claim(seen: Seen, own: str, address: str, now_s: float, ttl_s: float) -> Claim | None:
    """What a process that stands by may do now; None = wait."""
    record = seen.record
    if record is None:
        return Claim(
            record=Record(holder=own, address=address, term=1, ttl_s=ttl_s), version=None, reason="it is the first"
        )
    taken = replace(record, holder=own, address=address, term=record.term + 1, ttl_s=ttl_s, beat=0)
    if not record.holder:
        return Claim(record=taken, version=seen.version, reason="the one before gave it back")
    if record.holder == own:
        return Claim(record=taken, version=seen.version, reason="it held it before")
    # its own time as well: the one that acts may have other settings
    if now_s - seen.since_s >= max(record.ttl_s, ttl_s):
        return Claim(record=taken, version=seen.version, reason=f"{record.holder} did not renew it in time")
    return None


def renewal(held: Record, copy: int) -> Record:
    """The record of who goes on acting; `copy` as in `Record`."""
    return replace(held, beat=held.beat + 1, copy=copy)


def given_back(held: Record) -> Record:
    """The next one takes it at once."""
    return replace(held, holder="", beat=held.beat + 1)
