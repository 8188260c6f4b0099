"""The definitions of all MCP tools, in the order in which clients receive them."""

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

MAX_BYTES: Final = 1 << 20
DEFAULT_BYTES: Final = 1 << 16
"""The maximum and the default size of the part of a file that `read_file` returns."""
DEFAULT_ELEMENTS: Final = 300
_RANGE_NOT_SATISFIABLE: Final = 416
_PART_SCHEMA: Final = {
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
_PATH_SCHEMA: Final = {"type": "string", "description": "path below the home folder"}


def _file_path(lease_id: str, path: object) -> str:
    """Return the path of the route for a file. Dots are escaped, so that `..` reaches the route, which refuses it."""
    if not isinstance(path, str):
        raise Invalid("`path` must be the path of a file below the home folder.")
    parts = (quote(part, safe="").replace(".", "%2E") for part in path.split("/"))
    return f"/leases/{lease_id}/files/{'/'.join(parts)}"


def _exec_request(lease_id: str, arguments: Json) -> ToolRequest:
    return ToolRequest(method="POST", path=f"/leases/{lease_id}/exec", json=arguments)


def _read_request(lease_id: str, arguments: Json) -> ToolRequest:
    offset, size = arguments.get("offset", 0), arguments.get("size_bytes", DEFAULT_BYTES)
    if not (isinstance(offset, int) and offset >= 0 and isinstance(size, int) and 0 < size <= MAX_BYTES):
        raise Invalid(f"`offset` must be 0 or more bytes, and `size_bytes` 1 to {MAX_BYTES}.")
    part = {"Range": f"bytes={offset}-{offset + size - 1}"}
    return ToolRequest(method="GET", path=_file_path(lease_id, arguments["path"]), headers=part)


def _file_result(answer: httpx2.Response) -> ToolResult:
    """Return a part of a file with the offset of the next part, or the listing of a folder. The part is text if it is
    UTF-8, otherwise base64."""
    if answer.headers.get("content-type", "").startswith("application/json"):
        return as_json(answer)
    byte_range, _, total = answer.headers.get("content-range", "bytes 0-").removeprefix("bytes ").partition("/")
    size, data = int(total or len(answer.content)), answer.content
    if answer.status_code == _RANGE_NOT_SATISFIABLE:
        byte_range, data = f"{size}-", b""
    offset = int(byte_range.partition("-")[0])
    is_last = offset + len(data) >= size
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=is_last)
        encoding, length = "utf-8", len(text.encode())
    except UnicodeDecodeError:
        text, encoding, length = as_base64(data), "base64", len(data)
    next_offset = None if is_last else offset + length
    part = {"encoding": encoding, "content": text, "offset": offset, "next_offset": next_offset, "size_bytes": size}
    return ToolResult(text, part)


def _write_request(lease_id: str, arguments: Json) -> ToolRequest:
    text, encoding = arguments["content"], arguments.get("encoding", "utf-8")
    if not isinstance(text, str) or encoding not in ("utf-8", "base64"):
        raise Invalid("`content` must be a text, and `encoding` utf-8 or base64.")
    try:
        content = text.encode() if encoding == "utf-8" else base64.b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Invalid(f"`content` is not {encoding}: {error}.") from error
    return ToolRequest(method="PUT", path=_file_path(lease_id, arguments["path"]), content=content)


def _list_request(lease_id: str, arguments: Json) -> ToolRequest:
    return ToolRequest(method="GET", path=_file_path(lease_id, arguments.get("path", "")), query={"list": ""})


def _elements_request(lease_id: str, arguments: Json) -> ToolRequest:
    query = {"max": DEFAULT_ELEMENTS} | {name: value for name, value in arguments.items() if value is not False}
    return ToolRequest(method="GET", path=f"/leases/{lease_id}/tree", query=query)


def _exec_arguments_schema() -> Json:
    schema = schema_of(ExecCreate)
    del schema["properties"]["stream"]  # a tool returns only one answer, not a stream
    return schema


SESSION_TOOLS: Final = (
    Tool(
        name="exec",
        title="Run a command",
        description=(
            "Run a program in the session, as the user of the session and on the desktop, and wait until it ends."
        ),
        make_request=_exec_request,
        make_result=as_json,
        arguments_schema=_exec_arguments_schema(),
        result_schema=schema_of(ExecDone),
        destructive=True,
    ),
    Tool(
        name="read_file",
        title="Read a file",
        description="Read a file or a part of it, as text if it is UTF-8, otherwise as base64; or list a folder.",
        make_request=_read_request,
        make_result=_file_result,
        result_schema=_PART_SCHEMA,
        arguments_schema={
            "properties": {
                "path": _PATH_SCHEMA,
                "offset": {"type": "integer", "minimum": 0, "default": 0, "description": "bytes; see `next_offset`"},
                "size_bytes": {"type": "integer", "minimum": 1, "maximum": MAX_BYTES, "default": DEFAULT_BYTES},
            },
            "required": ["path"],
        },
        read_only=True,
    ),
    Tool(
        name="write_file",
        title="Write a file",
        description=(
            "Write a file, and create its folders. An existing file is replaced when the new file is complete."
        ),
        make_request=_write_request,
        make_result=as_json,
        result_schema=schema_of(Written),
        arguments_schema={
            "properties": {
                "path": _PATH_SCHEMA,
                "content": {"type": "string"},
                "encoding": {
                    "enum": ["utf-8", "base64"],
                    "default": "utf-8",
                    "description": "base64 for binary content",
                },
            },
            "required": ["path", "content"],
        },
        destructive=True,
    ),
    Tool(
        name="list_files",
        title="List a folder",
        description="List the files and folders in a folder.",
        make_request=_list_request,
        make_result=as_json,
        result_schema=schema_of(ListingView),
        arguments_schema={"properties": {"path": {**_PATH_SCHEMA, "default": ""}}},
        read_only=True,
    ),
    Tool(
        name="elements",
        title="Elements on the screen",
        description=(
            "List the windows, buttons and texts of the programs on the screen, each with a `ref` that "
            "actions accept in place of a coordinate. The list includes programs with GTK 3; for pages of "
            "browsers, use DevTools (`urls.cdp` of the lease)."
        ),
        make_request=_elements_request,
        make_result=as_json,
        result_schema=schema_of(Tree),
        arguments_schema={
            "properties": {
                "ref": {"type": "string", "description": "only elements below this element"},
                "depth": {"type": "integer", "minimum": 0, "maximum": 60, "description": "number of levels"},
                "max": {"type": "integer", "minimum": 1, "maximum": 1000, "default": DEFAULT_ELEMENTS},
                "all": {"type": "boolean", "default": False, "description": "include elements that are not visible"},
            }
        },
        read_only=True,
    ),
)


WAIT_S: Final = 60
"""The time limit in seconds for the start of the leased session."""
MAX_LISTED: Final = 100
"""The maximum number of leases in a list."""


class _Leases(View):
    leases: list[LeaseView]


def _leases_result(answer: httpx2.Response) -> ToolResult:
    listed = {"leases": answer.json()}
    return ToolResult(json.dumps(listed, ensure_ascii=False), listed)


def _release_result(_: httpx2.Response) -> ToolResult:
    return ToolResult("The lease has ended; its session is deleted.", {"released": True})


def screenshot_request(lease_id: str, query: Json | None = None) -> ToolRequest:
    """Return the request for the screen of a lease."""
    return ToolRequest(method="GET", path=f"/leases/{lease_id}/screenshot", query=query)


def _screenshot_result(answer: httpx2.Response) -> ToolResult:
    return ToolResult(pictures=(as_base64(answer.content),))


def _actions_result(answer: httpx2.Response) -> ToolResult:
    """Return the result of actions, with their pictures in the order in which they were taken."""
    answer_json = answer.json()
    parts = [*answer_json["results"], answer_json]
    pictures = tuple(png for part in parts if (png := part.pop("screenshot", None)))
    results = [{name: value for name, value in item.items() if value is not None} for item in answer_json["results"]]
    return ToolResult(json.dumps({"results": results}, ensure_ascii=False), {"results": results}, pictures)


def _actions_schema() -> Json:
    """Return the JSON Schema of the arguments of `act`. All actions have the same schema, with all fields."""
    schema = schema_of(ActionsCreate)
    action_fields: dict[str, Json] = {}
    for action_schema in msgspec.json.schema_components([computer.ClientAction])[1].values():
        schemas: dict[str, Json] = action_schema["properties"]
        action_fields = {name: _simple_schema(field_schema) for name, field_schema in schemas.items()} | action_fields
    name_schema = {
        "type": "string",
        "enum": list(ACTION_NAMES["action"]),
        "description": "; ".join(map(_usage, _TOOL_ACTIONS)),
    }
    schema["properties"]["actions"] = {
        "type": "array",
        "description": "actions, in their order; a `ref` from `elements` can replace a `coordinate`",
        "items": {"type": "object", "properties": {**action_fields, "action": name_schema}, "required": ["action"]},
    }
    return schema


def _simple_schema(schema: Json) -> Json:
    """Return the schema of a field without the type null, and with one schema for all items of a list. The interfaces
    of some models support only such schemas. To set a field to null, clients omit the field.
    """
    chosen: Json = next(option for option in schema.get("anyOf", [schema]) if option.get("type") != "null")
    item_schemas = chosen.get("prefixItems")
    others = {name: value for name, value in chosen.items() if name != "prefixItems"}
    return others | {"items": item_schemas[0]} if item_schemas else others


_TOOL_ACTIONS: Final[tuple[Any, ...]] = computer.ClientAction.__args__


def _usage(action: Any) -> str:
    """Return the name and the fields of an action, such as `left_click(coordinate?, text?)`."""
    names = [field.name if field.required else f"{field.name}?" for field in fields(action)]
    return f"{action.__struct_config__.tag}({', '.join(names)})"


LIST_LEASES: Final = ToolRequest(method="GET", path="/leases", query={"limit": MAX_LISTED})

TOOLS: Final = (
    Tool(
        name="lease",
        title="Lease a desktop or browser",
        description=(
            "Lease a separate desktop, browser or application until a deadline. The answer contains the "
            "lease_id for the other tools, and the addresses for DevTools, WebDriver and people. Call "
            "`release` at the end."
        ),
        make_request=lambda _, values: ToolRequest(method="POST", path="/leases", json={"wait_s": WAIT_S, **values}),
        make_result=as_json,
        arguments_schema=schema_of(LeaseCreate, wait_s=WAIT_S),
        result_schema=schema_of(LeaseGranted),
        needs_lease=False,
    ),
    Tool(
        name="list_leases",
        title="List leases",
        description=f"The newest {MAX_LISTED} leases that the caller may see, with the status of their sessions.",
        make_request=lambda _, values: ToolRequest(method="GET", path="/leases", query={"limit": MAX_LISTED, **values}),
        make_result=_leases_result,
        result_schema=schema_of(_Leases),
        arguments_schema={
            "properties": {
                "tag": {"type": "string", "description": "only leases with this word, or name=word, in their tags"},
                "ended": {"type": "boolean", "default": False, "description": "include leases that have ended"},
            }
        },
        needs_lease=False,
        read_only=True,
    ),
    Tool(
        name="extend",
        title="Change the deadline of a lease",
        description="Set the deadline to this number of seconds from now; an earlier deadline is possible, too.",
        make_request=lambda lease_id, values: ToolRequest(method="PATCH", path=f"/leases/{lease_id}", json=values),
        make_result=as_json,
        arguments_schema=schema_of(LeaseExtension),
        result_schema=schema_of(LeaseView),
    ),
    Tool(
        name="release",
        title="End a lease",
        description="End a lease: its session is deleted with all its data. A repeated call succeeds, too.",
        make_request=lambda lease_id, _: ToolRequest(method="DELETE", path=f"/leases/{lease_id}"),
        make_result=_release_result,
        result_schema={"type": "object", "properties": {"released": {"type": "boolean"}}, "required": ["released"]},
        destructive=True,
    ),
    Tool(
        name="screenshot",
        title="Take a screenshot",
        description=(
            "Take a screenshot of the screen or of a part of it. The coordinates of actions are pixels of the screen."
        ),
        make_request=screenshot_request,
        make_result=_screenshot_result,
        arguments_schema={
            "properties": {
                "region": {"type": "string", "description": "x1,y1,x2,y2; the second corner is not included"},
                "width": {"type": "integer", "description": "pixels; width or height alone keeps the aspect ratio"},
                "height": {"type": "integer", "description": "pixels"},
                "cursor": {"type": "boolean", "default": True, "description": "include the pointer"},
            }
        },
        read_only=True,
    ),
    Tool(
        name="act",
        title="Use mouse, keyboard and clipboard",
        description=(
            "Perform actions on the desktop, in their order, until one fails. With `screenshot`, the answer "
            "ends with a screenshot. Send several actions in one call if no screenshot is needed between "
            "them: a click, a text, a key."
        ),
        make_request=lambda lease_id, values: ToolRequest(
            method="POST", path=f"/leases/{lease_id}/actions", json=values
        ),
        make_result=_actions_result,
        arguments_schema=_actions_schema(),
        result_schema=schema_of(ActionsDone),
    ),
    *SESSION_TOOLS,
)


def tools_for(own_lease_id: str | None) -> dict[str, Tool]:
    """Return name → tool for a caller. A caller with the token of a lease gets only the tools that need a lease."""
    return {tool.name: tool for tool in TOOLS if tool.needs_lease or own_lease_id is None}
