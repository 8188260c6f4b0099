"""Joining: tokens, what a newcomer asks and is told, gateways on hosts of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from greenroom.api.schemas.base import Body, Shaped, View

Role = Literal["agent", "gateway"]
TokenText = Annotated[str, StringConstraints(min_length=1, max_length=255)]
HostName = Annotated[str, StringConstraints(max_length=255), Shaped(r"[ -~]*", "of ASCII characters alone")]


class JoinTokenCreate(Body):
    """A token with which newcomers of one role join one zone."""

    zone_id: UUID
    role: Annotated[Role, Field(description="what joins: an Agent, or a web gateway on a host of its own")] = "agent"
    uses: Annotated[int, Field(ge=1, le=1000)] = 1
    hours: Annotated[int, Field(ge=1, le=24, description="valid for")] = 1
    agent_id: Annotated[UUID | None, Field(description="a known Agent that is to join again, and no other")] = None
    enable_agent: Annotated[
        bool, Field(description="new Agents are enabled at once, without an administrator; needs agents_modify, too")
    ] = False


class JoinTokenView(View):
    """A join token; the token itself is shown once, when it is made."""

    join_token_id: UUID
    role: Role
    zone_id: UUID
    zone_name: str
    agent_id: Annotated[UUID | None, Field(description="the one Agent that it lets join again")]
    agent_hostname: str | None
    enable_agent: bool
    status: Literal["open", "used up", "expired", "revoked"]
    used: Annotated[int, Field(description="how many joined with it")]
    uses_left: int
    created: datetime
    created_by: str
    expires: datetime


class JoinToken(JoinTokenView):
    """A new join token, shown this one time."""

    token: str
    uses: int
    join_command: Annotated[str, Field(description="to be run as root on the new host, where Greenroom is installed")]


class JoinAgent(Body):
    """An Agent that is about to join asks where; nothing is used up."""

    token: TokenText
    hostname: HostName = ""
    agent_id: UUID | None = None


class JoinPlace(View):
    """Where the Agent registers: addresses of Managers' gateways, those that run first."""

    zone_id: UUID
    zone_name: str
    manager_urls: list[str]
    public_url: Annotated[str, Field(description="origin of the console, which frames streams")]


class JoinGateway(Body):
    """A web gateway joins with the id it made for itself."""

    token: TokenText
    hostname: HostName = ""
    gateway_id: UUID


class JoinedGateway(View):
    """The gateway's credential, shown this one time."""

    gateway_id: UUID
    credential: str
    zone_id: UUID
    zone_name: str
    public_url: str
    stream_url: str


class GatewayView(View):
    """A web gateway on a host of its own."""

    gateway_id: UUID
    hostname: str
    zone_id: UUID
    zone_name: str
    registered: datetime
    last_reported: datetime | None
