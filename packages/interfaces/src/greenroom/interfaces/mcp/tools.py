"""The tools, in the order in which they are listed, including those for commands, files and elements."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
from typing import Any, Final
from urllib.parse import quote

import httpx2
import msgspec
from msgspec.structs import fields

from greenroom.api.bodies import Json, View
from greenroom.api.desk.schemas import ActionsCreate, ActionsDone, ExecCreate, ExecDone, ListingView, Tree, Written
from greenroom.api.lease.schemas import LeaseCreate, LeaseExtension, LeaseGranted, LeaseView
from greenroom.core.actions import computer
from greenroom.core.actions.dialects import ACTION_NAMES
from greenroom.core.errors import Invalid
from greenroom.interfaces.mcp.tool import Tool, ToolRequest, ToolResult, as_base64, as_json, schema_of

MOST_READ_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 16
ELEMENTS: Final = 300
_NO_SUCH_PART: Final = 416
_PART: Final = {
    "type": "object",
    "description": "a part of a file, or the listing of a folder as in `list_files`",
    "properties": {
        "encoding": {"enum": ["utf-8", "base64"]},
        "content": {"type": "string"},
        "offset": {"type": "integer", "description": "bytes"},
        "next_offset": {
            "type": ["integer", "null"],
            "description": "beginning of the next part; null = this is the last part",
        },
        "size_bytes": {"type": "integer", "description": "size of the whole file"},
    },
}
_PATH: Final = {"type": "string", "description": "path below the home folder"}


def _file(lease_id: str, path: object) -> str:
    """Return the address of a file. Dots are escaped, so that they stay part of a name; the route interprets them."""
    if not isinstance(path, str):
        raise Invalid("`path` must be the path of a file below the home folder.")
    parts = (quote(part, safe="").replace(".", "%2E") for part in path.split("/"))
    return f"/leases/{lease_id}/files/{'/'.join(parts)}"


def _run(lease_id: str, arguments: Json) -> ToolRequest:
    return ToolRequest(method="POST", path=f"/leases/{lease_id}/exec", json=arguments)


def _read(lease_id: str, arguments: Json) -> ToolRequest:
    offset, size = arguments.get("offset", 0), arguments.get("size_bytes", READ_BYTES)
    if not (isinstance(offset, int) and offset >= 0 and isinstance(size, int) and 0 < size <= MOST_READ_BYTES):
        raise Invalid(f"`offset` must be 0 or more bytes, and `size_bytes` 1 to {MOST_READ_BYTES}.")
    part = {"Range": f"bytes={offset}-{offset + size - 1}"}
    return ToolRequest(method="GET", path=_file(lease_id, arguments["path"]), headers=part)


def _content(answer: httpx2.Response) -> ToolResult:
    """Return a part of a file, as text if it is UTF-8, with the offset of the next part; or the listing of a folder."""
    if answer.headers.get("content-type", "").startswith("application/json"):
        return as_json(answer)
    place, _, whole = answer.headers.get("content-range", "bytes 0-").removeprefix("bytes ").partition("/")
    size, data = int(whole or len(answer.content)), answer.content
    if answer.status_code == _NO_SUCH_PART:
        place, data = f"{size}-", b""
    offset = int(place.partition("-")[0])
    is_last = offset + len(data) >= size
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=is_last)
        encoding, used = "utf-8", len(text.encode())
    except UnicodeDecodeError:
        text, encoding, used = as_base64(data), "base64", len(data)
    following = None if is_last else offset + used
    shown = {"encoding": encoding, "content": text, "offset": offset, "next_offset": following, "size_bytes": size}
    return ToolResult(text, shown)


def _write(lease_id: str, arguments: Json) -> ToolRequest:
    text, encoding = arguments["content"], arguments.get("encoding", "utf-8")
    if not isinstance(text, str) or encoding not in ("utf-8", "base64"):
        raise Invalid("`content` must be a text, and `encoding` utf-8 or base64.")
    try:
        content = text.encode() if encoding == "utf-8" else base64.b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Invalid(f"`content` is not {encoding}: {error}.") from error
    return ToolRequest(method="PUT", path=_file(lease_id, arguments["path"]), content=content)


def _list(lease_id: str, arguments: Json) -> ToolRequest:
    return ToolRequest(method="GET", path=_file(lease_id, arguments.get("path", "")), query={"list": ""})


def _elements(lease_id: str, arguments: Json) -> ToolRequest:
    asked = {"max": ELEMENTS} | {name: value for name, value in arguments.items() if value is not False}
    return ToolRequest(method="GET", path=f"/leases/{lease_id}/tree", query=asked)


def _exec_arguments() -> Json:
    schema = schema_of(ExecCreate)
    del schema["properties"]["stream"]  # a tool has only one answer
    return schema


INSIDE_TOOLS: Final = (
    Tool(
        name="exec",
        title="Run a command",
        description=(
            "Run a program in the session, as the user of the session and on the desktop, and wait until it ends."
        ),
        request=_run,
        shown=as_json,
        arguments=_exec_arguments(),
        answers=schema_of(ExecDone),
        destroys=True,
    ),
    Tool(
        name="read_file",
        title="Read a file",
        description="Read a file or a part of it, as text if it is UTF-8, otherwise as base64; or list a folder.",
        request=_read,
        shown=_content,
        answers=_PART,
        arguments={
            "properties": {
                "path": _PATH,
                "offset": {"type": "integer", "minimum": 0, "default": 0, "description": "bytes; see `next_offset`"},
                "size_bytes": {"type": "integer", "minimum": 1, "maximum": MOST_READ_BYTES, "default": READ_BYTES},
            },
            "required": ["path"],
        },
        reads=True,
    ),
    Tool(
        name="write_file",
        title="Write a file",
        description=(
            "Write a file, and create its folders. An existing file is replaced when the new file is complete."
        ),
        request=_write,
        shown=as_json,
        answers=schema_of(Written),
        arguments={
            "properties": {
                "path": _PATH,
                "content": {"type": "string"},
                "encoding": {
                    "enum": ["utf-8", "base64"],
                    "default": "utf-8",
                    "description": "base64 for binary content",
                },
            },
            "required": ["path", "content"],
        },
        destroys=True,
    ),
    Tool(
        name="list_files",
        title="List a folder",
        description="List the files and folders in a folder.",
        request=_list,
        shown=as_json,
        answers=schema_of(ListingView),
        arguments={"properties": {"path": {**_PATH, "default": ""}}},
        reads=True,
    ),
    Tool(
        name="elements",
        title="Elements on the screen",
        description=(
            "List the windows, buttons and texts of the programs on the screen, each with a `ref` that "
            "actions accept in place of a coordinate. It includes programs with GTK 3; for pages of "
            "browsers, use DevTools (`urls.cdp` of the lease)."
        ),
        request=_elements,
        shown=as_json,
        answers=schema_of(Tree),
        arguments={
            "properties": {
                "ref": {"type": "string", "description": "only elements below this element"},
                "depth": {"type": "integer", "minimum": 0, "maximum": 60, "description": "number of levels"},
                "max": {"type": "integer", "minimum": 1, "maximum": 1000, "default": ELEMENTS},
                "all": {"type": "boolean", "default": False, "description": "include elements that are not visible"},
            }
        },
        reads=True,
    ),
)


WAIT_S: Final = 60
"""The time for which the tool waits until a leased desktop runs."""
LISTED: Final = 100
"""The number of leases in a list."""


class _Leases(View):
    leases: list[LeaseView]


def _leases(answer: httpx2.Response) -> ToolResult:
    listed = {"leases": answer.json()}
    return ToolResult(json.dumps(listed, ensure_ascii=False), listed)


def _released(_: httpx2.Response) -> ToolResult:
    return ToolResult("The lease has ended; its session is deleted.", {"released": True})


def screen_of(lease_id: str, query: Json | None = None) -> ToolRequest:
    """Return the request for the screen of a lease."""
    return ToolRequest(method="GET", path=f"/leases/{lease_id}/screenshot", query=query)


def _picture(answer: httpx2.Response) -> ToolResult:
    return ToolResult(pictures=(as_base64(answer.content),))


def _done(answer: httpx2.Response) -> ToolResult:
    """Return the result of actions, with their pictures in the order in which they were taken."""
    said = answer.json()
    parts = [*said["results"], said]
    pictures = tuple(png for part in parts if (png := part.pop("screenshot", None)))
    results = {
        "results": [{name: value for name, value in one.items() if value is not None} for one in said["results"]]
    }
    return ToolResult(json.dumps(results, ensure_ascii=False), results, pictures)


def _actions() -> Json:
    """Return the schema of the body of actions, with all fields that an action may have."""
    schema = schema_of(ActionsCreate)
    known: dict[str, Json] = {}
    for verb in msgspec.json.schema_components([computer.ClientAction])[1].values():
        known = {name: _plain(field) for name, field in verb["properties"].items()} | known
    named = {
        "type": "string",
        "enum": list(ACTION_NAMES["action"]),
        "description": "; ".join(map(_usage, _TOOL_ACTIONS)),
    }
    schema["properties"]["actions"] = {
        "type": "array",
        "description": "actions, in their order; a `ref` from `elements` can replace a `coordinate`",
        "items": {"type": "object", "properties": {**known, "action": named}, "required": ["action"]},
    }
    return schema


def _plain(schema: Json) -> Json:
    """Return a field without null, which is omitted instead, and with one schema for the items of a list.

    The interfaces of some models support no more.
    """
    chosen: Json = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
    places = chosen.get("prefixItems")
    kept = {name: value for name, value in chosen.items() if name != "prefixItems"}
    return kept | {"items": places[0]} if places else kept


_TOOL_ACTIONS: Final[tuple[Any, ...]] = computer.ClientAction.__args__


def _usage(verb: Any) -> str:
    fields_text = [one.name if one.required else f"{one.name}?" for one in fields(verb)]
    return f"{verb.__struct_config__.tag}({', '.join(fields_text)})"


LEASES: Final = ToolRequest(method="GET", path="/leases", query={"limit": LISTED})

TOOLS: Final = (
    Tool(
        name="lease",
        title="Lease a desktop or browser",
        description=(
            "Lease a separate desktop, browser or application until a deadline. The answer contains the "
            "lease_id for the other tools, and the addresses for DevTools, WebDriver and people. Call "
            "`release` at the end."
        ),
        request=lambda _, arguments: ToolRequest(method="POST", path="/leases", json={"wait_s": WAIT_S, **arguments}),
        shown=as_json,
        arguments=schema_of(LeaseCreate, wait_s=WAIT_S),
        answers=schema_of(LeaseGranted),
        of_lease=False,
    ),
    Tool(
        name="list_leases",
        title="List leases",
        description=f"The newest {LISTED} leases that the caller may see, with the status of their sessions.",
        request=lambda _, arguments: ToolRequest(method="GET", path="/leases", query={"limit": LISTED, **arguments}),
        shown=_leases,
        answers=schema_of(_Leases),
        arguments={
            "properties": {
                "tag": {"type": "string", "description": "only leases with this word, or name=word, in their tags"},
                "ended": {"type": "boolean", "default": False, "description": "include leases that have ended"},
            }
        },
        of_lease=False,
        reads=True,
    ),
    Tool(
        name="extend",
        title="Change the deadline of a lease",
        description="Set the deadline to this number of seconds from now; an earlier deadline is possible, too.",
        request=lambda lease_id, arguments: ToolRequest(method="PATCH", path=f"/leases/{lease_id}", json=arguments),
        shown=as_json,
        arguments=schema_of(LeaseExtension),
        answers=schema_of(LeaseView),
    ),
    Tool(
        name="release",
        title="End a lease",
        description="End a lease: its session is deleted with all its data. A repeated call succeeds, too.",
        request=lambda lease_id, _: ToolRequest(method="DELETE", path=f"/leases/{lease_id}"),
        shown=_released,
        answers={"type": "object", "properties": {"released": {"type": "boolean"}}, "required": ["released"]},
        destroys=True,
    ),
    Tool(
        name="screenshot",
        title="Take a screenshot",
        description=(
            "Take a screenshot of the screen or of a part of it. The coordinates of actions are pixels of the screen."
        ),
        request=screen_of,
        shown=_picture,
        arguments={
            "properties": {
                "region": {"type": "string", "description": "x1,y1,x2,y2; the second corner is not included"},
                "width": {"type": "integer", "description": "pixels; width or height alone keeps the aspect ratio"},
                "height": {"type": "integer", "description": "pixels"},
                "cursor": {"type": "boolean", "default": True, "description": "include the pointer"},
            }
        },
        reads=True,
    ),
    Tool(
        name="act",
        title="Use mouse, keyboard and clipboard",
        description=(
            "Perform actions on the desktop, in their order, until one fails. With `screenshot`, the answer "
            "ends with a screenshot. Send several actions in one call if no screenshot is needed between "
            "them: a click, a text, a key."
        ),
        request=lambda lease_id, arguments: ToolRequest(
            method="POST", path=f"/leases/{lease_id}/actions", json=arguments
        ),
        shown=_done,
        arguments=_actions(),
        answers=schema_of(ActionsDone),
    ),
    *INSIDE_TOOLS,
)


def tools_for(own_lease_id: str | None) -> dict[str, Tool]:
    """Return the tools of a caller by name. The token of a lease is only for the tools of that lease."""
    return {tool.name: tool for tool in TOOLS if tool.of_lease or own_lease_id is None}
