"""A simulated deployment: it records requests, and the test sets its answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from greenroom.cli import client, main, verbs
from greenroom.cli.client import Client
from greenroom.cli.server import Server

NAMED = {
    "GREENROOM_URL": "https://greenroom.example",
    "GREENROOM_KEY": "key",
    "GREENROOM_SECRET": "secret",
}


@dataclass
class Done:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output, which must be a single JSON value."""
        return json.loads(self.out)


@dataclass
class Pretended:
    """Answers by (method, path below /api/v1); the answers of a list are used one after the other."""

    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The configured answer to a request; 404 if there is none."""
        self.asked.append(request)
        found = self.answers.get((request.method, request.url.path.removeprefix("/api/v1")))
        if isinstance(found, list) and found and isinstance(found[0], httpx.Response):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, httpx.Response):
            return found
        if found is None:
            return problem(404, "not-found", "There is no such thing.")
        return httpx.Response(200, json=found)

    @property
    def last(self) -> tuple[str, str, Any]:
        """Method, path and body of the last request."""
        request = self.asked[-1]
        path = request.url.raw_path.decode().removeprefix("/api/v1")
        return request.method, path, json.loads(request.content) if request.content else None


def problem(status: int, code: str, detail: str) -> httpx.Response:
    """A refusal in the api's format."""
    return httpx.Response(status, json={"status": status, "code": code, "detail": detail, "title": code})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """The simulated deployment; environment variables direct commands to it."""
    pretended = Pretended()

    def connect(server: Server) -> Client:
        pretended.servers.append(server)
        return Client(server, httpx.MockTransport(pretended.answer))

    monkeypatch.setattr(verbs, "Client", connect)
    for name, value in NAMED.items():
        monkeypatch.setenv(name, value)
    return pretended


@pytest.fixture
def greenroom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run `greenroom …` in this process, with short pauses between its retries."""
    monkeypatch.setattr(client, "RETRIES", replace(client.RETRIES, first_wait_s=0.01))

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["greenroom", *arguments])
        try:
            main.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call
