"""Diagnostics: logs, requests that Managers answered, and leftovers (objects in a runtime that nothing owns)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, Field

from greenroom.api.bodies import Body, Text, View
from greenroom.api.deps import Db
from greenroom.api.paging import MAX_SEARCH, Paging
from greenroom.api.problems import api_router
from greenroom.api.security import requires
from greenroom.core.log_codes import Level
from greenroom.core.session.leftovers import MAX_AT_ONCE, RuntimeObject, plan
from greenroom.core.workspace.homes import HomeId
from greenroom.db.diagnostics.changes import with_key_names
from greenroom.db.diagnostics.log_histogram import LogHistogram, read_log_histogram
from greenroom.db.diagnostics.views import (
    LOGS,
    REQUESTS,
    StoredLogRow,
    StoredRequestRow,
    log_conditions,
    read_known_rows,
    request_conditions,
)
from greenroom.db.installation import installation_id
from greenroom.kit.program import version


class LogView(View, row=StoredLogRow, without={"object_kind", "object_name"}):
    """A log row; `code` is stable, `message` is the sentence for people."""

    log_id: int
    level: str
    session_id: UUID | None
    user_id: UUID | None
    staging_config_id: UUID | None
    staging_config_title: Annotated[
        str | None,
        Field(description="workspace and zone of the config at the time of the row; the config may no longer exist"),
    ]


class LogHistogramView(View, row=LogHistogram):
    """The numbers of log rows over time."""

    begin: Annotated[datetime, Field(description="beginning of the first point")]
    step_s: Annotated[int, Field(description="length of each point in seconds")]
    counts: Annotated[dict[Level, list[int]], Field(description="level → one number for each point")]
    is_part: Annotated[
        bool, Field(description="more rows match than are read, so that the histogram begins later than the period")
    ]


class ManagerRequestView(View, row=StoredRequestRow):
    """A request of an Agent and the status of the answer. Requests with 2xx have one row per Agent and minute."""

    agent_id: UUID | None
    count: Annotated[int, Field(description="number of requests in this row")]


class VersionView(View):
    """The version of Greenroom."""

    version: str


class InstallationView(View):
    """The identity of the installation. Its objects in Docker or Kubernetes have the id as a label."""

    installation_id: UUID


class HomeOfThing(Body):
    """The user and the workspace of stored files."""

    user_id: Text
    image_id: Text


class FoundThing(Body):
    """An object with the label of this installation that was found in a runtime."""

    kind: Annotated[Text, Field(description="kind in one or two words: container, Pod, claim …")]
    name: Text
    ref: Annotated[Text, Field(description="id for its removal, which is never reused")]
    age_s: float
    agent_id: Annotated[Text, Field(description="Agent that created it; empty = the label is missing")] = ""
    session_id: Annotated[Text, Field(description="session for which it was created")] = ""
    home: Annotated[HomeOfThing | None, Field(description="home folder that it contains")] = None

    def to_object(self) -> RuntimeObject:
        home = HomeId(self.home.user_id, self.home.image_id) if self.home is not None else None
        return RuntimeObject(**self.model_dump(exclude={"home"}), home=home)


class FoundThings(Body):
    """Objects that were found before the request was sent."""

    things: Annotated[list[FoundThing], Field(max_length=MAX_AT_ONCE)]


class LeftoverView(View):
    """An object without an owner in this installation."""

    kind: str
    name: str
    ref: str
    removed: Annotated[bool, Field(description="true = it may be removed; this request removes nothing")]
    reason: Annotated[
        str, Field(description="reason why nothing owns it; if `removed` is false, also the reason to keep it")
    ]


class LeftoversView(View):
    """The leftovers, in an order in which they can be removed."""

    leftovers: list[LeftoverView]


router = api_router("diagnostics")

Since = Annotated[AwareDatetime | None, Field(description="rows from this time on")]
Until = Annotated[AwareDatetime | None, Field(description="rows before this time")]


class LogQuery(BaseModel):
    """The filter of log rows."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None, Field(description="this level and above")] = (
        None
    )
    component: Annotated[Text | None, Field(description="one of api, manager, agent …")] = None
    code: Annotated[Text | None, Field(description="for example staging-violation")] = None
    q: Annotated[Text | None, Field(max_length=MAX_SEARCH, description="text in the message")] = None
    since: Since = None
    until: Until = None
    zone_name: Annotated[Text | None, Field(description="rows about this zone")] = None
    user_id: Annotated[UUID | None, Field(description="actions of this user and events of their sessions")] = None
    session_id: UUID | None = None
    staging_config_id: UUID | None = None


@router.get("/logs", dependencies=[requires("system_view")])
async def list_logs(db: Db, page: Paging, query: Annotated[LogQuery, Query()]) -> list[LogView]:
    """List log rows, newest first; docs/reference/logs.md has the codes. Messages have the present names of API keys;
    `q` searches the stored messages, which have their ids."""
    found = await page.read(db, LOGS, log_conditions(**query.model_dump()))
    return [LogView.model_validate(row) for row in await with_key_names(db, found)]


@router.get("/logs/histogram", dependencies=[requires("system_view")])
async def get_log_histogram(db: Db, query: Annotated[LogQuery, Query()]) -> LogHistogramView:
    """Count log rows over time by level, with the filter of the list. At most the newest 50,000 rows are read."""
    values = query.model_dump()
    found = await read_log_histogram(db, log_conditions(**values), since=query.since, until=query.until)
    return LogHistogramView.model_validate(found)


class RequestQuery(BaseModel):
    """The filter of requests of Agents to Managers."""

    status: Annotated[int | None, Field(ge=100, le=599, description="status of the response, e.g. 503")] = None
    refused: Annotated[bool | None, Field(description="true = responses other than 2xx; false = 2xx")] = None
    agent_id: UUID | None = None
    manager_instance_id: Annotated[Text | None, Field(description="Manager whose address received the request")] = None
    since: Since = None
    until: Until = None


@router.get("/diagnostics/manager-requests", dependencies=[requires("system_view")])
async def list_manager_requests(
    db: Db, page: Paging, query: Annotated[RequestQuery, Query()]
) -> list[ManagerRequestView]:
    """List requests of Agents to Managers, newest first. Requests with 2xx have one row per Agent and minute."""
    found = await page.read(db, REQUESTS, request_conditions(**query.model_dump()))
    return [ManagerRequestView.model_validate(row) for row in found]


@router.get("/version", dependencies=[requires()])
async def get_version() -> VersionView:
    """Return the version of the api that answers."""
    return VersionView(version=version())


@router.get("/diagnostics/installation", dependencies=[requires("system_view")])
async def get_installation(db: Db) -> InstallationView:
    """Return the identity of this installation."""
    return InstallationView(installation_id=UUID(await installation_id(db)))


@router.post("/diagnostics/leftovers", dependencies=[requires("system_view")])
async def find_leftovers(body: FoundThings, db: Db) -> LeftoversView:
    """Return the leftovers among objects that were found with the label of this installation. Nothing is changed.

    `greenroom doctor --repair` sends this request to a deployment on another machine.
    """
    objects = [item.to_object() for item in body.things]
    leftovers = plan(objects, await read_known_rows(db, objects))
    return LeftoversView(
        leftovers=[
            LeftoverView.of(leftover.item, removed=leftover.removed, reason=leftover.reason) for leftover in leftovers
        ]
    )
