"""Hits and misses of a staging config, from the ledger of launches.

A *hit* was served by the config. A *miss* considered it and got no staged session at all: its user waited for a new
container, or got nothing. What another pool served counts as neither, nor does a launch of a user with a better
matching config. A hand-over that failed is a further step in the ledger and counts as it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, LiteralString

from greenroom.db.database import Database

WINDOWS_HOURS: Final = (1, 24, 168)
"""Spans for which hits and misses are summed up; the longest is how far back a history goes."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Hits and misses of a config."""

    staging_config_id: str
    hits: int
    misses: int
    served_elsewhere: int


@dataclass(frozen=True, slots=True)
class Window:
    """Hits and misses of the last `hours`."""

    hours: int
    hits: int
    misses: int
    served_elsewhere: int

    @property
    def hit_rate(self) -> float | None:
        """Hits of hits and misses; None without any."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else None


@dataclass(frozen=True, slots=True)
class Hour:
    """Hits and misses of one hour."""

    begin: datetime
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class MissReason:
    """Why a config was passed over."""

    code: str
    setting: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissCause(MissReason):
    """A cause of misses, how many launches had it, and the newest sentence."""

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
    reasons: tuple[MissReason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Hits and misses of a config: `by_hour` oldest first, without a gap; `reasons` most frequent first;
    `recent_misses` newest first.
    """

    windows: tuple[Window, ...]
    by_hour: tuple[Hour, ...]
    reasons: tuple[MissCause, ...]
    recent_misses: tuple[PoolMiss, ...]


# The last step says how a launch ended. A config with other permissions than the user's missed nothing where one with
# the user's was considered. Each launch is unpacked once, no matter how many configs it considered.
_CONSIDERED: Final[LiteralString] = """
WITH wanted AS (
SELECT staging_config_id, staging_config_id::text AS candidate, image_id FROM staging_configs
 WHERE deleted IS NULL AND staging_config_id = ANY(%(ids)s::uuid[])
), looked AS (
SELECT l.launch_id, l.at, l.user_id, l.session_id, k.*, l.steps->-1 AS last,
       (l.steps->-1->>'used')::boolean AS is_served
  FROM launches l, LATERAL (
       SELECT s.candidate, bool_or(s.code = 'permissions') IS TRUE AS is_for_others,
              bool_or(bool_or(s.code = 'permissions') IS NOT TRUE) OVER () AS is_for_user_somewhere
         FROM jsonb_to_recordset(l.steps) AS s(step text, candidate text, code text)
        WHERE s.candidate IS NOT NULL AND s.step LIKE 'staged%%' GROUP BY s.candidate) k
 WHERE l.at > now() - make_interval(hours => %(hours)s) AND l.image_id IN (SELECT image_id FROM wanted)
), considered AS MATERIALIZED (
SELECT w.staging_config_id, l.launch_id, l.at, l.user_id, l.session_id, l.is_served,
       CASE WHEN l.is_served AND l.last->>'candidate' = l.candidate THEN 'hit'
            WHEN l.is_for_others AND l.is_for_user_somewhere THEN 'other_permissions'
            WHEN l.is_served AND l.last->>'step' LIKE 'staged%%' THEN 'served_elsewhere'
            ELSE 'miss' END AS result
  FROM looked l JOIN wanted w USING (candidate)
)"""

# A step that was used and is still part of a miss: its hand-over failed, and the next step says how; in ledgers of
# the version before only that step's reason does.
_MISSES: Final[LiteralString] = """, reasons AS (
SELECT l.launch_id, l.at, l.user_id, l.session_id, s.number, s.step->>'setting' AS setting,
       CASE WHEN l.is_served THEN 'on_demand' ELSE 'failed' END AS outcome,
       COALESCE(s.step->>'code', 'hand_over_failed') AS code,
       CASE WHEN (s.step->>'used')::boolean THEN COALESCE(t.steps->s.number::int->>'reason', s.step->>'reason')
            ELSE s.step->>'reason' END AS reason
  FROM considered l JOIN launches t USING (launch_id),
       jsonb_array_elements(t.steps) WITH ORDINALITY AS s(step, number)
 WHERE l.result = 'miss' AND s.step->>'candidate' = l.staging_config_id::text
   AND NOT ((s.step->>'used')::boolean AND COALESCE(t.steps->s.number::int->>'code', '') = 'hand_over_failed')
)"""


async def totals(db: Database, staging_config_ids: Sequence[str], *, hours: int) -> dict[str, Totals]:
    """Hits and misses of these configs within the last hours, by id; none = no entry."""
    rows = await db.fetch_as(
        Totals,
        _CONSIDERED + " SELECT staging_config_id::text, count(*) FILTER (WHERE result = 'hit') AS hits,"
        " count(*) FILTER (WHERE result = 'miss') AS misses,"
        " count(*) FILTER (WHERE result = 'served_elsewhere') AS served_elsewhere"
        " FROM considered GROUP BY staging_config_id",
        {"hours": hours, "ids": list(staging_config_ids)},
    )
    return {row.staging_config_id: row for row in rows}


async def read_history(db: Database, staging_config_id: str, *, limit: int) -> History:
    """One config's hits and misses over `WINDOWS_HOURS`, with the reasons and its newest `limit` misses."""
    values = {
        "ids": [staging_config_id],
        "hours": WINDOWS_HOURS[-1],
        "windows": list(WINDOWS_HOURS),
        "limit": limit,
    }
    (found,) = await db.fetch_as(History, _HISTORY, values)
    return found


_WINDOWS: Final[LiteralString] = """
SELECT w.hours, count(*) FILTER (WHERE l.result = 'hit') AS hits, count(*) FILTER (WHERE l.result = 'miss') AS misses,
       count(*) FILTER (WHERE l.result = 'served_elsewhere') AS served_elsewhere
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


def _rows(select: LiteralString) -> LiteralString:
    """A statement's rows as one JSON array, in their order."""
    return "(SELECT coalesce(jsonb_agg(r), '[]') FROM (" + select + ") AS r)"


# The ledger of a week is long where thousands launch, so it is unpacked once for all four.
_HISTORY: Final[LiteralString] = (
    _CONSIDERED
    + _MISSES
    + " SELECT "
    + _rows(_WINDOWS)
    + " AS windows, "
    + _rows(_BY_HOUR)
    + " AS by_hour, "
    + _rows(_BY_REASON)
    + " AS reasons, "
    + _rows(_RECENT)
    + " AS recent_misses"
)
