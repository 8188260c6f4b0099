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
    """The images from which sessions can be created."""

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
    """A runtime whose sessions run on other machines, which pull images themselves with stored log-ins."""

    async def keep_log_ins(self, wanted: Collection[str], known: Mapping[str, Credentials | None]) -> None:
        """Set the log-ins of the wanted images to the `known` ones, None = no log-in; delete those of images that are
        not wanted any more."""
        ...


@runtime_checkable
class BuildHost(Protocol):
    """A host that can build images."""

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
        """Load an image from an archive of `save`, and name it. An archive with another image, or with names in it, is
        not loaded: the names could be those of other images here.

        Raises:
            PullError: it is not that image, or cannot be loaded.
        """
        ...

    async def name(self, image: Image) -> bool:
        """Name the image if it is here with this id; returns True if it is."""
        ...


@runtime_checkable
class CopyHost(Protocol):
    """A host from and to which images can be copied."""

    def archives(self) -> Archives:
        """The archives of this host's images."""
        ...
