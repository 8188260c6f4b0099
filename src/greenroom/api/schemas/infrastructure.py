"""Zones, Managers and Agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.schemas.base import Body, View
from greenroom.api.schemas.images import Bytes, Cores, Port
from greenroom.core.origins import parse_entry
from greenroom.core.specs import REQUEST_HOST


def _host(text: str) -> str:
    if text != REQUEST_HOST and parse_entry(text) is None:
        raise ValueError(f"{text!r} is neither host nor host:port")
    return text


def _hosts(text: str) -> str:
    return ",".join(_host(part.strip()) for part in text.split(","))


Hosts = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_hosts)]
Host = Annotated[str, StringConstraints(max_length=255), AfterValidator(_host)]
ZoneName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
PathName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
Strategy = Literal["Least Load", "Most Load", "Least Kasms", "Most Kasms"]


class ZoneView(View):
    """A zone."""

    zone_id: UUID
    zone_name: str
    allow_origin_domain: str
    upstream_auth_address: str
    load_balancing_strategy: str
    search_alternate_zones: bool
    proxy_connections: bool
    proxy_hostname: str
    proxy_path: str
    proxy_port: int
    num_managers: int
    num_agents: int
    num_sessions: int
    created: datetime


class ZonePatch(Body):
    """Changes of a zone; omitted fields stay."""

    zone_name: ZoneName = ""
    allow_origin_domain: Annotated[Hosts, Field(description="comma list of host or host:port")] = "$request_host$"
    upstream_auth_address: Annotated[Host, Field(description="host[:port], reachable from the Agent's host")] = (
        "$request_host$"
    )
    load_balancing_strategy: Strategy = "Least Load"
    search_alternate_zones: bool = True
    proxy_connections: bool = True
    proxy_hostname: Host = "$request_host$"
    proxy_path: PathName = "desktop"
    proxy_port: Port = 443


class ZoneCreate(ZonePatch):
    """A new zone."""

    zone_name: ZoneName = Field(...)


class ManagerView(View):
    """A Manager, as the page Managers shows it."""

    manager_id: UUID
    instance_id: str
    hostname: str
    version: str
    enabled: bool
    first_reported: datetime
    last_reported: datetime
    zone_id: UUID
    zone_name: str
    gateway_url: str
    status: Literal["running", "unknown"]
    is_primary: bool
    term: int


class ManagerPatch(Body):
    """Enable or disable a Manager."""

    enabled: bool


class ManagerChanged(ManagerView):
    """A Manager after a change, with a warning if nothing coordinates its zone now."""

    warning: str | None = None


class AgentView(View):
    """An Agent. Cores and memory (bytes) are what it offers, allocated what is reserved on it."""

    agent_id: UUID
    hostname: str
    zone_id: UUID
    zone_name: str
    status: Literal["pending", "running", "missing", "dead"]
    enabled: bool
    draining: bool
    manager_id: UUID | None
    manager_term: int
    registered: datetime
    last_reported: datetime | None
    cores: float
    memory: int
    cores_allocated: float
    memory_allocated: int
    cores_override: float | None
    memory_override: int | None
    sessions: int


class AgentPatch(Body):
    """Changes of an Agent; an override set to null counts what the host has."""

    enabled: bool = True
    draining: Annotated[bool, Field(description="no new sessions; the ones it has go on")] = False
    cores_override: Cores | None = None
    memory_override: Bytes | None = None


class JoinTokenCreate(Body):
    """A token with which new Agents of a zone register."""

    zone_id: UUID
    uses: Annotated[int, Field(ge=1, le=1000)] = 1
    hours: Annotated[int, Field(ge=1, le=24, description="valid for")] = 1


class JoinToken(View):
    """A new join token, shown this one time."""

    token: str
    zone_id: UUID
    uses: int
    expires: datetime
