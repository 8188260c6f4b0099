"""The recipes of the catalogue and what makes their images. They are in the package greenroom-desktop.

It offers a `RecipeSource` under the name `desktop` in the group `greenroom.recipes` of its entry points. Where it is
not installed the catalogue has no recipes, and Agents build no images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from greenroom.core.errors import SetupError
from greenroom.kit import plugins

if TYPE_CHECKING:
    from greenroom.core.catalogue.offers import Recipe

NAME: Final = "desktop"
REPOSITORY: Final = "greenroom/"
"""How the names of images of recipes begin."""
NOT_INSTALLED: Final = (
    "The recipes of the catalogue are in the package greenroom-desktop, which is not installed:"
    " pip install greenroom-desktop."
)


class Builder(Protocol):
    """Makes images on a host: of a file tree, and of the instructions in a build context."""

    async def labels(self, image: str) -> dict[str, str] | None:
        """Those of an image; None = it is not here."""
        ...

    async def tree(self, files: AsyncIterator[bytes]) -> str:
        """Make an image of a file system, a tar; its id.

        Raises:
            BuildError: it is refused.
        """
        ...

    def instructions(self, context: bytes, reference: str, arguments: Mapping[str, str]) -> AsyncIterator[str]:
        """Make an image of a context with its Dockerfile, a tar; what the commands write, by line.

        Raises:
            BuildError: an instruction failed; in its message what is said of that.
        """
        ...

    async def name(self, image: str, reference: str) -> None:
        """Give an image one more name."""
        ...


class RecipeSource(ABC):
    """Recipes of workspaces, and what makes their images."""

    @abstractmethod
    def recipes(self) -> Sequence[Recipe]:
        """All recipes, by their names."""

    @abstractmethod
    def reference(self, recipe: Recipe) -> str:
        """The image made from the recipe as it is now."""

    @abstractmethod
    def picture(self, name: str) -> bytes:
        """The artwork of a recipe, an SVG.

        Raises:
            NotFound: there is no such recipe.
        """

    @abstractmethod
    def build(self, reference: str, builder: Builder) -> AsyncIterator[int]:
        """Make the image of a recipe where it is not made; the progress in percent.

        Raises:
            BuildError: why it could not be made.
        """

    def has(self, reference: str) -> bool:
        """Whether this version makes the image of this name."""
        return any(self.reference(recipe) == reference for recipe in self.recipes())


def installed() -> RecipeSource | None:
    """The recipes of this installation; None = `NOT_INSTALLED`.

    Raises:
        SetupError: the package cannot be used.
    """
    found = plugins.load(plugins.RECIPES, NAME)
    if found is None or isinstance(found, RecipeSource):
        return found
    raise SetupError(f"The recipes of the catalogue cannot be used: {found!r} is no RecipeSource.")
