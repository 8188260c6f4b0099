"""The bodies of the catalogue and of its imported lists."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from greenroom.api.bodies import Body, Shaped, View


class CatalogueEntryView(View):
    """An entry of the catalogue."""

    name: Annotated[str, Field(description="`firefox`; of another list `source/name`")]
    friendly_name: str
    description: str
    categories: list[str]
    image: Annotated[str, Field(description="the container image that a workspace made now would have")]
    picture_url: Annotated[str | None, Field(description="on this server; null = it has none")]
    size_bytes: Annotated[int | None, Field(description="as an Agent reports the image, else as its list says")]
    first_frame_ms: Annotated[
        int | None, Field(description="median of the latest starts here until the first frame; null = not measured yet")
    ]
    installed: Annotated[bool, Field(description="there is a workspace made from it")]
    image_id: Annotated[UUID | None, Field(description="of that workspace")]
    update_available: Annotated[bool, Field(description="the entry has another image since the workspace was made")]
    source: Annotated[str, Field(description="name of the catalogue it is in; empty = Greenroom's own")]


class CatalogueAdd(Body):
    """The options for adding an entry."""

    groups: Annotated[
        list[UUID], Field(description="whose members may use it; without, All Users (add_images_to_default_group)")
    ] = []
    update: Annotated[bool, Field(description="give the workspace made from it the entry's present image")] = False


class CatalogueCreate(Body):
    """A list of another registry. It is read when it is added, and once an hour."""

    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=63),
        Shaped(r"[a-z0-9][a-z0-9-]*", "small letters, digits and dashes"),
        Field(description="stands before the names of its entries: `name/entry`"),
    ]
    list_url: Annotated[
        str,
        StringConstraints(min_length=1, max_length=2048),
        Shaped(r"https?://[\x21-\x7e]+", "an address that begins with https:// or http://"),
        Field(description="of its list.json, or of the registry: then /1.1/list.json is added"),
    ]
