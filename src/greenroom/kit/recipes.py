"""The interfaces of the recipes of the catalogue and of the builder of their images.

The package greenroom-desktop has the recipes. It offers a `RecipeSource` as the entry point `desktop` of the group
`greenroom.recipes`. If it is not installed, the catalogue has no recipes, and Agents build no images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from greenroom.core.errors import SetupError
from greenroom.kit import plugins

if TYPE_CHECKING:
    from greenroom.core.catalogue.entries import Recipe

NAME: Final = "desktop"
REPOSITORY: Final = "greenroom/"
"""The prefix of the names of images that are built from recipes."""
NOT_INSTALLED: Final = plugins.not_installed_sentence(
    "The recipes of the catalogue are", plugins.PACKAGE_OF_PLUGIN[plugins.RECIPES, NAME]
)


class Builder(Protocol):
    """Builds images on a host: from a file tree, and from the instructions in a build context."""

    async def labels(self, image: str) -> dict[str, str] | None:
        """Return the labels of an image; None = it is not on this host."""
        ...

    async def build_from_tree(self, files: AsyncIterator[bytes]) -> str:
        """Build an image from a tar of a file system, and return its id. Raises BuildError: the runtime refuses the
        image."""
        ...

    def build_from_instructions(
        self, context: bytes, reference: str, arguments: Mapping[str, str]
    ) -> AsyncIterator[str]:
        """Build an image from `context`, a tar with a Dockerfile, and yield the output of the commands by line. Raises
        BuildError: an instruction failed; the message contains its output."""
        ...

    async def name(self, image: str, reference: str) -> None:
        """Give an image an additional name."""
        ...


class RecipeSource(ABC):
    """Recipes of workspaces, and the build of their images."""

    @abstractmethod
    def recipes(self) -> Sequence[Recipe]:
        """Return all recipes, ordered by name."""

    @abstractmethod
    def reference(self, recipe: Recipe) -> str:
        """Return the name of the image of the recipe's current version."""

    @abstractmethod
    def picture(self, name: str) -> bytes:
        """Return the artwork of a recipe, an SVG. Raises NotFound: there is no such recipe."""

    @abstractmethod
    def build(self, reference: str, builder: Builder) -> AsyncIterator[int]:
        """Build the image `reference` if it does not exist, and yield the progress in percent. `has(reference)` must be
        True. Raises BuildError: the build failed; the message contains the reason."""

    @abstractmethod
    def has(self, reference: str) -> bool:
        """True if this version of the package builds the image with this name."""


def find_recipes() -> RecipeSource | None:
    """Return the recipes of this installation; None = the package is not installed (`NOT_INSTALLED`). Raises
    SetupError: the package cannot be used."""
    source = plugins.load_object(plugins.RECIPES, NAME)
    if source is None or isinstance(source, RecipeSource):
        return source
    raise SetupError(f"The recipes of the catalogue cannot be used: {source!r} is not a RecipeSource.")
