"""The entries of the catalogue: the recipes of Greenroom, and the workspaces of imported lists of other publishers.

A recipe has the fields of a `recipe.toml` (docs/reference/recipes.md). `greenroom.recipes` reads these files and builds
the images.

An entry of Greenroom has the name of its recipe, such as `firefox`. An entry of an imported list has the name of the
list as a prefix, such as `acme/firefox`, so that no list can replace an entry of another list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from greenroom.core.catalogue.published import ListedWorkspace
from greenroom.core.errors import Invalid
from greenroom.core.text import schema_problem
from greenroom.core.workspace import exec_config, page, run_config
from greenroom.core.workspace.definition import Definition
from greenroom.core.workspace.exec_config import ExecConfig
from greenroom.core.workspace.page import PROGRAM_SERVICES
from greenroom.core.workspace.run_config import RunConfig
from greenroom.core.workspace.session_spec import Protocol

Kind = Literal["desktop", "application", "page"]
"""`desktop`: a whole desktop; `application`: one application that fills the screen; `page`: a program that serves its
own web page, without a screen.
"""

Sentence = Annotated[str, Meta(pattern=r"^[A-Z].*\.$", max_length=300)]
Label = Annotated[str, Meta(min_length=1, max_length=60)]
Package = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]

MIB: Final = 1 << 20
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,29}")


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The program of a workspace. `window_title` is a regular expression that matches the title of its window. In a
    recipe of the kind page, the program serves HTTP on the socket /tmp/.greenroom/program.sock."""

    command: Annotated[str, Meta(min_length=1)]
    window_title: str = ""


class RecipeWorkspace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a workspace that is created from the recipe. Administrators may change them in the workspace."""

    cores: Annotated[float, Meta(gt=0, le=64)] = 2.0
    memory_mb: Annotated[int, Meta(ge=64, le=65536)] = 2048
    """The reservation and the limit, in MiB."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 6901
    protocol: Protocol = "https"
    auth_user: str = "kasm_user"
    page_path: str = "/"
    start_page: str = ""
    ready_path: str = ""
    port_map: dict[str, Any] = {}
    run_config: dict[str, Any] = {}
    exec_config: dict[str, Any] = {}


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe of the catalogue; `name` is the name of its folder."""

    name: str
    friendly_name: Label
    """Begins with the name of the product."""
    description: Sentence
    categories: Annotated[list[Label], Meta(min_length=1, max_length=5)]
    kind: Kind
    packages: list[Package] = []
    """Packages of Debian, in addition to those of all recipes."""
    workspace: RecipeWorkspace = RecipeWorkspace()
    application: Application | None = None

    def definition(self, image: str, image_src: str = "") -> Definition:
        """Return the workspace of this recipe, with the image `image` and the picture at the address `image_src`."""
        defaults = msgspec.structs.asdict(self.workspace)
        defaults["memory"] = defaults.pop("memory_mb") * MIB
        # The desk is the interface through which programs use the screen; the kind page has no screen.
        defaults["port_map"] = {**({} if self.kind == "page" else {"desk": "desk"}), **self.workspace.port_map}
        return Definition(
            name=image,
            friendly_name=self.friendly_name,
            description=self.description,
            image_src=image_src,
            categories=list(self.categories),
            allow_launch_variables=self.kind == "desktop",
            **defaults,
        )


def parse(name: str, table: Mapping[str, Any]) -> Recipe:
    """Return the recipe in `table`, the content of a `recipe.toml`. Raises Invalid: the recipe cannot be used; the
    message names the recipe and the field."""
    if not NAME.fullmatch(name):
        raise Invalid(f"The recipe {name!r} needs a name of 1 to 30 lowercase letters, digits and dashes.")
    try:
        recipe = msgspec.convert({**table, "name": name}, Recipe)
    except msgspec.ValidationError as error:
        raise Invalid(f"The recipe {name} cannot be used: {schema_problem(str(error), 'recipe.toml')}.") from error
    _check(name, "workspace.port_map", page.validated_ports, recipe.workspace.port_map)
    _check(name, "workspace.run_config", run_config.validated, recipe.workspace.run_config)
    _check(name, "workspace.exec_config", exec_config.validated, recipe.workspace.exec_config)
    if (recipe.application is None) != (recipe.kind == "desktop"):
        problem = "a desktop has none" if recipe.application else f"a recipe of kind {recipe.kind} needs it"
        raise _invalid(name, "application", problem)
    if recipe.application:
        _check(name, "application.window_title", _check_regular_expression, recipe.application.window_title)
    return recipe


def _check(name: str, field: str, check: Callable[[Any], object], value: RunConfig | ExecConfig | str) -> None:
    try:
        check(value)
    except Invalid as error:
        raise _invalid(name, field, error.message) from error


def _check_regular_expression(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise Invalid(f"{text!r} is not a regular expression: {error}") from error


def _invalid(name: str, field: str, problem: str) -> Invalid:
    return Invalid(f"The recipe {name} cannot be used: {field}: {problem.rstrip('.')}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """An entry of the catalogue. `workspace` has the fields of a workspace that is created from it. `source` is the
    name of its imported list; empty = an entry of Greenroom. `size_bytes` is the size of the image and `picture_url`
    the address of the picture as the list states them (None or empty = not stated).
    """

    name: str
    source: str = ""
    workspace: Mapping[str, Any]
    size_bytes: int | None = None
    picture_url: str = ""

    @property
    def image(self) -> str:
        return self.workspace["name"]

    @property
    def friendly_name(self) -> str:
        return self.workspace["friendly_name"]

    @property
    def description(self) -> str:
        return self.workspace["description"]

    @property
    def categories(self) -> list[str]:
        return list(self.workspace["categories"])


def entry_of_recipe(recipe: Recipe, image: str, picture: str) -> CatalogueEntry:
    """Return the entry of a recipe. `image` is the name of its image, `picture` the address of its picture."""
    definition = recipe.definition(image, picture)
    names = [field.name for field in fields(definition) if field.name != "docker_token_encrypted"]
    return CatalogueEntry(name=recipe.name, workspace={name: getattr(definition, name) for name in names})


def entry_of_list(source: str, listed: ListedWorkspace) -> CatalogueEntry:
    """Return the entry for a workspace of the imported list `source`."""
    values = asdict(listed) | {"name": listed.image, "categories": list(listed.categories)}
    list_fields = ("image", "size_bytes", "picture_url")
    return CatalogueEntry(
        name=f"{source}/{listed.name}",
        source=source,
        workspace={name: value for name, value in values.items() if value is not None and name not in list_fields},
        size_bytes=listed.size_bytes,
        picture_url=listed.picture_url,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueWorkspace:
    """A workspace and its image `name`. `catalogue_name` is the entry from which it was created, and `catalogue_image`
    the image of the entry at that time. `start_s` is the median of its latest starts in seconds; None = none measured.
    """

    image_id: str
    name: str
    catalogue_name: str | None
    catalogue_image: str | None
    start_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntryStatus:
    """An entry of the catalogue, and its state in this installation. `workspace` is the workspace that was created from
    the entry, or None. `first_frame_ms` is the median of its latest starts in milliseconds; None = none measured.
    """

    entry: CatalogueEntry
    workspace: CatalogueWorkspace | None
    size_bytes: int | None
    first_frame_ms: int | None

    @property
    def update_available(self) -> bool:
        return self.workspace is not None and self.workspace.catalogue_image != self.entry.image


def workspace_update(entry: CatalogueEntry, port_map: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a workspace that an update to the entry changes: its image and, if needed, its `port_map`.

    The update adds the `PROGRAM_SERVICES` of the entry that the workspace does not have, because they are features of
    the new image.
    """
    services: Mapping[str, Any] = entry.workspace.get("port_map", {})
    missing = {name: services[name] for name in PROGRAM_SERVICES if name in services and name not in port_map}
    return {"name": entry.image} | ({"port_map": {**port_map, **missing}} if missing else {})


def entry_statuses(
    entries: Iterable[CatalogueEntry], workspaces: Collection[CatalogueWorkspace], sizes: Mapping[str, int]
) -> list[CatalogueEntryStatus]:
    """Return the catalogue: entries of Greenroom first, then by friendly name. `sizes`: image → its size in bytes on an
    Agent. For an entry without measured starts, the starts of another workspace with the same image are used.
    """
    workspace_by_entry = {each.catalogue_name: each for each in workspaces if each.catalogue_name is not None}
    start_s_by_image = {each.name: each.start_s for each in workspaces if each.start_s is not None}
    statuses: list[CatalogueEntryStatus] = []
    for entry in sorted(entries, key=lambda each: (each.source != "", each.friendly_name.lower(), each.name)):
        workspace = workspace_by_entry.get(entry.name)
        start_s = workspace.start_s if workspace is not None else None
        start_s = start_s_by_image.get(entry.image) if start_s is None else start_s
        statuses.append(
            CatalogueEntryStatus(
                entry=entry,
                workspace=workspace,
                size_bytes=sizes.get(workspace.name if workspace else entry.image)
                or sizes.get(entry.image)
                or entry.size_bytes,
                first_frame_ms=None if start_s is None else round(start_s * 1000),
            )
        )
    return statuses


def free_name(name: str, used_names: Collection[str]) -> str:
    """Return `name`, with a number after it if a workspace already has that name."""
    free, number = name, 1
    while free in used_names:
        number += 1
        free = f"{name} {number}"
    return free
