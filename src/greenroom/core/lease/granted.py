"""What a launch writes down of a lease beside its session."""

from __future__ import annotations

from dataclasses import dataclass, field

from greenroom.core.recording.described import Mode

Tags = list[str] | dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLease:
    """Who is to hold a session, for how long, and what is recorded of it.

    `lease_id` is a new uuid, `holder` the caller as log rows name them, `key_id` their API key; `reservation_id` is
    what the lease counted as until now (`db.lease.quotas`).
    """

    lease_id: str
    seconds: float
    holder: str
    key_id: str | None = None
    tags: Tags = field(default_factory=list[str])
    record: Mode = "none"
    record_text: bool = False
    reservation_id: str | None = None
