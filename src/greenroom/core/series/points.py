"""The resolutions of time series, and which stored points a roll-up, a deletion or a request reads.

Times are whole seconds since 1970, in UTC. A *point* covers a period of `step_s` seconds that begins at a multiple of
`step_s`. Each coarser resolution is rolled up from the next finer one. `done` contains the *end of the final points* of
each resolution: no point before this time changes. A request reads the final points of its resolution, and finer points
after them, so that each moment counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from greenroom.core.errors import Invalid

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S


@dataclass(frozen=True, slots=True)
class Resolution:
    """Points of `step_s` seconds, which are stored for `keep_s` seconds."""

    step_s: int
    keep_s: int


RESOLUTIONS: Final = (
    Resolution(60, 49 * HOUR_S),
    Resolution(15 * 60, 15 * DAY_S),
    Resolution(2 * HOUR_S, 91 * DAY_S),
)
"""From fine to coarse. They are stored a little longer than the 48 hours, 14 days and 90 days that requests need."""
FINEST: Final = RESOLUTIONS[0]
COARSEST: Final = RESOLUTIONS[-1]
MAX_POINTS: Final = 500
"""Maximum number of points of a series in an answer."""
STEPS_S: Final = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
"""The steps of answers. Each is a multiple of the coarsest resolution that is not coarser."""
ROLL_UP_S: Final = 6 * HOUR_S
COUNT_S: Final = 2 * HOUR_S
"""The longest periods that one statement rolls up, and for which one statement counts launches."""

Done = Mapping[int, int]
"""`step_s` of each resolution → the end of its final points."""


@dataclass(frozen=True, slots=True)
class Span:
    """The stored points of `step_s` seconds that begin from `begin_s` to before `end_s`."""

    step_s: int
    begin_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The points of an answer, and the spans of stored points from which they are computed."""

    step_s: int
    begin_s: int
    end_s: int
    spans: tuple[Span, ...]

    @property
    def times(self) -> range:
        """The beginning of each point."""
        return range(self.begin_s, self.end_s, self.step_s)


def point_begin(at_s: float, step_s: int) -> int:
    """Return the beginning of the point that covers this time."""
    return int(at_s // step_s) * step_s


def first_done(oldest_s: float, now_s: float) -> dict[int, int]:
    """Return the first ends of final points. `oldest_s` is the time of the oldest row that is counted."""
    begin_s = point_begin(max(oldest_s, now_s - COARSEST.keep_s), COARSEST.step_s)
    return {resolution.step_s: begin_s for resolution in RESOLUTIONS}


@dataclass(frozen=True, slots=True)
class CountPlan:
    """The span whose launches are counted, and the end of final points afterwards. `is_last`: nothing is left."""

    span: Span
    done_s: int
    is_last: bool


def plan_count(done_s: int, now_s: float, settled_s: int) -> CountPlan:
    """Return the next count of launches. A launch older than `settled_s` cannot change, so its count is final."""
    end_s = point_begin(now_s, FINEST.step_s) + FINEST.step_s
    part_s = max(min(done_s + COUNT_S, end_s), done_s)
    final_s = point_begin(now_s - settled_s, FINEST.step_s)
    return CountPlan(Span(FINEST.step_s, done_s, part_s), max(done_s, min(part_s, final_s)), part_s >= end_s)


def plan_roll_up(number: int, done: Done) -> Span | None:
    """Return the finer points of the next roll-up into `RESOLUTIONS[number]`; None = no further point is final."""
    finer, coarser = RESOLUTIONS[number - 1], RESOLUTIONS[number]
    begin_s = done[coarser.step_s]
    end_s = min(point_begin(done[finer.step_s], coarser.step_s), begin_s + ROLL_UP_S)
    return Span(finer.step_s, begin_s, end_s) if end_s > begin_s else None


def plan_deletion(number: int, now_s: float, done: Done) -> int:
    """Return the time before which points of `RESOLUTIONS[number]` are deleted. Points that are not rolled up stay."""
    oldest_s = point_begin(now_s, 1) - RESOLUTIONS[number].keep_s
    return min([oldest_s, *(done[coarser.step_s] for coarser in RESOLUTIONS[number + 1 : number + 2])])


def plan_read(since_s: float, until_s: float, now_s: float, done: Done) -> ReadPlan:
    """Return the plan of a request for a period. Raises Invalid: the period is empty, or outside of the stored time."""
    since_s, until_s = max(since_s, now_s - COARSEST.keep_s), min(until_s, now_s)
    if since_s >= until_s:
        raise Invalid("`since` must be before `until`, and the period must be within the last 90 days.")
    finest = next(each for each in RESOLUTIONS if since_s >= now_s - each.keep_s)
    needed_s = max((until_s - since_s) / (MAX_POINTS - 2), finest.step_s)  # two points can be partly outside
    step_s = next(step for step in STEPS_S if step >= needed_s)
    begin_s, end_s = point_begin(since_s, step_s), point_begin(until_s, step_s) + step_s
    spans, from_s = list[Span](), begin_s
    for resolution in reversed([each for each in RESOLUTIONS if each.step_s <= step_s]):
        to_s = end_s if resolution is FINEST else min(done.get(resolution.step_s, begin_s), end_s)
        if to_s > from_s:
            spans.append(Span(resolution.step_s, from_s, to_s))
            from_s = to_s
    return ReadPlan(step_s, begin_s, end_s, tuple(spans))
