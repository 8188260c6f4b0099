"""The route `POST /mcp`: authentication, and the transport Streamable HTTP of the Model Context Protocol.

There are no sessions of the protocol, so any api process can answer any request.
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from greenroom.api.csrf import foreign_origin_reason
from greenroom.api.lease.access import bearer_token, lease_of_token
from greenroom.api.lease.service import MCP_PATH
from greenroom.api.security import AccessDeclaration, basic_credentials, key_caller
from greenroom.core.errors import Forbidden


@dataclass(frozen=True, slots=True)
class McpCaller:
    """The caller of `/mcp`. `lease_id` is the lease of the caller's token; None = the caller has an API key."""

    lease_id: str | None


class RequiresKeyOrToken(AccessDeclaration):
    """Requires an API key or the token of a lease. Browsers send neither of them automatically."""

    codes = ()  # no permission: the route of each tool checks its permissions

    async def __call__(self, request: Request) -> McpCaller:
        """Authenticate the caller.

        Raises:
            Forbidden: the request comes from a web page of another site, which is possible after DNS rebinding.
            Unauthenticated: there is no valid API key and no valid token of a lease.
        """
        if reason := foreign_origin_reason(request.headers):
            raise Forbidden(reason, reason="cross-site")
        token = bearer_token(request)
        if token is not None:
            return McpCaller((await lease_of_token(request, token)).lease_id)
        key_id, secret = basic_credentials(request.headers.get("authorization", ""))
        request.state.caller = await key_caller(request, key_id, secret)
        return McpCaller(None)


def requires_key_or_token() -> Any:
    """Return the dependency of `/mcp`; its value is the `McpCaller`."""
    return Depends(RequiresKeyOrToken())


router = APIRouter(include_in_schema=False)


@router.post(MCP_PATH)
async def mcp(request: Request, caller: Annotated[McpCaller, requires_key_or_token()]) -> Response:
    """Answer one message of a client.

    The first message imports the library of the protocol, which takes a second and 20 MB of memory.
    """
    await request.body()  # raises an error for a body that is too large, before other work begins
    server = await asyncio.to_thread(importlib.import_module, "greenroom.interfaces.mcp.server")
    return server.McpResponse(request, caller)
