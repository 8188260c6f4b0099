"""The definition of a tool: a request to `/api/v1`, sent within the api, and the conversion of its answer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from uuid import UUID

import httpx2
from fastapi import Request
from pydantic import TypeAdapter
from starlette.types import Message, Receive, Scope, Send

from greenroom.api.bodies import Json
from greenroom.core.errors import Invalid

PREFIX: Final = "/api/v1"
_FORWARDED_HEADERS: Final = ("authorization", "host", "x-greenroom-zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """A request to a route; `path` is below `/api/v1`."""

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    json: object = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


_under_way: Final[set[asyncio.Task[httpx2.Response]]] = set()


async def answer_to(request: Request, tool_request: ToolRequest) -> httpx2.Response:
    """Return the whole answer that a client with the credential of `request` would get.

    If the caller is cancelled, the route gets a disconnected client, and cleans up as for any other. A cancellation of
    the route itself would interrupt that clean-up.
    """
    disconnected = asyncio.Event()
    task = asyncio.create_task(_answer(request, tool_request, disconnected))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    try:
        return await asyncio.shield(task)
    finally:
        disconnected.set()


async def _answer(request: Request, tool_request: ToolRequest, disconnected: asyncio.Event) -> httpx2.Response:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_read = False

        async def received() -> Message:
            nonlocal is_read
            if is_read:
                await disconnected.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            is_read = not message.get("more_body", False)
            return message

        await request.app(scope, received, send)

    address = (request.client.host, request.client.port) if request.client else ("", 0)
    sent = httpx2.Request(
        tool_request.method,
        httpx2.URL(f"https://{request.headers['host']}{PREFIX}{tool_request.path}"),
        params=tool_request.query,
        headers={name: request.headers[name] for name in _FORWARDED_HEADERS if name in request.headers}
        | dict(tool_request.headers),
        json=tool_request.json,
        content=tool_request.content,
    )
    answer = await httpx2.ASGITransport(app, client=address).handle_async_request(sent)
    await answer.aread()
    return answer


LEASE_ID: Final = "lease_id"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result for a caller: a sentence or JSON, the same as an object, and pictures (PNG in base64)."""

    text: str = ""
    structured: Json | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool. `arguments` is the JSON Schema of an object; tools `of_lease` also have `lease_id`."""

    name: str
    title: str
    description: str
    request: Callable[[str, Json], ToolRequest]
    shown: Callable[[httpx2.Response], ToolResult]
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"properties": {}})
    answers: Mapping[str, Any] | None = None
    """The JSON Schema of `ToolResult.structured`; None = the result has no object."""
    of_lease: bool = True
    reads: bool = False
    destroys: bool = False

    def schema(self, *, by_token: bool) -> Json:
        """Return the JSON Schema of all arguments. With the token of a lease, `lease_id` is optional."""
        properties: Json = dict(self.arguments["properties"])
        required = list(self.arguments.get("required", ()))
        if self.of_lease:
            lease_description = (
                "the lease; optional with the token of a lease" if by_token else "id from the answer of `lease`"
            )
            properties = {
                LEASE_ID: {"type": "string", "format": "uuid", "description": lease_description},
                **properties,
            }
            required = required if by_token else [LEASE_ID, *required]
        definitions = {name: self.arguments[name] for name in ("$defs",) if name in self.arguments}
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        return schema | definitions

    def build_request(self, arguments: Json, own_lease_id: str | None) -> ToolRequest:
        """Return the request of a call. `own_lease_id` is the lease of the caller's token.

        Raises:
            Invalid: an argument is unknown, or missing.
        """
        schema = self.schema(by_token=own_lease_id is not None)
        known = schema["properties"]
        if unknown_names := sorted(arguments.keys() - known.keys()):
            has = f"it has {', '.join(known)}" if known else "it has no arguments"
            raise Invalid(f"The tool {self.name} has no argument {', '.join(unknown_names)}; {has}.")
        if missing := [name for name in schema["required"] if name not in arguments]:
            raise Invalid(f"The tool {self.name} needs {', '.join(missing)}.")
        remaining = {name: value for name, value in arguments.items() if name != LEASE_ID or not self.of_lease}
        lease_id = _lease_id(arguments.get(LEASE_ID, own_lease_id)) if self.of_lease else ""
        return self.request(lease_id, remaining)


def _lease_id(value: object) -> str:
    """Return a valid id, because only ids may become part of an address."""
    try:
        return str(UUID(cast("str", value)))
    except (ValueError, AttributeError, TypeError) as error:
        raise Invalid(f"{str(value)[:60]!r} is not the id of a lease; call `list_leases` for the ids.") from error


def schema_of(body: type[object], **defaults: object) -> Json:
    """Return the schema of a route's body or answer, with the passed defaults."""
    schema = TypeAdapter(body).json_schema()
    for name, value in defaults.items():
        schema["properties"][name] |= {"default": value}
    return schema


def as_json(answer: httpx2.Response) -> ToolResult:
    """Return the JSON object of a route."""
    return ToolResult(answer.text, answer.json())


def as_base64(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()
