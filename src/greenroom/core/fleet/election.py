"""The election of the process that acts for an Agent, among several processes with the identity of the Agent.

The processes share a record in a store. No clocks are compared. A standby process takes over the record after it has
read it without a change for the whole ttl, measured with its own clock (CLOCK_BOOTTIME). The acting process stops one
margin before the end of the ttl, counted from the time at which its last renewal was *sent* (`ActingWindow`). Two
processes never act at the same time, as long as the drift of each clock is less than margin / (2 * ttl - margin): the
acting process acts for at most (ttl - margin) * (1 + drift), and the standby process waits for ttl * (1 - drift). Each
takeover raises the term.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

POLL_S: Final = 0.5
"""The interval at which standby processes read the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionRecord:
    """The record of the process that acts for an Agent. `holder` is empty after the process released it. `address` is
    the address at which the holder answers gateways. `copy` is the number of the last copy of the shared data
    that the holder wrote for the other processes.
    """

    holder: str
    address: str
    term: int
    ttl_s: float
    beat: int = 0
    """A number that each renewal changes."""
    copy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRecord:
    """The record that a process last read, and the time since which it is unchanged. `version` None = there is no
    record.
    """

    record: ElectionRecord | None
    version: str | None
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTakeover:
    """Replace the record with this `version` (None = create it) by `record`, for this `reason`."""

    record: ElectionRecord
    version: str | None
    reason: str


def after_read(
    before: ObservedRecord | None, record: ElectionRecord | None, version: str | None, read_at_s: float
) -> ObservedRecord:
    """Return the observed record after a read that ended at `read_at_s`."""
    if before is not None and before.version == version:
        return before
    return ObservedRecord(record=record, version=version, since_s=read_at_s)


def next_takeover(
    observed: ObservedRecord, standby: str, address: str, now_s: float, ttl_s: float
) -> RecordTakeover | None:
    """Return the takeover that the process `standby` may make now; None = wait."""
    record = observed.record
    if record is None:
        return RecordTakeover(
            record=ElectionRecord(holder=standby, address=address, term=1, ttl_s=ttl_s),
            version=None,
            reason="it is the first",
        )
    taken_record = replace(record, holder=standby, address=address, term=record.term + 1, ttl_s=ttl_s, beat=0)
    if not record.holder:
        return RecordTakeover(record=taken_record, version=observed.version, reason="the process before released it")
    if record.holder == standby:
        return RecordTakeover(record=taken_record, version=observed.version, reason="this process held it before")
    # this process also waits for its own ttl, because the acting process may have other settings
    if now_s - observed.since_s >= max(record.ttl_s, ttl_s):
        return RecordTakeover(
            record=taken_record, version=observed.version, reason=f"{record.holder} did not renew it in time"
        )
    return None


def renewal(held: ElectionRecord, copy: int) -> ElectionRecord:
    """Return the renewed record of the acting process. `copy` is the new value of `ElectionRecord.copy`."""
    return replace(held, beat=held.beat + 1, copy=copy)


def released(held: ElectionRecord) -> ElectionRecord:
    """Return the record of a process that stops acting. Another process then takes it over immediately."""
    return replace(held, holder="", beat=held.beat + 1)
