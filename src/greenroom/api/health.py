"""`/api/__healthcheck`: 200 `{"ok": true}`, or 503 degraded while the database is away."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from greenroom.api.deps import Db
from greenroom.api.hardening import HEALTH_PATH
from greenroom.api.security import public_route
from greenroom.core.errors import Unavailable
from greenroom.db.database import Database

router = APIRouter()

TIMEOUT_S: Final = 2.0


@router.get(HEALTH_PATH, dependencies=[public_route("probes have no credential")], include_in_schema=False)
async def healthcheck(db: Db) -> Response:
    """Whether the api can do its work."""
    reason = await degraded_because(db)
    if reason is None:
        return Response('{"ok": true}', media_type="application/json")  # the published 12 bytes
    return JSONResponse({"ok": False, "status": "degraded", "reason": reason}, 503)


async def degraded_because(db: Database) -> str | None:
    """What is missing, as a sentence; None when all is well."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await db.fetch_one("SELECT 1 AS one")
    except TimeoutError:
        return f"The database did not answer within {TIMEOUT_S:g} s."
    except Unavailable as error:
        return error.message
    return None
