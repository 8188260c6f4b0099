"""Web gateways on hosts of their own: see which joined, take one's credential away."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from greenroom.api.audit import audit
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.schemas.enrolment import GatewayView
from greenroom.api.security import Caller, requires
from greenroom.core.errors import NotFound
from greenroom.db import gateways
from greenroom.db.database import Database

router = APIRouter(tags=["gateways"])


@router.get("/gateways", dependencies=[requires("agents_view")])
async def list_gateways(db: Db, page: Paging) -> list[GatewayView]:
    """Web gateways that joined with a token; those beside an api use the installation's key and are not listed."""
    rows = page.slice(
        await gateways.list_gateways(db), lambda row: [row["zone_name"], str(row["registered"]), row["gateway_id"]]
    )
    return [GatewayView.model_validate(row) for row in rows]


@router.get("/gateways/{gateway_id}", dependencies=[requires("agents_view")])
async def get_gateway(gateway_id: UUID, db: Db) -> GatewayView:
    """One gateway."""
    return GatewayView.model_validate(await _gateway(db, gateway_id))


@router.delete("/gateways/{gateway_id}", status_code=204)
async def delete_gateway(
    gateway_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_delete")]
) -> None:
    """Remove a gateway: its credential is refused from its next question on. What it serves it serves until then."""
    gateway = await _gateway(db, gateway_id)
    await gateways.delete_gateway(db, str(gateway_id))
    zone = gateway["zone_name"]
    audit(logs, caller, "deleted", "gateway", gateway["hostname"], before={"zone_name": zone}, zone_name=zone)


async def _gateway(db: Database, gateway_id: UUID) -> dict[str, Any]:
    rows = await gateways.list_gateways(db, str(gateway_id))
    if not rows:
        raise NotFound("There is no such gateway; it may have been removed.")
    return rows[0]
