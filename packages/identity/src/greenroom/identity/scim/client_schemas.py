"""The bodies of requests and answers about SCIM clients. Only two answers contain a token: creation and rotation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from greenroom.api.access.schemas import Time
from greenroom.api.bodies import Body, Name, View
from greenroom.identity.scim.statements import ScimClient, SubjectAttribute

ClientName = Annotated[Name, Field(max_length=100, description="name of the SCIM client, such as its provider")]
ProviderId = Annotated[
    UUID | None,
    Field(description="sign-on provider at which the users log in; null = the client links no identities"),
]
Subject = Annotated[SubjectAttribute, Field(description="attribute with the subject of a user at the sign-on provider")]
Enabled = Annotated[bool, Field(description="off: the token is refused; the users and groups remain")]
Expires = Annotated[Time | None, Field(description="time at which the token ends; null = never")]
OldUntil = Annotated[datetime | None, Field(description="end of the overlap in which the former token is valid")]
Token = Annotated[str, Field(description="token of the client; it is returned only once")]


class ScimClientCreate(Body):
    """A new SCIM client."""

    name: ClientName
    provider_id: ProviderId = None
    subject_attribute: Subject = "externalId"
    enabled: Enabled = True
    expires: Expires = None


class ScimClientPatch(Body):
    """Changes of a SCIM client; omitted fields keep their values."""

    name: ClientName = ""
    provider_id: ProviderId = None
    subject_attribute: Subject = "externalId"
    enabled: Enabled = True
    expires: Expires = None


class ScimClientView(View, row=ScimClient, without={"created_by", "needs_touch", "issuer", "valid"}):
    """A SCIM client, without its token."""

    client_id: UUID
    provider_id: ProviderId
    owner: Annotated[str | None, Field(description="user who created the client")]
    last_used: Annotated[datetime | None, Field(description="last request of the client, to the minute")]
    old_until: OldUntil
    base_url: Annotated[str, Field(description="address of the SCIM server for this installation")]


class ScimClientCreated(ScimClientView):
    """A new SCIM client with its token."""

    token: Token


class ScimToken(View):
    """A new token."""

    token: Token
    old_until: OldUntil
