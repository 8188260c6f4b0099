"""Staging configs: pools of sessions that run before anybody asks for them."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query
from psycopg.rows import DictRow

from greenroom.api.bodies import Name
from greenroom.api.deps import Db, Logs
from greenroom.api.diagnostics.audit import audit
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
from greenroom.api.pool.service import explain
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Invalid
from greenroom.core.events import Event
from greenroom.db.database import Database
from greenroom.db.pool import configs, history
from greenroom.db.session import sessions

router = APIRouter(tags=["staging"])

RECYCLED: Final = "recycled"


@router.get("/staging-configs", dependencies=[requires("staging_view")])
async def list_staging_configs(db: Db, page: Paging) -> list[StagingConfigView]:
    """All configs by zone and workspace; `shortfall` says why a pool is below Desired."""
    rows = await configs.list_configs(db)
    found = page.slice(rows, lambda c: [c["zone_name"], c["image_friendly_name"].lower(), str(c["staging_config_id"])])
    return [StagingConfigView.model_validate(view) for view in await service.shown(db, found)]


@router.post("/staging-configs", status_code=201)
async def create_staging_config(
    body: StagingCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("staging_create")]
) -> StagingSaved:
    """Create a config; the Primary of its zone begins to fill the pool at once."""
    fields = body.model_dump() | {"zone_id": str(body.zone_id), "image_id": str(body.image_id)}
    fields |= {k: v for k, v in (await service.default_permissions(db)).items() if k not in body.model_fields_set}
    await service.check_parts(db, fields["zone_id"], fields["image_id"])
    async with db.transaction() as connection:
        staging_config_id = await configs.insert_config(connection, fields)
    saved = await _saved(db, staging_config_id)
    audit(logs, caller, "created", "staging config", service.title(saved), after=_settable(saved))
    return await service.with_warning(db, saved)


@router.get("/staging-configs/{staging_config_id}", dependencies=[requires("staging_view")])
async def get_staging_config(staging_config_id: UUID, db: Db) -> StagingConfigView:
    """One config."""
    return await _view(db, await configs.get_config(db, str(staging_config_id)))


@router.patch("/staging-configs/{staging_config_id}")
async def update_staging_config(
    staging_config_id: UUID,
    body: StagingPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("staging_modify")],
) -> StagingSaved:
    """Change a config: fewer sessions end the excess, other permissions replace all of them."""
    sent = body.sent()
    async with db.transaction() as connection:
        before = await configs.lock_config(connection, str(staging_config_id))
        for name in ("zone_id", "image_id"):
            if sent.pop(name, None) not in (None, before[name]):
                raise Invalid(f"{name} cannot be changed; create a config for the other one and delete this one.")
        await configs.update_config(connection, str(staging_config_id), _settable(before) | sent)
    after = await _saved(db, str(staging_config_id))
    audit(
        logs,
        caller,
        "changed",
        "staging config",
        service.title(after),
        before=_settable(before),
        after=_settable(after),
    )
    return await service.with_warning(db, after)


@router.delete("/staging-configs/{staging_config_id}", status_code=204)
async def delete_staging_config(
    staging_config_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("staging_delete")]
) -> None:
    """Delete a config and its sessions without a user; assigned ones live on."""
    config = await configs.get_config(db, str(staging_config_id))
    async with db.transaction() as connection:
        await configs.lock_config(connection, str(staging_config_id))
        await configs.mark_deleted(connection, str(staging_config_id))
        agents = await sessions.delete_pool(connection, str(staging_config_id), "Its staging config was deleted.")
    await db.notify(
        Event.staging(staging_config_id),
        Event.zone(config["zone_key"]),
        *(Event.agent(agent_id) for agent_id in agents),
    )
    audit(logs, caller, "deleted", "staging config", service.title(config), before=_settable(config))


@router.post("/staging-configs/{staging_config_id}/recycle", status_code=202)
async def recycle_staging_config(
    staging_config_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("staging_modify")]
) -> StagingConfigView:
    """Replace all staged sessions of the config, and try again at once after failed starts."""
    async with db.transaction() as connection:
        await configs.lock_config(connection, str(staging_config_id))
        await configs.recycle_config(connection, str(staging_config_id))
    row = await _saved(db, str(staging_config_id))
    audit(
        logs,
        caller,
        "changed",
        "staging config",
        service.title(row),
        before={"sessions": ""},
        after={"sessions": RECYCLED},
    )
    return await _view(db, row)


@router.get("/staging-configs/{staging_config_id}/explain", dependencies=[requires("staging_view")])
async def explain_staging_config(
    staging_config_id: UUID,
    db: Db,
    user: Annotated[Name, Query(description="id or name of the user")],
    zone: Annotated[Name | None, Query(description="id or name of the zone where the launch begins")] = None,
) -> ExplainView:
    """Would this user get a session of this config now, and if not, why? Nothing is launched."""
    config = await configs.get_config(db, str(staging_config_id))
    return await explain(db, config, user, zone)


@router.get("/staging-configs/{staging_config_id}/history")
async def get_staging_history(
    staging_config_id: UUID,
    db: Db,
    caller: Annotated[Caller, requires("staging_view")],
    limit: Annotated[int, Query(ge=1, le=100, description="how many of the newest misses")] = 20,
) -> StagingHistoryView:
    """Hits and misses of a config over an hour, a day and a week, and the reason and user of each miss."""
    await configs.get_config(db, str(staging_config_id))
    found = await history.read_history(db, str(staging_config_id), limit=limit)
    return service.history(str(staging_config_id), found, with_users=caller.may("sessions_view"))


async def _view(db: Database, row: DictRow) -> StagingConfigView:
    (view,) = await service.shown(db, [row])
    return StagingConfigView.model_validate(view)


async def _saved(db: Database, staging_config_id: str) -> DictRow:
    """The config after a change, with everybody told who acts on it."""
    row = await configs.get_config(db, staging_config_id)
    await db.notify(Event.staging(staging_config_id), Event.zone(row["zone_key"]))
    return row


def _settable(row: DictRow) -> dict[str, Any]:
    return {name: row[name] for name in configs.FIELDS}
