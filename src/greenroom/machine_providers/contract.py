"""What a provider of machines can do: show them, create one, end one.

A provider knows nothing of orders but the name of the machine. It shows all machines it has, or those whose names begin
with `prefix`; which of them are this pool's is decided by their names (`core.fleet.machines.provider`), so a machine of
others is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from greenroom.core.errors import GreenroomError


class ProviderError(GreenroomError):
    """The provider did not do what it was asked; its words are in the sentence. `refused`: it says that it made no
    machine; otherwise one may still appear.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0, refused: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Shown:
    """A machine as its provider shows it: the provider's name of it, and ours."""

    ref: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMachine:
    """A machine to be created. Cores are those of the host, memory is bytes. `user_data` is run at its first start;
    `join` has the same in parts, for programs that start an Agent otherwise.
    """

    name: str
    cores: float
    memory: int
    user_data: str = field(repr=False)
    join: JoinParts


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinParts:
    """How the machine joins."""

    url: str
    token: str = field(repr=False)
    ca_sha256: str
    edge_url: str
    zone: str


class Provider(Protocol):
    """Calls raise ProviderError; their caller limits their time."""

    async def list(self, prefix: str) -> Sequence[Shown]:
        """All machines whose names begin with `prefix`, those being created as well and none that has ended; others
        may be among them.
        """
        ...

    async def create(self, machine: NewMachine) -> str:
        """Begin to create a machine; returns the provider's name of it. Asked again for a machine there is, it makes
        no second one, if the provider knows it by its name.
        """
        ...

    async def end(self, ref: str, name: str) -> None:
        """Begin to end a machine; one that is gone is none to complain about."""
        ...
