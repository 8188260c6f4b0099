"""The records that several Agent processes with one identity share, if a runtime offers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from greenroom.core.fleet.lease import LeaseRecord


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored record; `version` changes with each write."""

    content: bytes
    version: str


class Shared(Protocol):
    """Records of one group of Agent processes. Each call raises `RuntimeUnavailable` if the store does not answer."""

    @property
    def place(self) -> str:
        """An id that is the same for all processes of the group and differs for each copy of it; known after `open`."""
        ...

    @property
    def name(self) -> str:
        """The name of this process, for people."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read_lease(self) -> tuple[LeaseRecord | None, str | None]:
        """The record of the election and its version."""
        ...

    async def write_lease(self, record: LeaseRecord, version: str | None) -> str:
        """Replace the record that has `version` (None = create it); returns the new version.

        Raises:
            ContainerConflict: another process replaced it first.
        """
        ...

    async def read(self, name: str) -> Kept | None: ...

    async def write(self, name: str, content: bytes, version: str | None) -> str:
        """Replace the record `name`, like `write_lease`."""
        ...
