"""Provider `command`: a program of the administrator, run once for each request, with JSON on stdin and stdout.

The Manager runs the program with its own rights. Therefore the program must be in a folder that the Manager's own
settings name (`GREENROOM_MACHINE_COMMANDS`), which the API cannot change. The environment is fixed, because variables
like BASH_ENV and LD_PRELOAD run code. Secrets are only in the JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from asyncio.subprocess import SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from greenroom.core.fleet.machines.provider import provider_text
from greenroom.machine_providers.contract import NewMachine, ProviderError, ProviderMachine
from greenroom.machine_providers.exchange import (
    MAX_ANSWER_BYTES,
    Request,
    answer_of,
    created_ref,
    creation,
    machines_of,
)

ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
MAX_STDERR_BYTES: Final = 20_000
END_S: Final = 5.0
"""The maximum wait for the end of a killed program. A program that waits for a lost disk takes longer."""


class CommandProvider:
    """Runs `options["program"]`, which must be in one of `folders`."""

    def __init__(self, options: Mapping[str, Any], secrets: Mapping[str, str], folders: Sequence[Path]) -> None:
        self._options = options
        self._secrets = secrets
        self._folders = folders
        self._program = str(options.get("program", ""))

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        request = Request(action="list", options=self._options, secrets=self._secrets, prefix=prefix)
        return machines_of(await self._run(request), self._program)

    async def create(self, machine: NewMachine) -> str:
        return created_ref(await self._run(creation(machine, self._options, self._secrets)), self._program)

    async def end(self, ref: str, name: str) -> None:
        await self._run(Request(action="end", options=self._options, secrets=self._secrets, ref=ref, name=name))

    async def _run(self, request: Request) -> Any:
        program = runnable(self._program, self._folders)
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: SubprocessStreamProtocol(65536, loop), program, env=ENVIRONMENT, cwd="/", start_new_session=True
            )
        except OSError as error:
            raise ProviderError(f"{program} cannot be run: {error.strerror}.", refused=True) from error
        process = asyncio.subprocess.Process(transport, protocol, loop)
        try:
            out, err = await _talk(process, msgspec.json.encode(request))
        finally:
            await _end(process, transport)
        if process.returncode != 0:
            last = err.decode(errors="replace").strip().rpartition("\n")[2]
            words = provider_text(last, request.hidden).rstrip(".") or "it wrote no error message"
            raise ProviderError(f"{program} failed with status {process.returncode}: {words}.")
        if len(out) > MAX_ANSWER_BYTES:
            raise ProviderError(f"{program} answered more than {MAX_ANSWER_BYTES // 1_000_000} MB.")
        return answer_of(out, program, request.hidden)


async def _talk(process: asyncio.subprocess.Process, request: bytes) -> tuple[bytes, bytes]:
    """Send the request to the program, and read its output until it ends. The output is limited."""
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise AssertionError("its streams are pipes")

    async def give() -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read the request
            stdin.write(request)
            await stdin.drain()
        stdin.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(give())
        out = group.create_task(_read(stdout, MAX_ANSWER_BYTES + 1))
        err = group.create_task(_read(stderr, MAX_STDERR_BYTES))
        group.create_task(process.wait())
    return out.result(), err.result()


async def _end(process: asyncio.subprocess.Process, transport: asyncio.SubprocessTransport) -> None:
    """End the program with the processes of its group. Processes that left the group may hold its streams. These are
    closed, because the program counts as ended only after they are.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for number in range(3):
        if pipe := transport.get_pipe_transport(number):
            pipe.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await process.wait()


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """Return the first `most` bytes of the stream. Further bytes are read and dropped."""
    kept = bytearray()
    while part := await stream.read(65536):
        kept += part[: most - len(kept)]
    return bytes(kept)


def runnable(program: str, folders: Sequence[Path]) -> str:
    """Return the program if the Manager may run it. Raises ProviderError: it may not; the sentence has the reason."""
    if not folders:
        raise ProviderError(
            "This Manager runs no programs of machine pools: its setting GREENROOM_MACHINE_COMMANDS is empty.",
            refused=True,
        )
    path = Path(program)
    try:
        real = path.resolve(strict=True)
        found = real.stat()
        allowed = [folder.resolve() for folder in folders]
        if not path.is_absolute() or real.parent not in allowed:
            listed = ", ".join(map(str, folders))
            raise ProviderError(f"{program} is not in a folder of GREENROOM_MACHINE_COMMANDS ({listed}).", refused=True)
        if not stat.S_ISREG(found.st_mode) or not os.access(real, os.X_OK):
            raise ProviderError(f"{program} is not a program that this Manager's account can execute.", refused=True)
        for what, mode in ((program, found.st_mode), (str(real.parent), real.parent.stat().st_mode)):
            if mode & (stat.S_IWOTH | stat.S_IWGRP):
                raise ProviderError(
                    f"{what} can be written by other accounts; remove their write permission.", refused=True
                )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a path"
        raise ProviderError(f"The program {provider_text(program)} cannot be found: {reason}.", refused=True) from error
    return str(real)
