"""The definition of a tool: its request to a route of `/api/v1`, and the conversion of the answer to a result."""

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


_running_calls: Final[set[asyncio.Task[httpx2.Response]]] = set()


async def call_api(request: Request, tool_request: ToolRequest) -> httpx2.Response:
    """Call a route with the credential of `request`, and return its complete answer.

    If the caller is cancelled, the route is not cancelled, because this would interrupt its clean-up. The route
    receives the message that its client has disconnected.
    """
    disconnected = asyncio.Event()
    task = asyncio.create_task(_call_route(request, tool_request, disconnected))
    _running_calls.add(task)
    task.add_done_callback(_running_calls.discard)
    try:
        return await asyncio.shield(task)
    finally:
        disconnected.set()


async def _call_route(request: Request, tool_request: ToolRequest, disconnected: asyncio.Event) -> httpx2.Response:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body_is_read = False

        async def receive_or_disconnect() -> Message:
            nonlocal body_is_read
            if body_is_read:
                await disconnected.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            body_is_read = not message.get("more_body", False)
            return message

        await request.app(scope, receive_or_disconnect, send)

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
    """The result of a tool. `text` is a sentence or JSON, `structured` is the same JSON as an object, and `pictures`
    are PNGs in base64."""

    text: str = ""
    structured: Json | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool. `make_request` gets the id of the lease and the other arguments, and `arguments_schema` is the JSON
    Schema of these arguments. If `needs_lease` is True, the tool also has the argument `lease_id`."""

    name: str
    title: str
    description: str
    make_request: Callable[[str, Json], ToolRequest]
    make_result: Callable[[httpx2.Response], ToolResult]
    arguments_schema: Mapping[str, Any] = field(default_factory=lambda: {"properties": {}})
    result_schema: Mapping[str, Any] | None = None
    """The JSON Schema of `ToolResult.structured`; None = the result has no object."""
    needs_lease: bool = True
    read_only: bool = False
    destructive: bool = False

    def input_schema(self, *, has_lease_token: bool) -> Json:
        """Return the JSON Schema of all arguments. With the token of a lease, `lease_id` is optional."""
        properties: Json = dict(self.arguments_schema["properties"])
        required = list(self.arguments_schema.get("required", ()))
        if self.needs_lease:
            lease_description = (
                "the lease; optional with the token of a lease" if has_lease_token else "id from the answer of `lease`"
            )
            properties = {
                LEASE_ID: {"type": "string", "format": "uuid", "description": lease_description},
                **properties,
            }
            required = required if has_lease_token else [LEASE_ID, *required]
        definitions = {name: self.arguments_schema[name] for name in ("$defs",) if name in self.arguments_schema}
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        return schema | definitions

    def build_request(self, arguments: Json, own_lease_id: str | None) -> ToolRequest:
        """Return the request for a call of the tool. `own_lease_id` is the lease of the caller's token.

        Raises:
            Invalid: an argument is unknown, or missing.
        """
        schema = self.input_schema(has_lease_token=own_lease_id is not None)
        properties = schema["properties"]
        if unknown := sorted(arguments.keys() - properties.keys()):
            hint = f"it has {', '.join(properties)}" if properties else "it has no arguments"
            raise Invalid(f"The tool {self.name} has no argument {', '.join(unknown)}; {hint}.")
        if missing := [name for name in schema["required"] if name not in arguments]:
            raise Invalid(f"The tool {self.name} needs {', '.join(missing)}.")
        other_arguments = {name: value for name, value in arguments.items() if name != LEASE_ID or not self.needs_lease}
        lease_id = _lease_id(arguments.get(LEASE_ID, own_lease_id)) if self.needs_lease else ""
        return self.make_request(lease_id, other_arguments)


def _lease_id(value: object) -> str:
    """Return the id of a lease as text. Raises Invalid: the value is not an id, and must not become part of a path."""
    try:
        return str(UUID(cast("str", value)))
    except (ValueError, AttributeError, TypeError) as error:
        raise Invalid(f"{str(value)[:60]!r} is not the id of a lease; call `list_leases` for the ids.") from error


def schema_of(body: type[object], **defaults: object) -> Json:
    """Return the JSON Schema of the type `body`, with `defaults` as the default values of its fields."""
    schema = TypeAdapter(body).json_schema()
    for name, value in defaults.items():
        schema["properties"][name] |= {"default": value}
    return schema


def as_json(answer: httpx2.Response) -> ToolResult:
    """Return the JSON object of an answer as a result."""
    return ToolResult(answer.text, answer.json())


def as_base64(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()
