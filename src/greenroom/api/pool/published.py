"""Staging configs in the published shape; the rules are those of `/api/v1/staging-configs`."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter

from greenroom.api.bodies import Json
from greenroom.api.deps import Db, Logs
from greenroom.api.pool import service
from greenroom.api.pool.schemas import StagingConfigView, StagingCreate, StagingPatch
from greenroom.api.published.calls import Answer, Call, date, requires_key, validated
from greenroom.db.pool.configs import list_configs

router = APIRouter(include_in_schema=False)

FIELDS: Final = tuple(StagingCreate.model_fields)
TARGET: Final = "target_staging_config"


@router.post("/get_staging_configs", dependencies=[requires_key("staging_view")])
async def get_staging_configs(db: Db) -> Answer:
    """All staging configs."""
    found = (await list_configs(db)).rows
    return {"staging_configs": [_shape(view) for view in await service.shown(db, found)]}


@router.post("/get_staging_config")
async def get_staging_config(db: Db, call: Annotated[Call, requires_key("staging_view")]) -> Answer:
    """One staging config."""
    return {"staging_config": _shape(await service.view(db, _id(call)))}


@router.post("/create_staging_config")
async def create_staging_config(db: Db, logs: Logs, call: Annotated[Call, requires_key("staging_create")]) -> Answer:
    """Create a staging config; permissions that are left out take the values of All Users."""
    body = validated(StagingCreate, _fields(call))
    return {"staging_config": _shape(await service.create(db, logs, call.caller, body))}


@router.post("/update_staging_config")
async def update_staging_config(db: Db, logs: Logs, call: Annotated[Call, requires_key("staging_modify")]) -> Answer:
    """Change a staging config; what is left out or null stays."""
    body = validated(StagingPatch, _fields(call))
    return {"staging_config": _shape(await service.update(db, logs, call.caller, _id(call), body))}


@router.post("/delete_staging_config")
async def delete_staging_config(db: Db, logs: Logs, call: Annotated[Call, requires_key("staging_delete")]) -> Answer:
    """Delete a staging config and its sessions without a user."""
    await service.delete(db, logs, call.caller, _id(call))
    return {}


def _fields(call: Call) -> Json:
    """What is given of a config; its number may be written as a text, as published clients do."""
    part = call.part(TARGET)
    given = part.given(*FIELDS)
    return given | {"num_sessions": part.number("num_sessions")} if "num_sessions" in given else given


def _id(call: Call) -> str:
    return call.part(TARGET).id("staging_config_id")


def _shape(config: StagingConfigView) -> Answer:
    return config.model_dump(mode="json", include=set(StagingConfigView.model_fields)) | {
        "image_id": config.image_id.hex,
        "created": date(config.created),
        "next_try": date(config.next_try),
    }
