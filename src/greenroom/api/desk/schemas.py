"""The bodies of actions, commands, files and elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from greenroom.api.bodies import Body, Input, Text, View
from greenroom.api.session.schemas import Argument, Environment

Base64 = Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64"})]


class ExecCreate(Body):
    """A command in the session of a lease. It is run without a shell."""

    command: Annotated[
        list[Argument],
        Field(min_length=1, max_length=1000, description="program and arguments", examples=[["ls", "-l"]]),
    ]
    env: Environment = {}
    workdir: Annotated[
        Text | None, Field(description="working directory, may be relative to the home folder; null = the home folder")
    ] = None
    input: Annotated[Input | None, Field(description="standard input of the command")] = None
    timeout_s: Annotated[
        float,
        Field(
            gt=0, le=3600, allow_inf_nan=False, description="time after which the command and its processes are ended"
        ),
    ] = 60.0
    wait_s: Annotated[
        float,
        Field(
            ge=0,
            le=60,
            allow_inf_nan=False,
            description="maximum wait while too many commands run; 0 = fail immediately",
        ),
    ] = 10.0
    stream: Annotated[bool, Field(description="return the output as it is written, as lines of JSON")] = False


class ExecDone(View):
    """The result of a command."""

    exit_code: Annotated[
        int | None, Field(description="exit code; 128 + n if signal n ended the command; null = see `error`")
    ]
    stdout: Annotated[str, Field(description="bytes that are not UTF-8 are replaced; empty for binary output")]
    stderr: str
    stdout_base64: Annotated[str | None, Field(description="complete output in base64, if it is not UTF-8")] = None
    stderr_base64: str | None = None
    left_out_bytes: Annotated[
        int, Field(description="number of bytes that are missing at the end of an output that is too long")
    ] = 0
    error: Annotated[str | None, Field(description="reason why the command did not exit normally")] = None


class FileView(View):
    """A file in the listed folder."""

    name: str
    size_bytes: int
    modified: Annotated[float, Field(description="seconds since 1970", allow_inf_nan=False)]


class FolderView(View):
    """A folder in the listed folder."""

    name: str
    modified: Annotated[float, Field(allow_inf_nan=False)]


class ListingView(View):
    """The content of a folder."""

    path: Annotated[str, Field(description="relative to the home folder")]
    files: list[FileView]
    folders: list[FolderView]
    left_out: Annotated[int, Field(description="number of other entries, such as those beyond the first 2000")]


class Written(View):
    """A file or folder that was written."""

    path: Annotated[str, Field(description="relative to the home folder")]


class ElementView(View):
    """A part of a program's window, as the program describes it."""

    ref: Annotated[str, Field(description="reference for actions, valid as long as the element exists")]
    role: Annotated[str, Field(description="e.g. push button, text, menu item")]
    name: str
    description: str | None = None
    states: Annotated[list[str], Field(description="e.g. focused, checked, disabled")] = []
    place: Annotated[tuple[int, int, int, int] | None, Field(description="x, y, width, height on the screen")] = None
    text: Annotated[str | None, Field(description="content, up to 2000 characters")] = None
    children: list[ElementView] = []


class Tree(View):
    """The elements of the programs on the screen."""

    elements: list[ElementView]
    left_out: Annotated[int, Field(description="number of elements beyond `max`")]


class Display(Body):
    """The size in which a client sees the screen, for the coordinates and screenshots of the request and answer."""

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
    screenshot: Annotated[bool, Field(description="include a screenshot after the last action")] = False
    display: Annotated[Display | None, Field(description="null = size of the screen")] = None


@dataclass(slots=True, kw_only=True)
class ActionResultView:
    """The result of one action."""

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    action: Annotated[str, Field(description="name, as in the request")] = ""
    done: bool
    error: Annotated[str | None, Field(description="reason for a failure")] = None
    ms: Annotated[float | None, Field(description="duration in the session, milliseconds")] = None
    coordinate: Annotated[tuple[int, int] | None, Field(description="position of the pointer (cursor_position)")] = None
    text: Annotated[str | None, Field(description="content of the clipboard (get_clipboard)")] = None
    screenshot: Annotated[Base64 | None, Field(description="PNG in base64 (screenshot, zoom)")] = None


@dataclass(slots=True, kw_only=True)
class ActionsDone:
    """The results of all actions of a request."""

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    results: list[ActionResultView]
    screenshot: Annotated[Base64 | None, Field(description="PNG in base64, if requested")] = None
