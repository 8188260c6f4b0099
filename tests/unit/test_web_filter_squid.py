"""The check whether the Squid of a web filter answers: one that hangs with an open port is started again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from greenroom.agent.web_filter import squid as subject
from greenroom.agent.web_filter.secret_files import FilterError, Owner
from greenroom.agent.web_filter.squid import Squid, answers
from greenroom.core.web_filter import FilterPolicy
from greenroom.kit.processes import read_start_ticks

ADDRESS = "127.0.0.1"
POLICY = FilterPolicy(filter_policy_id="p", name="Strict")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[int]:
    """Serve connections at a free port, which is yielded."""
    async with await asyncio.start_server(handle, ADDRESS, 0) as server:
        yield server.sockets[0].getsockname()[1]


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as Squid answers a request that names no host."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the connection and never answer."""
    await reader.read()
    writer.close()


async def test_an_answer_with_any_status_is_an_answer():
    async with serving(refuse) as port:
        assert await answers(ADDRESS, port)


async def test_a_port_that_only_accepts_connections_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subject, "ANSWER_TIMEOUT_S", 0.1)
    async with serving(hang) as port:
        assert not await answers(ADDRESS, port)
    assert not await answers(ADDRESS, port), "nothing listens there now"


async def test_a_squid_that_hangs_is_killed_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subject, "ANSWER_TIMEOUT_S", 0.1)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(subject.shutil, "which", lambda *_, **__: None)
    squid = Squid(tmp_path, Owner(os.getuid(), os.getgid()), lambda: None)

    async def apply() -> None:
        with pytest.raises(FilterError, match="squid is not installed"):
            await squid.apply(POLICY, ADDRESS, "127.0.0.0/8", ())

    async with serving(hang) as port:
        monkeypatch.setattr(subject, "FILTER_PORT", port)
        await apply()  # writes the configuration
        hung = await asyncio.create_subprocess_exec("sleep", "600")
        note = {"pid": hung.pid, "started": read_start_ticks(hung.pid)}
        (tmp_path / "process").write_bytes(msgspec.json.encode(note))
        await apply()
        assert await hung.wait() == -signal.SIGKILL
    assert squid.pid is None
