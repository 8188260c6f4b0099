"""The past time series of the demo: the samples that a Primary would have recorded in the last 30 days.

Launches and waits are counted in the ledger, as on every installation.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.series.points import COARSEST, DAY_S, RESOLUTIONS, point_begin
from greenroom.db.database import Database
from greenroom.db.diagnostics.metrics import CAPACITIES
from greenroom.db.series.recording import count_again, database_now_s, record
from greenroom.demo.history import DAYS, PastLaunch

_REFILL_S: Final = 20.0
"""The time until a claimed session is replaced."""
_CORES_OF_STAGED: Final = 2.0
_MEMORY_OF_STAGED: Final = 3_000_000_000
_FAILOVERS: Final = 0.0004
"""The fraction of points with a failover."""
_BATCH: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPool:
    """A pool, with the time of each claim in seconds since 1970, in order."""

    staging_config_id: str
    zone_id: str
    desired: int
    claims: Sequence[float]

    def ready_at(self, at_s: float, within_s: float = _REFILL_S) -> int:
        """Return the number of ready sessions, if a claimed session is replaced after `within_s`."""
        claimed = bisect_right(self.claims, at_s) - bisect_right(self.claims, at_s - within_s)
        return max(self.desired - claimed, 0)


class PastLoad:
    """The sessions of users in a zone at each time of the past."""

    def __init__(self, launches: Sequence[PastLaunch]) -> None:
        used = [each for each in launches if each.session_id is not None]
        self._begins = _Sums([(each.at.timestamp(), each) for each in used])
        self._ends = _Sums([(each.at.timestamp() + each.used_s, each) for each in used])

    def at(self, at_s: float) -> tuple[int, float, int]:
        """Return the number of sessions, their cores and their memory."""
        begun, ended = self._begins.until(at_s), self._ends.until(at_s)
        return begun[0] - ended[0], begun[1] - ended[1], begun[2] - ended[2]


class _Sums:
    """Numbers, cores and memory of all launches until a time."""

    def __init__(self, events: Sequence[tuple[float, PastLaunch]]) -> None:
        ordered = sorted(events, key=lambda event: event[0])
        self._times = [at_s for at_s, _ in ordered]
        self._cores = [0.0, *accumulate(launch.workspace.cores for _, launch in ordered)]
        self._memory = [0, *accumulate(launch.workspace.memory for _, launch in ordered)]

    def until(self, at_s: float) -> tuple[int, float, int]:
        number = bisect_right(self._times, at_s)
        return number, self._cores[number], self._memory[number]


def past_times(begin_s: float, end_s: float) -> Iterator[tuple[int, int]]:
    """Yield (length, beginning) of the points of a period that are still stored at its end, newest resolution first.

    Each moment is in one point. The points after a change of the resolution begin at a multiple of the coarsest length.
    """
    until_s = point_begin(end_s, RESOLUTIONS[0].step_s)
    for resolution in RESOLUTIONS:
        oldest_s = max(begin_s, end_s - resolution.keep_s + COARSEST.step_s)
        from_s = point_begin(oldest_s, COARSEST.step_s)
        yield from ((resolution.step_s, at_s) for at_s in range(from_s, until_s, resolution.step_s))
        until_s = min(from_s, until_s)


async def write_past_series(
    db: Database, launches: Sequence[PastLaunch], zone_ids: Mapping[str, str], chance: random.Random
) -> None:
    """Write the samples before the first recorded one, and count all launches of the ledger."""
    now_s = await database_now_s(db)
    await record(db, now_s)
    (first,) = await db.fetch("SELECT extract(epoch FROM min(begin))::float8 AS at_s FROM series_zones")
    times = list(past_times(now_s - DAYS * DAY_S, first["at_s"]))
    configs = await db.fetch(
        "SELECT staging_config_id::text, zone_id::text, CASE WHEN paused THEN 0 ELSE num_sessions END AS desired"
        " FROM staging_configs WHERE deleted IS NULL"
    )
    pools = [PastPool(**config, claims=_claims(launches, config["staging_config_id"])) for config in configs]
    offered = {str(row["zone_id"]): row for row in await db.fetch(CAPACITIES)}
    zone_rows = list[dict[str, Any]]()
    for name, zone_id in zone_ids.items():
        load = PastLoad([launch for launch in launches if launch.zone == name])
        here = [pool for pool in pools if pool.zone_id == zone_id]
        capacity = offered.get(zone_id, {"cores": 0.0, "memory": 0})
        zone_rows += [
            _zone_row(zone_id, point, load, here, capacity) | {"elections": int(chance.random() < _FAILOVERS)}
            for point in times
        ]
    pool_rows = [_pool_row(pool, point) for pool in pools for point in times]
    await _insert(db, _INSERT_ZONES, zone_rows)
    await _insert(db, _INSERT_POOLS, pool_rows)
    await count_again(db)
    await record(db, now_s)


_INSERT_ZONES: Final[LiteralString] = (
    "INSERT INTO series_zones SELECT * FROM jsonb_populate_recordset(NULL::series_zones, %(rows)s)"
)
_INSERT_POOLS: Final[LiteralString] = (
    "INSERT INTO series_pools SELECT * FROM jsonb_populate_recordset(NULL::series_pools, %(rows)s)"
)


def _claims(launches: Sequence[PastLaunch], staging_config_id: str) -> list[float]:
    return sorted(each.at.timestamp() for each in launches if each.staging_config_id == staging_config_id)


def _zone_row(
    zone_id: str,
    point: tuple[int, int],
    load: PastLoad,
    pools: Sequence[PastPool],
    capacity: Mapping[str, Any],
) -> dict[str, Any]:
    step_s, begin_s = point
    running, cores, memory = load.at(begin_s + step_s / 2)
    staged = sum(pool.ready_at(begin_s + step_s / 2) for pool in pools)
    reserved = min(cores + staged * _CORES_OF_STAGED, capacity["cores"])
    reserved_memory = min(memory + staged * _MEMORY_OF_STAGED, capacity["memory"])
    return {
        **_head(step_s, begin_s, zone_id),
        "cores_offered": capacity["cores"],
        "cores_reserved": reserved,
        "cores_free_low": capacity["cores"] - reserved,
        "memory_offered": capacity["memory"],
        "memory_reserved": reserved_memory,
        "memory_free_low": capacity["memory"] - reserved_memory,
        "sessions_running": running,
        "sessions_starting": 0,
        "sessions_stopped": 0,
        "sessions_failed": 0,
        "sessions_staged": staged,
        "term": 0,
    }


def _pool_row(pool: PastPool, point: tuple[int, int]) -> dict[str, Any]:
    step_s, begin_s = point
    return {
        **_head(step_s, begin_s, pool.zone_id),
        "staging_config_id": pool.staging_config_id,
        "ready": pool.ready_at(begin_s + step_s / 2),
        "ready_low": pool.ready_at(begin_s + step_s / 2, 2 * _REFILL_S),
        "starting": pool.desired - pool.ready_at(begin_s + step_s / 2),
        "desired": pool.desired,
    }


def _head(step_s: int, begin_s: int, zone_id: str) -> dict[str, Any]:
    begin = datetime.fromtimestamp(begin_s, UTC).isoformat()
    return {"step_s": step_s, "begin": begin, "zone_id": zone_id, "samples": 1}


async def _insert(db: Database, statement: LiteralString, rows: Sequence[dict[str, Any]]) -> None:
    for first in range(0, len(rows), _BATCH):
        await db.write(statement, {"rows": Jsonb(rows[first : first + _BATCH])})
