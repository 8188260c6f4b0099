"""The bodies of the catalogue and of its imported lists."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from greenroom.api.bodies import Body, MatchesPattern, View


class CatalogueEntryView(View):
    """An entry of the catalogue."""

    name: Annotated[str, Field(description="`firefox`; in an imported list `source/name`")]
    friendly_name: str
    description: str
    categories: list[str]
    image: Annotated[str, Field(description="container image of a workspace that is added now")]
    picture_url: Annotated[str | None, Field(description="address on this server; null = no picture")]
    size_bytes: Annotated[int | None, Field(description="size that an Agent reports, otherwise the size in the list")]
    first_frame_ms: Annotated[
        int | None,
        Field(description="median time to the first frame of the latest starts here; null = not measured yet"),
    ]
    installed: Annotated[bool, Field(description="true = a workspace was added from this entry")]
    image_id: Annotated[UUID | None, Field(description="id of that workspace")]
    update_available: Annotated[bool, Field(description="the entry has another image than the workspace")]
    source: Annotated[str, Field(description="name of the imported list; empty = catalogue of Greenroom")]


class CatalogueAdd(Body):
    """The options for adding an entry."""

    groups: Annotated[
        list[UUID],
        Field(description="groups that get the workspace; omitted = All Users, if add_images_to_default_group is on"),
    ] = []
    update: Annotated[
        bool, Field(description="change the image of the added workspace to the present image of the entry")
    ] = False


class CatalogueCreate(Body):
    """A list of workspaces of another publisher. It is read when it is added, and once an hour."""

    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=63),
        MatchesPattern(r"[a-z0-9][a-z0-9-]*", "small letters, digits and dashes"),
        Field(description="prefix of the names of its entries: `name/entry`"),
    ]
    list_url: Annotated[
        str,
        StringConstraints(min_length=1, max_length=2048),
        MatchesPattern(r"https?://[\x21-\x7e]+", "an address that begins with https:// or http://"),
        Field(description="address of list.json, or of the registry (/1.1/list.json is appended)"),
    ]
