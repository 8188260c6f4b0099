"""Which records of Managers may go: those of Managers that left for good, when an administrator wants it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerRecord:
    """One Manager of a zone, as the database knows it. `silent_s`: seconds since it was last heard of."""

    manager_id: str
    instance_id: str
    enabled: bool
    is_live: bool
    """A process holds the lock of its instance id, heard of or not."""
    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Remove the record of this Manager."""

    manager_id: str
    instance_id: str
    reason: str


def departed(records: Sequence[ManagerRecord], keep_days: float) -> list[Removal]:
    """The records of one zone to remove: silent for longer than `keep_days`, without a process; 0 = none ever.

    An enabled one always stays: of several that could go, the one that was heard of last.
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
            reason=f"it was last heard of {record.silent_s / DAY_S:.1f} days ago, and records are kept for"
            f" {keep_days:g} {'day' if keep_days == 1 else 'days'} (manager_record_retention_days)",
        )
        for record in gone
    ]
