"""The tools for what is inside a session: commands, files, and the elements on its screen."""

from __future__ import annotations

import base64
import binascii
import codecs
from typing import Final
from urllib.parse import quote

import httpx

from greenroom.api.bodies import Json
from greenroom.api.desk.command_schemas import ExecCreate, ExecDone, Listing, Tree, Written
from greenroom.api.mcp.requests import Asked
from greenroom.api.mcp.tool import Shown, Tool, as_base64, as_json, schema_of
from greenroom.core.errors import Invalid

MOST_READ_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 16
ELEMENTS: Final = 300
_NO_SUCH_PART: Final = 416
_PART: Final = {
    "type": "object",
    "description": "a part of a file; the listing of a folder, as `list_files` has it",
    "properties": {
        "encoding": {"enum": ["utf-8", "base64"]},
        "content": {"type": "string"},
        "offset": {"type": "integer", "description": "bytes"},
        "next_offset": {
            "type": ["integer", "null"],
            "description": "where the next part begins; null = this is the last",
        },
        "size_bytes": {"type": "integer", "description": "of the whole file"},
    },
}
_PATH: Final = {"type": "string", "description": "below the home folder"}


def _file(lease_id: str, path: object) -> str:
    """The address of a file. Dots are written so that they stay part of a name: the route says what they mean."""
    if not isinstance(path, str):
        raise Invalid("`path` is the path of a file, below the home folder.")
    parts = (quote(part, safe="").replace(".", "%2E") for part in path.split("/"))
    return f"/leases/{lease_id}/files/{'/'.join(parts)}"


def _run(lease_id: str, given: Json) -> Asked:
    return Asked(method="POST", path=f"/leases/{lease_id}/exec", json=given)


def _read(lease_id: str, given: Json) -> Asked:
    offset, size = given.get("offset", 0), given.get("size_bytes", READ_BYTES)
    if not (isinstance(offset, int) and offset >= 0 and isinstance(size, int) and 0 < size <= MOST_READ_BYTES):
        raise Invalid(f"`offset` is a number of bytes from 0 on, `size_bytes` one from 1 to {MOST_READ_BYTES}.")
    part = {"Range": f"bytes={offset}-{offset + size - 1}"}
    return Asked(method="GET", path=_file(lease_id, given["path"]), headers=part)


def _content(answer: httpx.Response) -> Shown:
    """A part of a file as text where it is UTF-8, and where the next one begins; or a folder's listing."""
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
    return Shown(text, shown)


def _write(lease_id: str, given: Json) -> Asked:
    text, encoding = given["content"], given.get("encoding", "utf-8")
    if not isinstance(text, str) or encoding not in ("utf-8", "base64"):
        raise Invalid("`content` is a text, `encoding` utf-8 or base64.")
    try:
        content = text.encode() if encoding == "utf-8" else base64.b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Invalid(f"`content` is not {encoding}: {error}.") from error
    return Asked(method="PUT", path=_file(lease_id, given["path"]), content=content)


def _list(lease_id: str, given: Json) -> Asked:
    return Asked(method="GET", path=_file(lease_id, given.get("path", "")), query={"list": ""})


def _elements(lease_id: str, given: Json) -> Asked:
    asked = {"max": ELEMENTS} | {name: value for name, value in given.items() if value is not False}
    return Asked(method="GET", path=f"/leases/{lease_id}/tree", query=asked)


def _exec_arguments() -> Json:
    schema = schema_of(ExecCreate)
    del schema["properties"]["stream"]  # a tool answers once
    return schema


INSIDE_TOOLS: Final = (
    Tool(
        name="exec",
        title="Run a command",
        description="Run a program in the session, as its user and on its desktop, and wait for its end.",
        request=_run,
        shown=as_json,
        arguments=_exec_arguments(),
        answers=schema_of(ExecDone),
        destroys=True,
    ),
    Tool(
        name="read_file",
        title="Read a file",
        description="A file, or a part of it: text where it is UTF-8, else base64. Of a folder what lies in it.",
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
        description="Write a file, with the folders above it; one of this name is replaced once the new one is whole.",
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
                    "description": "base64 for what is no text",
                },
            },
            "required": ["path", "content"],
        },
        destroys=True,
    ),
    Tool(
        name="list_files",
        title="List a folder",
        description="The files and folders in a folder.",
        request=_list,
        shown=as_json,
        answers=schema_of(Listing),
        arguments={"properties": {"path": {**_PATH, "default": ""}}},
        reads=True,
    ),
    Tool(
        name="elements",
        title="Elements on the screen",
        description=(
            "What the programs on the screen say of their windows, buttons and texts, each with a `ref` that actions"
            " take in place of a coordinate. Programs with GTK 3 say it; pages of browsers are reached by"
            " DevTools (`urls.cdp` of the lease)."
        ),
        request=_elements,
        shown=as_json,
        answers=schema_of(Tree),
        arguments={
            "properties": {
                "ref": {"type": "string", "description": "only what is below this element"},
                "depth": {"type": "integer", "minimum": 0, "maximum": 60, "description": "levels below it"},
                "max": {"type": "integer", "minimum": 1, "maximum": 1000, "default": ELEMENTS},
                "all": {"type": "boolean", "default": False, "description": "also what is not shown"},
            }
        },
        reads=True,
    ),
)
