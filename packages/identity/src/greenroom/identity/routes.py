"""All routes of sign-on, below `/api/v1`."""

from __future__ import annotations

from fastapi import APIRouter

from greenroom.identity import identity_routes, login_routes, provider_routes

router = APIRouter(prefix="/api/v1")
for part in (login_routes.router, provider_routes.router, identity_routes.router):
    router.include_router(part)
