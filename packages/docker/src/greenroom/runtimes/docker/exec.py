"""Runs a command inside a container through the Docker API, with a deadline; returns its output and its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any, Final

from aiodocker.containers import DockerContainer

from greenroom.core.workspace.exec_config import spells_root
from greenroom.core.workspace.launch_environment import PREFERENCES, chosen_by_users
from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.contract import MAX_OUTPUT, ExecResult, StartError, cut_output
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import translated
from greenroom.runtimes.docker.mounts import refuse_root
from greenroom.runtimes.docker.spec import CHOSEN

POLL_S: Final = 0.2
DRAIN_S: Final = 10.0
"""Maximum wait for output after the end of a command if a child of it keeps writing."""


class _Output:
    def __init__(self) -> None:
        self.received_bytes = 0
        self._data = bytearray()

    async def read(self, stream: Any) -> None:
        """Read until the command and all its children have closed it."""
        while (message := await stream.read_out()) is not None:
            self.received_bytes += len(message.data)
            self._data += message.data
            del self._data[: -4 * MAX_OUTPUT]

    @property
    def text(self) -> str:
        return cut_output(self._data.decode(errors="replace"))


async def collect_output(execution: Any, command: Exec) -> ExecResult:
    """Start a command (aiodocker's `execution`), wait for its end or its deadline, then for the rest of its output."""
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
    """Read until the output is closed, or nothing arrived for `silent_s`: the daemon may deliver output after
    the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            before = -1
            while not reading.done() and output.received_bytes > before:
                before = output.received_bytes
                await asyncio.wait({reading}, timeout=silent_s)


async def _wait(execution: Any, reading: asyncio.Task[None], deadline_s: float) -> int | None:
    """The exit code, or None at the deadline. Checks at once when the output ends."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        if (left_s := end - loop.time()) > 0 and not reading.done():
            await asyncio.wait({reading}, timeout=min(POLL_S, left_s))
        facts = await execution.inspect()
        if not facts["Running"] and facts["ExitCode"] is not None:
            return int(facts["ExitCode"])
        if loop.time() >= end:
            return None
        if reading.done():
            await asyncio.sleep(0.01)


async def run_exec(docker: Any, found: DockerJson, command: Exec) -> ExecResult:
    """Implements `Containers.exec`. A command ends with its process, even if a child of it keeps the output open.

    `VNC_PW` is emptied: Docker gives a command the environment of the container, with the page's password. `found` is
    Docker's inspection of the container.

    Raises:
        StartError: it is not running, or the command would run as root in a container with a folder of the host.
    """
    if (status := found["State"]["Status"]) != "running":
        raise StartError(f"The command was not run: the session is {status}.")
    container: DockerContainer = docker.containers.container(found["Id"])
    await refuse_root(container, found, command.user, "The command")
    image: DockerJson = await docker.images.inspect(found["Image"]) if chosen(found) else {}
    variables: dict[str, str | None] = {**withheld(command, found, image), **command.environment, "VNC_PW": ""}
    # a name without value removes the variable
    environment = [name if value is None else f"{name}={value}" for name, value in variables.items()]
    execution: Any = await container.exec(
        list(command.argv), user=command.user or "", environment=environment, workdir=command.workdir
    )
    return await collect_output(execution, command)


def withheld(command: Exec, found: DockerJson, image: DockerJson) -> dict[str, str | None]:
    """The variables that the session's user chose, for a command of another user: as in the image, or removed.

    They would make the command run that user's code (BASH_ENV, LD_PRELOAD, …), in most cases as root. `found` and
    `image` are Docker's inspections of the container and its image.
    """
    own = str(found["Config"].get("User") or "")
    if command.user in {None, "", own} and own and not spells_root(own):
        return {}
    of_image = _variables(image)
    return {name: of_image.get(name) for name in chosen(found)}


async def variables_of_image(docker: Any, spec: SessionSpec) -> Collection[str]:
    """Names of the variables that the image sets; none if the session has no variables to which they apply."""
    if PREFERENCES.issuperset(chosen_by_users(spec.environment)):
        return ()
    async with translated(image=spec.image):
        return _variables(await docker.images.inspect(spec.image)).keys()


def _variables(image: DockerJson) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in image.get("Config", {}).get("Env") or ())


def chosen(found: DockerJson) -> list[str]:
    """Names of the variables that the session's user chose."""
    return [name for name in found["Config"]["Labels"].get(CHOSEN, "").split(",") if name]
