"""The bodies of actions, commands, files and elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from greenroom.api.bodies import Body, Text, View
from greenroom.api.session.schemas import Argument, Environment


class ExecCreate(Body):
    """A command in the session of a lease. It is run without a shell."""

    command: Annotated[
        list[Argument],
        Field(min_length=1, max_length=1000, description="the program and its arguments", examples=[["ls", "-l"]]),
    ]
    env: Environment = {}
    workdir: Annotated[Text | None, Field(description="absolute, or below the home folder, which it is without")] = None
    input: Annotated[str | None, Field(description="what the command reads")] = None
    timeout_s: Annotated[
        float, Field(gt=0, le=3600, allow_inf_nan=False, description="then it is ended, with all that it started")
    ] = 60.0
    wait_s: Annotated[
        float,
        Field(ge=0, le=60, allow_inf_nan=False, description="wait so long while too many run; 0 = fail at once"),
    ] = 10.0
    stream: Annotated[bool, Field(description="answer with the output as it comes, as lines of JSON")] = False


class ExecDone(View):
    """The result of a command."""

    exit_code: Annotated[int | None, Field(description="128 and its number after a signal; null = see `error`")]
    stdout: Annotated[str, Field(description="what is no UTF-8 is replaced; of binary data nothing")]
    stderr: str
    stdout_base64: Annotated[str | None, Field(description="all of it, where it is no text in UTF-8")] = None
    stderr_base64: str | None = None
    left_out_bytes: Annotated[int, Field(description="of the end of an output that is too long for one answer")] = 0
    error: Annotated[str | None, Field(description="why it did not end by itself")] = None


class FileView(View):
    """A file in a folder."""

    name: str
    size_bytes: int
    modified: Annotated[float, Field(description="seconds since 1970", allow_inf_nan=False)]


class FolderView(View):
    """A folder in a folder."""

    name: str
    modified: Annotated[float, Field(allow_inf_nan=False)]


class Listing(View):
    """The content of a folder."""

    path: Annotated[str, Field(description="below the home folder")]
    files: list[FileView]
    folders: list[FolderView]
    left_out: Annotated[int, Field(description="entries beyond the first 2000")]


class Written(View):
    """A file or folder that was written."""

    path: Annotated[str, Field(description="below the home folder")]


class Element(View):
    """A part of a program's window, as the program describes it."""

    ref: Annotated[str, Field(description="names it in actions, as long as it is there")]
    role: Annotated[str, Field(description="such as push button, text, menu item")]
    name: str
    description: str | None = None
    states: Annotated[list[str], Field(description="such as focused, checked, disabled")] = []
    place: Annotated[list[int] | None, Field(description="x, y, width, height on the screen")] = None
    text: Annotated[str | None, Field(description="what is written in it, up to 2000 characters")] = None
    children: list[Element] = []


class Tree(View):
    """The elements of the programs on the screen."""

    elements: list[Element]
    left_out: Annotated[int, Field(description="elements beyond `max`")]


class Display(Body):
    """The size in which a client sees the screen. Its coordinates and screenshots refer to it."""

    width: Annotated[int, Field(ge=16, le=8192)]
    height: Annotated[int, Field(ge=16, le=8192)]


class ActionsCreate(Body):
    """Actions on the desktop, in this order."""

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
    """The result of one action."""

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
    """The results of all actions of a request."""

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    results: list[ActionResult]
    screenshot: Annotated[str | None, Field(description="a PNG in base64, where it was asked for")] = None
