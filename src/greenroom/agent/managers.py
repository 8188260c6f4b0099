"""Which Manager the Agent talks to next. Pure: times are arguments, of `time.monotonic()`, in seconds.

The Primary comes first. A Manager that answered 503, refused or did not answer is left aside: as long as its
`Retry-After` says, otherwise for a pause that doubles with every failure up to `MAX_PAUSE_S`. The next one is tried
at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 10.0


@dataclass(slots=True)
class _Bar:
    """Why a Manager is left aside: failures in a row, and until when."""

    failures: int
    until: float


class Managers:
    """The Managers of the zone in the order in which they are tried."""

    def __init__(self, configured: Iterable[str]) -> None:
        self._configured = [url.rstrip("/") for url in configured]
        self._told: list[str] = []
        self._bars: dict[str, _Bar] = {}

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

    def best(self, now: float) -> str | None:
        """The Manager to talk to, or None while all are left aside."""
        free = [url for url in self.urls if not self._is_barred(url, now)]
        return free[0] if free else None

    def _is_barred(self, url: str, now: float) -> bool:
        bar = self._bars.get(url)
        return bar is not None and now < bar.until

    def wait_s(self, now: float) -> float:
        """How long until the first Manager may be tried again; `MAX_PAUSE_S` when none is known."""
        waits = [max(0.0, bar.until - now) if (bar := self._bars.get(url)) else 0.0 for url in self.urls]
        return min(waits, default=MAX_PAUSE_S)

    def failed(self, url: str, now: float, retry_after_s: float | None, spread: float) -> float:
        """Leave `url` aside; returns for how long.

        Questions that were open when it failed fail with it: they neither count again nor shorten the pause.

        Args:
            url: the Manager's address.
            now: the time.
            retry_after_s: what its `Retry-After` said.
            spread: a random number in 0..1, so that many Agents do not come back together.
        """
        before = self._bars.get(url)
        if before is not None and now < before.until and retry_after_s is None:
            return before.until - now
        failures = (before.failures if before else 0) + 1
        pause = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 10)) * (0.5 + spread / 2)
        if retry_after_s is not None:
            pause = retry_after_s + spread
        self._bars[url] = _Bar(failures, now + pause)
        return pause

    def answered(self, url: str) -> None:
        """`url` works."""
        self._bars.pop(url, None)
