"""The Agent's reaction to sessions that write too much: it stops them, stores the reason, and reports it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.agent import capacity
from greenroom.agent.capacity import DiskGuard
from greenroom.core.fleet.disk import DiskAmount
from greenroom.core.log_codes import LogCode
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.contract import DiskCountError, StartError
from greenroom.wire.messages import Usage

GB = 10**9


@dataclass
class Host:
    """The parts of an Agent's runtime and sessions that the guard uses."""

    written: dict[str, int]
    limit_bytes: int
    free_bytes: int = 500 * GB
    too_many: set[str] = field(default_factory=set[str])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    stopped: list[str] = field(default_factory=list[str])
    rows: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    has_stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def guard(self, usage: Callable[[], Usage] | None = None) -> DiskGuard:
        runtime: Any = self
        sessions: Any = SimpleNamespace(desired=self, observed=self, outbox=self, running=self.running)
        read = Usage(disk_free_bytes=self.free_bytes, disk_kept_bytes=5 * GB)
        return DiskGuard(runtime, runtime, sessions, "vm", usage or (lambda: read))

    async def disk_usage(self, session_id: str) -> DiskAmount:
        if session_id in self.too_many:
            raise DiskCountError("It is too much.")
        if self.written[session_id] < 0:
            raise StartError("It cannot be measured.")
        return DiskAmount(self.written[session_id])

    async def stop(self, session_id: str, grace_s: float) -> None:
        del grace_s
        self.stopped.append(session_id)
        self.has_stopped.set()

    def running(self) -> Iterable[str]:
        return list(self.written)

    def journal_facts(self, session_id: str) -> SimpleNamespace:
        return SimpleNamespace(failure=self.failures.get(session_id, ""))

    def spec(self, session_id: str) -> SessionSpec:
        return SessionSpec(image="i", image_id=session_id, credential="c", disk_limit_bytes=self.limit_bytes)

    def update_record(self, session_id: str, *, failure: str) -> None:
        self.failures[session_id] = failure

    def log_line(self, code: LogCode, message: str, session_id: str | None = None) -> None:
        del message, session_id
        self.rows.append((code.level, code))


async def test_who_writes_too_much_is_stopped_once_and_keeps_the_reason():
    host = Host({"broken": -1, "little": 1 * GB, "much": 3 * GB}, limit_bytes=2 * GB)
    guard = host.guard()
    for _ in range(2):
        await guard.check()
    assert host.stopped == ["much"]
    assert host.failures == {
        "much": "The session was stopped because it had written 3 GB to its disk; its workspace allows 2 GB."
    }
    assert host.rows == [("WARNING", "session-disk-full")]


async def test_a_decrease_since_the_first_reading_is_measured_immediately(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(capacity, "DISK_POLL_S", 0.0)
    monkeypatch.setattr(capacity, "PAUSE_FACTOR", 0.0)
    host = Host({"much": 1 * GB}, limit_bytes=2 * GB)
    free_bytes = chain(repeat(None, 3), repeat(500 * GB, 9), repeat(498 * GB))

    def usage() -> Usage:
        free = next(free_bytes)
        if free == 498 * GB:
            host.written["much"] = 3 * GB
        return Usage(disk_free_bytes=free, disk_kept_bytes=5 * GB)

    guard = asyncio.create_task(host.guard(usage).run())
    async with asyncio.timeout(10):
        await host.has_stopped.wait()
    guard.cancel()
    assert host.stopped == ["much"]


@pytest.mark.parametrize(("free_bytes", "stopped"), [(2 * GB, []), (1 * GB, ["much"])])
async def test_without_a_limit_a_disk_that_is_all_but_full_counts(free_bytes: int, stopped: list[str]):
    host = Host({"little": 1 * GB, "much": 3 * GB}, limit_bytes=0, free_bytes=free_bytes)
    await host.guard().check()
    assert host.stopped == stopped


async def test_who_cannot_be_counted_twice_in_a_row_is_stopped():
    host = Host({"much": 1 * GB}, limit_bytes=2 * GB)
    guard = host.guard()
    for host.too_many in ({"much"}, set(), {"much"}):
        await guard.check()
        assert host.stopped == []
    host.written["broken"] = -1
    await guard.check()
    assert host.stopped == ["much"]
    assert "the count did not end in time twice in a row" in host.failures["much"]
