"""Staging configs in the published shape; the rules are those of `/api/v1/staging-configs`."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter

from greenroom.api.deps import Db, Logs
from greenroom.api.pool import routes, service
from greenroom.api.pool.schemas import StagingConfigView, StagingCreate, StagingPatch
from greenroom.api.published.calls import Call, requires_key, validated
from greenroom.api.published.shapes import staging_shape
from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.db.pool import configs

router = APIRouter(include_in_schema=False)

FIELDS: Final = ("zone_id", "image_id", "num_sessions", "expiration", "paused", *STAGED_PERMISSIONS)
TARGET: Final = "target_staging_config"


@router.post("/get_staging_configs", dependencies=[requires_key("staging_view")])
async def get_staging_configs(db: Db) -> dict[str, Any]:
    """All staging configs."""
    views = await service.shown(db, await configs.list_configs(db))
    return {"staging_configs": [staging_shape(StagingConfigView.model_validate(view)) for view in views]}


@router.post("/get_staging_config")
async def get_staging_config(db: Db, call: Annotated[Call, requires_key("staging_view")]) -> dict[str, Any]:
    """One staging config."""
    return {"staging_config": staging_shape(await routes.get_staging_config(_id(call), db))}


@router.post("/create_staging_config")
async def create_staging_config(
    db: Db, logs: Logs, call: Annotated[Call, requires_key("staging_create")]
) -> dict[str, Any]:
    """Create a staging config; permissions that are left out take the values of All Users."""
    body = validated(StagingCreate, call.part(TARGET).given(*FIELDS))
    return {"staging_config": staging_shape(await routes.create_staging_config(body, db, logs, call.caller))}


@router.post("/update_staging_config")
async def update_staging_config(
    db: Db, logs: Logs, call: Annotated[Call, requires_key("staging_modify")]
) -> dict[str, Any]:
    """Change a staging config; what is left out or null stays."""
    body = validated(StagingPatch, call.part(TARGET).given(*FIELDS))
    return {"staging_config": staging_shape(await routes.update_staging_config(_id(call), body, db, logs, call.caller))}


@router.post("/delete_staging_config")
async def delete_staging_config(
    db: Db, logs: Logs, call: Annotated[Call, requires_key("staging_delete")]
) -> dict[str, Any]:
    """Delete a staging config and its sessions without a user."""
    await routes.delete_staging_config(_id(call), db, logs, call.caller)
    return {}


def _id(call: Call) -> UUID:
    return UUID(call.part(TARGET).id("staging_config_id"))
