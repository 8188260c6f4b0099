"""The OpenAPI document describes what the process answers: generated requests to every route that only reads."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi import FastAPI
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from greenroom.kit.secrets import Secrets

KEY = ("abcdefghijkl", "the secret half")


@pytest.fixture
def address(tmp_path: Path, app: FastAPI, dsn: str) -> Iterator[str]:
    """Where `greenroom api` serves an installation with first data."""
    Secrets.create_file(tmp_path / "key")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "GREENROOM_DATABASE_URL": dsn,
        "GREENROOM_SECRET_KEY_FILE": str(tmp_path / "key"),
        "GREENROOM_API_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "greenroom", "api"], env=environment)
    end = time.monotonic() + 20
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert time.monotonic() < end
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


def explore(address: str) -> list[str]:
    """Call every GET route with generated parameters; returns the routes called."""
    schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")
    called: list[str] = []
    for result in schema.include(method="GET").get_all_operations():
        operation = result.ok()
        if operation.path == "/api/v1/events":
            continue

        @hypothesis.settings(
            max_examples=6, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=operation.as_strategy())
        def conforms(case: Any) -> None:
            answer = case.call(auth=KEY)
            case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])

        conforms()
        called.append(operation.path)
    return called


async def test_generated_requests_to_every_reading_route(address: str):
    called = await asyncio.to_thread(explore, address)
    assert {"/api/v1/zones", "/api/v1/logs", "/api/v1/users/{user_id}"} <= set(called)
