"""The OpenAPI document; it describes the interface and holds no data, so everybody may read it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from greenroom.api.security import public_route

router = APIRouter()


@router.get("/openapi.json", dependencies=[public_route("the description of the interface")], include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    """OpenAPI 3.1 of `/api/v1`."""
    return request.app.openapi()
