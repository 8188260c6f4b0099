"""Optional parts of a runtime: the records that Agent replicas share, and all objects of an installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from greenroom.core.fleet.election import ElectionRecord
from greenroom.core.session.leftovers import RuntimeObject


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A stored record. Its version changes with each write."""

    content: bytes
    version: str


class ReplicaStore(Protocol):
    """The records of one group of Agent replicas. Calls raise `RuntimeUnavailable` if the store does not answer."""

    @property
    def place(self) -> str:
        """An id that is the same for all processes of the group and differs for each copy of it; known after `open`."""
        ...

    @property
    def name(self) -> str:
        """The name of the Agent, for logs and the console."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read_election_record(self) -> tuple[ElectionRecord | None, str | None]:
        """Return the record of the election and its version, or None for both."""
        ...

    async def write_election_record(self, record: ElectionRecord, version: str | None) -> str:
        """Replace the record that has `version` (None = create it); returns the new version. Raises ContainerConflict:
        another process replaced it first."""
        ...

    async def read(self, name: str) -> StoredRecord | None: ...

    async def write(self, name: str, content: bytes, version: str | None) -> str:
        """Replace the record `name`, like `write_election_record`."""
        ...


class InstallationObjects(Protocol):
    """The objects with the labels of one installation, for `greenroom doctor --repair`. Other objects are never listed
    or removed.
    """

    async def list(self) -> list[RuntimeObject]:
        """List the objects that one session, Agent or user owns, not those that the whole installation shares. Raises
        RuntimeUnavailable: the runtime does not answer."""
        ...

    async def remove(self, thing: RuntimeObject) -> None:
        """Remove the object with this `ref`. A missing object is no error.

        Raises:
            StartError: another object uses it.
            RuntimeUnavailable: the runtime does not answer.
        """
        ...
