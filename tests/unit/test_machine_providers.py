"""One suite for all providers of machines: a program, an address, Libcloud (with its own driver for tests) and the
simulated one; and what each of them refuses.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from libcloud.compute.drivers.dummy import DummyNodeDriver
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.support.waiting import eventually

from greenroom.manager.machines.providers.command import ENVIRONMENT, CommandProvider
from greenroom.manager.machines.providers.contract import JoinParts, NewMachine, Provider, ProviderError
from greenroom.manager.machines.providers.libcloud import LibcloudProvider
from greenroom.manager.machines.providers.simulated import SimulatedCloud, SimulatedProvider
from greenroom.manager.machines.providers.webhook import WebhookProvider

PREFIX = "gr-11111111-22222222-"
SECRETS = {"token": "hunter2hunter2"}
PROGRAM = """#!{python}
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
there.write_text(json.dumps(machines))
{more}
json.dump(answer, sys.stdout)
"""


def machine(number: int) -> NewMachine:
    join = JoinParts(url="https://desk.example", token="t", ca_sha256="", edge_url="https://{address}:8443", zone="eu")
    return NewMachine(
        name=f"{PREFIX}{number:032x}", cores=2.0, memory=4_000_000_000, user_data="#!/bin/sh\n", join=join
    )


def program(folder: Path, more: str = "") -> CommandProvider:
    """A cloud in a file, asked by a program; `more` is run before it answers."""
    file = folder / "machines"
    file.write_text(PROGRAM.format(python=sys.executable, state=str(folder / "state.json"), more=more))
    file.chmod(0o755)
    return CommandProvider({"program": str(file)}, SECRETS, [folder])


@asynccontextmanager
async def address(answer: Any) -> AsyncIterator[str]:
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


async def cloud_of_webhook(request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {SECRETS['token']}":
        return JSONResponse({"error": "who are you"}, 401)
    asked, machines = json.loads(await request.body()), request.app.state
    kept: dict[str, str] = machines.__dict__["_state"].setdefault("kept", {})
    if asked["action"] == "list":
        return JSONResponse({"machines": [{"ref": ref, "name": name} for ref, name in kept.items()]})
    if asked["action"] == "create":
        kept[f"w-{asked['name']}"] = asked["name"]
        return JSONResponse({"ref": f"w-{asked['name']}"})
    kept.pop(asked["ref"], None)
    return JSONResponse({})


_UNNAMED = DummyNodeDriver.create_node


def _named_node(driver: Any, name: str, size: Any, image: Any) -> Any:
    """Libcloud's driver for tests gives its nodes names of its own, which clouds do not."""
    node = _UNNAMED(driver, name, size, image)
    node.name = name
    return node


@pytest.fixture(params=["command", "webhook", "libcloud", "simulated"])
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Provider]:
    if request.param == "command":
        yield program(tmp_path)
    elif request.param == "webhook":
        async with address(cloud_of_webhook) as url:
            yield WebhookProvider({"url": url}, SECRETS, 5.0)
    elif request.param == "libcloud":
        request.getfixturevalue("monkeypatch").setattr(DummyNodeDriver, "create_node", _named_node)
        options = {"driver": "dummy", "size": "Small", "image": "1"}
        yield LibcloudProvider(options, {"key": "0"}, 5.0)
    else:
        yield SimulatedProvider(SimulatedCloud())


async def named(provider: Provider) -> dict[str, str]:
    """Name → the provider's name of it, of our machines."""
    return {shown.name: shown.ref for shown in await provider.list(PREFIX) if shown.name.startswith(PREFIX)}


async def test_a_machine_is_created_shown_by_its_name_and_ended(provider: Provider):
    assert await named(provider) == {}
    first = await provider.create(machine(1))
    second = await provider.create(machine(2))
    assert first != second
    assert await named(provider) == {machine(1).name: first, machine(2).name: second}
    await provider.end(first, machine(1).name)
    assert await named(provider) == {machine(2).name: second}
    await provider.end(first, machine(1).name)  # one that is gone is no error
    await provider.end(second, machine(2).name)
    assert await named(provider) == {}


# A program -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words", "refused"),
    [
        ("answer = {'error': 'no quota for hunter2hunter2\\x00', 'retry_after_s': 7}", "no quota for (secret)", True),
        ("sys.exit('first line\\nkey hunter2hunter2 is wrong')", "failed with status 1: key (secret) is wrong", False),
        ("print('<html>')", "answered something that cannot be read", False),
        ("answer = {'machines': None}", "answered without a list of machines", False),
    ],
)
async def test_what_a_program_says_wrong_becomes_a_sentence(tmp_path: Path, more: str, words: str, refused: bool):
    with pytest.raises(ProviderError) as caught:
        await program(tmp_path, more).list(PREFIX)
    assert words in caught.value.message
    assert caught.value.refused is refused


async def test_a_program_gets_a_fixed_environment_and_secrets_on_stdin_alone(tmp_path: Path):
    spy = tmp_path / "spy.json"
    more = f"pathlib.Path({str(spy)!r}).write_text(json.dumps([dict(os.environ), sys.argv, request['secrets']]))"
    await program(tmp_path, more).list(PREFIX)
    environment, arguments, secrets = json.loads(spy.read_text())
    assert {name: value for name, value in environment.items() if name != "LC_CTYPE"} == ENVIRONMENT
    assert arguments == [str(tmp_path / "machines")]
    assert secrets == SECRETS


def _written(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except OSError:
        return False


async def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path):
    spy = tmp_path / "pid"
    more = (
        "import subprocess, time\n"
        f"pathlib.Path({str(spy)!r}).write_text(str(subprocess.Popen(['sleep', '600']).pid))\n"
        "time.sleep(600)"
    )
    call = asyncio.ensure_future(program(tmp_path, more).list(PREFIX))
    await eventually(lambda: _written(spy))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: not _lives(_written(spy)))


async def test_only_programs_of_the_managers_own_folders_are_run(tmp_path: Path):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    allowed.mkdir()
    other.mkdir()
    await program(allowed).list(PREFIX)
    program(other)
    (allowed / "link").symlink_to(other / "machines")
    for path, words in {
        "/bin/sh": "is not in a folder of GREENROOM_MACHINE_COMMANDS",
        str(allowed / "link"): "is not in a folder of GREENROOM_MACHINE_COMMANDS",
        str(allowed / ".." / "other" / "machines"): "is not in a folder of GREENROOM_MACHINE_COMMANDS",
        str(allowed / "missing"): "cannot be found",
        "a\0b": "cannot be found",
    }.items():
        with pytest.raises(ProviderError, match=words):
            await CommandProvider({"program": path}, {}, [allowed]).list(PREFIX)
    with pytest.raises(ProviderError, match="names no folder"):
        await CommandProvider({"program": str(allowed / "machines")}, {}, []).list(PREFIX)
    (allowed / "machines").chmod(0o777)
    with pytest.raises(ProviderError, match="can be written by other accounts"):
        await CommandProvider({"program": str(allowed / "machines")}, {}, [allowed]).list(PREFIX)


# An address ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "pause_s", "refused"),
    [
        (429, {"retry-after": "17"}, 17.0, True),
        (503, {}, 0.0, False),
        (302, {"location": "http://127.0.0.1:1"}, 0.0, True),
    ],
)
async def test_an_address_that_refuses_says_when_to_ask_again(
    status: int, headers: dict[str, str], pause_s: float, refused: bool
):
    async def answer(request: Request) -> Response:
        return Response("busy with hunter2hunter2", status, headers)

    async with address(answer) as url:
        with pytest.raises(ProviderError) as caught:
            await WebhookProvider({"url": url}, SECRETS, 5.0).create(machine(1))
    assert caught.value.message == f"{url} answered {status}: busy with (secret)."
    assert (caught.value.retry_after_s, caught.value.refused) == (pause_s, refused)


async def test_an_address_where_no_server_listens_made_no_machine():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ProviderError, match="cannot be reached") as caught:
        await WebhookProvider({"url": f"http://127.0.0.1:{port}/"}, SECRETS, 5.0).create(machine(1))
    assert caught.value.refused


# Libcloud ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"driver": "nowhere"}, "Libcloud has no driver 'nowhere'"),
        ({"driver": "dummy", "arguments": {"planet": "mars"}}, "takes other arguments"),
        ({"driver": "dummy", "size": "Galactic", "image": "1"}, "has no size Galactic; it has"),
    ],
)
async def test_a_cloud_that_is_not_there_is_a_sentence(options: dict[str, Any], words: str):
    with pytest.raises(ProviderError, match=words) as caught:
        await LibcloudProvider(options, {"key": "0"}, 5.0).create(machine(1))
    assert caught.value.refused


async def test_a_cloud_that_gives_machines_names_of_its_own_is_refused_and_keeps_none():
    provider = LibcloudProvider({"driver": "dummy", "size": "Small", "image": "1"}, {"key": "0"}, 5.0)
    before = await provider.list("")
    with pytest.raises(ProviderError, match="does not keep the names of machines"):
        await provider.create(machine(1))
    assert await provider.list("") == before
