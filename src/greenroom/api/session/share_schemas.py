"""The bodies of shares: the share, its viewers, and the access that they get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.bodies import Body, Name, Secret, Text, View
from greenroom.api.session.schemas import LeaseId, Record
from greenroom.core.access.accounts import username_problem
from greenroom.core.session.sharing import Audience
from greenroom.core.session.streams import Access

MAX_SECONDS = 366 * 86400


class ShareCreate(Body):
    """A new share.

    With `user_id` or `username` it is for that user, with `guest` for people without an account who have the link,
    otherwise for users who have the link.
    """

    access: Annotated[Access, Field(description="view = watch only, control = also use keyboard and pointer")]
    user_id: UUID | None = None
    username: Name | None = None
    guest: bool = False
    seconds: Annotated[
        int | None,
        Field(ge=1, le=MAX_SECONDS, description="duration; null = the maximum, `max_share_seconds`"),
    ] = None


class ShareView(View):
    """A share; `connect_url` is the link, relative to the deployment."""

    share_id: str
    session_id: UUID
    access: Access
    audience: Annotated[
        Audience,
        Field(
            description="user = the named user, users = users with the link, guests = anyone with the link, assistant"
        ),
    ]
    user_id: Annotated[UUID | None, Field(description="named user")]
    username: str | None
    connect_url: str
    made_by: str
    created: datetime
    expires: Annotated[datetime | None, Field(description="null = end of the session")]
    present: Annotated[int, Field(description="number of viewers who joined by it and are connected")]


class SharingView(View):
    """The ways in which the owner of a session may share it."""

    allowed: bool
    reason: Annotated[str | None, Field(description="reason why the session cannot be shared, as a sentence")]
    view: Annotated[
        bool, Field(description="true = the page of the session refuses input from viewers who may only watch")
    ]
    control: bool
    guests: bool
    max_seconds: Annotated[int, Field(description="0 = until the session ends")]


class CandidateView(View):
    """A user to share a session with."""

    user_id: UUID
    username: str
    first_name: str
    last_name: str


class ShareLinkBody(Body):
    """The secret part of the link of a share."""

    token: Annotated[Secret, Field(description="part of the link after #")]


class InvitationView(View):
    """The session that a link leads to, before the caller joins."""

    share_id: str
    owner: str
    image_friendly_name: str
    access: Access
    audience: Audience
    expires: datetime | None
    needs_log_in: Annotated[bool, Field(description="true = the link is for users, who must log in first")]
    reason: Annotated[str | None, Field(description="reason why joining is not possible now, as a sentence")]


def _guest_name(name: str) -> str:
    if name and (problem := username_problem(name, what="name")):
        raise ValueError(problem)
    return name


class JoinBody(ShareLinkBody):
    """A request to join by a link.

    `name` is the name of a guest for the other viewers, who see it with `(guest)` after it.
    """

    name: Annotated[Text, StringConstraints(strip_whitespace=True, max_length=60), AfterValidator(_guest_name)] = ""


class ReturnBody(Body):
    """The return of a viewer who joined before."""

    session_token: Annotated[Secret, Field(description="token from the first join")]


class JoinedView(View):
    """The access of a viewer to the session."""

    viewer_id: UUID
    share_id: str
    session_id: UUID
    lease_id: LeaseId
    record: Record
    owner: str | None
    image_friendly_name: str
    name: str
    access: Access
    expires: datetime | None
    session_token: Annotated[str, Field(description="opens the stream for this viewer until the share ends")]
    frame_url: Annotated[str | None, Field(description="address for a frame; null = the session has no Agent yet")]
    websocket_path: Annotated[
        str | None, Field(description="RFB with authorization by Greenroom, at the host of frame_url")
    ]


class SharedWithMe(View):
    """A session that another user shares with the caller by name."""

    share_id: str
    session_id: UUID
    owner: str | None
    image_friendly_name: str
    access: Access
    expires: datetime | None
    connect_url: str


class AssistOrder(Body):
    """A request of an administrator to join and help; `silent` = the user of the session does not see it."""

    access: Access = "view"
    silent: bool = False
