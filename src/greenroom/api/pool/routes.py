"""Staging configs: pools of sessions that run before a user requests them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.bodies import Name
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.pool import service
from greenroom.api.pool.schemas import (
    ExplainView,
    StagingConfigView,
    StagingCreate,
    StagingHistoryView,
    StagingPatch,
    StagingSaved,
)
from greenroom.api.security import Caller, requires
from greenroom.db.pool.configs import BY_PLACE, list_configs

router = APIRouter(tags=["staging"])


@router.get("/staging-configs", dependencies=[requires("staging_view")])
async def list_staging_configs(db: Db, page: Paging) -> list[StagingConfigView]:
    """List all configs by zone and workspace; `shortfall` is the reason for a pool below Desired Sessions."""
    found = await list_configs(db, after=page.after_row(BY_PLACE), limit=page.limit)
    return await service.shown(db, page.rows(found, BY_PLACE))


@router.post("/staging-configs", status_code=201)
async def create_staging_config(
    body: StagingCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("staging_create")]
) -> StagingSaved:
    """Create a config. The Primary of its zone begins to fill the pool at once."""
    return await service.create(db, logs, caller, body)


@router.get("/staging-configs/{staging_config_id}", dependencies=[requires("staging_view")])
async def get_staging_config(staging_config_id: UUID, db: Db) -> StagingConfigView:
    """Return one config."""
    return await service.view(db, str(staging_config_id))


@router.patch("/staging-configs/{staging_config_id}")
async def update_staging_config(
    staging_config_id: UUID,
    body: StagingPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("staging_modify")],
) -> StagingSaved:
    """Change a config. A lower number ends the surplus sessions; other permissions replace all sessions."""
    return await service.update(db, logs, caller, str(staging_config_id), body)


@router.delete("/staging-configs/{staging_config_id}", status_code=204)
async def delete_staging_config(
    staging_config_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("staging_delete")]
) -> None:
    """Delete a config and its sessions without a user; assigned sessions continue."""
    await service.delete(db, logs, caller, str(staging_config_id))


@router.post("/staging-configs/{staging_config_id}/recycle", status_code=202)
async def recycle_staging_config(
    staging_config_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("staging_modify")]
) -> StagingConfigView:
    """Replace all staged sessions of the config. After failed starts, the next start is tried at once."""
    return await service.recycle(db, logs, caller, str(staging_config_id))


@router.get("/staging-configs/{staging_config_id}/explain", dependencies=[requires("staging_view")])
async def explain_staging_config(
    staging_config_id: UUID,
    db: Db,
    user: Annotated[Name, Query(description="id or name of the user")],
    zone: Annotated[Name | None, Query(description="id or name of the zone where the launch begins")] = None,
) -> ExplainView:
    """Return the forecast of a launch of this user: a session of this config, or the reasons against it.

    Nothing is launched.
    """
    return await service.explain(db, str(staging_config_id), user, zone)


@router.get("/staging-configs/{staging_config_id}/history")
async def get_staging_history(
    staging_config_id: UUID,
    db: Db,
    caller: Annotated[Caller, requires("staging_view")],
    limit: Annotated[int, Query(ge=1, le=100, description="maximum number of recent misses")] = 20,
) -> StagingHistoryView:
    """Return hits and misses of a config over an hour, a day and a week, and the reason and user of each miss."""
    return await service.history(db, str(staging_config_id), limit=limit, with_users=caller.may("sessions_view"))
