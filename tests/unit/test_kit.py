"""Secrets, process settings, listening and stop points."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from tests.support.processes import free_port
from tests.support.waiting import timers_set

from greenroom import shared
from greenroom.core.errors import SetupError
from greenroom.core.workspace.volumes import source_problem
from greenroom.kit import serving, stops
from greenroom.kit.concurrency import wait_for
from greenroom.kit.config import AgentConfig, GatewayConfig, ManagerConfig
from greenroom.kit.environment import load_settings
from greenroom.kit.repeats import RepeatFilter
from greenroom.kit.secrets import Secrets, is_same, new_secret, secret_digest
from greenroom.recipes import shelf

KEY = bytes(range(32))


@given(st.text())
def test_what_was_encrypted_is_read_back(text: str):
    assert Secrets(KEY).decrypt(Secrets(KEY).encrypt(text)) == text


@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_the_same_text_is_sealed_alike_and_opened_by_one_key_only(text: str):
    assert Secrets(KEY).seal(text) == Secrets(KEY).seal(text)
    assert Secrets(KEY).unseal(Secrets(KEY).seal(text)) == text
    with pytest.raises(SetupError, match="another key"):
        Secrets(KEY[::-1]).unseal(Secrets(KEY).seal(text))


def test_a_text_that_is_read_again_and_again_is_decrypted_once(monkeypatch: pytest.MonkeyPatch):
    decrypted: list[bytes] = []

    def counting(self: Fernet, token: bytes | str, ttl: int | None = None) -> bytes:
        decrypted.append(bytes(token, "ascii") if isinstance(token, str) else token)
        return b"the text"

    monkeypatch.setattr(Fernet, "decrypt", counting)
    secrets = Secrets(KEY)
    assert [secrets.decrypt(stored) for stored in (b"one", b"two", b"one", b"two")] == ["the text"] * 4
    assert decrypted == [b"one", b"two"]


def test_another_key_is_refused_with_a_sentence():
    with pytest.raises(SetupError, match="another key"):
        Secrets(KEY[::-1]).decrypt(Secrets(KEY).encrypt("x"))


@pytest.mark.parametrize(("session", "user", "epoch"), [("b", "u", 1), ("a", "v", 1), ("a", "u", 2)])
def test_a_connect_token_opens_one_session_for_one_user_in_one_epoch(session: str, user: str, epoch: int):
    secrets = Secrets(KEY)
    token = secrets.connect_token("a", "u", 1)
    assert is_same(token, secrets.connect_token("a", "u", 1))
    assert not is_same(token, secrets.connect_token(session, user, epoch))


def test_the_key_file_is_private_and_kept(tmp_path: Path):
    path = tmp_path / "key"
    Secrets.create_file(path)
    before = path.read_bytes()
    Secrets.create_file(path)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
    Secrets.from_file(path)


def test_a_key_that_could_not_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Secrets.create_file(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    Secrets.create_file(tmp_path / "key")
    Secrets.from_file(tmp_path / "key")


def test_of_two_processes_that_write_a_key_the_first_ones_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, others = tmp_path / "key", tmp_path / "others"
    Secrets.create_file(others)
    first = others.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _descriptor: others.rename(path))  # the other one is a moment earlier
    Secrets.create_file(path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "bm90IGEga2V5", "cut of", "ü"])
def test_a_file_that_holds_no_key_is_refused_with_a_sentence(tmp_path: Path, text: str):
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(SetupError, match="restore the file from a backup"):
        Secrets.from_file(path)


def test_secrets_differ_and_have_256_bits():
    assert new_secret() != new_secret()
    assert len(secret_digest(new_secret())) == 32


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GREENROOM_DATABASE_URL", raising=False)
    with pytest.raises(SetupError, match="GREENROOM_DATABASE_URL"):
        load_settings(ManagerConfig)


@pytest.mark.parametrize(
    ("kind", "name"), [(ManagerConfig, "GREENROOM_GATEWAY_URL"), (AgentConfig, "GREENROOM_MANAGER_URLS")]
)
def test_no_credential_is_sent_where_no_server_is_verified(
    monkeypatch: pytest.MonkeyPatch, kind: type[ManagerConfig | AgentConfig], name: str
):
    for needed in ("AGENT_DIR", "MANAGER_DIR", "SECRET_KEY_FILE", "DATABASE_URL"):
        monkeypatch.setenv(f"GREENROOM_{needed}", "/nowhere/none")
    monkeypatch.setenv(name, "https://m-1.example.org, http://127.0.0.1:8446, http://[::1]:8446")
    load_settings(kind)
    for wrong in ("http://m-2.example.org", "http://127.0.0.1@m-2.example.org", "http://10.0.0.1", "m-2.example.org"):
        monkeypatch.setenv(name, f"https://m-1.example.org, {wrong}")
        with pytest.raises(SetupError, match=f"{name}: .*{wrong} must begin with https"):
            load_settings(kind)


async def test_a_caller_is_held_at_an_armed_stop_until_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stops, "_stops", None)
    await stops.serve_commands(tmp_path, "p")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "p.sock")

    async def say(line: str) -> str:
        writer.write(line.encode() + b"\n")
        return (await reader.readline()).decode().strip()

    assert await say("arm leadership.after_take") == "ok"
    caller = asyncio.create_task(stops.hold_if_armed("leadership.after_take"))
    assert await say("wait leadership.after_take") == "reached"
    assert not caller.done()
    assert await say("release leadership.after_take") == "ok"
    await caller
    await stops.hold_if_armed("leadership.after_take")
    assert (await say("arm nonsense")).startswith("error")
    writer.close()
    for server in stops._servers:
        server.close()
    stops._servers.clear()


async def test_a_stop_does_nothing_in_production(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stops, "_stops", None)
    await stops.hold_if_armed("leadership.after_take")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "GREENROOM_AGENT_DIR: is missing; the file {file} of GREENROOM_CONFIG does not exist"),
        ("agent_dir = = 1", "The file {file} of GREENROOM_CONFIG cannot be read: Invalid value (at line 1, column 13)"),
        ("agent_dir = '/x'\nagent_port = 70000", "GREENROOM_AGENT_PORT: must be less than 65536"),
    ],
)
def test_settings_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, sentence: str
):
    file = tmp_path / "agent.toml"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("GREENROOM_CONFIG", str(file))
    with pytest.raises(SetupError) as refused:
        load_settings(AgentConfig)
    assert refused.value.message.endswith(sentence.format(file=file))


def test_a_setting_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GREENROOM_GATEWAY_DIR", "/x")
    monkeypatch.setenv("GREENROOM_GATEWAY_MANAGERS", "manager-1")
    with pytest.raises(SetupError, match=r'"gateway_managers" .*; its value must be JSON'):
        load_settings(GatewayConfig)


def test_no_files_or_code_of_the_agent_are_mounted_into_a_container(tmp_path: Path):
    private = AgentConfig(agent_dir=tmp_path / "agent", instance_data=tmp_path / "data").private_folders()
    for folder in (
        tmp_path / "agent",
        tmp_path / "data",
        Path(sys.prefix) / "bin",
        shelf.ROOT,
        *map(Path, shared.__path__),
    ):
        assert "belongs to the host itself" in (source_problem(str(folder), private) or "")
    assert source_problem(str(tmp_path / "other"), private) is None


async def test_a_port_that_is_freed_in_a_moment_is_waited_for():
    """As the port of a killed process whose helper has not ended yet."""
    async with asyncio.TaskGroup() as group:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            serving_it = group.create_task(serving.serve_until_cancelled(_silent, "127.0.0.1", port))
            await asyncio.sleep(0)
        await asyncio.to_thread(_eventually_connected, port)
        serving_it.cancel()


async def test_an_address_another_process_listens_on_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "PORT_WAIT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use\."):
            await serving.serve(_silent, "127.0.0.1", port)


async def test_the_body_of_an_answer_does_not_wait_for_its_head():
    """Nagle's algorithm is off for accepted connections: with it every answer takes 40 ms longer."""
    port = free_port()
    async with asyncio.TaskGroup() as group:
        serving_it = group.create_task(serving.serve_until_cancelled(_silent, "127.0.0.1", port))
        await asyncio.to_thread(_eventually_connected, port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await asyncio.to_thread(client.recv, 12) == b"HTTP/1.1 204"
            assert _has_no_delay(accepted_from=client.getsockname())
        serving_it.cancel()


async def test_a_server_at_rest_wakes_for_the_date_only(monkeypatch: pytest.MonkeyPatch):
    port, timers = free_port(), timers_set(monkeypatch)
    async with asyncio.TaskGroup() as group:
        serving_it = group.create_task(serving.serve_until_cancelled(_silent, "127.0.0.1", port))
        await asyncio.to_thread(_eventually_connected, port)
        serving_it.cancel()
    assert timers
    assert min(timers) > serving.DATE_RESOLUTION_S / 2


async def _silent(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def _eventually_connected(port: int) -> None:
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return


def _has_no_delay(accepted_from: tuple[str, int]) -> bool:
    """True if Nagle's algorithm is off for the end of a connection that this process has accepted."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if not descriptor.is_socket():
            continue
        one = socket.socket(fileno=os.dup(int(descriptor.name)))
        with one, contextlib.suppress(OSError):
            if one.getpeername() == accepted_from:
                return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    raise AssertionError("the connection was not found")


LIBRARY_THAT_LOGS = """
import logging, warnings
from greenroom.kit import log
log.configure("INFO", "api")
pool = logging.getLogger("psycopg.pool")
pool.warning("error connecting in %r: connection failed:\\n  no such file\\n  is it running?", "pool-1")
pool.info("not worth reading")
try:
    raise OSError("gone")
except OSError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application\\n")
warnings.warn("old")
"""


def test_what_libraries_log_is_one_json_object_a_line():
    done = subprocess.run([sys.executable, "-c", LIBRARY_THAT_LOGS], check=True, capture_output=True, text=True)
    first, second, third = (json.loads(line) for line in done.stderr.splitlines())
    assert first["event"] == "error connecting in 'pool-1': connection failed: no such file is it running?"
    assert (first["logger"], first["level"], first["process"]) == ("psycopg.pool", "warning", "api")
    assert "OSError: gone" in second["exception"]
    assert third["logger"] == "py.warnings"


async def test_an_event_is_waited_for_but_not_for_ever():
    event = asyncio.Event()
    assert not await wait_for(event, 0.01)
    waiting = asyncio.create_task(wait_for(event, None))
    await asyncio.sleep(0)
    event.set()
    assert await waiting
    assert await wait_for(event, 0), "it is set already"


def test_a_repeated_event_is_new_again_after_the_interval_or_when_it_was_forgotten():
    now_s = 0.0
    repeats = RepeatFilter(60, max_events=2, now_s=lambda: now_s)
    assert [repeats.must_log("ada", code) for code in ("empty", "refused", "empty")] == [True, True, False]
    now_s = 59.9
    assert not repeats.must_log("ada", "refused")
    now_s = 60.0
    assert [repeats.must_log("ada", code) for code in ("empty", "empty", "refused")] == [True, False, True]
    assert [repeats.must_log("ada", code) for code in ("a third", "refused", "empty")] == [True, False, True]
