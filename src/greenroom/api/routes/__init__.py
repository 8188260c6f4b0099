"""The routes, one module per noun, and where each is served."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from greenroom.api.routes import (
    agents,
    api_keys,
    attributes,
    auth,
    commands,
    diagnostics,
    document,
    events,
    filter_policies,
    gateways,
    go,
    groups,
    images,
    internal,
    join_tokens,
    joining,
    launcher,
    launches,
    lifecycle,
    managers,
    sessions,
    settings,
    staging_configs,
    users,
    zones,
)

ROUTERS: Final[tuple[tuple[APIRouter, str], ...]] = (
    (document.router, "/api/v1"),
    (auth.router, "/api/v1"),
    (sessions.router, "/api/v1"),
    (lifecycle.router, "/api/v1"),
    (launcher.router, "/api/v1"),
    (commands.router, "/api/v1"),
    (go.router, "/api/v1"),
    (launches.router, "/api/v1"),
    (staging_configs.router, "/api/v1"),
    (images.router, "/api/v1"),
    (filter_policies.router, "/api/v1"),
    (users.router, "/api/v1"),
    (attributes.router, "/api/v1"),
    (groups.router, "/api/v1"),
    (api_keys.router, "/api/v1"),
    (zones.router, "/api/v1"),
    (managers.router, "/api/v1"),
    (agents.router, "/api/v1"),
    (join_tokens.router, "/api/v1"),
    (gateways.router, "/api/v1"),
    (joining.router, "/api/v1"),
    (diagnostics.router, "/api/v1"),
    (settings.router, "/api/v1"),
    (events.router, "/api/v1"),
    (internal.router, "/api/internal"),
)
"""(router, prefix), in the order of the documentation."""
