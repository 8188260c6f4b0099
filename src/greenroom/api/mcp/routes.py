"""`POST /mcp`: streamable HTTP without sessions, so that any api process may answer any request."""

from __future__ import annotations

import asyncio
import importlib
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from greenroom.api.lease.service import MCP_PATH
from greenroom.api.mcp.access import Asker, shows_key_or_token

router = APIRouter(include_in_schema=False)


@router.post(MCP_PATH)
async def mcp(request: Request, asker: Annotated[Asker, shows_key_or_token()]) -> Response:
    """One message of a client. The protocol's library is imported by the first: it takes a second, and 20 MB."""
    await request.body()  # within its limit, before anything is begun
    server = await asyncio.to_thread(importlib.import_module, "greenroom.api.mcp.server")
    return server.Exchange(request, asker)
