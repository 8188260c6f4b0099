"""Run roles as separate processes in a test, hold, freeze or kill them; and ports for servers of tests.

A stop armed with `arm` (or `arm_before_start`) holds the process at that place; `reached` waits until it is there; then
the test kills, freezes or releases the process.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2


def arm_before_start(folder: Path, process_name: str, *names: str) -> None:
    """Arm these stops before the process starts."""
    (folder / f"{process_name}.armed").write_text("\n".join(names))


class StopClient:
    """Commands to a process; each has a separate connection, so that a killed process leaves nothing behind.
    `folder` and `process_name` are GREENROOM_STOP_DIR and GREENROOM_PROCESS_NAME of the process."""

    def __init__(self, folder: Path, process_name: str) -> None:
        self._path = folder / f"{process_name}.sock"

    async def arm(self, name: str) -> None:
        await self._ask("arm", name)

    async def reached(self, name: str, timeout_s: float = 60.0) -> None:
        """Wait until a caller is held at `name`.

        Raises:
            TimeoutError: none arrived.
        """
        async with asyncio.timeout(timeout_s):
            await self._ask("wait", name)

    async def release(self, name: str) -> None:
        await self._ask("release", name)

    async def _ask(self, verb: str, name: str) -> None:
        reader, writer = await self._connected()
        try:
            writer.write(f"{verb} {name}\n".encode())
            await writer.drain()
            reply = (await reader.readline()).decode().strip()
        finally:
            writer.close()
        if reply not in ("ok", "reached"):
            raise ConnectionError(f"{self._path}: {verb} {name} was answered {reply!r}")

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, and wait for a process that is just starting."""
        async with asyncio.timeout(60):
            while True:
                try:
                    return await asyncio.open_unix_connection(self._path)
                except (FileNotFoundError, ConnectionRefusedError):
                    await asyncio.sleep(0.02)


_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_BELOW_EPHEMERAL: Final = range(12_000 + _WORKER % 8, 32_000, 8)
"""Linux assigns the local ports of connections from 32768 on (ip_local_port_range). The workers have different ports: a
port that was returned is free until its server listens."""

_given: set[int] = set()
_random = random.Random()  # noqa: S311 -- test runs side by side are to choose different ones, nothing is protected


@contextmanager
def frozen(*pids: int) -> Generator[None]:
    """Stop these processes during the block. The supervisor would restart a frozen role, so it must be one of them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def free_port() -> int:
    """A TCP port on 127.0.0.1 on which no process listens. A port from the kernel may be assigned again before its
    server listens: to the next caller, or to any connection of the machine."""
    while True:
        port = _random.choice(_BELOW_EPHEMERAL)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def locale_variables() -> dict[str, str]:
    """The variables of the locale; a recording of calls also sets one of them (tests/selection/calls.py)."""
    return {name: value for name, value in os.environ.items() if name.startswith("LC_")}


class RoleProcess:
    """A process `greenroom <role>` with its environment; its log is `<folder>/<name>.log`.

    `environment` contains all variables except PATH, the locale and those of tests; `prefix` is a program that becomes
    the role, with its arguments: `nsenter …`, `faketime …`.
    """

    def __init__(
        self, role: str, name: str, folder: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self.stops = StopClient(folder, name)
        self.code = "from greenroom.__main__ import main; main()"
        """The code that Python runs from the next start on, for a process of another version."""
        self._prefix, self._role = prefix, role
        self._environment = {
            "PATH": os.environ["PATH"],
            **locale_variables(),
            "LC_ALL": "C.UTF-8",
            "GREENROOM_PROCESS_NAME": name,
            "GREENROOM_STOP_DIR": str(folder),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [*self._prefix, sys.executable, "-c", self.code, self._role]
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(argv, env=self._environment, stdout=output, stderr=output)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal if the process has not ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def freeze(self) -> None:
        self.kill(signal.SIGSTOP)

    def thaw(self) -> None:
        self.kill(signal.SIGCONT)

    async def ended(self, timeout_s: float = 20.0) -> int:
        """Wait for the end and return the exit code, negative for a signal.

        Raises:
            TimeoutError: it did not end.
        """
        if self.process is None:
            raise ValueError(f"{self.name} was not started")
        async with asyncio.timeout(timeout_s):
            while self.process.poll() is None:  # noqa: ASYNC110 -- a child's end raises no event here
                await asyncio.sleep(0.01)
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process is not None:
            self.kill()
            self.process.wait(10)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


async def answers(url: str, status: int, timeout_s: float = 60.0) -> httpx2.Response:
    """Wait until a GET of `url` has this status.

    Raises:
        TimeoutError: it did not get this status in time.
    """
    async with httpx2.AsyncClient() as client, asyncio.timeout(timeout_s):
        while True:
            try:
                response = await client.get(url, timeout=2)
            except httpx2.TransportError:
                response = None
            if response is not None and response.status_code == status:
                return response
            await asyncio.sleep(0.02)
