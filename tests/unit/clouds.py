"""Clouds for tests of the providers of machines: one in a file, one behind an address, Libcloud's test driver, and
the simulated one. Each works, hangs, or answers as a test requires.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from libcloud.compute.drivers.dummy import DummyNodeDriver
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from greenroom.core.fleet.addresses import AllowedHost
from greenroom.machine_providers.builtin import SimulatedCloud, SimulatedProvider
from greenroom.machine_providers.contract import JoinData, NewMachine, Provider
from greenroom.machine_providers.exchange import CommandProvider, WebhookProvider
from greenroom.machine_providers.libcloud.provider import LibcloudProvider

PREFIX: Final = "gr-11111111-22222222-"
SECRETS: Final = {"token": "hunter2hunter2", "key": 'begin "quoted"\nsecond/line\\of it\n'}
JOIN_TOKEN: Final = "valid-once-1234"
DUMMY: Final = {"driver": "dummy", "size": "Small", "image": "1"}
HERE: Final = (AllowedHost("127.0.0.1"),)
PROGRAM: Final = """#!{python}
import json, os, pathlib, sys
there = pathlib.Path({state!r})
request = json.load(sys.stdin)
machines = json.loads(there.read_text()) if there.exists() else {{}}
answer = {{}}
if request["action"] == "list":
    answer = {{"machines": [{{"ref": r, "name": n}} for r, n in machines.items() if n.startswith(request["prefix"])]}}
elif request["action"] == "create":
    machines["r-" + request["name"]] = request["name"]
    answer = {{"ref": "r-" + request["name"]}}
else:
    machines.pop(request["ref"], None)
if request["action"] != "list":  # which may be asked of several at the same moment
    there.write_text(json.dumps(machines))
{more}
json.dump(answer, sys.stdout)
"""

Answering = Callable[[Request], Awaitable[Response]]


def machine(number: int) -> NewMachine:
    return NewMachine(
        name=f"{PREFIX}{number:032x}",
        cores=2.0,
        memory=4_000_000_000,
        user_data="#!/bin/sh\n",
        join=JoinData(
            url="https://desk.example", token=JOIN_TOKEN, ca_sha256="", edge_url="https://{address}:8443", zone="eu"
        ),
    )


def program(folder: Path, more: str = "") -> CommandProvider:
    """A cloud in a file, controlled by a program; `more` is run before it answers."""
    folder.mkdir(exist_ok=True)
    file = folder / "machines"
    file.write_text(PROGRAM.format(python=sys.executable, state=str(folder / "state.json"), more=more))
    file.chmod(0o755)
    return CommandProvider({"program": str(file)}, SECRETS, [folder])


@asynccontextmanager
async def address(answer: Answering) -> AsyncIterator[str]:
    """A server on loopback that answers each POST with `answer(request)`."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def webhook(answer: Answering) -> AsyncIterator[WebhookProvider]:
    async with address(answer) as url:
        yield WebhookProvider({"url": url}, SECRETS, 5.0, HERE)


def _cloud_of_webhook() -> Answering:
    kept: dict[str, str] = {}

    async def answer(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {SECRETS['token']}":
            return JSONResponse({"error": "who are you"}, 401)
        asked = json.loads(await request.body())
        if asked["action"] == "list":
            return JSONResponse({"machines": [{"ref": ref, "name": name} for ref, name in kept.items()]})
        if asked["action"] == "create":
            kept[f"w-{asked['name']}"] = asked["name"]
            return JSONResponse({"ref": f"w-{asked['name']}"})
        kept.pop(asked["ref"], None)
        return JSONResponse({})

    return answer


UNNAMED: Final = DummyNodeDriver.create_node
DUMMY_ALONE: Final = {"dummy": {}}
"""The value of the setting `machine_clouds` of the Manager."""
_NEW_DRIVER: Final = DummyNodeDriver.__init__


def _as_a_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libcloud's test driver chooses the names of its nodes and does not list them; clouds do neither."""
    nodes: list[Any] = []

    def new_driver(driver: Any, creds: str) -> None:
        _NEW_DRIVER(driver, creds)
        driver.nl = nodes

    def create_node(driver: Any, name: str, size: Any, image: Any) -> Any:
        node = UNNAMED(driver, name, size, image)
        node.name = name
        return node

    monkeypatch.setattr(DummyNodeDriver, "__init__", new_driver)
    monkeypatch.setattr(DummyNodeDriver, "create_node", create_node)


@asynccontextmanager
async def working(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    """A working provider."""
    if kind == "command":
        yield program(folder / "working")
    elif kind == "webhook":
        async with webhook(_cloud_of_webhook()) as provider:
            yield provider
    elif kind == "libcloud":
        _as_a_cloud(monkeypatch)
        yield LibcloudProvider(DUMMY, {"key": "0"}, 5.0, DUMMY_ALONE)
    else:
        yield SimulatedProvider(SimulatedCloud())


@asynccontextmanager
async def answering(kind: str, folder: Path, content: bytes) -> AsyncIterator[Provider]:
    """A provider that always gets this answer."""
    if kind == "command":
        (folder / "answer").write_bytes(content)
        file = folder / "machines"
        file.write_text(f"#!/bin/sh\nexec cat {folder}/answer\n")
        file.chmod(0o755)
        yield CommandProvider({"program": str(file)}, SECRETS, [folder])
    else:

        async def answer(_: Request) -> Response:
            return Response(content, media_type="application/json")

        async with webhook(answer) as provider:
            yield provider


@asynccontextmanager
async def refusing(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> AsyncIterator[Provider]:
    """A provider that refuses to create a machine."""

    def create_node(*_: Any, **__: Any) -> None:
        raise ValueError(words)

    if kind == "libcloud":
        monkeypatch.setattr(DummyNodeDriver, "create_node", create_node)
        yield LibcloudProvider(DUMMY, {"key": SECRETS["key"], "password": SECRETS["token"]}, 5.0, DUMMY_ALONE)
    else:
        async with answering(kind, folder, json.dumps({"error": words}).encode()) as provider:
            yield provider


@asynccontextmanager
async def hanging(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Provider, Callable[[], bool]]]:
    """A provider that never answers, and a record of its requests."""
    if kind == "command":
        asked = folder / "asked"
        more = f"import time; pathlib.Path({str(asked)!r}).touch(); time.sleep(600)"
        yield program(folder / "hanging", more), asked.exists
    elif kind == "webhook":
        was_asked, over = asyncio.Event(), asyncio.Event()

        async def answer(_: Request) -> Response:
            was_asked.set()
            await over.wait()
            return Response()

        async with webhook(answer) as provider:
            yield provider, was_asked.is_set
            over.set()
    else:
        in_thread, released = threading.Event(), threading.Event()
        nodes_of = DummyNodeDriver.list_nodes

        def list_nodes(driver: Any) -> Any:
            if driver.creds == "hangs":
                in_thread.set()
                released.wait(60)
            return nodes_of(driver)

        monkeypatch.setattr(DummyNodeDriver, "list_nodes", list_nodes)
        yield LibcloudProvider(DUMMY, {"key": "hangs"}, 5.0, DUMMY_ALONE), in_thread.is_set
        released.set()
