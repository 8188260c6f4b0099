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
from greenroom.runtimes.docker.spec import USER_VARIABLES

POLL_S: Final = 0.2
REST_TIMEOUT_S: Final = 10.0
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
    """Start a command, wait for its end or its deadline, and read the rest of its output. `execution` is the command as
    an object of aiodocker.
    """
    output = _Output()
    async with execution.start(detach=False) as stream:
        reader = asyncio.create_task(output.read(stream), name="exec-output")
        try:
            exit_code = await _wait_for_exit(execution, reader, command.deadline_s)
            if exit_code is not None:
                await _read_rest(reader, output, command.output_within_s)
            complete = reader.done()
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
    return ExecResult(exit_code=exit_code, output=output.text, output_complete=complete)


async def _read_rest(reader: asyncio.Task[None], output: _Output, silent_s: float) -> None:
    """Read output that the daemon delivers after the end of the command, until the output is closed or nothing arrives
    for `silent_s`.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REST_TIMEOUT_S):
            before = -1
            while not reader.done() and output.received_bytes > before:
                before = output.received_bytes
                await asyncio.wait({reader}, timeout=silent_s)


async def _wait_for_exit(execution: Any, reader: asyncio.Task[None], deadline_s: float) -> int | None:
    """Wait for the end of the command. Return its exit code, or None at the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        if (remaining_s := end - loop.time()) > 0 and not reader.done():
            await asyncio.wait({reader}, timeout=min(POLL_S, remaining_s))
        state = await execution.inspect()
        if not state["Running"] and state["ExitCode"] is not None:
            return int(state["ExitCode"])
        if loop.time() >= end:
            return None
        if reader.done():
            await asyncio.sleep(0.01)


async def run_exec(docker: Any, inspection: DockerJson, command: Exec) -> ExecResult:
    """Implement `Containers.exec`. A command ends with its process, even if child processes keep the output open. It
    has the environment of the container, but an empty `VNC_PW`, which is the password of the page.

    `inspection` is Docker's inspection of the container.

    Raises:
        StartError: the container is not running, or the command would run as root in a container with a folder of the
            host.
    """
    if (status := inspection["State"]["Status"]) != "running":
        raise StartError(f"The command was not run: the session is {status}.")
    container: DockerContainer = docker.containers.container(inspection["Id"])
    await refuse_root(container, inspection, command.user, "The command")
    image: DockerJson = await docker.images.inspect(inspection["Image"]) if user_variable_names(inspection) else {}
    variables: dict[str, str | None] = {
        **overridden_variables(command, inspection, image),
        **command.environment,
        "VNC_PW": "",
    }
    # Docker removes a variable if its entry has no value
    environment = [name if value is None else f"{name}={value}" for name, value in variables.items()]
    execution: Any = await container.exec(
        list(command.argv), user=command.user or "", environment=environment, workdir=command.workdir
    )
    return await collect_output(execution, command)


def overridden_variables(command: Exec, inspection: DockerJson, image: DockerJson) -> dict[str, str | None]:
    """Return the variables that the session's user set and that a command must not inherit: name → value in the image,
    or None to remove the variable. Empty if the command runs as the account of the container, and this is not root.

    Variables such as BASH_ENV and LD_PRELOAD would run code of the user, in most cases as root. `inspection` and
    `image` are Docker's inspections of the container and its image.
    """
    container_user = str(inspection["Config"].get("User") or "")
    if command.user in {None, "", container_user} and container_user and not is_root_by_name(container_user):
        return {}
    image_variables = _variables(image)
    return {name: image_variables.get(name) for name in user_variable_names(inspection)}


async def variables_of_image(docker: Any, spec: SessionSpec) -> Collection[str]:
    """Return the names of the variables that the image sets; empty if they are not needed, because the session's user
    set only preferences such as the language.
    """
    if PREFERENCES.issuperset(user_variables(spec.environment)):
        return ()
    async with translated(image=spec.image):
        return _variables(await docker.images.inspect(spec.image)).keys()


def _variables(image: DockerJson) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in image.get("Config", {}).get("Env") or ())


def user_variable_names(inspection: DockerJson) -> list[str]:
    """Return the names of the variables that the session's user set."""
    return [name for name in inspection["Config"]["Labels"].get(USER_VARIABLES, "").split(",") if name]
