"""stop_kasm, pause_kasm, resume_kasm; clients call them with and without `public/`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from greenroom.api import lifecycle
from greenroom.api.deps import Db, Logs
from greenroom.api.public.calls import Call
from greenroom.api.public.sessions import FOR_USERS, session_of
from greenroom.core.lifecycle import LifecycleCommand
from greenroom.db.database import Database
from greenroom.db.logs import LogWriter

router = APIRouter(include_in_schema=False)


@router.post("/stop_kasm")
async def stop_kasm(db: Db, logs: Logs, call: Annotated[Call, FOR_USERS]) -> dict[str, Any]:
    """Stop a session: its programs end, its disk stays; where its owner's groups allow it."""
    return await _order(db, logs, call, "stop")


@router.post("/pause_kasm")
async def pause_kasm(db: Db, logs: Logs, call: Annotated[Call, FOR_USERS]) -> dict[str, Any]:
    """Pause a session: its programs are frozen in memory; where its owner's groups allow it."""
    return await _order(db, logs, call, "pause")


@router.post("/resume_kasm")
async def resume_kasm(db: Db, logs: Logs, call: Annotated[Call, FOR_USERS]) -> dict[str, Any]:
    """Let a stopped or paused session run again."""
    return await _order(db, logs, call, "resume")


async def _order(db: Database, logs: LogWriter, call: Call, command: LifecycleCommand) -> dict[str, Any]:
    await lifecycle.order(db, logs, call.caller, await session_of(db, call), command)
    return {}
