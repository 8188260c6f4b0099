"""Stop, pause and resume sessions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from greenroom.api import lifecycle
from greenroom.api.deps import Db, Logs
from greenroom.api.schemas.sessions import LifecycleOrder, SessionState
from greenroom.api.security import Caller, requires_own_or
from greenroom.api.session_actions import session_for
from greenroom.core.states import OPERATIONAL

router = APIRouter(tags=["sessions"])


@router.post("/sessions/{session_id}/lifecycle-commands", status_code=202)
async def order_lifecycle(
    session_id: UUID,
    body: LifecycleOrder,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires_own_or("sessions_modify")],
) -> SessionState:
    """Stop, pause or resume a session; the Agent makes it so. Ordering it again is a success.

    Own sessions may be stopped and paused where the user's groups allow it (`allow_kasm_stop`, `allow_kasm_pause`), and
    always be resumed; those of everybody with `sessions_modify`.
    """
    session = await session_for(db, caller, str(session_id), "sessions_modify")
    status = await lifecycle.order(db, logs, caller, session, body.command)
    return SessionState(session_id=session["session_id"], status=status, operational_status=OPERATIONAL[status])
