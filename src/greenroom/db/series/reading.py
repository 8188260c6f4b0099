"""Reads time series: the points of a period, in total, for each zone or for each pool."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, LiteralString

from psycopg.rows import DictRow

from greenroom.core.series.names import SeriesName, Source, Split, kind_of
from greenroom.core.series.points import RESOLUTIONS, ReadPlan
from greenroom.core.series.waits import percentile_s
from greenroom.db.database import Database
from greenroom.db.series.recording import LAUNCHES, POINT_BEGIN, POOLS, READ_DONE, ZONES, SeriesTable, done_of

MAX_POOLS: Final = 50
"""The maximum number of pools in an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFilter:
    """The contents of series. `zone_ids`: permission → the zones in which the caller has it; None = all zones.
    `split`: one series for everything, each zone or each pool."""

    zone_ids: Mapping[str, list[str] | None]
    staging_config_id: str | None = None
    split: Split = "total"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesObject:
    """The zone or pool of a series; both ids None = everything that the caller may see."""

    zone_id: str | None = None
    zone_name: str | None = None
    staging_config_id: str | None = None
    image_friendly_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series(SeriesObject):
    """One value for each point; None = nothing was recorded."""

    name: SeriesName
    values: list[float | None]


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """The series of an answer. `left_out` is the number of pools without a series, because there are too many."""

    series: list[Series]
    left_out: int = 0


# The average of a sample: sums of a point divided by its number of samples. Sums over several objects add averages.
_ZONE_VALUES: Final[dict[SeriesName, LiteralString]] = {
    "cores_offered": "sum(cores_offered / samples)",
    "cores_reserved": "sum(cores_reserved / samples)",
    "cores_free": "sum((cores_offered - cores_reserved) / samples)",
    "cores_free_low": "sum(cores_free_low)",
    "memory_offered_bytes": "sum(memory_offered / samples)",
    "memory_reserved_bytes": "sum(memory_reserved / samples)",
    "memory_free_bytes": "sum((memory_offered - memory_reserved) / samples)",
    "memory_free_low_bytes": "sum(memory_free_low)",
    "sessions_running": "sum(sessions_running::float8 / samples)",
    "sessions_starting": "sum(sessions_starting::float8 / samples)",
    "sessions_stopped": "sum(sessions_stopped::float8 / samples)",
    "sessions_failed": "sum(sessions_failed::float8 / samples)",
    "sessions_staged": "sum(sessions_staged::float8 / samples)",
    "failovers": "sum(elections)",
}
_POOL_VALUES: Final[dict[SeriesName, LiteralString]] = {
    "pools_ready": "sum(ready::float8 / samples)",
    "pools_ready_low": "sum(ready_low)",
    "pools_starting": "sum(starting::float8 / samples)",
    "pools_desired": "sum(desired::float8 / samples)",
}
_OUTCOMES: Final[dict[str, SeriesName]] = {
    "staged": "launches_staged",
    "on_demand": "launches_on_demand",
    "failed": "launches_failed",
}
_PERCENTILES: Final[dict[SeriesName, float]] = {"wait_p50_s": 0.5, "wait_p95_s": 0.95}
_OBJECT_ID: Final[dict[Split, LiteralString]] = {
    "total": "''",
    "zone": "coalesce(zone_id::text, '')",
    "pool": "staging_config_id::text",
}
_SPANS: Final[LiteralString] = (
    "unnest(%(steps)s::int[], %(begins)s::bigint[], %(ends)s::bigint[]) AS s(step_s, begin_s, end_s)"
)
_IN_ZONES: Final[LiteralString] = "(%(zone_ids)s::uuid[] IS NULL OR t.zone_id = ANY(%(zone_ids)s::uuid[]))"
_OF_CONFIGS: Final[LiteralString] = (
    " AND (%(config_ids)s::uuid[] IS NULL OR t.staging_config_id = ANY(%(config_ids)s::uuid[]))"
)


def _points(table: SeriesTable, condition: LiteralString = "") -> LiteralString:
    """Return a statement, or part of one, that selects the points of an answer for each object of a table."""
    keys = ", ".join(table.keys)
    return (
        f"SELECT {POINT_BEGIN} AS point, {keys}, {', '.join(table.rolled_up)} FROM {_SPANS} JOIN {table.name} t"
        " ON t.step_s = s.step_s AND t.begin >= to_timestamp(s.begin_s) AND t.begin < to_timestamp(s.end_s)"
        f" WHERE {_IN_ZONES}{condition} GROUP BY 1, {keys}"
    )


def _values_of(table: SeriesTable, values: Mapping[SeriesName, LiteralString], split: Split) -> LiteralString:
    condition = _OF_CONFIGS if table is POOLS else ""
    columns = ", ".join([f"{expression}::float8 AS {name}" for name, expression in values.items()])
    return (
        f"SELECT extract(epoch FROM point)::bigint AS point_s, {_OBJECT_ID[split]} AS object_id, {columns}"
        f" FROM ({_points(table, condition)}) points GROUP BY 1, 2"
    )


_MOST_SHORT: Final[LiteralString] = (
    "SELECT c.staging_config_id::text FROM (" + _points(POOLS) + ") p JOIN staging_configs c USING (staging_config_id)"
    " WHERE c.deleted IS NULL GROUP BY 1"
    " ORDER BY sum(greatest(p.desired - p.ready, 0)::float8 / p.samples) DESC, sum(p.desired) DESC, 1"
)
_ZONE_OBJECTS: Final[LiteralString] = "SELECT zone_id::text, zone_name FROM zones ORDER BY lower(zone_name)"
_POOL_OBJECTS: Final[LiteralString] = (
    "SELECT z.zone_id::text, z.zone_name, c.staging_config_id::text, i.friendly_name AS image_friendly_name"
    " FROM staging_configs c JOIN zones z USING (zone_id) JOIN images i USING (image_id)"
    " WHERE c.staging_config_id = ANY(%(config_ids)s::uuid[])"
    " ORDER BY lower(z.zone_name), lower(i.friendly_name), 3"
)


_LAUNCHES: Final[dict[Split, LiteralString]] = {
    split: (
        f"SELECT extract(epoch FROM point)::bigint AS point_s, {_OBJECT_ID[split]} AS object_id, outcome, wait_bucket,"
        f" sum(launches)::bigint AS launches FROM ({_points(LAUNCHES)}) points GROUP BY 1, 2, 3, 4"
    )
    for split in ("total", "zone")
}
_BEGUN: Final[LiteralString] = (
    "SELECT extract(epoch FROM min(begin))::bigint AS begun_s FROM unnest(%s::int[]) AS r(step_s), LATERAL"
    " ((SELECT begin FROM series_zones z WHERE z.step_s = r.step_s ORDER BY begin LIMIT 1) UNION ALL"
    " (SELECT begin FROM series_launches l WHERE l.step_s = r.step_s ORDER BY begin LIMIT 1)) first"
)
"""The time of the first point. Each of its parts reads one row of an index."""

Points = defaultdict[tuple[str, SeriesName], dict[int, float]]
"""Object and name → beginning of a point → value."""


async def read_done_times(db: Database) -> dict[int, int]:
    """Return the end of the final points of each resolution."""
    return done_of(await db.fetch(READ_DONE))


async def read_series(
    db: Database, plan: ReadPlan, names: Sequence[SeriesName], series_filter: SeriesFilter
) -> FoundSeries:
    """Return the series with these names. With `split="pool"`, these are the pools with the largest shortage."""
    split, left_out, found = series_filter.split, 0, list[Series]()
    config_ids = None if series_filter.staging_config_id is None else [series_filter.staging_config_id]
    objects = [SeriesObject()]
    if split == "zone":
        objects = await db.fetch_as(SeriesObject, _ZONE_OBJECTS)
    if split == "pool":
        if config_ids is None:
            short = await db.fetch(
                _MOST_SHORT, _parameters(plan, series_filter.zone_ids[kind_of("pools_ready").needs], None)
            )
            config_ids = [row["staging_config_id"] for row in short[:MAX_POOLS]]
            left_out = len(short) - len(config_ids)
        objects = await db.fetch_as(SeriesObject, _POOL_OBJECTS, {"config_ids": config_ids})
    for kind in dict.fromkeys(map(kind_of, names)):
        zone_ids = series_filter.zone_ids[kind.needs]
        points = await _read_source(db, kind.source, split, _parameters(plan, zone_ids, config_ids))
        begun_s = await _begun_s(db) if kind.source == "launches" and zone_ids != [] else None
        found += [
            Series(
                name=name,
                values=_in_order(
                    plan, points[_object_id(each, split), name], None if name in _PERCENTILES else begun_s
                ),
                **asdict(each),
            )
            for each in objects
            if split == "total" or zone_ids is None or each.zone_id in zone_ids
            for name in names
            if kind_of(name) == kind
        ]
    return FoundSeries(found, left_out)


def _object_id(found: SeriesObject, split: Split) -> str:
    return {"total": "", "zone": found.zone_id or "", "pool": found.staging_config_id or ""}[split]


def _in_order(plan: ReadPlan, points: Mapping[int, float], begun_s: int | None) -> list[float | None]:
    """Return one value for each point. A point without a row is 0 from `begun_s` on, the time of the first row."""
    return [
        points.get(at_s, 0.0 if begun_s is not None and at_s + plan.step_s > begun_s else None) for at_s in plan.times
    ]


async def _begun_s(db: Database) -> int | None:
    (row,) = await db.fetch(_BEGUN, ([resolution.step_s for resolution in RESOLUTIONS],))
    return row["begun_s"]


def _parameters(plan: ReadPlan, zone_ids: list[str] | None, config_ids: list[str] | None) -> dict[str, Any]:
    return {
        "to_step_s": plan.step_s,
        "steps": [span.step_s for span in plan.spans],
        "begins": [span.begin_s for span in plan.spans],
        "ends": [span.end_s for span in plan.spans],
        "zone_ids": zone_ids,
        "config_ids": config_ids,
    }


async def _read_source(db: Database, source: Source, split: Split, parameters: dict[str, Any]) -> Points:
    if source == "launches":
        return _launch_points(await db.fetch(_LAUNCHES[split], parameters))
    columns, table = (_POOL_VALUES, POOLS) if source == "pools" else (_ZONE_VALUES, ZONES)
    points: Points = defaultdict(dict)
    for row in await db.fetch(_values_of(table, columns, split), parameters):
        for name in columns:
            points[row["object_id"], name][row["point_s"]] = row[name]
    return points


def _launch_points(rows: Iterable[DictRow]) -> Points:
    """Return the numbers of launches by outcome, and the percentiles of the waits of successful ones."""
    points: Points = defaultdict(dict)
    waits = defaultdict[tuple[str, int], Counter[int]](Counter)
    for row in rows:
        by_time = points[row["object_id"], _OUTCOMES[row["outcome"]]]
        by_time[row["point_s"]] = by_time.get(row["point_s"], 0.0) + row["launches"]
        if row["outcome"] != "failed":
            waits[row["object_id"], row["point_s"]][row["wait_bucket"]] += row["launches"]
    for (object_id, point_s), counts in waits.items():
        for name, part in _PERCENTILES.items():
            wait_s = percentile_s(counts, part)
            if wait_s is not None:
                points[object_id, name][point_s] = wait_s
    return points
