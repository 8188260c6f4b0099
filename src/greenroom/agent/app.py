"""What the Agent serves on its loopback address: health, metrics, and the authorisation of streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.agent.health import Health
from greenroom.kit.metrics import CONTENT_TYPE, PATH


def build(health: Health, metrics_text: Callable[[], bytes], routes: Sequence[BaseRoute]) -> Starlette:
    """The application; `routes` are those of the stream authoriser."""

    async def healthcheck(_request: Request) -> Response:
        ok, body = health.report(time.monotonic())
        return JSONResponse(body, status_code=200 if ok else 500)

    async def metrics(_request: Request) -> Response:
        return Response(metrics_text(), media_type=CONTENT_TYPE)

    own = [Route("/__healthcheck", healthcheck), Route(PATH, metrics)]
    return Starlette(routes=[*own, *routes])
