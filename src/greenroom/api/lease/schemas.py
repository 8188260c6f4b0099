"""The bodies of the lease routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from greenroom.api.bodies import Body, Name, Text, View
from greenroom.api.session.schemas import ConnectBody, Environment, web_address
from greenroom.core.lease import Holder
from greenroom.core.named_secrets import MAX_SECRETS
from greenroom.core.recording.described import Mode

Seconds = Annotated[int, Field(ge=60, le=86400, description="how long it lasts, from now")]
Word = Annotated[Name, Field(max_length=100)]
Tags = Annotated[
    list[Word] | dict[Word, Annotated[Text, Field(max_length=100)]],
    Field(max_length=20, description="words to find leases by, plain or with names"),
]


class Egress(Body):
    """The only domains that a session may reach, including their subdomains."""

    allow: Annotated[list[Word], Field(min_length=1, max_length=100)]


class LeaseOptions(Body):
    """Options of the launch, with the same meaning as for other launches of sessions."""

    zone_id: Annotated[UUID | None, Field(description="counts where the user may choose (allow_zone_selection)")] = None
    environment: Environment = {}
    kasm_url: Annotated[Text, AfterValidator(web_address), Field(description="opened in the session")] = ""
    persistent_profile_mode: Annotated[
        Literal["Enabled", "Disabled", "Reset"] | None, Field(description="what becomes of the user's profile")
    ] = None
    secrets: Annotated[
        list[Word],
        Field(max_length=MAX_SECRETS, description="names of secrets that its web filter adds; needs `egress`"),
    ] = []
    egress: Annotated[
        Literal["none"] | Egress | None,
        Field(description="what the session may reach, no more than its user may; null = as its user"),
    ] = None


class LeaseCreate(Body):
    """A lease: a session with a deadline, for a program."""

    workspace: Annotated[Name, Field(description="its friendly name, or its image_id")]
    seconds: Seconds
    user_id: Annotated[
        Name | None,
        Field(description="whose session it is, by id or user name; null = the caller's, for an API key its owner's"),
    ] = None
    options: LeaseOptions | None = None
    tags: Tags | None = None
    record: Annotated[
        Mode, Field(description="what is kept of what is done with it; no less than the user's groups say")
    ] = "none"
    record_text: Annotated[
        bool,
        Field(description="also what is typed, copied and opened, and whole commands: passwords, too"),
    ] = False
    wait_s: Annotated[
        float,
        Field(
            ge=0,
            le=60,
            description="wait so long until a limit allows it and the session runs",
        ),
    ] = 0


class LeaseExtension(Body):
    """A new deadline."""

    seconds: Seconds


class LeaseView(View):
    """A lease, and the status of its session."""

    lease_id: UUID
    session_id: UUID
    user_id: UUID | None
    username: str | None
    holder: Annotated[str, Field(description="who asked for it")]
    image_id: UUID
    image_friendly_name: str
    zone_name: str
    outcome: Annotated[Literal["staged", "on_demand"], Field(description="where the session came from")]
    status: Annotated[str, Field(description="of the session")]
    tags: Tags
    record: Annotated[Mode, Field(description="what is kept of what is done with it")]
    record_text: bool
    secrets: Annotated[list[str], Field(description="names of those that its web filter adds to requests")]
    created: datetime
    expires: Annotated[datetime | None, Field(description="the deadline: then the session is deleted")]
    ended: datetime | None
    ended_reason: str | None


class ControlOrder(Body):
    """The new holder of control."""

    holder: Annotated[Holder, Field(description="person = the caller, program = hand back")]
    term: Annotated[
        int | None,
        Field(ge=0, description="only if this is the term still: so a person who has control keeps it"),
    ] = None


class ControlByToken(ConnectBody, ControlOrder):
    """The new holder of control, from a caller with a connect address."""


class ControlChangeView(View):
    """One change of control."""

    term: int
    holder: Holder
    since: datetime
    said: Annotated[str, Field(description="who did what, as a sentence")]


class ControlView(View):
    """The control of a leased session."""

    lease_id: UUID
    session_id: UUID
    holder: Holder
    term: Annotated[int, Field(description="grows with each change of hands; an order of an earlier one does nothing")]
    name: Annotated[str | None, Field(description="of the person who has control")]
    until: Annotated[datetime | None, Field(description="when it is the program's again, unless they renew it")]
    away_s: Annotated[float, Field(description="how long a person keeps control without renewing it")]
    changes: Annotated[list[ControlChangeView], Field(description="the newest 100, oldest first")]


class LeaseUrls(View):
    """The addresses of the session; null = not offered."""

    page: Annotated[str, Field(description="the page of the session, for a person")]
    websocket: Annotated[str | None, Field(description="its stream (RFB); null while it has no Agent")]
    cdp: Annotated[str | None, Field(description="Chrome DevTools, with the token; null = there are none")] = None
    webdriver: Annotated[str | None, Field(description="W3C WebDriver, with the token; null as above")] = None
    mcp: Annotated[str | None, Field(description="Model Context Protocol, with the token as Bearer")] = None
    live: Annotated[str, Field(description="where a person watches, takes over and hands back, with a log-in")]


class LeaseGranted(LeaseView):
    """A new lease, with its token and addresses."""

    token: Annotated[str, Field(description="Authorization: Bearer, for this lease alone, until it is over")]
    urls: LeaseUrls
