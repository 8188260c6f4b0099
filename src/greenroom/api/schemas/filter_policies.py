"""Web filter policies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.schemas.base import Body, Shaped, Text, View
from greenroom.core.errors import Invalid
from greenroom.core.web_filter import MAX_DOMAINS, domain

Action = Literal["allow", "deny"]


def _domain(text: str) -> str:
    try:
        return domain(text)
    except Invalid as error:
        raise ValueError(error.message) from error


def _each_once(names: list[str]) -> list[str]:
    return sorted(set(names))


PolicyName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    Shaped(r"[^\x00-\x1f\x7f]+", "one line without control characters"),
]
Domains = Annotated[
    list[Annotated[str, AfterValidator(_domain)]], Field(max_length=MAX_DOMAINS), AfterValidator(_each_once)
]


class FilterPolicyView(View):
    """A web filter policy, with how many workspaces, groups and sessions use it."""

    filter_policy_id: UUID
    name: str
    description: str
    default_action: Action
    allow: list[str]
    deny: list[str]
    num_images: int
    num_groups: int
    num_sessions: int
    created: datetime


class FilterPolicyFields(Body):
    """What can be set of a policy besides its name. Of several domains that a host belongs to the longest decides."""

    description: Text = ""
    default_action: Annotated[Action, Field(description="what happens to hosts that no list names")] = "deny"
    allow: Annotated[Domains, Field(description="domains that are open, each with everything below it")] = []
    deny: Annotated[Domains, Field(description="domains that are blocked, each with everything below it")] = []


class FilterPolicyPatch(FilterPolicyFields):
    """Changes of a policy; omitted fields stay. They hold for running sessions, too."""

    name: PolicyName = ""


class FilterPolicyCreate(FilterPolicyFields):
    """A new policy."""

    name: PolicyName


class FilterDecisionView(View):
    """What a policy says about a host; names that resolve to private addresses are refused in any case."""

    host: str
    port: int
    action: Action
    reason: str
