"""`POST /mcp`: who may use it, and streamable HTTP without sessions, so that any api process may answer any request."""

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
from greenroom.api.security import Declared, basic_credentials, key_caller
from greenroom.core.errors import Forbidden


@dataclass(frozen=True, slots=True)
class McpCaller:
    """The caller. `lease_id` is that of the token that was shown; None = an API key was."""

    lease_id: str | None


class ShowsKeyOrToken(Declared):
    """Requires a credential that no browser adds by itself; what it permits is checked by the route of each tool."""

    codes = ()

    async def __call__(self, request: Request) -> McpCaller:
        """Authenticate the caller.

        Raises:
            Forbidden: a page of another site asks, as it could after DNS rebinding.
            Unauthenticated: no valid API key or token of a lease came.
        """
        if reason := foreign_origin_reason(request.headers):
            raise Forbidden(reason, reason="cross-site")
        token = bearer_token(request)
        if token is not None:
            return McpCaller((await lease_of_token(request, token)).lease_id)
        key_id, secret = basic_credentials(request.headers.get("authorization", ""))
        request.state.caller = await key_caller(request, key_id, secret)
        return McpCaller(None)


def shows_key_or_token() -> Any:
    """Dependency of `/mcp`; gives the `McpCaller`."""
    return Depends(ShowsKeyOrToken())


router = APIRouter(include_in_schema=False)


@router.post(MCP_PATH)
async def mcp(request: Request, asker: Annotated[McpCaller, shows_key_or_token()]) -> Response:
    """One message of a client. The protocol's library is imported by the first: it takes a second, and 20 MB."""
    await request.body()  # within its limit, before anything is begun
    server = await asyncio.to_thread(importlib.import_module, "greenroom.interfaces.mcp.server")
    return server.Exchange(request, asker)
