"""The election of the process that acts for an Agent, among several processes with the identity of the Agent.

The processes share one record, which the acting process renews. A standby process takes over the record after the
record has not changed for the ttl, measured with the clock of the standby process (CLOCK_BOOTTIME). The acting process
stops earlier: ttl - margin after it *sent* its last renewal (`leadership.ActingWindow`). Two processes never act at the
same time, as long as the drift of each clock is less than margin / (2 * ttl - margin): the acting process acts for at
most (ttl - margin) * (1 + drift), and the standby process waits for ttl * (1 - drift). Each takeover raises the term.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

POLL_S: Final = 0.5
"""The interval at which standby processes read the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionRecord:
    """The record of the process that acts for an Agent. `holder` is the name of the process; empty = the process
    released the record. `address` is the address at which the holder answers gateways. `copy` is the number of the last
    copy of the Agent's data that the holder wrote for the other processes.
    """

    holder: str
    address: str
    term: int
    ttl_s: float
    beat: int = 0
    """The number of renewals since the takeover."""
    copy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRecord:
    """The record that a process last read, and the time since which its `version` is unchanged, in seconds of
    CLOCK_BOOTTIME. `record` and `version` are None if there is no record.
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
    # The process waits for the longer of both ttls, because the acting process may have other settings.
    if now_s - observed.since_s >= max(record.ttl_s, ttl_s):
        return RecordTakeover(
            record=taken_record, version=observed.version, reason=f"{record.holder} did not renew it in time"
        )
    return None


def renewal(held: ElectionRecord, copy: int) -> ElectionRecord:
    """Return the record that the acting process, which holds `held`, writes to renew it, with the new `copy`."""
    return replace(held, beat=held.beat + 1, copy=copy)


def released(held: ElectionRecord) -> ElectionRecord:
    """Return the record that a process writes when it stops acting. Another process takes it over immediately."""
    return replace(held, holder="", beat=held.beat + 1)
