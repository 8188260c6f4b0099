"""Log rows, the requests Managers answered, and what is left over."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import Body, Text, View
from greenroom.core.log_codes import LogDetails
from greenroom.core.session.leftovers import MAX_AT_ONCE, Thing
from greenroom.core.workspace.homes import HomeId


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


class VersionView(View):
    """The version of a part."""

    version: str


class InstallationView(View):
    """Which installation answers; what it made in Docker or Kubernetes has its id as a label."""

    installation_id: UUID


class HomeOfThing(Body):
    """Whose files of which workspace something keeps."""

    user_id: Text
    image_id: Text


class FoundThing(Body):
    """Something with the label of this installation that was found where its sessions run."""

    kind: Annotated[Text, Field(description="its kind in one or two words: container, Pod, claim …")]
    name: Text
    ref: Annotated[Text, Field(description="the id by which it is removed, which no later thing gets")]
    age_s: float
    agent_id: Annotated[Text, Field(description="the Agent that made it; empty: its label is missing")] = ""
    session_id: Annotated[Text, Field(description="of what is made for one session")] = ""
    home: Annotated[HomeOfThing | None, Field(description="of what keeps the files of a user")] = None

    def thing(self) -> Thing:
        home = HomeId(self.home.user_id, self.home.image_id) if self.home is not None else None
        return Thing(**self.model_dump(exclude={"home"}), home=home)


class FoundThings(Body):
    """Things that were found, before this was asked."""

    things: Annotated[list[FoundThing], Field(max_length=MAX_AT_ONCE)]


class LeftoverView(View):
    """A thing that belongs to nothing."""

    kind: str
    name: str
    ref: str
    removed: Annotated[bool, Field(description="whether it may be removed")]
    reason: Annotated[str, Field(description="why it belongs to nothing; if `removed` is false, also why it stays")]


class LeftoversView(View):
    """In the order in which they can be removed."""

    leftovers: list[LeftoverView]
