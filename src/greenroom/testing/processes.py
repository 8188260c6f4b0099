"""Run roles as processes of their own in a test, and freeze or kill them by pid."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from greenroom.testing.stops import StopClient


class RoleProcess:
    """One `greenroom <role>` with its environment; its log goes to `<folder>/<name>.log`.

    `environment` is all of its variables beside PATH and those of a test; `prefix` a program that becomes the role,
    with its arguments: `nsenter …`, `faketime …`.
    """

    def __init__(
        self, role: str, name: str, folder: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self.stops = StopClient(folder, name)
        self.code = "from greenroom.__main__ import main; main()"
        """What Python runs from the next start on, for a process of another version."""
        self._prefix, self._role = prefix, role
        self._environment = {
            "PATH": os.environ["PATH"],
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
        """Send a signal, if the process has not ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def freeze(self) -> None:
        self.kill(signal.SIGSTOP)

    def thaw(self) -> None:
        self.kill(signal.SIGCONT)

    async def ended(self, timeout_s: float = 20.0) -> int:
        """Wait for its end; the exit code, negative for a signal.

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


async def answers(url: str, status: int, timeout_s: float = 60.0) -> httpx.Response:
    """Wait until a GET of `url` has this status.

    Raises:
        TimeoutError: it never had.
    """
    async with httpx.AsyncClient() as client, asyncio.timeout(timeout_s):
        while True:
            try:
                response = await client.get(url, timeout=2)
            except httpx.TransportError:
                response = None
            if response is not None and response.status_code == status:
                return response
            await asyncio.sleep(0.02)
