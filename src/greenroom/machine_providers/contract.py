"""The interface of a provider of machines: list machines, create a machine, end a machine.

A provider gets only the name of a machine, not its order. It lists all its machines, or those whose names begin with
`prefix`. Greenroom identifies the machines of a pool by their names (`core.fleet.machines.provider`), so it never
changes other machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from greenroom.core.errors import GreenroomError


class ProviderError(GreenroomError):
    """The provider did not complete a call; the message contains the text of the provider. `refused`: the provider
    reports that it created no machine; otherwise a machine may still appear.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0, refused: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.refused = refused


@dataclass(frozen=True, slots=True)
class ProviderMachine:
    """A machine in the list of its provider: the provider's reference to it, and its name in Greenroom."""

    ref: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMachine:
    """A machine to be created. Cores are those of the host, memory is in bytes. `user_data` is run at its first start;
    `join` has the same data in parts, for programs that start an Agent in another way.
    """

    name: str
    cores: float
    memory: int
    user_data: str = field(repr=False)
    join: JoinParts


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinParts:
    """The data with which the machine joins."""

    url: str
    token: str = field(repr=False)
    ca_sha256: str
    edge_url: str
    zone: str


class Provider(Protocol):
    """A provider of machines. Calls raise ProviderError; their caller limits their time."""

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        """Return all machines whose names begin with `prefix`, including machines that are being created, but no
        machine that has ended. The result may include other machines.
        """
        ...

    async def create(self, machine: NewMachine) -> str:
        """Begin to create a machine, and return the provider's reference to it. A repeated call for an existing machine
        creates no second machine, if the provider can identify it by its name.
        """
        ...

    async def end(self, ref: str, name: str) -> None:
        """Begin to end a machine. A machine that no longer exists is no error."""
        ...
