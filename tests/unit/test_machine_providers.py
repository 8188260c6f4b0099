"""A suite for all providers of machines: a program, an address, Libcloud (with its test driver) and the
simulated one; and the refusals of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from libcloud.compute.drivers.dummy import DummyNodeDriver
from starlette.requests import Request
from starlette.responses import Response
from tests.support.waiting import eventually
from tests.unit.clouds import (
    DUMMY,
    DUMMY_ALONE,
    HERE,
    JOIN_TOKEN,
    PREFIX,
    SECRETS,
    UNNAMED,
    address,
    answering,
    hanging,
    machine,
    program,
    refusing,
    webhook,
    working,
)

from greenroom.core.errors import SetupError
from greenroom.machine_providers.contract import Provider, ProviderError
from greenroom.machine_providers.exchange import (
    MAX_ANSWER_BYTES,
    MAX_MACHINES,
    PROGRAM_ENV,
    CommandProvider,
    WebhookProvider,
)
from greenroom.machine_providers.libcloud.provider import MAX_THREADS, LibcloudProvider
from greenroom.machine_providers.libcloud.rules import allowed_clouds


async def named(provider: Provider) -> dict[str, str]:
    """Name → the provider's name, of Greenroom's machines."""
    return {shown.name: shown.ref for shown in await provider.list(PREFIX) if shown.name.startswith(PREFIX)}


@pytest.mark.parametrize("kind", ["command", "webhook", "libcloud", "simulated"])
async def test_a_machine_is_created_shown_by_its_name_and_ended(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with working(kind, tmp_path, monkeypatch) as provider:
        assert await named(provider) == {}
        first = await provider.create(machine(1))
        second = await provider.create(machine(2))
        assert first != second
        assert await named(provider) == {machine(1).name: first, machine(2).name: second}
        await provider.end(first, machine(1).name)
        assert await named(provider) == {machine(2).name: second}
        await provider.end(first, machine(1).name)  # a removed machine is no error
        await provider.end(second, machine(2).name)
        assert await named(provider) == {}


TOO_MANY = json.dumps({"machines": [{"ref": "r", "name": "n"}] * (MAX_MACHINES + 1)}).encode()


@pytest.mark.parametrize("kind", ["command", "webhook"])
@pytest.mark.parametrize(
    ("action", "answer", "words"),
    [
        ("list", b"<html>", " cannot be read: "),
        ("list", b"\xff", " cannot be read: "),
        ("list", b'{"machines": 5}', " cannot be read: "),
        ("list", b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", " cannot be read: "),
        ("list", b" " * (MAX_ANSWER_BYTES + 1), "answered more than 4 MB"),
        ("list", b"{}", "has no list of machines"),
        ("list", TOO_MANY, "returned more than 10000 machines"),
        ("create", b"", "returned no reference (ref) of the new machine"),
        ("create", b'{"ref": ""}', "returned no reference (ref) of the new machine"),
        ("create", b'{"ref": "a\\nb"}', "returned no reference (ref) of the new machine"),
    ],
    ids=lambda value: value[:30] if isinstance(value, bytes) else None,
)
async def test_a_wrong_answer_is_a_sentence_and_a_machine_may_be_there(
    kind: str, action: str, answer: bytes, words: str, tmp_path: Path
):
    async with answering(kind, tmp_path, answer) as provider:
        with pytest.raises(ProviderError) as caught:
            await (provider.list(PREFIX) if action == "list" else provider.create(machine(1)))
    assert words in caught.value.message
    assert not caught.value.refused


@pytest.mark.parametrize("kind", ["command", "webhook"])
@pytest.mark.parametrize(
    "words",
    [
        SECRETS["key"],
        json.dumps(SECRETS),
        json.dumps(SECRETS).replace("/", "\\/"),  # as PHP writes it
        SECRETS["key"].splitlines()[1],
        f"the token {JOIN_TOKEN}",
    ],
)
async def test_no_secret_that_is_echoed_is_shown(
    kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with refusing(kind, tmp_path, monkeypatch, words) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.create(machine(1))
    message = caught.value.message
    assert "(secret)" in message
    for part in (SECRETS["token"], "quoted", "second", "of it", JOIN_TOKEN):
        assert part not in message


@pytest.mark.parametrize("kind", ["command", "webhook", "libcloud"])
async def test_one_that_hangs_is_given_up_and_keeps_no_other_waiting(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with hanging(kind, tmp_path, monkeypatch) as (provider, is_asked):
        calls = [asyncio.ensure_future(provider.list(PREFIX)) for _ in range(MAX_THREADS)]
        await eventually(is_asked)
        async with asyncio.timeout(20), working(kind, tmp_path, monkeypatch) as other:
            assert await named(other) == {}
        for call in calls:
            call.cancel()
        async with asyncio.timeout(20):
            ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in ended] == [asyncio.CancelledError] * MAX_THREADS


# A program -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words", "refused"),
    [
        ("answer = {'error': 'no quota for hunter2hunter2\\x00', 'retry_after_s': 7}", "no quota for (secret)", True),
        ("sys.exit('first line\\nkey hunter2hunter2 is wrong')", "failed with status 1: key (secret) is wrong", False),
        ("sys.exit(request['secrets']['key'])", "failed with status 1: (secret)", False),
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
    assert {name: value for name, value in environment.items() if name != "LC_CTYPE"} == PROGRAM_ENV
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


async def test_what_a_program_started_and_let_go_keeps_no_call(tmp_path: Path):
    """It has left the group, so it is not ended, and it has the streams open."""
    spy = tmp_path / "pid"
    more = (
        "import subprocess, time\n"
        "left = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        f"pathlib.Path({str(spy)!r}).write_text(str(left.pid))\n"
        "time.sleep(60)"
    )
    call = asyncio.ensure_future(program(tmp_path, more).list(PREFIX))
    await eventually(lambda: _written(spy))
    try:
        call.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait([call])
        assert call.cancelled()
        assert _lives(_written(spy))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(_written(spy)), signal.SIGKILL)


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
    with pytest.raises(ProviderError, match="GREENROOM_MACHINE_COMMANDS is empty"):
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

    async with webhook(answer) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.create(machine(1))
    assert caught.value.message.endswith(f"/ answered {status}: busy with (secret).")
    assert (caught.value.retry_after_s, caught.value.refused) == (pause_s, refused)


async def test_an_address_where_no_server_listens_made_no_machine():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ProviderError, match="cannot be reached") as caught:
        await WebhookProvider({"url": f"http://127.0.0.1:{port}/"}, SECRETS, 5.0, HERE).create(machine(1))
    assert caught.value.refused


async def test_what_only_this_host_reaches_is_asked_where_the_setting_names_it_alone():
    asked: list[Request] = []

    async def answer(request: Request) -> Response:
        asked.append(request)
        return Response(b"{}")

    async with address(answer) as url:
        for other, words in {
            url: "only hosts of the setting `webhook_hosts` may use http",
            url.replace("http:", "https:"): "127.0.0.1 is not a public address; the setting `webhook_hosts`",
        }.items():
            with pytest.raises(ProviderError, match=words) as caught:
                await WebhookProvider({"url": other}, SECRETS, 5.0).create(machine(1))
            assert caught.value.refused
        assert asked == []
        await WebhookProvider({"url": url}, SECRETS, 5.0, HERE).end("r", machine(1).name)
    assert len(asked) == 1


@pytest.mark.parametrize("token", ["schlüssel", "a\nb", " a"])
async def test_a_token_that_can_be_no_header_is_not_sent(token: str):
    with pytest.raises(ProviderError, match="is sent as a header") as caught:
        await WebhookProvider({"url": "http://127.0.0.1:1/"}, {"token": token}, 5.0, HERE).create(machine(1))
    assert caught.value.refused


# Libcloud ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"driver": "nowhere", "size": "s", "image": "1"}, "Libcloud has no driver 'nowhere'"),
        ({"driver": "dummy", "arguments": {"region": "mars"}, "size": "s", "image": "1"}, "takes other arguments"),
        ({"driver": "dummy", "arguments": {"host": "::1"}, "size": "s", "image": "1"}, "not choose the argument host"),
        ({"driver": "openstack", "size": "s", "image": "1"}, "GREENROOM_MACHINE_CLOUDS allows dummy, nowhere"),
        ({"driver": "dummy", "size": "Galactic", "image": "1"}, "has no size Galactic; it has"),
    ],
)
async def test_a_cloud_that_is_not_there_is_a_sentence(options: dict[str, Any], words: str):
    with pytest.raises(ProviderError, match=words) as caught:
        await LibcloudProvider(options, {"key": "0"}, 5.0, {"dummy": {}, "nowhere": {}}).create(machine(1))
    assert caught.value.refused


async def test_the_arguments_of_the_setting_take_the_place_of_a_pools(monkeypatch: pytest.MonkeyPatch):
    seen = dict[str, Any]()

    def new_driver(driver: Any, creds: str, **arguments: Any) -> None:
        seen.update(arguments, creds=creds)
        driver.nl, driver.connection = [], SimpleNamespace()

    monkeypatch.setattr(DummyNodeDriver, "__init__", new_driver)
    clouds = allowed_clouds('{"dummy": {"host": "cloud.example", "region": "eu"}}')
    options = {**DUMMY, "arguments": {"region": "us", "project": "p"}}
    assert await LibcloudProvider(options, {"key": "0"}, 5.0, clouds).list("") == []
    assert seen == {"creds": "0", "host": "cloud.example", "region": "eu", "project": "p"}


@pytest.mark.parametrize("setting", ["ec2", "[]", '{"ec2": 1}'])
def test_a_setting_that_is_no_object_of_drivers_is_refused(setting: str):
    with pytest.raises(SetupError, match="GREENROOM_MACHINE_CLOUDS is not"):
        allowed_clouds(setting)


async def test_the_answer_of_a_cloud_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with refusing("libcloud", tmp_path, monkeypatch, "INTERNAL-PAGE") as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.create(machine(1))
    assert caught.value.message == "The request to dummy failed: ValueError. The log of the Manager has the reason."


async def test_a_cloud_that_gives_machines_names_of_its_own_is_refused_and_keeps_none():
    provider = LibcloudProvider(DUMMY, {"key": "0"}, 5.0, DUMMY_ALONE)
    before = await provider.list("")
    with pytest.raises(ProviderError, match="does not store the names of machines"):
        await provider.create(machine(1))
    assert await provider.list("") == before


async def test_machines_that_are_made_at_once_get_no_answers_of_each_other(monkeypatch: pytest.MonkeyPatch):
    """A driver stores its last answer, like this one."""
    both = threading.Barrier(2, timeout=20)

    def create_node(driver: Any, name: str, size: Any, image: Any) -> Any:
        driver.answer = name
        both.wait()
        node = UNNAMED(driver, name, size, image)
        node.name = driver.answer
        return node

    monkeypatch.setattr(DummyNodeDriver, "create_node", create_node)
    provider = LibcloudProvider(DUMMY, {"key": "0"}, 5.0, DUMMY_ALONE)
    await asyncio.gather(provider.create(machine(1)), provider.create(machine(2)))
