"""The bodies of machine pools, of machine orders, and of the preview of their plan."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.bodies import Body, JsonObject, Shaped, Text, View
from greenroom.core.errors import Invalid
from greenroom.core.fleet.machines.demand import parse_hint, shown_hint
from greenroom.core.fleet.machines.provider import DEFAULT_EDGE_URL


def _line(text: str) -> str:
    try:
        return shown_hint(parse_hint(text))
    except Invalid as error:
        raise ValueError(error.message) from error


PoolName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Shaped(r"[a-z0-9][a-z0-9-]*", "small letters, digits and dashes"),
]
PROVIDER: Final = "who makes the machines: command, webhook, libcloud, simulated, or one of another package"
Provider = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Shaped(r"[a-z][a-z0-9_-]*", "the name of an installed provider"),
]
Line = Annotated[str, StringConstraints(max_length=200), AfterValidator(_line)]
Cores = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, description="of the host of one machine")]
Memory = Annotated[int, Field(gt=0, le=1 << 50, description="of one machine, bytes")]
StandbyCores = Annotated[
    float,
    Field(ge=0, le=1_000_000, allow_inf_nan=False, description="to be free in the zone, as sessions reserve them"),
]
StandbyMemory = Annotated[int, Field(ge=0, le=1 << 50, description="to be free in the zone, bytes")]
Address = Annotated[str, StringConstraints(max_length=300)]


class MachinePoolFields(Body):
    """The settings of a machine pool."""

    name: PoolName = ""
    enabled: Annotated[bool, Field(description="off: its machines go when their last session has ended")] = False
    provider: Annotated[Provider, Field(description=PROVIDER)] = "simulated"
    options: Annotated[JsonObject, Field(description="of the provider: program, url, or driver, size and image")] = {}
    secrets: Annotated[
        dict[Text, Text],
        Field(max_length=20, description="of the provider, all of them; never shown, and bound to where they go"),
    ] = {}
    cores: Cores = 0
    memory: Memory = 0
    min_machines: Annotated[int, Field(ge=0, le=1000, description="never fewer")] = 0
    max_machines: Annotated[int, Field(ge=0, le=1000, description="never more, those being released included")] = 1
    standby_cores: StandbyCores = 0
    standby_memory: StandbyMemory = 0
    idle_s: Annotated[
        float, Field(ge=0, le=86400, allow_inf_nan=False, description="surplus for so long before it drains, seconds")
    ] = 900
    order_deadline_s: Annotated[
        float, Field(ge=60, le=7200, allow_inf_nan=False, description="to join within, seconds")
    ] = 900
    schedule: Annotated[
        list[Line],
        Field(max_length=50, description="lines like Mon-Fri 08:00-18:00 Europe/Berlin machines=3 cores=16"),
    ] = []
    join_url: Annotated[Address, Field(description="where machines reach this deployment; empty = its public_url")] = ""
    edge_url: Annotated[
        Address, Field(description="of a machine's edge gateway; {address} and {hostname} are the machine's")
    ] = DEFAULT_EDGE_URL


class MachinePoolPatch(MachinePoolFields):
    """Changes of a machine pool; omitted fields keep their values.

    While it has machines, its provider cannot change.
    """

    approved: Annotated[
        bool,
        Field(description="machines that it orders from now on are enabled as they join; needs `agents_create` too"),
    ] = False


class MachinePoolCreate(MachinePoolFields):
    """A new machine pool.

    It orders nothing until it is enabled. It is approved if the caller has `agents_create` and `agents_modify`.
    """

    name: PoolName = Field(...)
    zone_id: UUID
    provider: Annotated[Provider, Field(description=PROVIDER)] = Field(...)
    cores: Cores = Field(...)
    memory: Memory = Field(...)


class MachinePoolView(View):
    """A machine pool with its machines, and the sentence of its plan."""

    machine_pool_id: UUID
    name: str
    zone_id: UUID
    zone_name: str
    enabled: bool
    deleted: Annotated[datetime | None, Field(description="it goes when its last machine is gone")]
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
        str, Field(description="who answers for its machines; empty = an administrator enables each of their Agents")
    ]
    joined: int
    coming: int
    draining: int
    releasing: int
    last_error: Annotated[str, Field(description="the last failure of an order or of the provider; empty = none")]
    next_try: Annotated[datetime | None, Field(description="nothing is ordered before, after failures")]
    next_call: Annotated[datetime | None, Field(description="the provider is not called before, after failures")]
    listed: Annotated[datetime | None, Field(description="when the provider last showed its machines")]
    created: datetime


class PlannedAction(View):
    """An action that the plan would take now, with its reason."""

    action: Literal["order", "take back", "drain", "release"]
    machine: Annotated[str | None, Field(description="hostname or order; null for a new machine")]
    reason: str


class MachinePreview(View):
    """The orders, returns to use, drains and releases of the plan now, if the pool were enabled. Nothing is done."""

    sentence: str
    actions: list[PlannedAction]
