"""Clients of `/mcp` from the protocol's official library, and readers of their results."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client


@asynccontextmanager
async def mcp_client(
    url: str,
    authorization: str,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    tls: ssl.SSLContext | bool = True,
    mode: str = "auto",
) -> AsyncIterator[Client]:
    """A client with this header; `mode` is "auto", "legacy" (with a handshake) or a version of the protocol."""
    headers = {"Authorization": authorization}
    async with (
        httpx2.AsyncClient(headers=headers, transport=transport, verify=tls, trust_env=False, timeout=90) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def answer_of(result: types.CallToolResult) -> Any:
    """The answer of a tool that succeeded; its object and its text must be the same."""
    assert not result.is_error, result.content
    texts = [part.text for part in result.content if isinstance(part, types.TextContent)]
    if result.structured_content is not None and texts and texts[0].startswith("{"):
        assert json.loads(texts[0]) == result.structured_content
    return result.structured_content if result.structured_content is not None else texts[0]


def refusal(result: types.CallToolResult) -> str:
    """The message of a tool that refused, with its code."""
    assert result.is_error, result.content
    (part,) = result.content
    assert isinstance(part, types.TextContent)
    assert part.text == result.structured_content["detail"]
    return f"{result.structured_content['code']}: {part.text}"
