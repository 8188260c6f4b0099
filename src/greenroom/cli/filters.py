"""The query parameters of lists in `/api/v1`, as options."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import Body
from greenroom.core.session.states import SessionStatus
from greenroom.core.webhooks import DeliveryState

Outcome = Literal["staged", "on_demand", "failed"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class UserFilter(Body):
    """Which users a list shows."""

    q: Annotated[str, Field(description="part of a name")] = ""
    group_id: UUID | None = None


class SessionFilter(Body):
    """Which sessions a list shows."""

    q: Annotated[str, Field(description="only rows with all these words; `zone:eu` looks in one column")] = ""
    user_id: UUID | None = None
    image_id: UUID | None = None
    staging_config_id: UUID | None = None
    agent_id: UUID | None = None
    status: Annotated[SessionStatus, Field(description="in this status")] = SessionStatus.RUNNING
    staged: Annotated[bool, Field(description="without a user; --no-staged: with one")] = False
    ended: Annotated[bool, Field(description="also those that ended in the last days")] = False
    set_aside: Annotated[bool, Field(description="instead those whose hand-over to a user failed")] = False


class HomeFilter(Body):
    """Which home folders a list shows."""

    q: Annotated[str, Field(description="only rows with all these words; `host:one` looks in one column")] = ""
    user_id: UUID | None = None
    image_id: UUID | None = None
    agent_id: UUID | None = None


class MachineOrderFilter(Body):
    """Which orders of machines a list shows."""

    machine_pool_id: UUID | None = None
    open: Annotated[bool, Field(description="those whose machine is, or may be, there; --no-open: the others")] = True


class LaunchFilter(Body):
    """Which launches a list shows."""

    q: Annotated[str, Field(description="only rows with all these words")] = ""
    outcome: Annotated[Outcome, Field(description="how it ended")] = "failed"
    user_id: UUID | None = None
    image_id: UUID | None = None


class LogFilter(Body):
    """Which log rows are shown."""

    level: Annotated[Level, Field(description="this one and above")] = "INFO"
    component: Annotated[str, Field(description="one of api, manager, agent …")] = ""
    code: Annotated[str, Field(description="for example staging-violation")] = ""
    q: Annotated[str, Field(description="part of the message")] = ""
    since: Annotated[datetime, Field(description="from this time on")] = datetime.min.replace(tzinfo=UTC)
    until: Annotated[datetime, Field(description="before this time")] = datetime.max.replace(tzinfo=UTC)
    zone_name: Annotated[str, Field(description="about this zone")] = ""
    user_id: Annotated[UUID | None, Field(description="what this user did, or what happened to their sessions")] = None
    session_id: UUID | None = None
    staging_config_id: UUID | None = None


class RequestFilter(Body):
    """Which requests of Agents are shown."""

    status: Annotated[int, Field(description="answered with this status, e.g. 503")] = 503
    refused: Annotated[bool, Field(description="not answered with 2xx; --no-refused: the others")] = True
    agent_id: UUID | None = None
    manager_instance_id: Annotated[str, Field(description="answered by this Manager, or by the gateway for it")] = ""
    since: Annotated[datetime, Field(description="from this time on")] = datetime.min.replace(tzinfo=UTC)
    until: Annotated[datetime, Field(description="before this time")] = datetime.max.replace(tzinfo=UTC)


class DeliveryFilter(Body):
    """Which deliveries of a webhook a list shows."""

    state: Annotated[DeliveryState, Field(description="in this state")] = DeliveryState.WAITING
