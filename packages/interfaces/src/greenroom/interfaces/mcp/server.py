"""The server of the protocol, as its library defines it; imported at the first use of `/mcp`.

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
from greenroom.interfaces.mcp.tool import Tool, ToolRequest, ToolResult, answer_to, as_base64
from greenroom.interfaces.mcp.tools import LEASES, screen_of, tools_for

log = structlog.get_logger(__name__)
logging.getLogger("mcp").setLevel(logging.CRITICAL)
"""The library logs parts of clients' messages, which may contain secrets. This module logs failures itself."""

INSTRUCTIONS: Final = (
    "Greenroom leases desktops, browsers and applications. Call `lease` with the name of a "
    "workspace, use the other tools with its lease_id, and call `release` at the end. A lease ends "
    "automatically at its deadline."
)
INSTRUCTIONS_FOR_ONE: Final = "The tools use the leased session of the token."
SCREEN: Final = "greenroom://leases/{lease_id}/screen"
VERSION: Final = version("greenroom")
_SCREEN: Final = re.compile(re.escape(SCREEN).replace(r"\{lease_id\}", r"([0-9a-fA-F-]{36})"), re.ASCII)
PNG: Final = "image/png"
CACHED: Final = CacheHint(ttl_ms=300_000)
"""Tools change only with the version of the server."""

Context = ServerRequestContext[Any, Any]
Page = types.PaginatedRequestParams | None
P = TypeVar("P")
T = TypeVar("T")


class Exchange(Response):
    """Answers one HTTP request by the protocol."""

    def __init__(self, request: Request, caller: McpCaller) -> None:
        super().__init__()
        self._request = request
        self._caller_tools = _CallerTools(request, caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer_request(self._caller_tools.server(), await self._request.body(), scope, receive, send)


async def answer_request(server: Server[Any], body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request, whose body was read, by a transport that ends with it."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return whole.pop() if whole else await receive()

    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=MAX_BODY_BYTES)
    async with manager.run():
        await manager.handle_request(scope, received, send)


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
            instructions=INSTRUCTIONS if self._lease_id is None else INSTRUCTIONS_FOR_ONE,
            cache_hints={"tools/list": CACHED, "resources/templates/list": CACHED},
            on_list_tools=self._list_tools,
            on_call_tool=_logged(self._call_tool),
            on_list_resources=_logged(self._list_resources),
            on_list_resource_templates=self._list_templates,
            on_read_resource=_logged(self._read_resource),
        )

    async def _list_tools(self, _: Context, __: Page) -> types.ListToolsResult:
        by_token = self._lease_id is not None
        return types.ListToolsResult(tools=[_described(tool, by_token=by_token) for tool in self._tools.values()])

    async def _call_tool(self, _: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            known = ", ".join(self._tools)
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name[:60]!r}; the tools are {known}.")
        try:
            tool_request = tool.build_request(params.arguments or {}, self._lease_id)
        except Invalid as error:
            return _refused(error.code, error.message)
        answer = await answer_to(self._request, tool_request)
        return _refusal_of(answer) if _is_problem(answer) else _result(tool.shown(answer))

    async def _list_resources(self, _: Context, __: Page) -> types.ListResourcesResult:
        if self._lease_id is not None:
            lease_request = ToolRequest(method="GET", path=f"/leases/{self._lease_id}")
            return types.ListResourcesResult(resources=[_screen((await self._read(lease_request, SCREEN)).json())])
        leases = (await self._read(LEASES, SCREEN)).json()
        return types.ListResourcesResult(resources=[_screen(lease) for lease in leases])

    async def _list_templates(self, _: Context, __: Page) -> types.ListResourceTemplatesResult:
        screen = types.ResourceTemplate(
            uri_template=SCREEN,
            name="screen",
            title="Screen of a lease",
            description="the present screen",
            mime_type=PNG,
        )
        return types.ListResourceTemplatesResult(resource_templates=[screen])

    async def _read_resource(self, _: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        match = _SCREEN.fullmatch(params.uri)
        if match is None:
            raise _no_resource(
                params.uri, f"There is no resource {params.uri[:200]}; the screen of a lease is {SCREEN}."
            )
        answer = await self._read(screen_of(match[1]), params.uri)
        blob = types.BlobResourceContents(uri=params.uri, mime_type=PNG, blob=as_base64(answer.content))
        return types.ReadResourceResult(contents=[blob])

    async def _read(self, tool_request: ToolRequest, uri: str) -> httpx2.Response:
        """Return the answer of a route.

        Raises MCPError: it was refused; the error contains the sentence of the refusal.
        """
        answer = await answer_to(self._request, tool_request)
        if _is_problem(answer):
            raise _no_resource(uri, answer.json()["detail"])
        return answer


def _logged(handler: Callable[[Context, P], Awaitable[T]]) -> Callable[[Context, P], Awaitable[T]]:
    """Return a handler that logs failures, and answers them without their details."""

    async def handled(context: Context, params: P) -> T:
        try:
            return await handler(context, params)
        except MCPError:
            raise
        except Exception as error:
            log.exception("a request by the protocol failed", method=context.method)
            raise MCPError(types.INTERNAL_ERROR, GreenroomError().message) from error

    return handled


def _is_problem(answer: httpx2.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("application/problem+json")


def _no_resource(uri: str, sentence: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, sentence, data={"uri": uri})


def _refusal_of(answer: httpx2.Response) -> types.CallToolResult:
    problem = answer.json()
    return _refused(problem["code"], problem["detail"])


def _refused(code: str, sentence: str) -> types.CallToolResult:
    refusal = {"code": code, "detail": sentence}
    return types.CallToolResult(content=[types.TextContent(text=sentence)], structured_content=refusal, is_error=True)


def _result(result: ToolResult) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(text=result.text)] if result.text else []
    content += [types.ImageContent(data=png, mime_type=PNG) for png in result.pictures]
    return types.CallToolResult(content=content, structured_content=result.structured)


def _described(tool: Tool, *, by_token: bool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema(by_token=by_token),
        output_schema=None if tool.answers is None else dict(tool.answers),
        annotations=types.ToolAnnotations(read_only_hint=tool.reads, destructive_hint=tool.destroys),
    )


def _screen(lease: Json) -> types.Resource:
    return types.Resource(
        uri=SCREEN.format(lease_id=lease["lease_id"]),
        name=f"screen of {lease['image_friendly_name']}",
        description=f"The session is {lease['status']}, until {lease['expires']}.",
        mime_type=PNG,
    )
