"""Zones in the published shape."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from greenroom.api.deps import Db
from greenroom.api.public.calls import Call, requires_key
from greenroom.api.public.shapes import zone_shape
from greenroom.db import zones

router = APIRouter(include_in_schema=False)


@router.post("/get_zones")
async def get_zones(db: Db, call: Annotated[Call, requires_key("zones_view")]) -> dict[str, Any]:
    """All zones; with `brief` only their ids and names."""
    brief = call.flag("brief")
    return {"zones": [zone_shape(zone, brief=brief) for zone in await zones.list_zones(db)]}
