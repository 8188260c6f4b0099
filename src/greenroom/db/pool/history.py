"""Hits and misses of a staging config, from the ledger of launches.

A *hit* is a launch that got a session of the config. A *miss* is a launch for which the config was considered and that
got no staged session: its user waited for a new container, or got no session. A launch that got a session of another
pool is not a miss (`served_elsewhere`). A launch is also not a miss of a config without the permissions of its user, if
another config has these permissions.
A failed hand-over is a further step in the ledger; its launch counts with the final outcome.

The launches of an hour are counted once, when they cannot change (ADR 27). Later launches are read from the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, LiteralString

from greenroom.db.database import Database

WINDOWS_HOURS: Final = (1, 24, 168)
"""Periods for which hits and misses are summed up; the longest is the length of a history."""
SETTLED_HOURS: Final = 1
"""The age at which a launch cannot change: its user has a session, or the search for a session has ended."""


@dataclass(frozen=True, slots=True)
class ConfigHitCounts:
    """The hits and misses of one config."""

    staging_config_id: str
    hits: int
    misses: int
    served_elsewhere: int


@dataclass(frozen=True, slots=True)
class PoolHitCounts:
    """Hits and misses of the last `hours`."""

    hours: int
    hits: int
    misses: int
    served_elsewhere: int

    @property
    def hit_rate(self) -> float | None:
        """Hits as a fraction of hits and misses; None if there are no hits or misses."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else None


@dataclass(frozen=True, slots=True)
class HourHitCounts:
    """Hits and misses of one hour."""

    begin: datetime
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class PoolMissReason:
    """The reason why a launch got no session of a config."""

    code: str
    setting: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissCause(PoolMissReason):
    """A cause of misses: its newest sentence, the number of launches with this cause, and the time of the last."""

    launches: int
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMiss:
    """A launch that considered the config and got no staged session."""

    launch_id: str
    time: datetime
    user_id: str | None
    username: str | None
    session_id: str | None
    outcome: Literal["on_demand", "failed"]
    reasons: tuple[PoolMissReason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Hits and misses: `by_hour` oldest first, without gaps; `reasons` by frequency; `recent_misses` newest first."""

    windows: tuple[PoolHitCounts, ...]
    by_hour: tuple[HourHitCounts, ...]
    reasons: tuple[MissCause, ...]
    recent_misses: tuple[PoolMiss, ...]


# The last step is the outcome of a launch. A config without the permissions of the user has no miss if a config with
# these permissions was considered. The steps of each launch are unpacked once, for any number of configs. The statement
# starts with `wanted`, the configs with their images, and `spans`, the periods to read.
_CONSIDERED: Final[LiteralString] = """
steps_by_config AS (
SELECT l.launch_id, l.at, l.user_id, l.session_id, k.*, l.steps->-1 AS last,
       (l.steps->-1->>'used')::boolean AS is_served
  FROM spans JOIN launches l ON l.at >= spans.since AND l.at < spans.until, LATERAL (
       SELECT s.candidate, bool_or(s.code = 'permissions') IS TRUE AS lacks_permissions,
              bool_or(bool_or(s.code = 'permissions') IS NOT TRUE) OVER () AS any_has_permissions
         FROM jsonb_to_recordset(l.steps) AS s(step text, candidate text, code text)
        WHERE s.candidate IS NOT NULL AND s.step LIKE 'staged%%' GROUP BY s.candidate) k
 WHERE l.image_id IN (SELECT image_id FROM wanted)
), considered AS MATERIALIZED (
SELECT w.staging_config_id, l.launch_id, l.at, l.user_id, l.session_id, l.is_served,
       CASE WHEN l.is_served AND l.last->>'candidate' = l.candidate THEN 'hit'
            WHEN l.lacks_permissions AND l.any_has_permissions THEN 'other_permissions'
            WHEN l.is_served AND l.last->>'step' LIKE 'staged%%' THEN 'served_elsewhere'
            ELSE 'miss' END AS result
  FROM steps_by_config l JOIN wanted w USING (candidate)
)"""
_RESULT_COUNTS: Final[LiteralString] = (
    "count(*) FILTER (WHERE result = 'hit') AS hits, count(*) FILTER (WHERE result = 'miss') AS misses,"
    " count(*) FILTER (WHERE result = 'served_elsewhere') AS served_elsewhere"
)

_CONFIGS_IN_USE: Final[LiteralString] = """
wanted AS (
SELECT staging_config_id, staging_config_id::text AS candidate, image_id FROM staging_configs WHERE deleted IS NULL"""
_WANTED: Final[LiteralString] = "WITH" + _CONFIGS_IN_USE + " AND staging_config_id = ANY(%(ids)s::uuid[])), "
_SINCE: Final[LiteralString] = "now() - make_interval(hours => %(hours)s)"

# The period consists of a part of its first hour, the counted hours, and the launches after the counted hours.
_TOTALS: Final[LiteralString] = (
    f"{_WANTED}first_hour AS (SELECT date_trunc('hour', {_SINCE}) + interval '1 hour' AS ends,"
    " (SELECT max(hour) + interval '1 hour' FROM staging_hours) AS counted), "
    f"spans AS (SELECT {_SINCE} AS since, ends AS until FROM first_hour"
    f" UNION ALL SELECT greatest(ends, counted), 'infinity' FROM first_hour), {_CONSIDERED}"
    " SELECT staging_config_id::text, coalesce(sum(hits), 0)::int AS hits, coalesce(sum(misses), 0)::int AS misses,"
    " coalesce(sum(served_elsewhere), 0)::int AS served_elsewhere FROM ("
    f" SELECT staging_config_id, {_RESULT_COUNTS} FROM considered GROUP BY 1 UNION ALL"
    " SELECT staging_config_id, hours.* FROM first_hour, wanted w, LATERAL ("
    "  SELECT sum(hits) AS hits, sum(misses) AS misses,"
    "  sum(served_elsewhere) AS served_elsewhere FROM staging_hours h"
    "  WHERE h.staging_config_id = w.staging_config_id AND h.hour >= first_hour.ends) hours) parts GROUP BY 1"
)

_STORE_NEXT_HOUR: Final[LiteralString] = (
    f"WITH{_CONFIGS_IN_USE}), next AS (SELECT greatest(max(hour) + interval '1 hour',"
    f" date_trunc('hour', {_SINCE}) + interval '1 hour') AS hour FROM staging_hours), "
    "spans AS (SELECT hour AS since, hour + interval '1 hour' AS until FROM next"
    f" WHERE hour + make_interval(hours => 1 + %(settled_hours)s) <= now()), {_CONSIDERED}"
    " INSERT INTO staging_hours (hour, staging_config_id, hits, misses, served_elsewhere)"
    f" SELECT spans.since, staging_config_id, {_RESULT_COUNTS} FROM spans CROSS JOIN wanted"
    " LEFT JOIN considered USING (staging_config_id) GROUP BY 1, 2 ORDER BY 2 ON CONFLICT DO NOTHING RETURNING 1"
)

# After a failed hand-over, the step with `used` is followed by a step with the code and the reason, which is counted
# instead.
_MISSES: Final[LiteralString] = """, reasons AS (
SELECT l.launch_id, l.at, l.user_id, l.session_id, s.number, s.step->>'setting' AS setting,
       CASE WHEN l.is_served THEN 'on_demand' ELSE 'failed' END AS outcome,
       s.step->>'code' AS code, s.step->>'reason' AS reason
  FROM considered l JOIN launches t USING (launch_id),
       jsonb_array_elements(t.steps) WITH ORDINALITY AS s(step, number)
 WHERE l.result = 'miss' AND s.step->>'candidate' = l.staging_config_id::text
   AND NOT (s.step->>'used')::boolean
)"""


async def hits_and_misses(db: Database, staging_config_ids: Sequence[str], *, hours: int) -> dict[str, ConfigHitCounts]:
    """Return the hits and misses of these configs within the last hours, by id; a deleted config has no entry."""
    rows = await db.fetch_as(ConfigHitCounts, _TOTALS, {"hours": hours, "ids": list(staging_config_ids)})
    return {row.staging_config_id: row for row in rows}


async def store_hourly_counts(db: Database) -> None:
    """Store the counts of each hour whose launches cannot change and that is not stored yet, one hour after another."""
    while await db.write(_STORE_NEXT_HOUR, {"hours": WINDOWS_HOURS[-1], "settled_hours": SETTLED_HOURS}):
        pass


async def read_history(db: Database, staging_config_id: str, *, limit: int) -> History:
    """Return one config's hits and misses over `WINDOWS_HOURS`, with the reasons and its newest `limit` misses."""
    hours = WINDOWS_HOURS[-1]
    values = {"ids": [staging_config_id], "hours": hours, "windows": list(WINDOWS_HOURS), "limit": limit}
    (history,) = await db.fetch_as(History, _HISTORY, values)
    return history


_WINDOWS: Final[LiteralString] = f"""
SELECT w.hours, {_RESULT_COUNTS}
  FROM unnest(%(windows)s::int[]) AS w(hours)
  LEFT JOIN considered l ON l.at > now() - make_interval(hours => w.hours)
 GROUP BY w.hours ORDER BY w.hours
"""

_BY_HOUR: Final[LiteralString] = """
SELECT h.begin, count(*) FILTER (WHERE l.result = 'hit') AS hits, count(*) FILTER (WHERE l.result = 'miss') AS misses
  FROM generate_series(date_trunc('hour', now()) - make_interval(hours => %(hours)s - 1), now(), '1 hour') AS h(begin)
  LEFT JOIN considered l ON date_trunc('hour', l.at) = h.begin
 GROUP BY h.begin ORDER BY h.begin
"""

_BY_REASON: Final[LiteralString] = """
SELECT code, setting, count(DISTINCT launch_id) AS launches, max(at) AS last,
       (array_agg(reason ORDER BY at DESC))[1] AS reason
  FROM reasons GROUP BY code, setting ORDER BY launches DESC, last DESC
"""

_RECENT: Final[LiteralString] = """
SELECT r.launch_id, r.at AS time, r.user_id, u.username, r.session_id, r.outcome,
       jsonb_agg(jsonb_build_object('code', r.code, 'setting', r.setting, 'reason', r.reason) ORDER BY r.number)
           AS reasons
  FROM reasons r LEFT JOIN users u USING (user_id)
 GROUP BY r.launch_id, r.at, r.user_id, u.username, r.session_id, r.outcome
 ORDER BY r.at DESC, r.launch_id LIMIT %(limit)s
"""


def _json_array(select: LiteralString) -> LiteralString:
    """Return the rows of a statement as one JSON array, in order."""
    return "(SELECT coalesce(jsonb_agg(r), '[]') FROM (" + select + ") AS r)"


# A week of the ledger may have thousands of launches, so it is unpacked once for all four parts.
_HISTORY: Final[LiteralString] = (
    f"{_WANTED}spans AS (SELECT {_SINCE} AS since, 'infinity'::timestamptz AS until), {_CONSIDERED}{_MISSES}"
    f" SELECT {_json_array(_WINDOWS)} AS windows, {_json_array(_BY_HOUR)} AS by_hour,"
    f" {_json_array(_BY_REASON)} AS reasons, {_json_array(_RECENT)} AS recent_misses"
)
