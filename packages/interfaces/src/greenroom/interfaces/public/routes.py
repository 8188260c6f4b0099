"""The router of all published calls (docs/reference/published-api.md).

A call is a POST request with JSON to `/api/public/<name>` or `/api/admin/<name>`, with any Content-Type. The API key is
in the body or in HTTP Basic. Unknown fields are ignored, and ids with and without dashes are accepted. The status is
401 for a wrong key, 403 for a missing permission, and 200 for a refused operation. These answers contain
`error_message`; answers of successful calls never contain this field.
"""

from __future__ import annotations

from fastapi import APIRouter

from greenroom.interfaces.public import (
    absent,
    administration,
    commands,
    document,
    fleet,
    sessions,
    tokens,
    users,
    workspaces,
)

router = APIRouter()
for _part in (
    sessions.router,
    sessions.lifecycle_router,
    commands.router,
    commands.permission_router,
    workspaces.router,
    administration.router,
    users.user_router,
    tokens.router,
    users.group_router,
    fleet.router,
    absent.router,
    document.router,
):
    router.routes += _part.routes
