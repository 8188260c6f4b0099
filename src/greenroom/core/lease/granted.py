"""How long a lease may last, and what a launch stores of it with its session."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from greenroom.core.errors import Invalid
from greenroom.core.recording.described import Mode

Tags = list[str] | dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLease:
    """Who is to hold a session, for how long, and what is recorded of it.

    `lease_id` is a new uuid, `holder` the caller as log rows name them, `key_id` their API key, whose `max_lease_s` and
    end (`not_after`) the lease keeps; `reservation_id` is what the lease counted as until now (`db.lease.quotas`).
    """

    lease_id: str
    seconds: float
    holder: str
    key_id: str | None = None
    max_lease_s: int | None = None
    not_after: datetime | None = None
    tags: Tags = field(default_factory=list[str])
    record: Mode = "none"
    record_text: bool = False
    record_required: bool = False
    """A group of the user requires the pictures."""
    must_record: bool = False
    """A group of the user requires a recording."""
    reservation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a lease may last: `max_lease_s` from now, until `not_after`, and `max_days` from `created`."""

    created: datetime
    max_days: int
    max_lease_s: int | None = None
    not_after: datetime | None = None

    def require(self, seconds: float, now: datetime) -> None:
        """Raises Invalid: the lease may not last so many seconds more; the sentence names the limit."""
        if self.max_lease_s is not None and seconds > self.max_lease_s:
            raise Invalid(f"Leases of this API key may last {self.max_lease_s} s (max_lease_s), not {seconds:g} s.")
        ends = now + timedelta(seconds=seconds)
        if self.not_after is not None and ends > self.not_after:
            left_s = max(0, int((self.not_after - now).total_seconds()))
            raise Invalid(f"The API key ends in {left_s} s, and its leases with it; {seconds:g} s are too long.")
        if ends > (last := self.created + timedelta(days=self.max_days)):
            left_s = max(0, int((last - now).total_seconds()))
            raise Invalid(
                f"A lease lasts at most {self.max_days} days in all (max_lease_days);"
                f" this one may last {left_s} s more, not {seconds:g} s."
            )
