"""The MCP server, built with the library `mcp`. The first request to `/mcp` imports this module.

Each request has a separate server and transport. No state remains between two requests.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final, TypeVar

import httpx2
import structlog
from fastapi import Request
from fastapi.responses import Response
from mcp import types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.types import Message, Receive, Scope, Send

from greenroom.api.bodies import Json
from greenroom.api.hardening import MAX_BODY_BYTES
from greenroom.core.errors import GreenroomError, Invalid
from greenroom.interfaces.mcp.routes import McpCaller
from greenroom.interfaces.mcp.tool import Tool, ToolRequest, ToolResult, as_base64, call_api
from greenroom.interfaces.mcp.tools import LIST_LEASES, screenshot_request, tools_for

log = structlog.get_logger(__name__)
logging.getLogger("mcp").setLevel(logging.CRITICAL)
"""The library logs parts of the clients' messages, which may contain secrets. This module logs failures itself."""

INSTRUCTIONS: Final = (
    "Greenroom leases desktops, browsers and applications. Call `lease` with the name of a "
    "workspace, use the other tools with its lease_id, and call `release` at the end. A lease ends "
    "automatically at its deadline."
)
INSTRUCTIONS_FOR_ONE_LEASE: Final = "The tools use the leased session of the token."
SCREEN_URI: Final = "greenroom://leases/{lease_id}/screen"
VERSION: Final = version("greenroom")
_SCREEN_URI_PATTERN: Final = re.compile(re.escape(SCREEN_URI).replace(r"\{lease_id\}", r"([0-9a-fA-F-]{36})"), re.ASCII)
PNG: Final = "image/png"
CACHE_HINT: Final = CacheHint(ttl_ms=300_000)
"""Clients may cache the list of tools, which changes only with the version of the server."""

Context = ServerRequestContext[Any, Any]
Page = types.PaginatedRequestParams | None
P = TypeVar("P")
T = TypeVar("T")


class McpResponse(Response):
    """Answers one HTTP request according to the Model Context Protocol."""

    def __init__(self, request: Request, caller: McpCaller) -> None:
        super().__init__()
        self._request = request
        self._caller_tools = _CallerTools(request, caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer_request(self._caller_tools.server(), await self._request.body(), scope, receive, send)


async def answer_request(server: Server[Any], body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request with a separate transport. `body` is the body, which was read before."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body_first() -> Message:
        return messages.pop() if messages else await receive()

    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=MAX_BODY_BYTES)
    async with manager.run():
        await manager.handle_request(scope, receive_body_first, send)


class _CallerTools:
    """The tools and resources of one caller."""

    def __init__(self, request: Request, caller: McpCaller) -> None:
        self._request = request
        self._lease_id = caller.lease_id
        self._tools = tools_for(caller.lease_id)

    def server(self) -> Server[Any]:
        return Server(
            "greenroom",
            title="Greenroom",
            version=VERSION,
            instructions=INSTRUCTIONS if self._lease_id is None else INSTRUCTIONS_FOR_ONE_LEASE,
            cache_hints={"tools/list": CACHE_HINT, "resources/templates/list": CACHE_HINT},
            on_list_tools=self._list_tools,
            on_call_tool=_logging_failures(self._call_tool),
            on_list_resources=_logging_failures(self._list_resources),
            on_list_resource_templates=self._list_templates,
            on_read_resource=_logging_failures(self._read_resource),
        )

    async def _list_tools(self, _: Context, __: Page) -> types.ListToolsResult:
        has_token = self._lease_id is not None
        tools = [_tool_definition(tool, has_lease_token=has_token) for tool in self._tools.values()]
        return types.ListToolsResult(tools=tools)

    async def _call_tool(self, _: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            names = ", ".join(self._tools)
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name[:60]!r}; the tools are {names}.")
        try:
            tool_request = tool.build_request(params.arguments or {}, self._lease_id)
        except Invalid as error:
            return _refusal(error.code, error.message)
        answer = await call_api(self._request, tool_request)
        return _refusal_from(answer) if _is_problem(answer) else _call_result(tool.make_result(answer))

    async def _list_resources(self, _: Context, __: Page) -> types.ListResourcesResult:
        if self._lease_id is not None:
            lease_request = ToolRequest(method="GET", path=f"/leases/{self._lease_id}")
            return types.ListResourcesResult(
                resources=[_screen_resource((await self._read(lease_request, SCREEN_URI)).json())]
            )
        leases = (await self._read(LIST_LEASES, SCREEN_URI)).json()
        return types.ListResourcesResult(resources=[_screen_resource(lease) for lease in leases])

    async def _list_templates(self, _: Context, __: Page) -> types.ListResourceTemplatesResult:
        screen = types.ResourceTemplate(
            uri_template=SCREEN_URI,
            name="screen",
            title="Screen of a lease",
            description="the present screen",
            mime_type=PNG,
        )
        return types.ListResourceTemplatesResult(resource_templates=[screen])

    async def _read_resource(self, _: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        match = _SCREEN_URI_PATTERN.fullmatch(params.uri)
        if match is None:
            raise _resource_error(
                params.uri, f"There is no resource {params.uri[:200]}; the screen of a lease is {SCREEN_URI}."
            )
        answer = await self._read(screenshot_request(match[1]), params.uri)
        blob = types.BlobResourceContents(uri=params.uri, mime_type=PNG, blob=as_base64(answer.content))
        return types.ReadResourceResult(contents=[blob])

    async def _read(self, tool_request: ToolRequest, uri: str) -> httpx2.Response:
        """Return the answer of a route. `uri` is the resource of the client's request.

        Raises:
            MCPError: the route refused the request; the message is the reason.
        """
        answer = await call_api(self._request, tool_request)
        if _is_problem(answer):
            raise _resource_error(uri, answer.json()["detail"])
        return answer


def _logging_failures(handler: Callable[[Context, P], Awaitable[T]]) -> Callable[[Context, P], Awaitable[T]]:
    """Return a handler that logs unexpected errors, and answers without their details."""

    async def handle(context: Context, params: P) -> T:
        try:
            return await handler(context, params)
        except MCPError:
            raise
        except Exception as error:
            log.exception("an MCP request failed", method=context.method)
            raise MCPError(types.INTERNAL_ERROR, GreenroomError().message) from error

    return handle


def _is_problem(answer: httpx2.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("application/problem+json")


def _resource_error(uri: str, sentence: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, sentence, data={"uri": uri})


def _refusal_from(answer: httpx2.Response) -> types.CallToolResult:
    problem = answer.json()
    return _refusal(problem["code"], problem["detail"])


def _refusal(code: str, sentence: str) -> types.CallToolResult:
    refusal = {"code": code, "detail": sentence}
    return types.CallToolResult(content=[types.TextContent(text=sentence)], structured_content=refusal, is_error=True)


def _call_result(result: ToolResult) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(text=result.text)] if result.text else []
    content += [types.ImageContent(data=png, mime_type=PNG) for png in result.pictures]
    return types.CallToolResult(content=content, structured_content=result.structured)


def _tool_definition(tool: Tool, *, has_lease_token: bool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema(has_lease_token=has_lease_token),
        output_schema=None if tool.result_schema is None else dict(tool.result_schema),
        annotations=types.ToolAnnotations(read_only_hint=tool.read_only, destructive_hint=tool.destructive),
    )


def _screen_resource(lease: Json) -> types.Resource:
    return types.Resource(
        uri=SCREEN_URI.format(lease_id=lease["lease_id"]),
        name=f"screen of {lease['image_friendly_name']}",
        description=f"The session is {lease['status']}, until {lease['expires']}.",
        mime_type=PNG,
    )
