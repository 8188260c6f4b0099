"""The choices of a user for the console: the columns, saved views and dismissed rows of lists, their look, and
favorites."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.bodies import Body, Json, Line, MatchesPattern, Text
from greenroom.core.errors import Invalid

MAX_LISTS: Final = 60
MAX_COLUMNS: Final = 40
MAX_VIEWS: Final = 20

Times = Literal["relative", "absolute"]
Density = Literal["compact", "standard", "comfortable"]
FavoriteImages = Annotated[
    list[UUID], Field(max_length=100, description="workspaces that the launcher shows first, in this order")
]
ListName = Annotated[
    str, MatchesPattern(r"[a-z0-9-]{1,60}", "the name of a list: 1 to 60 small letters, digits and '-'")
]
ColumnKey = Annotated[str, MatchesPattern(r"[a-z0-9_-]{1,40}", "the name of a column or of a row")]


class SavedView(Body):
    """A saved view of a list."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=60)]
    query: Annotated[
        Text,
        StringConstraints(max_length=500),
        Field(description="filter, order and columns, as the query of the address of the list"),
    ]


def _with_unique_names(views: list[SavedView]) -> list[SavedView]:
    if len({view.name for view in views}) < len(views):
        raise ValueError("two views have the same name")
    return views


class ListChoices(Body):
    """The choices for one list."""

    columns: Annotated[
        list[ColumnKey] | None, Field(max_length=MAX_COLUMNS, description="shown columns; null = the default")
    ] = None
    views: Annotated[
        list[SavedView], Field(max_length=MAX_VIEWS, description="saved views"), AfterValidator(_with_unique_names)
    ] = []
    dismissed: Annotated[
        list[ColumnKey], Field(max_length=MAX_COLUMNS, description="rows that the user does not want to see")
    ] = []


Lists = Annotated[
    dict[ListName, ListChoices],
    Field(max_length=MAX_LISTS, description="choices for lists of the console: name of a list → choices"),
]


def merged_lists(stored: Json, sent: dict[str, ListChoices]) -> Json:
    """Return the stored choices with those of a request, which replace the choices for their lists. A list without
    choices is removed.

    Raises:
        Invalid: there would be more than `MAX_LISTS` lists.
    """
    changed = {name: choices.model_dump() for name, choices in sent.items()}
    merged = {
        name: choices
        for name, choices in (stored | changed).items()
        if choices["columns"] is not None or choices["views"] or choices.get("dismissed")
    }
    if len(merged) > MAX_LISTS:
        raise Invalid(f"`lists` can have choices for at most {MAX_LISTS} lists.")
    return merged
