"""What the catalogue offers: our recipes, and the lists that others publish, in one form.

An entry of ours has the name of its recipe, one of another list that list's name before it: `firefox`, `acme/firefox`.
So none can take another's place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from greenroom.core.catalogue.published import Listed
from greenroom.core.catalogue.recipe import Recipe
from greenroom.core.workspace.page import PROGRAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """An entry. `workspace` has the fields of the workspace made from it, `source` is the list it is in, empty = ours;
    `size_bytes` is what that list says. `picture_url` is where its list has its picture, empty = none, or it is ours.
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


def of_recipe(recipe: Recipe, image: str, picture: str) -> Offered:
    """The entry of a recipe, whose image and picture have these addresses."""
    made = recipe.definition(image, picture)
    names = [field.name for field in fields(made) if field.name != "docker_token_encrypted"]
    return Offered(name=recipe.name, workspace={name: getattr(made, name) for name in names})


def of_list(source: str, listed: Listed) -> Offered:
    """The entry of another list."""
    given: dict[str, Any] = {
        "name": listed.image,
        "friendly_name": listed.friendly_name,
        "description": listed.description,
        "categories": list(listed.categories),
        "docker_registry": listed.docker_registry,
        "run_config": dict(listed.run_config),
        "exec_config": dict(listed.exec_config),
        "cores": listed.cores,
        "memory": listed.memory,
    }
    return Offered(
        name=f"{source}/{listed.name}",
        source=source,
        workspace={name: value for name, value in given.items() if value is not None},
        size_bytes=listed.size_bytes,
        picture_url=listed.picture_url,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A workspace with what is known of its image. `catalogue_name` is the entry it was made from, `catalogue_image`
    that entry's image then; `start_s` the median of its latest starts.
    """

    image_id: str
    name: str
    catalogue_name: str | None
    catalogue_image: str | None
    start_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry as it is shown: `added` is the workspace made from it."""

    offered: Offered
    added: Known | None
    size_bytes: int | None
    first_frame_ms: int | None

    @property
    def update_available(self) -> bool:
        return self.added is not None and self.added.catalogue_image != self.offered.image


def update_of(offered: Offered, port_map: Mapping[str, Any]) -> dict[str, Any]:
    """What an update changes in the workspace: its image and, where its `port_map` does not say it yet, what this has
    for programs. Workspaces are older than desks.
    """
    has: Mapping[str, Any] = offered.workspace.get("port_map", {})
    missing = {name: has[name] for name in PROGRAMS if name in has and name not in port_map}
    return {"name": offered.image} | ({"port_map": {**port_map, **missing}} if missing else {})


def entries(offered: Iterable[Offered], known: Collection[Known], sizes: Mapping[str, int]) -> list[Entry]:
    """The catalogue, ours first, then by friendly name. `sizes`: image → bytes on an Agent that has it. What was not
    measured of its own workspace is taken from another one of the same image.
    """
    added = {each.catalogue_name: each for each in known if each.catalogue_name is not None}
    measured = {each.name: each.start_s for each in known if each.start_s is not None}
    made: list[Entry] = []
    for one in sorted(offered, key=lambda each: (each.source != "", each.friendly_name.lower(), each.name)):
        own = added.get(one.name)
        start_s = own.start_s if own is not None and own.start_s is not None else measured.get(one.image)
        made.append(
            Entry(
                offered=one,
                added=own,
                size_bytes=sizes.get(own.name if own else one.image) or sizes.get(one.image) or one.size_bytes,
                first_frame_ms=None if start_s is None else round(start_s * 1000),
            )
        )
    return made


def free_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, with a number behind it if a workspace has that name already."""
    number = 1
    name = wanted
    while name in taken:
        number += 1
        name = f"{wanted} {number}"
    return name
