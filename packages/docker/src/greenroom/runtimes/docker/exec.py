"""Commands inside a container, with a deadline, through the Docker API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any, Final

from aiodocker.containers import DockerContainer

from greenroom.core.workspace.exec_config import is_root_by_name
from greenroom.core.workspace.launch_environment import PREFERENCES, user_variables
from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.runtimes.contract import MAX_OUTPUT_CHARACTERS, ExecResult, StartError, cut_output
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import translated
from greenroom.runtimes.docker.mounts import refuse_root
from greenroom.runtimes.docker.spec import CHOSEN

POLL_S: Final = 0.2
DRAIN_S: Final = 10.0
"""The maximum wait for more output after a command has ended, if its child processes continue to write."""


class _Output:
    def __init__(self) -> None:
        self.received_bytes = 0
        self._data = bytearray()

    async def read(self, stream: Any) -> None:
        """Read until the command and its child processes have closed the stream."""
        while (message := await stream.read_out()) is not None:
            self.received_bytes += len(message.data)
            self._data += message.data
            del self._data[: -4 * MAX_OUTPUT_CHARACTERS]

    @property
    def text(self) -> str:
        return cut_output(self._data.decode(errors="replace"))


async def collect_output(execution: Any, command: Exec) -> ExecResult:
    """Start a command, wait for its end or its deadline, and then for the rest of its output. `execution` is the object
    of aiodocker for the command.
    """
    output = _Output()
    async with execution.start(detach=False) as stream:
        reader = asyncio.create_task(output.read(stream), name="exec-output")
        try:
            exit_code = await _wait(execution, reader, command.deadline_s)
            if exit_code is not None:
                await _drain(reader, output, command.output_within_s)
            complete = reader.done()
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
    return ExecResult(exit_code=exit_code, output=output.text, output_complete=complete)


async def _drain(reader: asyncio.Task[None], output: _Output, silent_s: float) -> None:
    """Read until the output is closed or nothing arrives for `silent_s`. The daemon may deliver output after the end of
    the command.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            before = -1
            while not reader.done() and output.received_bytes > before:
                before = output.received_bytes
                await asyncio.wait({reader}, timeout=silent_s)


async def _wait(execution: Any, reader: asyncio.Task[None], deadline_s: float) -> int | None:
    """Wait for the end of the command. Return its exit code, or None at the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        if (left_s := end - loop.time()) > 0 and not reader.done():
            await asyncio.wait({reader}, timeout=min(POLL_S, left_s))
        state = await execution.inspect()
        if not state["Running"] and state["ExitCode"] is not None:
            return int(state["ExitCode"])
        if loop.time() >= end:
            return None
        if reader.done():
            await asyncio.sleep(0.01)


async def run_exec(docker: Any, inspection: DockerJson, command: Exec) -> ExecResult:
    """Implement `Containers.exec`. A command ends with its process, even if child processes keep the output open.

    A command has the environment of the container, except `VNC_PW`, the password of the page, which is set to the empty
    text. `inspection` is Docker's inspection of the container.

    Raises:
        StartError: the container is not running, or the command would run as root in a container with a folder of the
            host.
    """
    if (status := inspection["State"]["Status"]) != "running":
        raise StartError(f"The command was not run: the session is {status}.")
    container: DockerContainer = docker.containers.container(inspection["Id"])
    await refuse_root(container, inspection, command.user, "The command")
    image: DockerJson = await docker.images.inspect(inspection["Image"]) if chosen_variables(inspection) else {}
    variables: dict[str, str | None] = {
        **overridden_variables(command, inspection, image),
        **command.environment,
        "VNC_PW": "",
    }
    # a name without a value removes the variable
    environment = [name if value is None else f"{name}={value}" for name, value in variables.items()]
    execution: Any = await container.exec(
        list(command.argv), user=command.user or "", environment=environment, workdir=command.workdir
    )
    return await collect_output(execution, command)


def overridden_variables(command: Exec, inspection: DockerJson, image: DockerJson) -> dict[str, str | None]:
    """Return the values that replace the variables of the session's user in a command that runs as another account:
    the value in the image, or None to remove the variable.

    Such variables (BASH_ENV, LD_PRELOAD, …) could otherwise run code of the user in the command, in most cases as root.
    `inspection` and `image` are Docker's inspections of the container and its image.
    """
    container_user = str(inspection["Config"].get("User") or "")
    if command.user in {None, "", container_user} and container_user and not is_root_by_name(container_user):
        return {}
    image_variables = _variables(image)
    return {name: image_variables.get(name) for name in chosen_variables(inspection)}


async def variables_of_image(docker: Any, spec: SessionSpec) -> Collection[str]:
    """Return the names of the variables that the image sets; empty if the user chose no variable that could replace
    one.
    """
    if PREFERENCES.issuperset(user_variables(spec.environment)):
        return ()
    async with translated(image=spec.image):
        return _variables(await docker.images.inspect(spec.image)).keys()


def _variables(image: DockerJson) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in image.get("Config", {}).get("Env") or ())


def chosen_variables(inspection: DockerJson) -> list[str]:
    """Return the names of the variables that the session's user chose."""
    return [name for name in inspection["Config"]["Labels"].get(CHOSEN, "").split(",") if name]
