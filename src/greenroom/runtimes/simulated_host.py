"""The behavior of a simulated host, and the builder of its images."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import msgspec

from greenroom.runtimes.contract import BuildError, Image


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The behavior of the simulated host. Times are seconds, images are names."""

    address: str = "127.0.0.1:9"
    """The address of each session's page; usually nothing listens there."""
    create_s: float = 0.0
    start_s: float = 0.0
    paint_s: float = 0.0
    """Time from the start of a container until its first frame."""
    pull_s: float = 0.0
    cores: float = 64.0
    memory_bytes: int = 256 << 30
    missing_images: frozenset[str] = frozenset()
    """Images that are not on this host and can be pulled."""
    broken_images: frozenset[str] = frozenset()
    """Images that cannot be pulled, and whose containers cannot be started."""
    never_paint: frozenset[str] = frozenset({"greenroom/desktop:never-paints"})


MEMORY_BYTES: Final = 90 << 20
"""Memory usage of every session."""
SIZE_BYTES: Final = 500_000_000
"""Size of every image."""


def image_of(name: str) -> Image:
    """An image that is on the host."""
    return Image(name=name, digest=f"sha256:{hashlib.sha256(name.encode()).hexdigest()}", size_bytes=SIZE_BYTES)


class SimulatedBuilder:
    """Builds an image in two steps, which take `SimulationSettings.pull_s`."""

    def __init__(
        self,
        image: Callable[[str], Awaitable[Image | None]],
        built: Callable[[str], None],
        settings: SimulationSettings,
    ) -> None:
        self._image = image
        self._built = built
        self._settings = settings

    async def labels(self, image: str) -> dict[str, str] | None:
        return {} if await self._image(image) else None

    async def tree(self, files: AsyncIterator[bytes]) -> str:
        async for _ in files:
            pass
        return "sha256:0"

    async def instructions(self, context: bytes, reference: str, arguments: Mapping[str, str]) -> AsyncIterator[str]:
        del context, arguments
        settings = self._settings
        for number in (1, 2):
            yield f"Step {number}/2 : RUN true"
            await asyncio.sleep(settings.pull_s / 2)
        if reference in settings.broken_images:
            raise BuildError("The command 'true' returned a non-zero code: 1.")
        self._built(reference)

    async def name(self, image: str, reference: str) -> None:
        del image
        self._built(reference)
