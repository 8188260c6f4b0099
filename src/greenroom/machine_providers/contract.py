"""The interface of a machine provider: list machines, create a machine, end a machine.

Greenroom identifies the machines of a pool by their names (`core.fleet.machines.provider`), so that it never changes
other machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from greenroom.core.errors import GreenroomError


class ProviderError(GreenroomError):
    """A call of the provider failed. `refused`: the provider reports that it created no machine; otherwise a new
    machine may exist.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0, refused: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.refused = refused


@dataclass(frozen=True, slots=True)
class ProviderMachine:
    """A machine that the provider lists: `ref` is the id at the provider, `name` the name that Greenroom chose."""

    ref: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMachine:
    """A machine to be created, with its cores and its memory in bytes. The machine runs the script `user_data` at its
    first start. `join` contains the data in this script, for programs that start an Agent in another way."""

    name: str
    cores: float
    memory: int
    user_data: str = field(repr=False)
    join: JoinData


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinData:
    """The data with which a machine joins a zone (`core.fleet.machines.provider.JoinParameters`)."""

    url: str
    token: str = field(repr=False)
    ca_sha256: str
    edge_url: str
    zone: str


class Provider(Protocol):
    """A machine provider. Calls raise ProviderError. The caller limits the time of each call."""

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        """Return all machines whose names begin with `prefix`, including machines that are being created. Ended
        machines must be omitted. Machines with other names may be included."""
        ...

    async def create(self, machine: NewMachine) -> str:
        """Begin to create a machine, and return its id at the provider. If the provider can find machines by name, a
        repeated call with the same name creates no second machine."""
        ...

    async def end(self, ref: str, name: str) -> None:
        """Begin to end a machine. If the machine does not exist, the call succeeds."""
        ...
