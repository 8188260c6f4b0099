"""Cutting connections: by the kernel if possible, otherwise through copies of the sockets of their processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greenroom.core.session.viewing import Connection
from greenroom.kit import tcp
from greenroom.kit.tcp import StreamTerminator, connections_to, shut_down_connections

HOLD = """
import socket, sys
held = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
print("ended" if held.recv(1) == b"" else "data", flush=True)
"""
"""Another process that holds a connection and reports when it ends."""
WITHIN_S = 20.0


@pytest.fixture
async def ports() -> AsyncIterator[list[int]]:
    servers = [await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0) for _ in range(2)]
    yield [server.sockets[0].getsockname()[1] for server in servers]
    for server in servers:
        server.close()


@pytest.fixture(params=["ss -K", "copies of sockets"])
async def cutter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StreamTerminator:
    monkeypatch.setattr(tcp, "CUT_PAUSES_S", (0.0, 0.05, 0.05))
    made = StreamTerminator()
    await made.probe()
    if request.param == "ss -K" and not made.ss_works:
        pytest.skip("this machine cannot abort connections: no ss, no CAP_NET_ADMIN or no INET_DIAG_DESTROY")
    made.ss_works = request.param == "ss -K"
    return made


async def test_every_connection_to_the_address_is_ended_and_no_other(cutter: StreamTerminator, ports: list[int]):
    cut, kept = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
    cutter.cut_soon("s", f"127.0.0.1:{ports[0]}")
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(cut[0].read(1), WITHIN_S) == b""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(kept[0].read(1), 0.2)
    await cutter.wait()
    for _, writer in (cut, kept):
        writer.close()


async def test_of_all_clients_of_one_address_only_the_named_connection_is_cut(cutter: StreamTerminator):
    """As for a guest: the gateway's end is cut, by the address and port of the guest."""
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cut, kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    cutter.cut_clients_soon("s", [Connection(*cut[1].get_extra_info("sockname"))])
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(cut[0].read(1), WITHIN_S) == b""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(kept[0].read(1), 0.2)
    await cutter.wait()
    for _, writer in (cut, kept):
        writer.close()
    server.close()


async def test_a_cut_that_fails_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch):
    tried: list[Connection] = []

    async def no_process(remote: Connection) -> None:
        tried.append(remote)
        raise BlockingIOError(11, "no process can be started")

    monkeypatch.setattr(tcp, "abort_connections", no_process)
    monkeypatch.setattr(tcp, "CUT_PAUSES_S", (0.0, 0.0))
    cutter = StreamTerminator()
    cutter.ss_works = True
    with capture_logs() as logs:
        cutter.cut_soon("s", "127.0.0.1:1")
        await cutter.wait()
    assert tried == [Connection("127.0.0.1", 1)] * 2
    assert [row["session_id"] for row in logs if row["log_level"] == "error"] == ["s"] * 2


async def test_a_connection_of_another_process_is_shut_down(ports: list[int]):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(ports[0]), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"connected\n"
    assert shut_down_connections(Connection("127.0.0.1", ports[1])) == 0
    assert shut_down_connections(Connection("127.0.0.1", ports[0])) == 1
    assert await asyncio.wait_for(process.stdout.readline(), WITHIN_S) == b"ended\n"
    assert await process.wait() == 0


async def test_a_connection_whose_holder_cannot_be_seen_is_said(ports: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tcp, "_processes_connected_to", lambda *_: iter(()))
    _, writer = await asyncio.open_connection("127.0.0.1", ports[0])
    with pytest.raises(PermissionError, match="1 connections belong to processes that this process cannot see"):
        shut_down_connections(Connection("127.0.0.1", ports[0]))
    writer.close()


def test_a_descriptor_that_is_no_socket_any_more_is_skipped_and_closed(monkeypatch: pytest.MonkeyPatch):
    answers = iter([frozenset({"1"}), frozenset[str]()])
    monkeypatch.setattr(tcp, "connections_to", lambda *_: next(answers))
    with Path("/dev/null").open() as file:
        monkeypatch.setattr(tcp, "_processes_connected_to", lambda *_: iter([(os.getpid(), file.fileno())]))
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names alone
        assert shut_down_connections(Connection("127.0.0.1", 1)) == 0
        assert set(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208 -- others may have been closed meanwhile


async def test_what_cannot_be_cut_is_an_error_in_the_log(monkeypatch: pytest.MonkeyPatch):
    def refused(_remote: Connection) -> int:
        raise PermissionError(1, os.strerror(1))

    said: list[str] = []

    def logged(event: str, *, session_id: str, reason: str) -> None:
        said.append(f"{session_id}: {event}: {reason}")

    monkeypatch.setattr(tcp, "shut_down_connections", refused)
    monkeypatch.setattr(tcp, "CUT_PAUSES_S", (0.0,))
    monkeypatch.setattr(tcp.log, "error", logged)
    cutter = StreamTerminator()
    cutter.cut_soon("s", "127.0.0.1:1")
    await cutter.wait()
    sentence = "the streams of a session could not be cut; they stay open until they are closed"
    assert said == [f"s: {sentence}: [Errno 1] Operation not permitted"]


def test_only_established_connections_to_exactly_this_address_count(monkeypatch: pytest.MonkeyPatch):
    table = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 12 1
   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 13 1
   3: 0100007F:C002 0100007F:1F90 06 00000000:00000000 00:00000000 00000000     0        0 14 1
   4: 0100007F:C003 0200007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 15 1
"""
    monkeypatch.setattr(tcp, "read_tables", lambda: [table])
    assert connections_to(Connection("127.0.0.1", 8080)) == {"12"}
