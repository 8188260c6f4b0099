"""The output of a command that arrives after its end, or never ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from greenroom.core.workspace.session_spec import Exec
from greenroom.runtimes.docker.exec import collect_output


@dataclass
class Message:
    data: bytes


@dataclass
class Daemon:
    """A command that has ended, and a daemon that delivers its output in `pieces` (seconds before it, bytes). After
    the last one the output is closed, or stays open if a child of the command has it."""

    pieces: list[tuple[float, bytes]]
    is_held: bool = False

    async def inspect(self) -> dict[str, Any]:
        return {"Running": False, "ExitCode": 0}

    @asynccontextmanager
    async def start(self, *, detach: bool):
        assert not detach
        yield self

    async def read_out(self) -> Message | None:
        if not self.pieces:
            if self.is_held:
                await asyncio.Event().wait()
            return None
        pause_s, data = self.pieces.pop(0)
        await asyncio.sleep(pause_s)
        return Message(data)


async def ran(daemon: Any, output_within_s: float) -> tuple[str, bool]:
    result = await collect_output(daemon, Exec(argv=("echo", "hello"), output_within_s=output_within_s))
    assert result.exit_code == 0
    return result.output, result.output_complete


async def test_output_that_a_late_daemon_delivers_after_the_end_is_not_lost():
    assert await ran(Daemon([(0.5, b"hel"), (0.5, b"lo")]), 30.0) == ("hello", True)


async def test_a_child_that_keeps_the_output_open_blocks_nothing():
    assert await ran(Daemon([(0.0, b"hello")], is_held=True), 0.05) == ("hello", False)
    assert await ran(Daemon([], is_held=True), 0.05) == ("", False)
