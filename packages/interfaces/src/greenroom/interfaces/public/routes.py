"""The published interface, in the shape that existing clients use (docs/reference/published-api.md).

`/api/public/<name>` is always POST and JSON, with any Content-Type. The API key is in the body or in HTTP Basic.
Unknown keys are ignored, and ids with and without dashes are accepted. A wrong key is 401, a missing permission 403,
and a refused operation HTTP 200, each with `{"error_message": …}`, which answers of successful calls never contain.
`/api/admin/<name>` is the same call.
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
