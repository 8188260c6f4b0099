"""Which Manager the Agent talks to next. Pure: times are arguments, of `time.monotonic()`, in seconds.

The Primary comes first. A Manager that answered 503, refused or did not answer is left aside: as long as its
`Retry-After` says, otherwise for a pause that doubles with every failure up to `MAX_PAUSE_S` and is long from the start
where an answer was waited for in vain. The next one is tried at once. While all are left aside, the one that failed
longest ago is tried, at once and then every second or two: a Manager may have been enabled again long before its
`Retry-After` is over, and an Agent without any hears of nothing. A Manager that became Primary after it was left aside
is asked at once: it works, whatever it said before (ADR 0017).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_S: Final = 0.25
FIRST_SILENT_PAUSE_S: Final = 6.0
"""Half of it and the seconds it was waited for are a lease: one that is frozen is not Primary any more by then."""
MAX_PAUSE_S: Final = 10.0
LAST_RESORT_S: Final = 2.0
"""Longest pause between two attempts while all Managers are left aside."""


@dataclass(slots=True)
class _Bar:
    """Why a Manager is left aside: failures in a row, until when, when it failed last and with which term heard."""

    failures: int
    until: float
    failed_at: float
    term: int


class Managers:
    """The Managers of the zone in the order in which they are tried."""

    def __init__(self, configured: Iterable[str]) -> None:
        self._configured = [url.rstrip("/") for url in configured]
        self._told: list[str] = []
        self._bars: dict[str, _Bar] = {}
        self._last_resort_at = 0.0
        self._term = 0

    @property
    def urls(self) -> list[str]:
        """All known addresses: those a Manager named (Primary first), then the configured ones."""
        return list(dict.fromkeys([*self._told, *self._configured]))

    def learn(self, urls: Iterable[str]) -> None:
        """A Manager named the Managers of the zone; an empty list teaches nothing."""
        told = [url.rstrip("/") for url in urls if url]
        if told:
            self._told = told
            self._bars = {url: bar for url, bar in self._bars.items() if url in self.urls}

    def is_primary(self, url: str, term: int) -> None:
        """A Manager read in the database that the one at `url` is Primary with this term."""
        self._term = max(self._term, term)
        bar = self._bars.get(url.rstrip("/"))
        if bar is not None and term > bar.term:
            del self._bars[url.rstrip("/")]

    def best(self, now: float, asked: Collection[str] = ()) -> str | None:
        """The Manager to talk to, or None while all are left aside and one was tried a moment ago.

        Those in `asked` have failed with the same message: each of the others has its turn before them.
        """
        urls = [url for url in self.urls if url not in asked]
        free = [url for url in urls if not self._is_barred(url, now)]
        if free:
            return free[0]
        if not urls or now < self._last_resort_at:
            return None
        return min(urls, key=lambda url: self._bars[url].failed_at)

    def _is_barred(self, url: str, now: float) -> bool:
        bar = self._bars.get(url)
        return bar is not None and now < bar.until

    def may_hold_s(self, url: str, now: float) -> float:
        """How long `url` may hold an answer: until one that comes before it may be tried again.

        One that failed last is not to hold it at all, so that it is soon known whether it works.
        """
        if url in self._bars:
            return 0.0
        better = self.urls[: self.urls.index(url)] if url in self.urls else []
        return min((bar.until - now for one in better if (bar := self._bars.get(one))), default=float("inf"))

    def wait_s(self, now: float) -> float:
        """How long until a Manager may be tried again; `MAX_PAUSE_S` when none is known."""
        times = [bar.until if (bar := self._bars.get(url)) else now for url in self.urls]
        return max(0.0, min(*times, self._last_resort_at) - now) if times else MAX_PAUSE_S

    def failed(
        self, url: str, now: float, retry_after_s: float | None, spread: float, *, silent: bool = False
    ) -> float:
        """Leave `url` aside; returns for how long.

        Questions that were open when it failed fail with it: they neither count again nor shorten the pause.

        Args:
            url: the Manager's address.
            now: the time.
            retry_after_s: what its `Retry-After` said.
            spread: a random number in 0..1, so that many Agents do not come back together.
            silent: it took the question and did not answer in time, as one that is frozen does.
        """
        before = self._bars.get(url)
        if before is not None and now < before.until:
            self._last_resort_at = now + LAST_RESORT_S * (0.5 + spread / 2)
        if before is not None and now < before.until and retry_after_s is None:
            before.failed_at, before.term = now, self._term
            return before.until - now
        failures = (before.failures if before else 0) + 1
        first_s = FIRST_SILENT_PAUSE_S if silent else FIRST_PAUSE_S
        pause = min(MAX_PAUSE_S, first_s * 2 ** min(failures - 1, 10)) * (0.5 + spread / 2)
        if retry_after_s is not None:
            pause = retry_after_s + spread
        self._bars[url] = _Bar(failures, now + pause, now, self._term)
        return pause

    def answered(self, url: str) -> None:
        """`url` works."""
        self._bars.pop(url, None)
