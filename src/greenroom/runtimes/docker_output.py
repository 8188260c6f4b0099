"""The output and the end of a command that runs in a container."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from greenroom.core.sessions import Exec
from greenroom.runtimes.base import OUTPUT_MAX, ExecResult, cut_output

LOOK_EVERY_S: Final = 0.2
DRAIN_S: Final = 10.0
"""The most that is waited for output after the end of a command whose child goes on writing."""


class _Output:
    """What a command writes, as it comes."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self._data = bytearray()

    async def read(self, stream: Any) -> None:
        """Until the command and all its children have closed it."""
        while (message := await stream.read_out()) is not None:
            self.received_bytes += len(message.data)
            self._data += message.data
            del self._data[: -4 * OUTPUT_MAX]

    @property
    def text(self) -> str:
        """The end of it."""
        return cut_output(self._data.decode(errors="replace"))


async def attend(execution: Any, command: Exec) -> ExecResult:
    """Start a command, and stay with it until its end or its deadline; then as long as its output may still come.

    Args:
        execution: the command, created in its container (aiodocker's).
        command: its deadline, and how long its output is waited for.
    """
    output = _Output()
    async with execution.start(detach=False) as stream:
        reading = asyncio.create_task(output.read(stream), name="exec-output")
        try:
            exit_code = await _wait(execution, reading, command.deadline_s)
            if exit_code is not None:
                await _drain(reading, output, command.output_within_s)
            complete = reading.done()
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
    return ExecResult(exit_code=exit_code, output=output.text, output_complete=complete)


async def _drain(reading: asyncio.Task[None], output: _Output, silent_s: float) -> None:
    """Read on until the output is closed, or nothing came for `silent_s`: the daemon may deliver it after the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            before = -1
            while not reading.done() and output.received_bytes > before:
                before = output.received_bytes
                await asyncio.wait({reading}, timeout=silent_s)


async def _wait(execution: Any, reading: asyncio.Task[None], deadline_s: float) -> int | None:
    """The exit code, or None when the deadline has passed. Looks at once when the output ends."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        if (left_s := end - loop.time()) > 0 and not reading.done():
            await asyncio.wait({reading}, timeout=min(LOOK_EVERY_S, left_s))
        facts = await execution.inspect()
        if not facts["Running"] and facts["ExitCode"] is not None:
            return int(facts["ExitCode"])
        if loop.time() >= end:
            return None
        if reading.done():
            await asyncio.sleep(0.01)
