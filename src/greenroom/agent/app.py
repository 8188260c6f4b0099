"""The Agent's loopback address: health (CONTRACT, Health), metrics, and the authorisation of streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.kit.metrics import CONTENT_TYPE, PATH

ROUND_MISSED_S: Final = 30.0
"""An Agent whose reconciler finishes no round for this long is not healthy; it makes one at least every 5 s."""


@dataclass(slots=True)
class Health:
    """What the loops of the Agent last achieved; times are of `time.monotonic()`."""

    started: float = field(default_factory=time.monotonic)
    last_round: float | None = None
    last_answer: float | None = None
    last_fresh: float | None = None
    """The last answer that was just read from the database, so that it would have brought a revocation; at first that
    of an earlier process of this Agent."""
    runtime_error: str = ""
    manager_error: str = ""

    def note_runtime(self, error: str) -> None:
        self.runtime_error = error

    def report(self, now: float) -> tuple[bool, dict[str, Any]]:
        """Whether the Agent is healthy, and the body of `/__healthcheck`. Unreachable Managers do not make it
        unhealthy: a restart would not help, and its sessions run on. A stuck reconciler or a silent runtime does."""
        silent_s = now - (self.last_round if self.last_round is not None else self.started)
        ok = silent_s <= ROUND_MISSED_S and not self.runtime_error
        body: dict[str, Any] = {
            "ok": ok,
            "last_round_s": round(silent_s, 1),
            "last_answer_s": None if self.last_answer is None else round(now - self.last_answer, 1),
        }
        if self.runtime_error:
            body["runtime_error"] = self.runtime_error
        if self.manager_error:
            body["manager_error"] = self.manager_error
        return ok, body


def build(health: Health, metrics_text: Callable[[], bytes], routes: Sequence[BaseRoute]) -> Starlette:
    """The application; `routes` are those of the stream authoriser."""

    async def healthcheck(_request: Request) -> Response:
        ok, body = health.report(time.monotonic())
        return JSONResponse(body, status_code=200 if ok else 500)

    async def metrics(_request: Request) -> Response:
        return Response(metrics_text(), media_type=CONTENT_TYPE)

    own = [Route("/__healthcheck", healthcheck), Route(PATH, metrics)]
    return Starlette(routes=[*own, *routes])
