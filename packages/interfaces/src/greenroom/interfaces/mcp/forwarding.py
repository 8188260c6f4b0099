"""A server on standard input and output that forwards requests to `/mcp` of a deployment."""

from __future__ import annotations

import ssl
from importlib.metadata import version
from typing import Any, Final

import httpx2
from mcp import types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server as McpServer
from mcp.server.stdio import stdio_server

TIMEOUT: Final = httpx2.Timeout(30, read=180)
"""A lease may take one minute, a command in it two."""

_Context = ServerRequestContext[Any, Any]
_Page = types.PaginatedRequestParams | None


async def forward(
    url: str, auth: tuple[str, str], tls: ssl.SSLContext, user_id: str | None, *, through_proxy: bool
) -> None:
    """Serve until standard input ends.

    `user_id` is the user of new leases for which the client names no user. `through_proxy`: use a proxy of the
    environment.
    """
    options: dict[str, Any] = {"verify": tls, "trust_env": through_proxy, "timeout": TIMEOUT}
    async with (
        httpx2.AsyncClient(auth=auth, **options) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http, max_sse_event_size=None), cache=None) as there,
        stdio_server() as (received, sent),
    ):
        here = _server_of(there, user_id)
        await here.run(received, sent, here.create_initialization_options())


def _server_of(there: Client, user_id: str | None) -> McpServer[Any]:
    async def list_tools(_: _Context, page: _Page) -> types.ListToolsResult:
        return await there.list_tools(cursor=page.cursor if page else None)

    async def call_tool(_: _Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        given = params.arguments or {}
        if params.name == "lease" and user_id is not None:
            given = {"user_id": user_id} | given
        return await there.call_tool(params.name, given)

    async def list_resources(_: _Context, page: _Page) -> types.ListResourcesResult:
        return await there.list_resources(cursor=page.cursor if page else None)

    async def list_templates(_: _Context, page: _Page) -> types.ListResourceTemplatesResult:
        return await there.list_resource_templates(cursor=page.cursor if page else None)

    async def read_resource(_: _Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        return await there.read_resource(params.uri)

    return McpServer(
        "greenroom",
        title="Greenroom",
        version=version("greenroom"),
        instructions=there.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )
