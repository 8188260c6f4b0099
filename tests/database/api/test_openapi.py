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

import pytest
from fastapi import FastAPI

from greenroom.kit.secrets import Secrets
from greenroom.testing.ports import free_port

KEY = ("abcdefghijkl", "the secret half")


@pytest.fixture
def address(tmp_path: Path, app: FastAPI, dsn: str) -> Iterator[str]:
    """Where `greenroom api` serves an installation with first data."""
    Secrets.create_file(tmp_path / "key")
    port = free_port()
    environment = os.environ | {
        "GREENROOM_DATABASE_URL": dsn,
        "GREENROOM_SECRET_KEY_FILE": str(tmp_path / "key"),
        "GREENROOM_API_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "greenroom", "api"], env=environment)
    end = time.monotonic() + 60
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert time.monotonic() < end
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.mark.timeout(400)
async def test_generated_requests_to_every_reading_route(address: str):
    program = [sys.executable, "-m", "tests.database.api.explore", address, *KEY]
    called = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=300)
    assert called.returncode == 0, called.stderr
    assert {"/api/v1/zones", "/api/v1/logs", "/api/v1/users/{user_id}"} <= set(called.stdout.split())
