"""Gets an image to this host: pulled from a registry, or built from its recipe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from greenroom.core.catalogue.ways import Way, ways
from greenroom.recipes import build, shelf
from greenroom.runtimes import contract
from greenroom.runtimes.contract import BuildHost, Credentials, PullError
from greenroom.wire.messages import DesiredImage

STALLED_S: Final[dict[Way, float]] = {"pulling": 300.0, "building": 1200.0}
"""Way → seconds without progress after which it has failed, so that it does not block other images forever."""


class Fetcher:
    """What this host can do to get an image."""

    def __init__(self, runtime: contract.Images) -> None:
        self._runtime = runtime

    def ways(self, image: DesiredImage) -> tuple[Way, ...]:
        """Those that are open, the best one first."""
        buildable = isinstance(self._runtime, BuildHost) and _recipe(image.name) is not None
        return ways(image.name, image.registry, elsewhere=False, buildable=buildable)

    def fetch(self, image: DesiredImage, way: Way) -> AsyncIterator[int]:
        """Get it this way; the progress in percent. It may end without the image being here: look again.

        Raises:
            PullError: the registry's reason.
            BuildError: why it could not be made.
        """
        if way == "building":
            return self._build(image.name)
        credentials = Credentials(user=image.user, password=image.password) if image.user else None
        return self._runtime.pull(image.name, credentials)

    async def _build(self, name: str) -> AsyncIterator[int]:
        recipe = _recipe(name)
        if recipe is None or not isinstance(self._runtime, BuildHost):
            raise PullError(f"The image {name} cannot be built here.")
        yield 0
        async with self._runtime.building() as builder:
            async for progress in build.make(builder, recipe):
                yield progress.percent


def _recipe(name: str) -> shelf.Image | None:
    """What an image is made of, if this Agent's version has its recipe as it was then."""
    images = map(shelf.image_of, shelf.all_recipes())
    return next((image for image in images if image.reference == name), None)
