"""The composition of the api's application."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from structlog.testing import capture_logs

from greenroom.api import problems
from greenroom.api.app import create_app
from greenroom.api.openapi import document
from greenroom.api.problems import problem
from greenroom.core.errors import Invalid
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets


async def test_no_request_takes_a_detour_through_a_thread():
    """FastAPI runs everything except coroutine functions in a thread: routes and their dependencies."""
    config = ApiConfig(database_url="host=nowhere", secret_key_file=Path("unused"))
    db = Database(config.database_url, application_name="test")
    app = create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api"))
    called = {
        call for context in iter_route_contexts(app.routes) for call in calls(getattr(context, "dependant", None))
    }
    assert len(called) > 100
    assert not {getattr(call, "__qualname__", call) for call in called if not is_coroutine_function(call)}


def calls(dependant: Any) -> Iterator[Callable[..., Any]]:
    """The route of a dependant, and all its dependencies."""
    if dependant is None:
        return
    yield dependant.call
    for dependency in dependant.dependencies:
        yield from calls(dependency)


def is_coroutine_function(call: Callable[..., Any]) -> bool:
    """True if a call returns a coroutine."""
    return inspect.iscoroutinefunction(call) or (
        not inspect.isclass(call) and inspect.iscoroutinefunction(type(call).__call__)
    )


def test_every_operation_declares_the_problems_it_may_answer():
    described: dict[str, Any] = document()
    schema = {"$ref": "#/components/schemas/Problem"}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            for status in ("401", "403", "404", "409", "413", "421", "422", "429", "503"):
                answer = operation["responses"][status]
                assert answer["content"]["application/problem+json"]["schema"] == schema, (method, path, status)
    assert "HTTPValidationError" not in described["components"]["schemas"]
    said = problem(Invalid("no"))
    assert set(described["components"]["schemas"]["Problem"]["required"]) == set(said)


async def test_a_client_that_goes_away_while_its_request_is_read_is_no_error():
    app = FastAPI()
    problems.add_error_handlers(app)

    @app.post("/stream")
    async def stream(request: Request) -> None:
        await request.body()

    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/stream", "headers": [], "query_string": b"", "app": app}
    with capture_logs() as logs:
        await app(scope, receive, send)
    assert sent[0]["status"] == 499
    assert [entry["log_level"] for entry in logs] == ["info"]
