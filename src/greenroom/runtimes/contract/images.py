"""The images of sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from greenroom.kit.recipes import Builder


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


@runtime_checkable
class LogInKeeper(Protocol):
    """Other machines get images by themselves, whenever a session needs one there, with log-ins kept for them."""

    async def keep_log_ins(self, wanted: Collection[str], known: Mapping[str, Credentials | None]) -> None:
        """Make the log-ins of these wanted images the `known` ones, None = without one; of an image that is not wanted
        any more none is kept."""
        ...


@runtime_checkable
class BuildHost(Protocol):
    """A host that can make images."""

    def building(self) -> AbstractAsyncContextManager[Builder]:
        """The builder of this host, for one Agent at a time: the other Agents of the host wait."""
        ...


class Archives(Protocol):
    """Images as files, to be copied from host to host."""

    def save(self, digest: str) -> AsyncIterator[bytes]:
        """The image with this id, without its names.

        Raises:
            ImageMissing: it is not here.
            PullError: it cannot be read.
        """
        ...

    async def load(self, archive: Path, image: Image) -> None:
        """Make an image of what `save` gave, and name it. Nothing is made of an archive with another image, or with
        names in it: they could be those of other images here.

        Raises:
            PullError: it is not that image, or cannot be made.
        """
        ...

    async def name(self, image: Image) -> bool:
        """Give the image its name, if it is here with this id; whether it is."""
        ...


@runtime_checkable
class CopyHost(Protocol):
    """A host that images can be copied from and to."""

    def archives(self) -> Archives:
        """The archives of this host's images."""
        ...
