"""Rate limits, pauses after failures, and limits for log rows of events that anyone can cause.

Wrong passwords are counted by account and address, by address only, and by account only.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final, Generic, TypeVar


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses after failures: `first_s` after the first failure, then doubled with each failure up to `max_s`."""

    first_s: float
    max_s: float

    def delay_s(self, failures: int, spread: float = 1.0) -> float:
        """Return the pause after this number of failures in a row; 0 after none. `spread` (0 to 1) scales it from half
        to full length; a random value prevents that many callers try again at the same time.
        """
        if failures <= 0:
            return 0.0
        return min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 100)) * (0.5 + spread / 2)


MAX_SOURCES: Final = 10_000

MIN_FAILURES_FOR_TURNS: Final = 20
"""When an account has this number of failures from all sources within the window, its sources take turns."""
FIRST_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A failed attempt at an account within the window: its source and its age."""

    source: str
    age_s: float


def turn_pause_s(failures: int) -> float:
    """Return the pause between two attempts at an account under attack. All sources with this number of failures share
    the pause. It doubles with each failure, so that all sources together can make at most 24 attempts a minute in the
    long term.
    """
    return FIRST_PAUSE_S * 2.0 ** min(failures, 10)


def account_wait_s(
    failures: Sequence[FailedAttempt], source: str, *, max_failures: int, window_s: float, is_known: bool = False
) -> float:
    """Return the seconds until a source may try an account again; 0 = now.

    A source with `max_failures` failures within the window waits until the oldest of these failures leaves the window.
    If all sources together have `MIN_FAILURES_FOR_TURNS` failures, the sources take turns: a source with n failures
    waits until `turn_pause_s(n)` has passed since the last attempt that another source made when it had n failures.
    The addresses of an attacker soon have many failures and slow down only each other. A user at an address without
    failures does not wait for these addresses. `is_known` is True if the source is known to belong to the user;
    failures of other sources then do not count.
    """
    ages_s: dict[str, list[float]] = {}
    for failure in sorted(failures, key=lambda failure: failure.age_s):
        ages_s.setdefault(failure.source, []).append(failure.age_s)
    own_ages_s = ages_s.get(source, [])
    if len(own_ages_s) >= max_failures:
        return max(window_s - own_ages_s[max_failures - 1], 1.0)
    if is_known or len(failures) < MIN_FAILURES_FOR_TURNS:
        return 0.0
    turn_ages_s = (ages[-1 - len(own_ages_s)] for ages in ages_s.values() if len(ages) > len(own_ages_s))
    return max(0.0, turn_pause_s(len(own_ages_s)) - min(turn_ages_s, default=math.inf))


class AddressFailures:
    """The failures of each address, counted by a leaky bucket: it permits `max_failures` failures at once, and
    then `max_failures` per window. Each failure adds window_s / max_failures seconds to the bucket, which loses one
    second per second.
    """

    def __init__(self) -> None:
        self._empty_at_s: OrderedDict[tuple[str, str], float] = OrderedDict()
        """Kind and address → the time at which the bucket is empty."""

    def wait_s(self, kind: str, source: str, now_s: float, *, max_failures: int, window_s: float) -> float:
        """Return the seconds until the address may try again; 0 = now. `kind` is the kind of attempt."""
        level_s = self._empty_at_s.get((kind, source), now_s) - now_s
        return max(0.0, level_s - window_s + window_s / max_failures)

    def record_failure(self, kind: str, source: str, now_s: float, *, max_failures: int, window_s: float) -> None:
        """Count a failure of the address."""
        empty_at_s = max(self._empty_at_s.pop((kind, source), now_s), now_s)
        self._empty_at_s[kind, source] = min(empty_at_s + window_s / max_failures, now_s + window_s)
        if len(self._empty_at_s) > MAX_SOURCES:
            self._empty_at_s.popitem(last=False)

    def withdraw_failure(self, kind: str, source: str, *, max_failures: int, window_s: float) -> None:
        """Subtract a failure of the address that `record_failure` counted."""
        if (kind, source) in self._empty_at_s:
            self._empty_at_s[kind, source] -= window_s / max_failures


class RateLimit:
    """A rate limit: `burst` actions at the start or after a pause, then one action in `every_s` seconds. In any t
    seconds, it allows at most `burst` + t / `every_s` actions. All times must be of the same clock.
    """

    def __init__(self, burst: int, every_s: float) -> None:
        self._burst = burst
        self._every_s = every_s
        self._available = float(burst)
        self._last_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Return True if the action is allowed now, and count it."""
        passed_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        self._available = min(float(self._burst), self._available + passed_s / self._every_s)
        if self._available < 1:
            return False
        self._available -= 1
        return True


MAX_KINDS: Final = 1000
MAX_NAMES: Final = 10


def source_of(address: str) -> str:
    """Return the source of attempts from `address`: the address, or for IPv6 its /64 network, which belongs to one
    customer.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


@dataclass(slots=True)
class RepeatedEvent:
    """The repetitions of an event since it was last logged."""

    since_s: float
    count: int = 0
    latest: str = ""
    names: list[str] = field(default_factory=list[str])


Kind = TypeVar("Kind", bound=Hashable)


class RepeatCounter(Generic[Kind]):
    """Limits the log rows of repeated events. The first event of a kind is logged immediately; further events of the
    kind are counted, and the count is logged once in `every_s`. If more than `MAX_KINDS` kinds occur at a time, one
    count includes all further kinds. Times are those of `time.monotonic()`.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._events: OrderedDict[Kind | None, RepeatedEvent] = OrderedDict()

    def must_log(self, kind: Kind, now_s: float, message: str, name: str = "") -> bool:
        """Return True if this event must be logged now; otherwise count it. `message` is the text of the log row;
        `name` is the object of the event, if events of a kind have different objects.
        """
        key = kind if kind in self._events or len(self._events) < MAX_KINDS else None
        is_first = key is not None and key not in self._events
        event = self._events.setdefault(key, RepeatedEvent(now_s))
        if not is_first:
            event.count += 1
            event.latest = message
            if name and name not in event.names and len(event.names) < MAX_NAMES:
                event.names.append(name)
        return is_first

    def due(self, now_s: float) -> list[tuple[Kind | None, RepeatedEvent]]:
        """Return the counts to log now, each with its kind; None = all kinds without a separate count."""
        ended = [(key, event) for key, event in self._events.items() if now_s - event.since_s >= self._every_s]
        for key, event in ended:
            del self._events[key]
            if event.count:
                self._events[key] = RepeatedEvent(now_s)
        return [(key, event) for key, event in ended if event.count]
