"""Workspaces, zones and groups in the published shape."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from greenroom.api.deps import Db
from greenroom.api.public.calls import Call, requires_key
from greenroom.api.public.shapes import hex_id, image_shape, zone_shape
from greenroom.db import groups, images, zones

router = APIRouter(include_in_schema=False)


@router.post("/get_images", dependencies=[requires_key("images_view")])
async def get_images(db: Db) -> dict[str, Any]:
    """All workspaces."""
    return {"images": [image_shape(image) for image in await images.list_images(db)]}


@router.post("/get_zones")
async def get_zones(db: Db, call: Annotated[Call, requires_key("zones_view")]) -> dict[str, Any]:
    """All zones; with `brief` only their ids and names."""
    brief = call.flag("brief")
    return {"zones": [zone_shape(zone, brief=brief) for zone in await zones.list_zones(db)]}


@router.post("/get_groups", dependencies=[requires_key("groups_view")])
async def get_groups(db: Db) -> dict[str, Any]:
    """All groups."""
    return {
        "groups": [
            {
                "group_id": hex_id(group.group_id),
                "name": group.name,
                "description": group.description,
                "priority": group.priority,
                "is_system": group.is_system,
            }
            for group in await groups.list_groups(db)
        ]
    }
