"""The ledger of launches: how each came about, and why some gave nothing."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.deps import Db
from greenroom.api.paging import Paging
from greenroom.api.schemas.sessions import LaunchView
from greenroom.api.security import requires
from greenroom.core.errors import NotFound
from greenroom.db import launches

router = APIRouter(tags=["sessions"])


@router.get("/launches", dependencies=[requires("sessions_view")])
async def list_launches(
    db: Db,
    page: Paging,
    outcome: Annotated[Literal["staged", "on_demand", "failed"] | None, Query()] = None,
    user_id: Annotated[UUID | None, Query()] = None,
    image_id: Annotated[UUID | None, Query()] = None,
) -> list[LaunchView]:
    """Launches with all their steps, newest first."""
    after = page.after_texts(2)
    before = (after[0], after[1]) if after[0] is not None and after[1] is not None else None
    found = await launches.list_launches(
        db, outcome=outcome, user_id=user_id, image_id=image_id, before=before, limit=page.limit + 1
    )
    rows = page.cut(found, lambda row: [row["at"].isoformat(), str(row["launch_id"])])
    return [LaunchView.model_validate(row) for row in rows]


@router.get("/launches/{launch_id}", dependencies=[requires("sessions_view")])
async def get_launch(launch_id: UUID, db: Db) -> LaunchView:
    """One launch; a refused one names itself in its problem document (`launch_id`)."""
    row = await launches.get_launch(db, launch_id)
    if row is None:
        raise NotFound(f"There is no launch {launch_id}; the ledger does not keep them for ever.")
    return LaunchView.model_validate(row)
