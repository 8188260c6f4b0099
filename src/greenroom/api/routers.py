"""Where each router is served: `/api/v1`, `/api/internal`, and the published Developer API.

`/api/public/<name>` has the shape that existing clients use (CONTRACT "Two HTTP interfaces"): always POST and JSON,
with any Content-Type; the API key in the body or as HTTP Basic; unknown keys are ignored; ids with and without
dashes are accepted. A wrong key is 401, a missing permission 403, a refused operation HTTP 200, each with
`{"error_message": …}`; success never has that key.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from greenroom.api.access import (
    api_key_routes,
    group_routes,
    login_routes,
    published_groups,
    published_users,
    user_routes,
)
from greenroom.api.diagnostics import routes as diagnostics_routes
from greenroom.api.events import routes as event_routes
from greenroom.api.fleet import internal_routes, join_routes
from greenroom.api.fleet import routes as fleet_routes
from greenroom.api.installation import routes as installation_routes
from greenroom.api.launch import routes as launch_routes
from greenroom.api.pool import published as published_pools
from greenroom.api.pool import routes as pool_routes
from greenroom.api.session import command_routes, published_commands
from greenroom.api.session import published as published_sessions
from greenroom.api.session import routes as session_routes
from greenroom.api.workspace import published as published_workspaces
from greenroom.api.workspace import routes as workspace_routes

_V1: Final = (
    installation_routes.document_router,
    login_routes.router,
    session_routes.router,
    launch_routes.router,
    command_routes.router,
    pool_routes.router,
    workspace_routes.router,
    workspace_routes.filter_policy_router,
    user_routes.router,
    user_routes.attribute_router,
    group_routes.router,
    api_key_routes.router,
    fleet_routes.zone_router,
    fleet_routes.manager_router,
    fleet_routes.agent_router,
    join_routes.token_router,
    fleet_routes.gateway_router,
    join_routes.router,
    diagnostics_routes.router,
    installation_routes.router,
    event_routes.router,
)
ROUTERS: Final[tuple[tuple[APIRouter, str], ...]] = (
    *((router, "/api/v1") for router in _V1),
    (internal_routes.router, "/api/internal"),
)
"""(router, prefix), in the order of the documentation."""
PUBLIC_ROUTERS: Final[tuple[APIRouter, ...]] = (
    published_sessions.router,
    published_sessions.lifecycle_router,
    published_commands.router,
    published_workspaces.router,
    published_pools.router,
    published_users.router,
    published_groups.router,
)
"""Served below `/api/public`."""
UNPREFIXED_ROUTERS: Final[tuple[APIRouter, ...]] = (published_sessions.lifecycle_router,)
"""Also served below `/api`: some clients omit `public/`."""
