"""The bodies of requests and answers about zones, Managers and Agents, and about hosts that join."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.bodies import Body, MatchesPattern, View
from greenroom.api.workspace.schemas import ImageProgressView, Port
from greenroom.core.fleet.addresses import host_problem
from greenroom.core.fleet.liveness import Closed, ClosedCode
from greenroom.core.session.streams import RESERVED_PATHS
from greenroom.core.workspace.spec_builder import REQUEST_HOST
from greenroom.db.fleet.managers import ListedManager
from greenroom.db.fleet.views import AgentRow, StoredRefusal
from greenroom.db.fleet.zones import ListedZone


def _checked_address(text: str) -> str:
    if text != REQUEST_HOST and (problem := host_problem(text)):
        raise ValueError(f"{text!r} {problem}")
    return text


def _checked_addresses(text: str) -> str:
    return ",".join(_checked_address(part.strip()) for part in text.split(","))


def _checked_host(text: str) -> str:
    if text != REQUEST_HOST and (problem := host_problem(text, with_port=False)):
        raise ValueError(f"{text!r} {problem}")
    return text


def _checked_path(text: str) -> str:
    if text.lower() in RESERVED_PATHS:
        raise ValueError(f"{text!r} is an address of the console or the API; choose another word")
    return text


Addresses = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_checked_addresses)]
Address = Annotated[str, StringConstraints(max_length=255), AfterValidator(_checked_address)]
Host = Annotated[str, StringConstraints(max_length=255), AfterValidator(_checked_host)]
ZoneName = Annotated[
    str,
    MatchesPattern(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
        "1 to 63 letters, digits, '_', '.' and '-', with a letter or digit at its beginning",
    ),
]
PathName = Annotated[
    str,
    MatchesPattern(
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}",
        "one word of 1 to 63 letters, digits, '_' and '-', with a letter or digit at its beginning",
    ),
    AfterValidator(_checked_path),
]
Strategy = Annotated[
    Literal["Least Load", "Most Load", "Least Kasms", "Most Kasms"],
    Field(description="method by which an Agent is chosen"),
]


class ZoneView(View, row=ListedZone, without={"zone_key"}):
    """A zone."""

    zone_id: UUID


class ZoneChanged(ZoneView):
    """A zone after a change, with a warning if nothing can be staged there."""

    warning: str | None


class ZonePatch(Body):
    """Changes of a zone; omitted fields keep their values."""

    zone_name: ZoneName = ""
    allow_origin_domain: Annotated[
        Addresses, Field(description="hosts whose pages may open streams: host or host:port, separated by commas")
    ] = REQUEST_HOST
    upstream_auth_address: Annotated[
        Address, Field(description="host[:port] at which hosts of Agents check whether a stream may be opened")
    ] = REQUEST_HOST
    load_balancing_strategy: Strategy = "Least Load"
    search_alternate_zones: Annotated[
        bool, Field(description="search other zones if this zone cannot serve a launch")
    ] = True
    proxy_connections: Annotated[
        bool,
        Field(description="on: browsers reach streams through the web gateway; off: at Proxy Hostname and Proxy Port"),
    ] = True
    proxy_hostname: Annotated[
        Host, Field(description="host of streams without Proxy Connections; must be of the same site as the console")
    ] = REQUEST_HOST
    proxy_path: Annotated[PathName, Field(description="first part of the path of streams")] = "desktop"
    proxy_port: Annotated[Port, Field(description="port of streams without Proxy Connections")] = 443


class ZoneCreate(ZonePatch):
    """A new zone."""

    zone_name: ZoneName = Field(...)


CrashLooping = Annotated[bool, Field(description="true = it started at least three times within five minutes")]


class ManagerView(View, row=ListedManager, without={"crash_loop"}):
    """A Manager of a zone."""

    manager_id: UUID
    hostname: str
    first_reported: datetime
    last_reported: datetime
    zone_id: UUID
    status_reason: Annotated[str | None, Field(description="problem of the Manager, as a sentence")]
    crash_looping: CrashLooping


class ManagerPatch(Body):
    """A request to enable or disable a Manager."""

    enabled: bool


class ManagerChanged(ManagerView):
    """A Manager after a change, with a warning if no Manager coordinates its zone now."""

    warning: str | None = None


class AgentImage(ImageProgressView):
    """The image of a workspace on an Agent."""

    name: str
    error: Annotated[str, Field(description="reason of the last failure, as the container daemon reports it")]
    updated: datetime


class AgentRefusal(View, row=StoredRefusal):
    """The last refusal of a host that used the id of an Agent."""

    address: Annotated[str, Field(description="client address, as the gateway reports it")]


class ClosedView(View, row=Closed):
    """Why an Agent takes no new sessions."""

    code: Annotated[
        ClosedCode, Field(description="`status` = it does not run; `runtime` = its runtime does not answer")
    ]


class AgentView(
    View,
    row=AgentRow,
    without={"stored_status", "runtime_error", "crash_loop", "check_in_refused", "silent_s", "has_manager", "disk"},
):
    """An Agent. Cores and memory (bytes) are its capacity; sessions reserve the allocated amounts."""

    agent_id: UUID
    zone_id: UUID
    status: Literal["pending", "running", "missing", "dead"]
    status_reason: Annotated[
        str | None, Field(description="problem of the Agent, e.g. that Docker does not respond on its host")
    ]
    closed: Annotated[
        ClosedView | None, Field(description="why it takes no new sessions; null = it takes them, if it has room")
    ]
    crash_looping: CrashLooping
    disk_free: Annotated[int | None, Field(description="free disk of the host, bytes; null = not reported")]
    disk_kept: Annotated[int, Field(description="disk that must stay free for the host, bytes")]
    disk_inodes_free: Annotated[
        float | None, Field(description="free inodes of the disk, 0 to 1; null = not reported or not limited")
    ]
    manager_id: UUID | None
    manager_instance_id: Annotated[str | None, Field(description="instance id of the Manager to which it reports")]
    cores_reported: Annotated[float, Field(description="cores of the host, without overcommit and override")]
    memory_reported: Annotated[int, Field(description="memory of the host, bytes, without the override")]
    cpu_used: Annotated[float | None, Field(description="load of the host at the last check-in; 1 = all cores")]
    memory_used: Annotated[int | None, Field(description="used memory of the host at the last check-in, bytes")]
    simulated: Annotated[
        bool | None, Field(description="true = its sessions have no containers; null = before its first check-in")
    ]
    edge_url: Annotated[str, Field(description="address of its edge gateway; empty = none")]
    edge_url_requested: Annotated[
        str | None,
        Field(description="other address that it reports, not used until it is confirmed; null = none"),
    ]
    credential_revoked: Annotated[bool, Field(description="true = it must join again with a token for this Agent")]
    refused: Annotated[
        AgentRefusal | None, Field(description="last refusal of a host with this id; null = none since it last joined")
    ]
    images: Annotated[
        list[AgentImage], Field(description="images of workspaces; other images on the host are not listed")
    ]


class AgentPatch(Body):
    """Changes of an Agent. If an override is null or 0, the capacity of the host applies.

    An override may be lower than the reserved amount: running sessions continue, and new sessions wait until the
    reserved amount decreases.
    """

    enabled: Annotated[bool, Field(description="off: no new sessions")] = True
    draining: Annotated[bool, Field(description="no new sessions; running sessions continue")] = False
    cores_override: Annotated[
        Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] | None,
        Field(description="CPU cores for sessions; null = those of the host"),
    ] = None
    memory_override: Annotated[
        Annotated[int, Field(ge=0, le=1 << 50)] | None,
        Field(description="memory for sessions, bytes; null = that of the host"),
    ] = None
    edge_url: Annotated[
        str,
        Field(
            max_length=300,
            description="address of its edge gateway; send the value of edge_url_requested to confirm that address, or"
            " the value of edge_url to decline it",
        ),
    ] = ""


Role = Literal["agent", "gateway"]
TokenText = Annotated[str, StringConstraints(min_length=1, max_length=255)]
HostName = Annotated[str, StringConstraints(max_length=255), MatchesPattern(r"[ -~]*", "of ASCII characters only")]


class JoinTokenCreate(Body):
    """A token with which hosts of one role join one zone."""

    zone_id: UUID
    role: Annotated[Role, Field(description="role that joins: an Agent, or a web gateway on a separate host")] = "agent"
    uses: Annotated[int, Field(ge=1, le=1000, description="number of hosts that can join with it")] = 1
    hours: Annotated[int, Field(ge=1, le=24, description="validity, hours")] = 1
    agent_id: Annotated[
        UUID | None, Field(description="known Agent that joins again; the token is only for this Agent")
    ] = None
    enable_agent: Annotated[bool, Field(description="new Agents are enabled immediately; needs agents_modify, too")] = (
        False
    )


class JoinAgent(Body):
    """A request of an Agent, before it joins, for the addresses at which it registers. It does not use up the token."""

    token: TokenText
    hostname: HostName = ""
    agent_id: UUID | None = None


class JoinAddresses(View):
    """The zone of the join token, and the addresses of the gateways of its Managers, running Managers first."""

    zone_id: UUID
    zone_name: str
    manager_urls: list[str]
    public_url: Annotated[str, Field(description="origin of the console, whose pages contain the streams")]


class JoinGateway(Body):
    """A request of a web gateway to join, with the id that it generated."""

    token: TokenText
    hostname: HostName = ""
    gateway_id: UUID


class JoinedGateway(View):
    """The credential of the gateway, returned only once."""

    gateway_id: UUID
    credential: str
    zone_id: UUID
    zone_name: str
    public_url: str
    stream_url: str
