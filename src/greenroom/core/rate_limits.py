"""Rate limits, pauses after failures, and limits for log rows of events that anyone can cause.

Wrong passwords count by account and address, by address, and by account. Requests have a burst and a steady rate.
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
    """Pauses from `first_s`, after the first failure, to `max_s`."""

    first_s: float
    max_s: float

    def delay_s(self, failures: int, spread: float = 1.0) -> float:
        """Return the pause after this number of failures in a row; 0 after none. `spread`, 0 to 1, is random if many
        callers must not return at the same time: the pause is between its half and its full length.
        """
        if failures <= 0:
            return 0.0
        return min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 100)) * (0.5 + spread / 2)


MAX_SOURCES: Final = 10_000

TURNS_FROM: Final = 20
"""The number of failures of one account from all sources within the window at which sources begin to take turns."""
FIRST_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A failed attempt at an account within the window: its source and its age."""

    source: str
    age_s: float


def pause_s(failures: int) -> float:
    """The seconds between two turns of sources with this number of failures each, at an account under attack. The pause
    doubles with each failure, so that all sources together never exceed 24 turns a minute for long.
    """
    return FIRST_PAUSE_S * 2.0 ** min(failures, 10)


def account_wait_s(
    failures: Sequence[FailedAttempt], source: str, *, most: int, window_s: float, is_known: bool = False
) -> float:
    """Return the seconds until a source may try an account again; 0 = now.

    A source that failed `most` times within the window waits until the oldest of these failures leaves it. From
    `TURNS_FROM` failures of all sources on, it also takes turns with the sources that have failed as often: an attacker
    with a few addresses soon competes only with themselves, and a user at an address without failures does not wait for
    them. `is_known`: the source is known to belong to the user, so the failures of others do not count.
    """
    ages_s: dict[str, list[float]] = {}
    for failure in sorted(failures, key=lambda failure: failure.age_s):
        ages_s.setdefault(failure.source, []).append(failure.age_s)
    own = ages_s.get(source, [])
    if len(own) >= most:
        return max(window_s - own[most - 1], 1.0)
    if is_known or len(failures) < TURNS_FROM:
        return 0.0
    turns = (ages[-1 - len(own)] for ages in ages_s.values() if len(ages) > len(own))
    return max(0.0, pause_s(len(own)) - min(turns, default=math.inf))


class AddressFailures:
    """The failures of each address: a burst at once, then the same number spread over each window (a leaky bucket)."""

    def __init__(self) -> None:
        self._paid_off: OrderedDict[tuple[str, str], float] = OrderedDict()

    def wait_s(self, what: str, source: str, now_s: float, *, most: int, window_s: float) -> float:
        """Return the seconds until the address may try `what` again; 0 = now."""
        debt_s = self._paid_off.get((what, source), now_s) - now_s
        return max(0.0, debt_s - window_s + window_s / most)

    def failed(self, what: str, source: str, now_s: float, *, most: int, window_s: float) -> None:
        owed_until = max(self._paid_off.pop((what, source), now_s), now_s)
        self._paid_off[what, source] = min(owed_until + window_s / most, now_s + window_s)
        if len(self._paid_off) > MAX_SOURCES:
            self._paid_off.popitem(last=False)


class Pace:
    """A limit of `at_once` times from the start or after a pause, then one time in `every_s` seconds. In any span of t
    seconds, it allows at most `at_once` + t / `every_s` times. All times must be of the same clock.
    """

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once = at_once
        self._every_s = every_s
        self._left = float(at_once)
        self._seen_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """True if the action is allowed now; it then counts as done."""
        passed_s = 0.0 if self._seen_s is None else now_s - self._seen_s
        self._seen_s = now_s
        self._left = min(float(self._at_once), self._left + passed_s / self._every_s)
        if self._left < 1:
            return False
        self._left -= 1
        return True


MAX_REMEMBERED: Final = 1000
MAX_NAMES: Final = 10


def source_of(address: str) -> str:
    """Return the source to which attempts from `address` count: for IPv6 its /64 network, of one customer."""
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
class Repeated:
    """The repetitions of an event since it was last logged."""

    since_s: float
    count: int = 0
    latest: str = ""
    names: list[str] = field(default_factory=list[str])


Kind = TypeVar("Kind", bound=Hashable)


class Repeats(Generic[Kind]):
    """Log rows for repeated events. The first event of a kind is logged at once, further events of the kind as a count,
    once in `every_s`. Above `MAX_REMEMBERED` kinds at a time, one count includes all others. Times are of
    `time.monotonic()`.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._seen: OrderedDict[Kind | None, Repeated] = OrderedDict()

    def is_first(self, kind: Kind, now_s: float, message: str, name: str = "") -> bool:
        """True if this event must be logged now; otherwise it is counted. `message` is the text of the log row, `name`
        the object that it concerns, if that differs within a kind.
        """
        key = kind if kind in self._seen or len(self._seen) < MAX_REMEMBERED else None
        is_first = key is not None and key not in self._seen
        seen = self._seen.setdefault(key, Repeated(now_s))
        if not is_first:
            seen.count += 1
            seen.latest = message
            if name and name not in seen.names and len(seen.names) < MAX_NAMES:
                seen.names.append(name)
        return is_first

    def due(self, now_s: float) -> list[tuple[Kind | None, Repeated]]:
        """Return the counts to log now, each with its kind; None = all kinds that are not counted separately."""
        ended = [(key, seen) for key, seen in self._seen.items() if now_s - seen.since_s >= self._every_s]
        for key, seen in ended:
            del self._seen[key]
            if seen.count:
                self._seen[key] = Repeated(now_s)
        return [(key, seen) for key, seen in ended if seen.count]
