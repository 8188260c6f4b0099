"""Time series of the deployment: launches, waits, pools, capacity, sessions and failovers.

A caller whose role is restricted to zones gets the series of these zones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, Field

from greenroom.api.bodies import View
from greenroom.api.deps import Db
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED
from greenroom.api.security import Caller, requires_one_of
from greenroom.core.access.roles import places_with
from greenroom.core.errors import Forbidden, Invalid
from greenroom.core.series.names import NAMES, SeriesName, kind_of
from greenroom.core.series.points import MAX_POINTS, plan_read
from greenroom.db.series.reading import Series, SeriesFilter, read_done_times, read_series
from greenroom.db.series.recording import database_now_s

DEFAULT_PERIOD_S: Final = 24 * 3600.0
NEEDED: Final = tuple(sorted({kind_of(name).needs for name in NAMES}))
"""The permissions of all series."""

router = api_router("diagnostics")


class SeriesView(View, row=Series):
    """One series. Without ids, it is the total of everything that the caller may see."""

    zone_id: UUID | None
    staging_config_id: UUID | None
    image_friendly_name: Annotated[str | None, Field(description="workspace of the staging config")]
    values: Annotated[
        list[float | None], Field(description="one for each point; null = nothing was recorded", max_length=MAX_POINTS)
    ]


class SeriesAnswer(View):
    """The series of a period."""

    begin: Annotated[datetime, Field(description="beginning of the first point")]
    step_s: Annotated[int, Field(description="length of each point in seconds")]
    series: list[SeriesView]
    left_out: Annotated[
        int, Field(description="number of pools without a series, because an answer has at most 50 pools")
    ]


class SeriesQuery(BaseModel):
    """The filter of time series."""

    names: Annotated[list[SeriesName], Field(min_length=1, max_length=len(NAMES), description="names of series")]
    since: Annotated[AwareDatetime | None, Field(description="begin of the period; 24 hours before `until`")] = None
    until: Annotated[AwareDatetime | None, Field(description="end of the period; now")] = None
    split: Annotated[
        Literal["total", "zone", "pool"],
        Field(description="one series for everything, for each zone, or for each pool with a large shortage"),
    ] = "total"
    zone_id: Annotated[UUID | None, Field(description="only this zone")] = None
    staging_config_id: Annotated[UUID | None, Field(description="only this pool; for series of pools")] = None


@router.get("/series")
async def get_series(
    db: Db, query: Annotated[SeriesQuery, Query()], caller: Annotated[Caller, requires_one_of(*NEEDED, scope=LISTED)]
) -> SeriesAnswer:
    """Return time series with at most 500 points each; docs/reference/series.md describes them."""
    names = list(dict.fromkeys(query.names))
    if (query.split == "pool" or query.staging_config_id) and any(kind_of(name).source != "pools" for name in names):
        raise Invalid("Only the series whose names begin with `pools_` can be read for a pool.")
    now_s = await database_now_s(db)
    until_s = query.until.timestamp() if query.until else now_s
    since_s = query.since.timestamp() if query.since else until_s - DEFAULT_PERIOD_S
    plan = plan_read(since_s, until_s, now_s, await read_done_times(db))
    series_filter = SeriesFilter(
        zone_ids=_zones_by_code(caller, names, str(query.zone_id) if query.zone_id else None),
        staging_config_id=str(query.staging_config_id) if query.staging_config_id else None,
        split=query.split,
    )
    found = await read_series(db, plan, names, series_filter)
    return SeriesAnswer(
        begin=datetime.fromtimestamp(plan.begin_s, UTC),
        step_s=plan.step_s,
        series=[SeriesView.model_validate(each) for each in found.series],
        left_out=found.left_out,
    )


def _zones_by_code(
    caller: Caller, names: Sequence[SeriesName], wanted_zone_id: str | None
) -> dict[str, list[str] | None]:
    """Return the zones that the caller sees with each permission; None = all. Raises Forbidden: one is missing."""
    zones = dict[str, list[str] | None]()
    for code in dict.fromkeys(kind_of(name).needs for name in names):
        if not caller.may(code) and not places_with(caller.permissions, code):
            raise Forbidden(f"This needs the permission {code}.", required=[code])
        allowed = caller.ids_in_scope(code, "zone")
        if wanted_zone_id is not None:
            allowed = [wanted_zone_id] if allowed is None or wanted_zone_id in allowed else []
        zones[code] = allowed
    return zones
