"""Optional parts of a runtime: the store that Agent replicas share, and the list of an installation's objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from greenroom.core.fleet.election import ElectionRecord
from greenroom.core.session.leftovers import RuntimeObject


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record. Its version changes with each write."""

    content: bytes
    version: str


class ReplicaStore(Protocol):
    """The records that a group of Agent replicas shares. Calls raise RuntimeUnavailable: the store does not answer."""

    @property
    def place_id(self) -> str:
        """The id of the store, by which a copy of the Agent's identity in another store is detected. It may be empty
        before the record of the election was read or written."""
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
        """Replace the record that has `version`, or create the record if `version` is None. Return the new version.
        Raises ContainerConflict: another process has replaced or created the record."""
        ...

    async def read(self, name: str) -> StoredRecord | None: ...

    async def write(self, name: str, content: bytes, version: str | None) -> str:
        """Replace the record `name`, like `write_election_record`."""
        ...


class InstallationObjects(Protocol):
    """The objects that have the labels of one installation, for `greenroom doctor --repair`. Only these objects are
    listed and removed.
    """

    async def list(self) -> list[RuntimeObject]:
        """List the objects that belong to one session, Agent or user. Objects for the whole installation are omitted.
        Raises RuntimeUnavailable: the runtime does not answer."""
        ...

    async def remove(self, item: RuntimeObject) -> None:
        """Remove an object of the list. If it does not exist, the call succeeds.

        Raises StartError: another object uses it. Raises RuntimeUnavailable: the runtime does not answer.
        """
        ...
