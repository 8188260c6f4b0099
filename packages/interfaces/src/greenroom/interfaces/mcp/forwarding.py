"""An MCP server on standard input and output, which forwards requests to `/mcp` of a deployment."""

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
"""Time limits in seconds. An answer may take long: the creation of a lease one minute, a command two minutes."""

_Context = ServerRequestContext[Any, Any]
_Page = types.PaginatedRequestParams | None


async def forward(
    url: str, auth: tuple[str, str], tls: ssl.SSLContext, user_id: str | None, *, through_proxy: bool
) -> None:
    """Serve until standard input ends.

    `url` is the address of the deployment, `auth` the API key and its secret. `user_id` is the user of new leases,
    unless the client names a user. `through_proxy`: use the HTTP proxy that the environment variables name.
    """
    options: dict[str, Any] = {"verify": tls, "trust_env": through_proxy, "timeout": TIMEOUT}
    async with (
        httpx2.AsyncClient(auth=auth, **options) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http, max_sse_event_size=None), cache=None) as remote,
        stdio_server() as (read_stream, write_stream),
    ):
        server = _server_of(remote, user_id)
        await server.run(read_stream, write_stream, server.create_initialization_options())


def _server_of(remote: Client, user_id: str | None) -> McpServer[Any]:
    async def list_tools(_: _Context, page: _Page) -> types.ListToolsResult:
        return await remote.list_tools(cursor=page.cursor if page else None)

    async def call_tool(_: _Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = params.arguments or {}
        if params.name == "lease" and user_id is not None:
            arguments = {"user_id": user_id} | arguments
        return await remote.call_tool(params.name, arguments)

    async def list_resources(_: _Context, page: _Page) -> types.ListResourcesResult:
        return await remote.list_resources(cursor=page.cursor if page else None)

    async def list_templates(_: _Context, page: _Page) -> types.ListResourceTemplatesResult:
        return await remote.list_resource_templates(cursor=page.cursor if page else None)

    async def read_resource(_: _Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        return await remote.read_resource(params.uri)

    return McpServer(
        "greenroom",
        title="Greenroom",
        version=version("greenroom"),
        instructions=remote.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )
