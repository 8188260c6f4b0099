"""The Manager's HTTP interface: two routes for Agents, health, metrics. Plain Starlette, because it is the hot path."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.manager import health
from greenroom.manager.standing import Standing


def create_app(standing: Standing) -> Starlette:
    """The ASGI application."""

    async def healthcheck(request: Request) -> Response:
        del request
        return health.answer(standing)

    return Starlette(routes=[Route("/health", healthcheck), Route("/__healthcheck", healthcheck)])
