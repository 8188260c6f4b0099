"""The bodies of actions. The session's page answers results in the same shape, without the names of the actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from greenroom.api.bodies import Body


class Display(Body):
    """The size in which a client sees the screen: its coordinates and screenshots are of it."""

    width: Annotated[int, Field(ge=16, le=8192)]
    height: Annotated[int, Field(ge=16, le=8192)]


class ActionsCreate(Body):
    """What to do on the desktop, in this order."""

    actions: Annotated[
        list[dict[str, Any]],
        Field(
            description="see docs/reference/actions.md", examples=[[{"action": "left_click", "coordinate": [640, 400]}]]
        ),
    ]
    screenshot: Annotated[bool, Field(description="end with a picture of the screen")] = False
    display: Annotated[Display | None, Field(description="null = that of the screen itself")] = None


@dataclass(slots=True, kw_only=True)
class ActionResult:
    """What became of one action."""

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    action: Annotated[str, Field(description="its name, as it was sent")] = ""
    done: bool
    error: Annotated[str | None, Field(description="why it was not done")] = None
    ms: Annotated[float | None, Field(description="milliseconds that it took in the session")] = None
    coordinate: Annotated[tuple[int, int] | None, Field(description="where the pointer is (cursor_position)")] = None
    text: Annotated[str | None, Field(description="what the clipboard has (get_clipboard)")] = None
    screenshot: Annotated[str | None, Field(description="a PNG in base64 (screenshot, zoom)")] = None


@dataclass(slots=True, kw_only=True)
class ActionsDone:
    """What became of all of them."""

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    results: list[ActionResult]
    screenshot: Annotated[str | None, Field(description="a PNG in base64, where it was asked for")] = None
