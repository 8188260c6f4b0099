"""The home folders that a runtime keeps when sessions end (`core.workspace.homes`)."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from greenroom.core.workspace.homes import HomeId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHome:
    """An existing home. With a `removal_id`, that removal has moved it away and has not ended: no session gets it any
    more."""

    home: HomeId
    removal_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSize:
    """The size of a home on its disk. `changed` is the time of the newest change of a file, in seconds since the epoch;
    None = not known.
    """

    size_bytes: int
    changed: float | None = None


class Homes(Protocol):
    """The homes of an Agent's sessions. A session whose specification has a mount with `HomeId.source` gets that home,
    or a new and empty one if there is none. The home stays when the session's container is removed.

    Any call may raise HomeError, with the reason.
    """

    async def list(self) -> list[KeptHome]:
        """All homes, and those that removals have moved away and not deleted yet."""
        ...

    def in_use(self) -> Awaitable[dict[HomeId, str]]:
        """The homes that containers use, in any state, each with the session."""
        ...

    async def measure(self, home: HomeId) -> HomeSize | None:
        """Measure a home; None = it does not exist. Follows no link, uses few resources of the host, and takes at most
        about a minute; then it raises HomeError.
        """
        ...

    async def remove(self, home: HomeId, removal_id: str) -> None:
        """Remove a home with all its files, and return once they are deleted. It is moved away in one step first, so
        that a later session of its user gets a new home, which is not removed. May be repeated with the same
        `removal_id`, also after a restart: it continues. A missing home is success.

        Raises:
            HomeInUseError: a container uses it; it is unchanged.
            HomeError: a part of it could not be removed; the rest stays moved away.
        """
        ...


@runtime_checkable
class HomeHost(Protocol):
    """A runtime that keeps homes."""

    @property
    def homes(self) -> Homes: ...
