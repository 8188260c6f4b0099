"""`sessions launch --wait` displays the steps of a launch until its session runs, fails or exceeds the time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.unit.cli.conftest import Done, Pretended

from greenroom.cli import sessions
from greenroom.cli.client import ApiError
from greenroom.cli.output import Printer

Greenroom = Callable[..., Done]

IMAGE = "22222222-2222-4222-8222-222222222222"
SESSION = "88888888-8888-4888-8888-888888888888"


def connection(status: str, *steps: str) -> httpx.Response:
    """The answers of `GET /sessions/{id}/connection` with these steps, one each second."""
    shown = [{"name": s, "title": s, "at": f"2026-01-01T00:00:0{n}Z"} for n, s in enumerate(steps)]
    body = {
        "status": status,
        "operational_progress": 10 * len(steps),
        "operational_message": f"{status} it is",
        "steps": [*shown, {"name": "later", "title": "Later", "at": None}],
    }
    return httpx.Response(200, json=body)


@pytest.fixture
def launching(api: Pretended, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """A deployment that launches; the test sets the answers about its connection."""
    monkeypatch.setattr(sessions, "POLL_S", 0.0)
    launched = {"session_id": SESSION, "status": "requested", "connect_url": f"/session/{SESSION}"}
    api.answers = {
        ("GET", "/images"): [{"image_id": IMAGE, "friendly_name": "Desktop"}],
        ("POST", "/sessions"): launched,
        ("GET", f"/sessions/{SESSION}"): {"status": "running"},
    }
    return api


def test_waiting_shows_each_step_once_and_ends_when_the_session_runs(launching: Pretended, greenroom: Greenroom):
    launching.answers["GET", f"/sessions/{SESSION}/connection"] = [
        connection("requested", "Requested"),
        connection("requested", "Requested"),
        connection("starting", "Requested", "Placed"),
        connection("running", "Requested", "Placed", "Ready"),
    ]
    done = greenroom("sessions", "launch", "Desktop", "--wait", "--json")
    assert done.code == 0, done.err
    assert done.json == {
        "session_id": SESSION,
        "status": "running",
        "connect_url": f"https://greenroom.example/session/{SESSION}",
    }
    assert [line.strip() for line in done.err.splitlines()] == ["✓ Requested", "✓ Placed  1.0 s", "✓ Ready  1.0 s"]


def test_waiting_for_a_failing_session_is_exit_code_1_with_the_reason(launching: Pretended, greenroom: Greenroom):
    launching.answers["GET", f"/sessions/{SESSION}/connection"] = connection("failed", "Requested")
    done = greenroom("sessions", "launch", "Desktop", "--wait")
    assert done.code == 1
    assert "failed it is" in done.err


def test_waiting_ends_in_time(launching: Pretended, greenroom: Greenroom, monkeypatch: pytest.MonkeyPatch):
    launching.answers["GET", f"/sessions/{SESSION}/connection"] = connection("starting", "Requested")
    clock = iter(range(0, 1000, 100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(ApiError, match="is not running after 150 s: starting it is"):
        sessions.wait_until_running(*_client_and_output(launching), SESSION, 150.0)


def _client_and_output(api: Pretended) -> tuple[Any, Any]:
    class Client:
        def get(self, path: str) -> Any:
            return api.answers["GET", path].json()

    return Client(), Printer(as_json=True)
