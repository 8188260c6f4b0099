"""Log rows and the requests Managers answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import View
from greenroom.core.log_codes import LogDetails


class LogView(View):
    """A log row; `code` is stable, `message` is the sentence for people."""

    log_id: int
    time: datetime
    level: str
    component: str
    code: str
    message: str
    zone_name: str | None
    session_id: UUID | None
    user_id: UUID | None
    username: str | None
    staging_config_id: UUID | None
    staging_config_title: Annotated[
        str | None,
        Field(description="workspace and zone of the config when the row was written; it may be deleted now"),
    ]
    setting: str | None
    details: LogDetails


class ManagerRequestView(View):
    """A request of an Agent as a Manager answered it; those with 2xx are counted per Agent and minute."""

    request_id: int
    time: datetime
    agent_id: UUID | None
    manager_instance_id: str
    method: str
    path: str
    status: int
    duration_ms: float
    count: Annotated[int, Field(description="requests in this row")]
