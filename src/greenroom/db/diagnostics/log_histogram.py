"""The numbers of log rows over time by level, for the histogram above the list of log rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, LiteralString

from greenroom.core.log_codes import LEVELS, Level
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import LOGS
from greenroom.db.listing import Conditions

MAX_POINTS: Final = 60
MAX_ROWS: Final = 50_000
"""The maximum number of rows that a histogram reads: the newest ones."""
EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""The earliest beginning of a histogram; Greenroom has no older rows."""
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_STEPS_S: Final = (
    *(1, 5, 15, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR * hours for hours in (1, 3, 6, 12, 24, 7 * 24, 28 * 24, 365 * 24)),
)
"""The lengths of a point in seconds. The shortest one with at most `MAX_POINTS` points is used."""


@dataclass(frozen=True, slots=True)
class LogHistogram:
    """The numbers of log rows by time. `counts` has one list for each level, with one number for each point. `begin` is
    the beginning of the first point. If more than `MAX_ROWS` rows match, `is_part` is true, and the histogram begins
    with the oldest row that was read."""

    begin: datetime
    step_s: int
    counts: dict[Level, list[int]]
    is_part: bool


_READ: Final[LiteralString] = """
WITH candidates AS MATERIALIZED (
    SELECT l.time, l.level, {words} AS found {source} WHERE {where} ORDER BY l.time DESC LIMIT %(max_rows)s
), limits AS (
    SELECT extract(epoch FROM CASE WHEN count(*) < %(max_rows)s THEN coalesce(%(begin)s, min(time), now())
                                   ELSE min(time) END) AS begin_s,
           extract(epoch FROM least(coalesce(%(end)s, now()), now())) AS end_s, count(*) = %(max_rows)s AS is_part
      FROM candidates
), period AS (
    SELECT *, coalesce((SELECT min(step) FROM unnest(%(steps)s::int[]) step
                         WHERE step * (%(max_points)s - 1) >= end_s - begin_s), %(longest)s::int) AS step_s
      FROM limits
)
SELECT step_s, is_part, floor(begin_s / step_s)::bigint AS first,
       floor(greatest(begin_s, end_s) / step_s)::bigint AS last,
       ARRAY(SELECT jsonb_build_array(level, floor(extract(epoch FROM time) / step_s), count(*))
               FROM candidates WHERE found GROUP BY level, floor(extract(epoch FROM time) / step_s)) AS numbers
  FROM period
"""


async def read_log_histogram(
    db: Database, conditions: Conditions, *, since: datetime | None, until: datetime | None
) -> LogHistogram:
    """Count the rows that match, among the newest `MAX_ROWS` rows of the period. Without `since`, the histogram begins
    with the oldest row. A beginning before `EARLIEST` or in the future is replaced by this limit."""
    if since is not None:
        since = min(max(since, EARLIEST), datetime.now(UTC))
    where, *_ = conditions.where_clauses
    statement: LiteralString = _READ.format(words=conditions.matches_words, source=LOGS.source, where=where)
    values = {
        "begin": since,
        "end": until,
        "max_rows": MAX_ROWS,
        "max_points": MAX_POINTS,
        "steps": list(_STEPS_S),
        "longest": _STEPS_S[-1],
    }
    row = await db.fetch_one(statement, conditions.values | values)
    assert row is not None, "an aggregate has one row"  # noqa: S101
    first, length = row["first"], row["last"] - row["first"] + 1
    counts: dict[Level, list[int]] = {level: [0] * length for level in LEVELS}
    for level, point, number in row["numbers"]:
        if 0 <= (index := point - first) < length:
            counts[level][index] = number
    return LogHistogram(datetime.fromtimestamp(first * row["step_s"], UTC), row["step_s"], counts, row["is_part"])
