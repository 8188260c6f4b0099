"""The ledger of launches: how each came about, and why some gave nothing."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.deps import Db
from greenroom.api.paging import Counting, Paging, Search, Sorting
from greenroom.api.schemas.sessions import LaunchView
from greenroom.api.security import requires
from greenroom.core.errors import NotFound
from greenroom.core.listing import order_of, words_of
from greenroom.db import launch_lists
from greenroom.db.launch_lists import LAUNCHES, NEWEST_FIRST, LaunchFilter

router = APIRouter(tags=["sessions"])


@router.get("/launches", dependencies=[requires("sessions_view")])
async def list_launches(
    db: Db,
    page: Paging,
    outcome: Annotated[Literal["staged", "on_demand", "failed"] | None, Query()] = None,
    user_id: Annotated[UUID | None, Query()] = None,
    image_id: Annotated[UUID | None, Query()] = None,
    q: Search = "",
    sort: Sorting = str(NEWEST_FIRST),
    count: Counting = False,
) -> list[LaunchView]:
    """Launches with all their steps, newest first unless another order is asked for."""
    words = words_of(q, LAUNCHES.columns)
    wanted = LaunchFilter(outcome=outcome, user_id=user_id, image_id=image_id, words=words)
    if count:
        page.count(await launch_lists.count_launches(db, wanted))
    order = order_of(sort, LAUNCHES.columns)
    after = page.after_row(order)
    found = await launch_lists.list_launches(db, wanted, order=order, after=after, limit=page.limit + 1)
    rows = page.cut(found, lambda row: [str(order), row["position"], str(row["launch_id"])])
    return [LaunchView.model_validate(row) for row in rows]


@router.get("/launches/{launch_id}", dependencies=[requires("sessions_view")])
async def get_launch(launch_id: UUID, db: Db) -> LaunchView:
    """One launch; a refused one names itself in its problem document (`launch_id`)."""
    row = await launch_lists.get_launch(db, launch_id)
    if row is None:
        raise NotFound(f"There is no launch {launch_id}; the ledger does not keep them for ever.")
    return LaunchView.model_validate(row)
