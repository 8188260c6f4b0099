"""`/api/public/<name>`: the published Developer API shape that existing clients speak (CONTRACT "Two HTTP interfaces").

POST and JSON throughout, whatever the Content-Type says; the API key in the body or as HTTP Basic; unknown keys are
ignored; ids with and without dashes are accepted. A wrong key is 401, a missing permission 403, a refused operation
HTTP 200, each with `{"error_message": …}`; success never has that key.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from greenroom.api.public import catalog, commands, groups, images, lifecycle, sessions, staging, users

PUBLIC_ROUTERS: Final[tuple[APIRouter, ...]] = tuple(
    noun.router for noun in (sessions, lifecycle, commands, catalog, images, staging, users, groups)
)
"""Served below `/api/public`."""
UNPREFIXED_ROUTERS: Final[tuple[APIRouter, ...]] = (lifecycle.router,)
"""Served below `/api` as well: some clients leave `public/` out."""
