"""The time series: their units, what they contain, and the permission that each needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

SeriesName = Literal[
    "launches_staged",
    "launches_on_demand",
    "launches_failed",
    "wait_p50_s",
    "wait_p95_s",
    "pools_ready",
    "pools_ready_low",
    "pools_starting",
    "pools_desired",
    "cores_offered",
    "cores_reserved",
    "cores_free",
    "cores_free_low",
    "memory_offered_bytes",
    "memory_reserved_bytes",
    "memory_free_bytes",
    "memory_free_low_bytes",
    "sessions_running",
    "sessions_starting",
    "sessions_stopped",
    "sessions_failed",
    "sessions_staged",
    "failovers",
]
NAMES: Final[tuple[SeriesName, ...]] = get_args(SeriesName)
Source = Literal["launches", "pools", "zones"]
"""The source of a series: launches of the ledger, staging configs, or zones."""
Split = Literal["total", "zone", "pool"]
"""One series for everything, one for each zone, or one for each pool."""


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """The source of series whose names begin with a prefix, and the permission to read them."""

    source: Source
    needs: str


_KINDS: Final = {
    "launches": SeriesKind("launches", "sessions_view"),
    "wait": SeriesKind("launches", "sessions_view"),
    "pools": SeriesKind("pools", "staging_view"),
    "cores": SeriesKind("zones", "agents_view"),
    "memory": SeriesKind("zones", "agents_view"),
    "sessions": SeriesKind("zones", "sessions_view"),
    "failovers": SeriesKind("zones", "managers_view"),
}


def kind_of(name: SeriesName) -> SeriesKind:
    """Return the source of a series and the permission that it needs."""
    return _KINDS[name.partition("_")[0]]
