"""Runs commands for programs, as the user of the session and with the environment of the desktop.

    POST desk/exec  {"command": ["ls", "-l"], "env": {}, "workdir": "", "input": "", "timeout_s": 60}

The answer consists of lines of JSON. Each piece of output is sent as it arrives: {"stdout": "…"} or {"stderr": "…"}, or
{"stdout_base64": "…"} or {"stderr_base64": "…"} for output that is not UTF-8. While there is no output, {} is sent. The
last line is {"exit_code": 0}, or {"exit_code": null, "error_message": "…"} after a timeout. A command that was ended by
a signal has the exit code 128 plus the number of the signal.

At its timeout, or when the program disconnects, a command is ended together with all processes that it started. When a
command ends by itself, the processes that it started continue. Commands transfer data in both directions, so they are
refused in a session without uploads or without downloads.
"""

import asyncio
import base64
import codecs
import contextlib
import json
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from files import DOWNLOADS, UPLOADS
from protocol import Chunks, RefusedError, Request, body, refuse_error, run_while_connected

NAMES = ("command", "env", "workdir", "input", "timeout_s")
MAX_BODY_BYTES = 2 << 20
MAX_RUNNING = 32
MAX_TIMEOUT_S = 86400.0
DEFAULT_TIMEOUT_S = 60.0
PIECE_BYTES = 1 << 15
KEEPALIVE_S = 10.0
LAST_OUTPUT_PAUSE_S = 0.1
"""After a command has ended, the time without output after which its pipes are closed: processes that the command
started may keep the pipes open."""
TERMINATION_TIMEOUT_S = 2.0
"""The time between SIGTERM and SIGKILL."""
KILL_ATTEMPTS, KILL_RETRY_S = 100, 0.02
MARK = "GREENROOM_EXEC"
"""The environment variable that identifies all processes of a command, including those that left its process group."""
BAD_REQUEST = "400 Bad Request"

running: set[str] = set()
"""The marks (values of `MARK`) of the running commands."""


@dataclass(frozen=True)
class Command:
    """A command that a program requests; an empty or relative `workdir` is below the home folder."""

    argv: list[str]
    env: dict[str, str]
    workdir: str
    input: bytes
    timeout_s: float


def parse(data: bytes) -> Command:
    """Parse the body of a request.

    Raises:
        RefusedError: the request is invalid.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise RefusedError(BAD_REQUEST, "The request is not JSON.") from error
    if not isinstance(content, dict):
        raise RefusedError(BAD_REQUEST, "The request is not a JSON object.")
    for name in content:
        if name not in NAMES:
            raise RefusedError(BAD_REQUEST, f"{name}: unknown field; the fields are {', '.join(NAMES)}.")
    fields = {name: value for name, value in content.items() if value is not None}
    argv, env, workdir = fields.get("command"), fields.get("env", {}), fields.get("workdir", "")
    text, timeout_s = fields.get("input", ""), fields.get("timeout_s", DEFAULT_TIMEOUT_S)
    if not isinstance(argv, list) or not argv or not all(is_text(part) for part in argv) or not argv[0]:
        raise RefusedError(BAD_REQUEST, "command: must be a list of strings, the program and its arguments, without NUL characters.")
    if not isinstance(env, dict) or not all(is_text(value) and is_variable(name) for name, value in env.items()):
        raise RefusedError(BAD_REQUEST, "env: must be an object with a string for each variable.")
    if not is_text(workdir):
        raise RefusedError(BAD_REQUEST, "workdir: must be a folder, absolute or below the home folder.")
    if not isinstance(text, str):
        raise RefusedError(BAD_REQUEST, "input: must be a string.")
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise RefusedError(BAD_REQUEST, f"timeout_s: must be more than 0 and at most {MAX_TIMEOUT_S:g} seconds.")
    return Command(argv, env, workdir, text.encode(errors="surrogatepass"), float(timeout_s))


def is_text(value: object) -> bool:
    """True if the value can be an argument of a command: a string without NUL and surrogates."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def is_variable(name: object) -> bool:
    """True if the name can be the name of an environment variable."""
    return is_text(name) and bool(name) and "=" not in str(name)


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Run the command of a request."""
    mark = uuid.uuid4().hex
    try:
        if request.method != "POST":
            raise RefusedError("405 Method Not Allowed", "Use POST.")
        require_allowed()
        if request.number("content-length") > MAX_BODY_BYTES:
            raise RefusedError("413 Content Too Large", f"A command with its input may have at most {MAX_BODY_BYTES} bytes; upload a file instead.")
        command = parse(await body(request, reader, MAX_BODY_BYTES))
        if len(running) >= MAX_RUNNING:
            raise RefusedError("429 Too Many Requests", f"{MAX_RUNNING} commands already run in this session; wait until one ends.")
        running.add(mark)
        process = await start(command, mark)
    except Exception as error:
        running.discard(mark)
        return await refuse_error(error, writer)
    try:
        output = OutputStream(writer)
        await run_while_connected(reader, asyncio.create_task(output.run(process, command, mark)))
    finally:
        await end_command(process, mark)
        running.discard(mark)
    return None


def require_allowed() -> None:
    """Check the permissions of the session.

    Raises:
        RefusedError: the session was created without uploads or downloads.
    """
    missing = [name for name, is_on in (("uploads", UPLOADS), ("downloads", DOWNLOADS)) if not is_on]
    if missing:
        raise RefusedError("403 Forbidden", f"Commands cannot run in a session without {' and '.join(missing)}.")


class Process(asyncio.subprocess.SubprocessStreamProtocol):
    """A running command. `has_ended` is set when the command itself has ended; asyncio's `wait` would also wait for
    processes that keep its pipes open."""

    transport: asyncio.SubprocessTransport

    def __init__(self) -> None:
        super().__init__(limit=PIECE_BYTES, loop=asyncio.get_running_loop())
        self.has_ended = asyncio.Event()

    def process_exited(self) -> None:
        """Record that the command itself has ended; asyncio calls this method."""
        super().process_exited()
        self.has_ended.set()


async def start(command: Command, mark: str) -> Process:
    """Start a command; `mark` becomes the value of `MARK` in its environment.

    Raises:
        RefusedError: the folder does not exist, or the program does not exist or cannot be run.
    """
    workdir = Path(os.environ.get("HOME", "/"), command.workdir)
    if not workdir.is_dir():
        raise RefusedError(BAD_REQUEST, f"workdir: there is no folder {command.workdir or workdir}.")
    pipe = asyncio.subprocess.PIPE
    try:
        transport, process = await asyncio.get_running_loop().subprocess_exec(
            Process,
            *command.argv,
            stdin=pipe if command.input else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            cwd=workdir,
            env={**os.environ, **command.env, MARK: mark},
            umask=0o022,
            start_new_session=True,
        )
    except OSError as error:
        raise RefusedError(BAD_REQUEST, f"command: {command.argv[0]} cannot be run: {error.strerror or error}.") from error
    process.transport = transport
    return process


class OutputStream:
    """Sends the output of a command to the program that requested the command. `progress` increases when a
    piece of output is read and when it is sent."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.chunks = Chunks(writer)
        self.progress = 0

    async def run(self, process: Process, command: Command, mark: str) -> None:
        """Send the whole answer, until the command ends or its timeout is over."""
        self.chunks.begin("application/x-ndjson")
        keepalives = asyncio.create_task(self.send_keepalives())
        work = asyncio.create_task(self.relay(process, command.input))
        try:
            async with asyncio.timeout(command.timeout_s):
                await asyncio.shield(work)
            code = process.transport.get_returncode() or 0
            last: dict[str, object] = {"exit_code": 128 - code if code < 0 else code}
        except TimeoutError:
            await end_command(process, mark)
            sentence = f"The command was ended because it took longer than {command.timeout_s:g} s (timeout_s)."
            last = {"exit_code": None, "error_message": sentence}
        finally:
            keepalives.cancel()
            work.cancel()
            await asyncio.gather(keepalives, work, return_exceptions=True)
        await self.send_line(last)
        self.chunks.end()

    async def relay(self, process: Process, text: bytes) -> None:
        """Transfer input and output until the command has ended and all of its output is sent."""
        readers = [asyncio.create_task(self.send_output_of(pipe, name)) for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr))]
        writing_input = asyncio.create_task(write_input(process.stdin, text))
        try:
            await process.has_ended.wait()
            while pending := [reader for reader in readers if not reader.done()]:
                before = self.progress
                await asyncio.wait(pending, timeout=LAST_OUTPUT_PAUSE_S)
                if self.progress == before:
                    break
        finally:
            for task in (*readers, writing_input):
                task.cancel()
            await asyncio.gather(*readers, writing_input, return_exceptions=True)

    async def send_output_of(self, pipe: asyncio.StreamReader, name: str) -> None:
        """Send the output of a pipe. A character is not split between two lines."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        while data := await pipe.read(PIECE_BYTES):
            self.progress += 1
            await self.send_piece(name, data, decoder)
            self.progress += 1
        if rest := decoder.getstate()[0]:
            await self.send_line({f"{name}_base64": base64.b64encode(rest).decode()})

    async def send_piece(self, name: str, data: bytes, decoder: codecs.IncrementalDecoder) -> None:
        """Send one piece of output: as text if it is UTF-8 without NUL, otherwise in base64."""
        rest = decoder.getstate()[0]
        try:
            text = decoder.decode(data)
            if "\0" in text:  # binary data; the JSON escape of a NUL has six bytes
                raise ValueError
        except ValueError:
            decoder.reset()
            await self.send_line({f"{name}_base64": base64.b64encode(rest + data).decode()})
        else:
            if text:
                await self.send_line({name: text})

    async def send_line(self, content: dict[str, object]) -> None:
        """Send one line of JSON."""
        await self.chunks.send(json.dumps(content, ensure_ascii=False).encode() + b"\n")

    async def send_keepalives(self) -> None:
        """Send {} regularly, so that each side detects when the connection is lost."""
        while True:
            await asyncio.sleep(KEEPALIVE_S)
            await self.send_line({})


async def write_input(pipe: asyncio.StreamWriter | None, text: bytes) -> None:
    """Write the input to a command, until it stops reading."""
    if pipe is None:
        return
    with contextlib.suppress(ConnectionError):
        pipe.write(text)
        await pipe.drain()
        pipe.close()


async def end_command(process: Process, mark: str) -> None:
    """If a command has not ended by itself, end the command and all processes that it started. Close its pipes."""
    pid = process.transport.get_pid()
    if not process.has_ended.is_set():
        for each in processes_of(pid, mark):
            send(each, signal.SIGTERM)
        await wait_for_end(process)
        for _ in range(KILL_ATTEMPTS):  # the next round finds processes that were started meanwhile
            if not [each for each in processes_of(pid, mark) if send(each, signal.SIGKILL)]:
                break
            await asyncio.sleep(KILL_RETRY_S)
        await wait_for_end(process)  # otherwise, the next call would wait for a process that no longer exists
    process.transport.close()


async def wait_for_end(process: Process) -> None:
    """Wait until a command itself has ended, for at most `TERMINATION_TIMEOUT_S`."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.has_ended.wait(), TERMINATION_TIMEOUT_S)


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal to a process. Return False if the process does not exist or belongs to another user."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def processes_of(pid: int, mark: str) -> Iterator[int]:
    """Yield the pids of the processes of a command: those in its process session, whose id is `pid`, and those
    with its mark in their environment."""
    variable = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name of a process, in parentheses, has any bytes.
            state, _, _, process_session = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:4]
            if state != b"Z" and (int(process_session) == pid or variable in (folder / "environ").read_bytes().split(b"\0")):
                yield int(folder.name)
