"""Reads the recipes that come with Greenroom, and determines the inputs and the name of each image.

The tag of an image is the beginning of a digest of the shared base and the files of the recipe. A changed recipe has a
new tag, so that its image can be built while sessions of the old image run.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from greenroom.core.catalogue.entries import Application, Recipe, parse
from greenroom.core.errors import NotFound
from greenroom.kit.recipes import Builder, RecipeSource

ROOT: Final = Path(__file__).parent
BASE: Final = ROOT / "base"
CATALOGUE: Final = ROOT / "catalogue"
DESKTOP: Final = ROOT / "desktop"
"""The folder with the packages and files that images with a desktop add to the base."""
FLAVORS: Final = ("xfce", "plain", "openbox", "never-paints")
"""The flavors of greenroom/desktop: the desktop, and three smaller ones for tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeImage:
    """The inputs of an image in addition to the base. `flavor` selects the programs that /opt/greenroom/desktop
    starts. If several `folders` contain the same file, the file of the last folder is used."""

    reference: str
    digest: str
    flavor: str
    packages: tuple[str, ...] = ()
    application: Application | None = None
    folders: tuple[Path, ...] = ()


@functools.cache
def all_recipes() -> tuple[Recipe, ...]:
    """Return all recipes, sorted by name.

    Raises:
        Invalid: a recipe is not valid.
    """
    return tuple(_read(file.parent) for file in sorted(CATALOGUE.glob("*/recipe.toml")))


def find(name: str) -> Recipe:
    """Return the recipe with this name.

    Raises:
        NotFound: the catalogue does not have the recipe.
    """
    for recipe in all_recipes():
        if recipe.name == name:
            return recipe
    names = ", ".join(recipe.name for recipe in all_recipes())
    raise NotFound(f"The catalogue has no recipe {name}; it has {names}.")


def picture(recipe: Recipe) -> bytes:
    """Return the artwork of a recipe, an SVG."""
    return (CATALOGUE / recipe.name / "picture.svg").read_bytes()


def reference(recipe: Recipe) -> str:
    """Return the reference of the image of the current recipe."""
    return image_of(recipe).reference


def image_of(recipe: Recipe) -> RecipeImage:
    """Return the inputs of a recipe's image."""
    is_desktop = recipe.kind == "desktop"
    folders = (*((DESKTOP,) if is_desktop else ()), CATALOGUE / recipe.name)
    digest = _digest(BASE, *folders)
    return RecipeImage(
        reference=f"greenroom/{recipe.name}:{digest[:12]}",
        digest=digest,
        flavor="xfce" if is_desktop else recipe.kind,
        packages=(*(_desktop_packages() if is_desktop else ()), *recipe.packages),
        application=recipe.application,
        folders=folders,
    )


def flavor(name: str) -> RecipeImage:
    """Return the inputs of the image greenroom/desktop:NAME. `plain` is `xfce` without the content of `DESKTOP`."""
    reference = f"greenroom/desktop:{name}"
    if name == "xfce":
        digest = _digest(BASE, DESKTOP)
        return RecipeImage(
            reference=reference, digest=digest, flavor=name, packages=_desktop_packages(), folders=(DESKTOP,)
        )
    return RecipeImage(reference=reference, digest=_digest(BASE), flavor="xfce" if name == "plain" else name)


def _desktop_packages() -> tuple[str, ...]:
    return tuple(lines(DESKTOP / "packages"))


def lines(file: Path) -> list[str]:
    """Return the lines of a file, without empty lines and comments (#)."""
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def _read(folder: Path) -> Recipe:
    return parse(folder.name, tomllib.loads((folder / "recipe.toml").read_text()))


@functools.cache
def _digest(*folders: Path) -> str:
    """Return a digest of the names and contents of the folders' files."""
    combined = hashlib.sha256()
    for folder in folders:
        for file in files_of(folder):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            combined.update(f"{folder.name}/{file.relative_to(folder)} {content}\n".encode())
    return combined.hexdigest()


def forget() -> None:
    """Clear the caches, so that the files are read again."""
    _digest.cache_clear()
    all_recipes.cache_clear()


def files_of(folder: Path) -> list[Path]:
    """Return all files below a folder, in an order that is the same on all systems."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _images() -> Iterator[RecipeImage]:
    """Yield all images that this version can build: the flavors of greenroom/desktop, and the images of the recipes."""
    yield from map(flavor, FLAVORS)
    yield from map(image_of, all_recipes())


class DesktopRecipes(RecipeSource):
    """The recipes of this package, through the interface that the api and the Agent use."""

    def recipes(self) -> Sequence[Recipe]:
        return all_recipes()

    def reference(self, recipe: Recipe) -> str:
        return reference(recipe)

    def picture(self, name: str) -> bytes:
        return picture(find(name))

    def has(self, reference: str) -> bool:
        return any(image.reference == reference for image in _images())

    async def build(self, reference: str, builder: Builder) -> AsyncIterator[int]:
        from greenroom.recipes import build  # noqa: PLC0415 -- the api builds no images, and loads no runtimes

        image = next(image for image in _images() if image.reference == reference)
        async for progress in build.make(builder, image):
            yield progress.percent


SOURCE: Final = DesktopRecipes()
"""The object that the entry point of this package names."""
