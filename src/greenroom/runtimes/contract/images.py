"""The images of sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image on this host. `digest` identifies its content (`sha256:…`)."""

    name: str
    digest: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The log-in at a registry."""

    user: str
    password: str = field(repr=False)


class Images(Protocol):
    """The images that sessions can be made from."""

    async def images(self) -> list[Image]:
        """The images on this host; one entry per name."""
        ...

    async def image(self, name: str) -> Image | None:
        """The image `name` (`repository:tag`), or None if it is not on this host."""
        ...

    def pull(self, name: str, credentials: Credentials | None = None) -> AsyncIterator[int]:
        """Pull an image; yields the progress in percent (0-100, never falling) and ends when it is on this host.

        Raises:
            PullError: with the registry's reason.
        """
        ...
