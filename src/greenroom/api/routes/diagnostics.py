"""Diagnostics: logs, and the requests Managers answered."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from greenroom.api.deps import Db
from greenroom.api.paging import Paging
from greenroom.api.schemas.base import Text
from greenroom.api.schemas.diagnostics import LogView, ManagerRequestView
from greenroom.api.security import requires
from greenroom.db import diagnostics
from greenroom.db.diagnostics import LogFilter

router = APIRouter(tags=["diagnostics"])

Since = Annotated[AwareDatetime | None, Query(description="rows of this time or later")]


@router.get("/logs", dependencies=[requires("system_view")])
async def list_logs(
    db: Db,
    page: Paging,
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None, Query(description="and above")] = None,
    component: Annotated[Text | None, Query(description="api, manager, agent …")] = None,
    code: Text | None = None,
    q: Annotated[Text | None, Query(description="part of the message")] = None,
    since: Since = None,
    session_id: UUID | None = None,
    staging_config_id: UUID | None = None,
) -> list[LogView]:
    """Log rows, newest first."""
    wanted = LogFilter(
        level=level,
        component=component,
        code=code,
        q=q,
        since=since,
        session_id=str(session_id) if session_id else None,
        staging_config_id=str(staging_config_id) if staging_config_id else None,
    )
    rows = await diagnostics.list_logs(db, wanted, before=page.after_id(), limit=page.limit + 1)
    return [LogView.model_validate(row) for row in page.cut(rows, lambda row: [row["log_id"]])]


@router.get("/diagnostics/manager-requests", dependencies=[requires("system_view")])
async def list_manager_requests(
    db: Db,
    page: Paging,
    status: Annotated[int | None, Query(ge=100, le=599)] = None,
    agent_id: UUID | None = None,
    since: Since = None,
) -> list[ManagerRequestView]:
    """Requests of Agents to Managers, newest first: each that was not 2xx; 2xx counted per Agent and minute."""
    rows = await diagnostics.list_manager_requests(
        db,
        status=status,
        agent_id=str(agent_id) if agent_id else None,
        since=since,
        before=page.after_id(),
        limit=page.limit + 1,
    )
    return [ManagerRequestView.model_validate(row) for row in page.cut(rows, lambda row: [row["request_id"]])]
