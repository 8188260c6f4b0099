"""Gets an image to this host: pulled from a registry, copied from another Agent, or built from its recipe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from greenroom.agent.copying import Copies
from greenroom.core.catalogue.ways import Choice, Way, names_registry, ways
from greenroom.recipes import build, shelf
from greenroom.runtimes import contract
from greenroom.runtimes.contract import BuildHost, Credentials, PullError
from greenroom.wire.messages import DesiredImage

STALLED_S: Final[dict[Way, float]] = {"pulling": 300.0, "copying": 300.0, "building": 1200.0}
"""Way → seconds without progress after which it has failed, so that it does not block other images forever."""


class Fetcher:
    """What this host can do to get an image; `copies` is None where none are copied."""

    def __init__(self, runtime: contract.Images, copies: Copies | None = None) -> None:
        self._runtime = runtime
        self._copies = copies

    async def look(self, missing: Iterable[DesiredImage]) -> None:
        """Find out which of these images other Agents have."""
        if self._copies is not None:
            await self._copies.look([one.name for one in missing if not names_registry(one.name, one.registry)])

    def ways(self, image: DesiredImage) -> tuple[Choice, ...]:
        """Those that are open, the best one first."""
        buildable = isinstance(self._runtime, BuildHost) and _recipe(image.name) is not None
        elsewhere = self._copies is not None and self._copies.elsewhere(image.name)
        return ways(image.name, image.registry, elsewhere=elsewhere, buildable=buildable)

    def has_recipe(self, image: DesiredImage) -> bool:
        """Whether this Agent's version builds the image, so that no registry has it."""
        return not names_registry(image.name, image.registry) and _recipe(image.name) is not None

    def size_bytes(self, image: DesiredImage, way: Way) -> int:
        """How much there is to fetch; 0 = not known."""
        return self._copies.size_bytes(image.name) if way == "copying" and self._copies is not None else 0

    def fetch(self, image: DesiredImage, way: Way) -> AsyncIterator[int]:
        """Get it this way; the progress in percent. It may end without the image being here: look again.

        Raises:
            PullError: why a registry, or another Agent, did not give it.
            BuildError: why it could not be made.
        """
        if way == "copying" and self._copies is not None:
            return self._copies.copy(image.name)
        if way == "building":
            return self._build(image.name)
        return self._runtime.pull(image.name, credentials_of(image))

    async def _build(self, name: str) -> AsyncIterator[int]:
        recipe = _recipe(name)
        if recipe is None or not isinstance(self._runtime, BuildHost):
            raise PullError(f"The image {name} cannot be built here.")
        yield 0
        async with self._runtime.building() as builder:
            async for progress in build.make(builder, recipe):
                yield progress.percent


def credentials_of(image: DesiredImage) -> Credentials | None:
    """The log-in at its registry; None = it needs none."""
    return Credentials(user=image.user, password=image.password) if image.user else None


def _recipe(name: str) -> shelf.Image | None:
    """What an image is made of, if this Agent's version has its recipe as it was then."""
    images = map(shelf.image_of, shelf.all_recipes())
    return next((image for image in images if image.reference == name), None)
