"""Run a command inside a container through the Docker API, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from aiodocker.containers import DockerContainer

from greenroom.core.sessions import Exec
from greenroom.runtimes.base import OUTPUT_MAX, ExecResult, cut_output

LOOK_EVERY_S: Final = 0.2
DRAIN_S: Final = 0.2


async def run_exec(container: DockerContainer, command: Exec) -> ExecResult:
    """See `base.Runtime.exec`. A command has ended when its process has, even if a child of it keeps the output open.

    `VNC_PW` is emptied: Docker gives a command the environment of the container, and with it the page's password.
    """
    environment = {**command.environment, "VNC_PW": ""}
    execution: Any = await container.exec(
        list(command.argv), user=command.user or "", environment=environment, workdir=command.workdir
    )
    output = bytearray()
    async with execution.start(detach=False) as stream:
        reading = asyncio.create_task(_read(stream, output), name="exec-output")
        try:
            exit_code = await _wait(execution, reading, command.deadline_s)
            if exit_code is not None:
                await asyncio.wait({reading}, timeout=DRAIN_S)
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
    return ExecResult(exit_code=exit_code, output=cut_output(output.decode(errors="replace")))


async def _read(stream: Any, output: bytearray) -> None:
    while (message := await stream.read_out()) is not None:
        output += message.data
        del output[: -4 * OUTPUT_MAX]


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
