"""The bodies of the lease routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from greenroom.api.bodies import Body, Name, Text, View
from greenroom.api.session.schemas import ConnectBody, Environment, web_address
from greenroom.core.lease import ControlHolder
from greenroom.core.named_secrets import MAX_SECRETS
from greenroom.core.recording.descriptions import RecordingMode

Seconds = Annotated[int, Field(ge=60, le=86400, description="duration from now, seconds")]
Word = Annotated[Name, Field(max_length=100)]
Tags = Annotated[
    list[Word] | dict[Word, Annotated[Text, Field(max_length=100)]],
    Field(max_length=20, description="words by which leases can be found: a list, or an object of name and word"),
]


class Egress(Body):
    """The only domains that a session may reach, including their subdomains."""

    allow: Annotated[list[Word], Field(min_length=1, max_length=100)]


class LeaseOptions(Body):
    """Options of the launch, with the same meaning as for other launches of sessions."""

    zone_id: Annotated[
        UUID | None, Field(description="zone of the session; needs the group setting allow_zone_selection")
    ] = None
    environment: Environment = {}
    kasm_url: Annotated[Text, AfterValidator(web_address), Field(description="address to open in the session")] = ""
    persistent_profile_mode: Annotated[
        Literal["Enabled", "Disabled", "Reset"] | None, Field(description="use of the user's persistent profile")
    ] = None
    secrets: Annotated[
        list[Word],
        Field(
            max_length=MAX_SECRETS,
            description="names of the secrets that the web filter adds to requests; needs `egress`",
        ),
    ] = []
    egress: Annotated[
        Literal["none"] | Egress | None,
        Field(
            description="hosts that the session may reach; the web filter must allow them; null = all that it allows"
        ),
    ] = None


class LeaseCreate(Body):
    """A lease: a session with a deadline, for a program."""

    workspace: Annotated[Name, Field(description="friendly name or image_id")]
    seconds: Seconds
    user_id: Annotated[
        Name | None,
        Field(description="user of the session, by id or username; null = the caller, or the owner of the API key"),
    ] = None
    options: LeaseOptions | None = None
    tags: Tags | None = None
    record: Annotated[
        RecordingMode, Field(description="recorded data; at least what the groups of the user require")
    ] = "none"
    record_text: Annotated[
        bool,
        Field(description="also record typed text, clipboard, addresses and complete commands, including passwords"),
    ] = False
    wait_s: Annotated[
        float,
        Field(
            ge=0,
            le=60,
            description="maximum wait until limits allow the lease and the session runs",
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
    holder: Annotated[str, Field(description="caller that requested it")]
    image_id: UUID
    image_friendly_name: str
    zone_name: str
    outcome: Annotated[Literal["staged", "on_demand"], Field(description="staged, or created on demand")]
    status: Annotated[str, Field(description="status of the session")]
    tags: Tags
    record: Annotated[RecordingMode, Field(description="recorded data")]
    record_text: bool
    secrets: Annotated[list[str], Field(description="names of the secrets that the web filter adds to requests")]
    created: datetime
    expires: Annotated[datetime | None, Field(description="deadline at which the session is deleted")]
    ended: datetime | None
    ended_reason: str | None


class ControlOrder(Body):
    """The new holder of control."""

    holder: Annotated[ControlHolder, Field(description="person = the caller takes control, program = return control")]
    term: Annotated[
        int | None,
        Field(ge=0, description="expected term of control; if control has another term, the request is refused"),
    ] = None


class ControlByToken(ConnectBody, ControlOrder):
    """The new holder of control. The parts of a connect address authorize the caller."""


class ControlChangeView(View):
    """One change of control."""

    term: int
    holder: ControlHolder
    since: datetime
    said: Annotated[str, Field(description="the change, as a sentence")]


class ControlView(View):
    """The control of a leased session."""

    lease_id: UUID
    session_id: UUID
    holder: ControlHolder
    term: Annotated[
        int,
        Field(description="number that grows with each change of control; orders with a lower number have no effect"),
    ]
    name: Annotated[str | None, Field(description="name of the person who has control")]
    until: Annotated[
        datetime | None, Field(description="time at which control returns to the program unless the person renews it")
    ]
    away_s: Annotated[float, Field(description="time for which a person has control without renewing it")]
    changes: Annotated[list[ControlChangeView], Field(description="newest 100 changes, oldest first")]


class LeaseUrlsView(View):
    """The addresses of the session; null = not available."""

    page: Annotated[str, Field(description="page of the session, for a person")]
    websocket: Annotated[str | None, Field(description="stream (RFB); null = the session has no Agent yet")]
    cdp: Annotated[str | None, Field(description="Chrome DevTools, with the token; null = not available")] = None
    webdriver: Annotated[str | None, Field(description="W3C WebDriver, with the token; null = not available")] = None
    mcp: Annotated[str | None, Field(description="Model Context Protocol, with the token as Bearer")] = None
    live: Annotated[
        str, Field(description="page on which a person who is logged in can watch, take control and return it")
    ]


class LeaseGranted(LeaseView):
    """A new lease, with its token and addresses."""

    token: Annotated[str, Field(description="Authorization: Bearer; valid for this lease until it ends")]
    urls: LeaseUrlsView
