"""The bodies of requests and answers about service accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from greenroom.api.access.schemas import MembershipView, Time, Username
from greenroom.api.bodies import Body, Line, Text, View
from greenroom.core.access.networks import MAX_NETWORKS, normal_network
from greenroom.db.access.service_accounts import ServiceAccount

AccountName = Annotated[Username, Field(description="name; users and service accounts have different names")]
Contact = Annotated[Line, Field(description="who is responsible for the program")]
Expires = Annotated[Time | None, Field(description="time at which its keys and leases end; null = never")]
Networks = Annotated[
    list[Annotated[str, Field(max_length=64), AfterValidator(normal_network)]],
    Field(
        max_length=MAX_NETWORKS,
        description="networks from which its keys may be used, such as 10.1.0.0/16; empty = from anywhere",
    ),
]
GroupIds = Annotated[list[UUID], Field(description="in addition to All Users; they give its permissions")]


class ServiceAccountView(View, row=ServiceAccount):
    """A service account. `expired`: its time is over, so its keys are refused."""

    service_account_id: Annotated[UUID, Field(description="also the id of its user")]
    groups: list[MembershipView]
    last_used: Annotated[datetime | None, Field(description="last use of one of its API keys")]


class ServiceAccountCreate(Body):
    """A new service account, with no more permissions than the caller has."""

    name: AccountName
    description: Text = ""
    contact: Contact = ""
    enabled: Annotated[bool, Field(description="off: its keys are refused, and its leases end")] = True
    expires: Expires = None
    networks: Networks = []
    groups: GroupIds = []


class ServiceAccountPatch(ServiceAccountCreate):
    """Changes of a service account; omitted fields keep their values. `groups` is the whole list."""

    name: AccountName = ""
