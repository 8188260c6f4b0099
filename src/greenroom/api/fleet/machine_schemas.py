"""The bodies of machine pools, and of the preview of their next actions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.bodies import Body, JsonObject, MatchesPattern, Text, View
from greenroom.core.errors import Invalid
from greenroom.core.fleet.machines.model import format_schedule_entry, parse_schedule_entry
from greenroom.core.fleet.machines.provider import DEFAULT_EDGE_URL


def _schedule_line(text: str) -> str:
    try:
        return format_schedule_entry(parse_schedule_entry(text))
    except Invalid as error:
        raise ValueError(error.message) from error


PoolName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    MatchesPattern(r"[a-z0-9][a-z0-9-]*", "small letters, digits and dashes"),
]
PROVIDER_TEXT: Final = (
    "provider of the machines: command, webhook, libcloud, simulated, or a provider of another package"
)
Provider = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    MatchesPattern(r"[a-z][a-z0-9_-]*", "the name of an installed provider"),
]
ScheduleLine = Annotated[str, StringConstraints(max_length=200), AfterValidator(_schedule_line)]
Cores = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, description="cores of one machine")]
Memory = Annotated[int, Field(gt=0, le=1 << 50, description="memory of one machine, bytes")]
StandbyCores = Annotated[
    float,
    Field(ge=0, le=1_000_000, allow_inf_nan=False, description="cores of the zone to keep free for new sessions"),
]
StandbyMemory = Annotated[
    int, Field(ge=0, le=1 << 50, description="memory of the zone to keep free for new sessions, bytes")
]
Address = Annotated[str, StringConstraints(max_length=300)]


class MachinePoolFields(Body):
    """The settings of a machine pool."""

    name: PoolName = ""
    enabled: Annotated[bool, Field(description="off: its machines are released after their last session")] = False
    provider: Annotated[Provider, Field(description=PROVIDER_TEXT)] = "simulated"
    options: Annotated[
        JsonObject, Field(description="options of the provider: program, url, or driver, size and image")
    ] = {}
    secrets: Annotated[
        dict[Text, Text],
        Field(
            max_length=20,
            description="all secrets of the provider; never returned, and bound to the address to which they are sent",
        ),
    ] = {}
    cores: Cores = 0
    memory: Memory = 0
    min_machines: Annotated[int, Field(ge=0, le=1000, description="minimum number of machines")] = 0
    max_machines: Annotated[
        int, Field(ge=0, le=1000, description="maximum number of machines, including machines that are being released")
    ] = 1
    standby_cores: StandbyCores = 0
    standby_memory: StandbyMemory = 0
    idle_s: Annotated[
        float,
        Field(
            ge=0,
            le=86400,
            allow_inf_nan=False,
            description="time for which a machine is unneeded before it drains, seconds",
        ),
    ] = 900
    order_deadline_s: Annotated[
        float, Field(ge=60, le=7200, allow_inf_nan=False, description="maximum time until a machine joins, seconds")
    ] = 900
    schedule: Annotated[
        list[ScheduleLine],
        Field(max_length=50, description="lines such as Mon-Fri 08:00-18:00 Europe/Berlin machines=3 cores=16"),
    ] = []
    join_url: Annotated[Address, Field(description="address of this deployment for machines; empty = public_url")] = ""
    edge_url: Annotated[
        Address,
        Field(
            description="address of the edge gateway of a machine; {address} and {hostname} are replaced"
            " with those of the machine"
        ),
    ] = DEFAULT_EDGE_URL


class MachinePoolPatch(MachinePoolFields):
    """Changes of a machine pool; omitted fields keep their values.

    While it has machines, its provider cannot change.
    """

    approved: Annotated[
        bool,
        Field(description="enable the Agents of new orders when they join; needs `agents_create` and `agents_modify`"),
    ] = False


class MachinePoolCreate(MachinePoolFields):
    """A new machine pool.

    It orders nothing until it is enabled. It is approved if the caller has `agents_create` and `agents_modify`.
    """

    name: PoolName = Field(...)
    zone_id: UUID
    provider: Annotated[Provider, Field(description=PROVIDER_TEXT)] = Field(...)
    cores: Cores = Field(...)
    memory: Memory = Field(...)


class MachinePoolView(View):
    """A machine pool, with the number of its machines in each state."""

    machine_pool_id: UUID
    name: str
    zone_id: UUID
    zone_name: str
    enabled: bool
    deleted: Annotated[
        datetime | None, Field(description="time of the deletion; the pool is removed with its last machine")
    ]
    provider: str
    options: dict[str, Any]
    secret_names: list[str]
    cores: float
    memory: int
    min_machines: int
    max_machines: int
    standby_cores: float
    standby_memory: int
    idle_s: float
    order_deadline_s: float
    schedule: list[str]
    join_url: str
    edge_url: str
    approved_by: Annotated[
        str, Field(description="user who approved the pool; empty = an administrator enables each Agent")
    ]
    joined: int
    coming: int
    draining: int
    releasing: int
    last_error: Annotated[str, Field(description="last failure of an order or of the provider; empty = none")]
    next_try: Annotated[datetime | None, Field(description="earliest time of the next order after failures")]
    next_call: Annotated[
        datetime | None, Field(description="earliest time of the next request to the provider after failures")
    ]
    listed: Annotated[datetime | None, Field(description="time of the provider's last list of machines")]
    created: datetime


class PlannedAction(View):
    """An action that Greenroom would take now, with its reason."""

    action: Literal["order", "take back", "drain", "release"]
    machine: Annotated[str | None, Field(description="hostname or order; null = a new machine")]
    reason: str


class MachinePreview(View):
    """The actions that Greenroom would take now if the pool were enabled. Nothing is changed."""

    sentence: str
    actions: list[PlannedAction]
