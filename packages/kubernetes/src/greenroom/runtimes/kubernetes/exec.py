"""Commands in the Pod of a session.

The script is sent through the standard input, because the URL of the request appears in the server's log. A shell in
the container runs the script and records the start and the exit code of the command in shared memory. Therefore the
state of a command can be read after its connection is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import uuid
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import msgspec
from httpx2.websockets import AsyncWebSocketSession, HTTPXWSException, WebSocketUpgradeError

from greenroom.core.workspace.session_spec import Exec
from greenroom.runtimes.contract import MAX_OUTPUT_CHARACTERS, ExecResult, RuntimeUnavailable, StartError, cut_output
from greenroom.runtimes.kubernetes.cluster import Cluster, Json
from greenroom.runtimes.kubernetes.errors import NOT_FOUND, reason_of
from greenroom.runtimes.kubernetes.names import CONTAINER

STDIN, STDOUT, STDERR, ERROR = range(4)
"""The channels of `EXEC_PROTOCOL`: the first byte of each message."""
STATE_TIMEOUT_S: Final = 3.0
"""Time limit of a request for the state of a command whose connection was lost."""
POLL_S: Final = 0.5
STATE_FOLDER: Final = "/dev/shm/.greenroom"  # noqa: S108 -- the shared memory of the container
NOT_RUN: Final = 126

_READ_SCRIPT: Final = 'eval "$(head -c "$1")"'
"""`$1` is the length of the script in bytes, because this protocol cannot report the end of the input."""
_READ_STATE: Final = f'cat "{STATE_FOLDER}/$1" 2>/dev/null || echo none'


def script_of(command: Exec, state_file: str, once: bool) -> str:
    """Return the shell script of a command. It sets the variables of the command, removes the credential of the session
    and records the state of the command in `state_file`. With `once`, the command does not run again if this file
    exists.
    """
    lines = [f"mkdir -p -m 700 {STATE_FOLDER} || exit {NOT_RUN}"]
    path = f"{STATE_FOLDER}/{state_file}"
    if once:
        lines.append(f"[ ! -e {path} ] || {{ echo 'The command has already begun.'; exit {NOT_RUN}; }}")
    if command.user:
        name = shlex.quote(command.user.partition(":")[0])
        lines.append(
            f'[ "$(id -un 2>/dev/null)" = {name} ] || [ "$(id -u)" = {name} ] ||'
            f" {{ echo 'In a Pod a command runs as the user of the session.'; exit {NOT_RUN}; }}"
        )
    if command.workdir:
        lines.append(f"cd {shlex.quote(command.workdir)} || exit {NOT_RUN}")
    lines += [f"export {name}={shlex.quote(text)}" for name, text in command.environment.items()]
    lines += ["unset VNC_PW", f"echo begun > {path}"]
    lines += [f"{shlex.join(command.argv)} < /dev/null", f"ended=$?; echo $ended > {path}; exit $ended"]
    return "\n".join(lines) + "\n"


class OutputTail:
    """The end of a command's output."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        del self._data[: -4 * MAX_OUTPUT_CHARACTERS]

    @property
    def text(self) -> str:
        return cut_output(self._data.decode(errors="replace"))


async def run_exec(cluster: Cluster, pod: str, command: Exec) -> ExecResult:
    """Implements `Containers.exec` for a running Pod.

    Raises:
        StartError: the command was not started.
        RuntimeUnavailable: the state of the command is unknown.
    """
    state_file, output = command.once or uuid.uuid4().hex, OutputTail()
    script = script_of(command, state_file, bool(command.once))
    loop = asyncio.get_running_loop()
    end = loop.time() + command.deadline_s
    problem = ""
    try:
        async with asyncio.timeout_at(end):
            exit_code = await run_script(cluster, pod, script, output)
            return ExecResult(exit_code=exit_code, output=output.text)
    except TimeoutError:
        problem = f"it did not answer within {command.deadline_s:g} s"
    except (HTTPXWSException, httpx2.HTTPError, OSError) as error:
        problem = reason_of(error)
    state = await _final_state(cluster, pod, state_file, end)
    if state == "none":
        raise StartError(f"The command was not started: {problem}.")
    if state == "unknown":
        raise RuntimeUnavailable(f"The state of the command is unknown: {problem}.")
    exit_code = None if state == "begun" else int(state)
    return ExecResult(exit_code=exit_code, output=output.text, output_complete=False)


async def _final_state(cluster: Cluster, pod: str, state_file: str, end: float) -> str:
    """Wait until the command has ended, or until `end`. Return "none" (not started), "begun" (not ended), "unknown", or
    the exit code.
    """
    loop = asyncio.get_running_loop()
    while True:
        state = await _read_state(cluster, pod, state_file)
        remaining_s = end - loop.time()
        if state not in {"begun", "unknown"} or remaining_s <= 0:
            return state
        await asyncio.sleep(min(POLL_S, remaining_s))


async def _read_state(cluster: Cluster, pod: str, state_file: str) -> str:
    output = OutputTail()
    with contextlib.suppress(TimeoutError, HTTPXWSException, httpx2.HTTPError, OSError, StartError):
        async with asyncio.timeout(STATE_TIMEOUT_S):
            async with cluster.exec(pod, CONTAINER, ["sh", "-c", _READ_STATE, "sh", state_file]) as connection:
                await _read_output(connection, output)
            state = output.text.strip()
            return state if state in {"none", "begun"} or state.isdecimal() else "unknown"
    return "unknown"


async def run_script(
    cluster: Cluster,
    pod: str,
    script: str,
    output: OutputTail,
    data: bytes = b"",
    *,
    container: str = CONTAINER,
    within_s: float | None = None,
) -> int:
    """Run a script with a shell in the container. `data` is its input. Return its exit code.

    Raises:
        StartError: the container does not exist, or has no shell.
    """
    script_bytes = script.encode()
    argv = ["sh", "-c", _READ_SCRIPT, "sh", str(len(script_bytes))]
    try:
        async with asyncio.timeout(within_s), cluster.exec(pod, container, argv, stdin=True) as connection:
            await connection.send_bytes(bytes((STDIN,)) + script_bytes)
            for start in range(0, len(data), 1 << 16):
                await connection.send_bytes(bytes((STDIN,)) + data[start : start + (1 << 16)])
            return await _read_output(connection, output)
    except WebSocketUpgradeError as error:
        raise _upgrade_error(error) from error


async def _read_output(connection: AsyncWebSocketSession, output: OutputTail) -> int:
    while True:
        message = await connection.receive_bytes()
        channel, content = message[0], bytes(message[1:])
        if channel in {STDOUT, STDERR}:
            output.add(content)
        elif channel == ERROR and content:
            return exit_code_of(msgspec.json.decode(content, type=Json))


def exit_code_of(status: Mapping[str, Any]) -> int:
    """Return the exit code in the final status of the server.

    Raises:
        StartError: the command could not be run.
    """
    if status.get("status") == "Success":
        return 0
    details: Json = status.get("details") or {}
    causes: list[Json] = details.get("causes") or []
    for cause in causes:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise StartError(f"The command was not run: {str(status.get('message') or 'no reason was given')[:300]}.")


def _upgrade_error(error: WebSocketUpgradeError) -> Exception:
    code = error.response.status_code
    if code == NOT_FOUND:
        return StartError("The command was not run: the session has no running Pod.")
    if code >= 500:
        return RuntimeUnavailable(f"The node of the session does not answer (the API server returned {code}).")
    return RuntimeUnavailable(f"Kubernetes refused to run the command (HTTP {code}).")
