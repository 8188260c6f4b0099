"""Starts the stand-in of a Manager (`manager.stand_in`), and sends it one byte each second, a beat, while the event
loop of the Manager runs."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import structlog

from greenroom.manager import stand_in
from greenroom.manager.status import ManagerStatus

log = structlog.get_logger(__name__)


class StandInProcess:
    """Runs a stand-in as a child process, which always ends with this process."""

    def __init__(self, status: Callable[[], ManagerStatus]) -> None:
        self._status = status
        self._listening: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._beat_descriptor: int | None = None
        """The end of the pipe to which this process writes beats."""

    def start(self, listening: socket.socket) -> None:
        """Start the stand-in with this socket, on which the Manager listens."""
        self._listening = listening
        reading, self._beat_descriptor = os.pipe()
        os.set_blocking(self._beat_descriptor, False)
        self._process = subprocess.Popen(
            # -I -S: no other packages are imported, so the process is small and starts in milliseconds
            [sys.executable, "-I", "-S", stand_in.__file__, str(listening.fileno()), str(reading)],
            pass_fds=(listening.fileno(), reading),
            env=_environment(),
            stdin=subprocess.DEVNULL,
        )
        os.close(reading)

    async def run(self) -> None:
        """Send beats forever; replace a stand-in that has ended."""
        while True:
            if self._beat_descriptor is not None:
                self._send_beat(self._beat_descriptor)
            await asyncio.sleep(stand_in.BEAT_S)

    def stop(self) -> None:
        """Stop the beats. The stand-in then ends, so that connections are refused and clients use another Manager."""
        if self._beat_descriptor is not None:
            os.close(self._beat_descriptor)
            self._beat_descriptor = None

    def _send_beat(self, descriptor: int) -> None:
        try:
            os.write(descriptor, self._beat())
        except BlockingIOError:
            log.debug("the stand-in has not read its beats for hours and is frozen")
        except BrokenPipeError:
            self._replace()

    def _beat(self) -> bytes:
        enabled = self._status().enabled
        return stand_in.UNKNOWN if enabled is None else stand_in.ENABLED if enabled else stand_in.DISABLED

    def _replace(self) -> None:
        if self._process is None or self._listening is None:
            raise AssertionError("the stand-in was not started")
        self.stop()
        log.warning("the stand-in ended; another one is started", exit_code=self._process.wait())
        self.start(self._listening)


def _environment() -> dict[str, str]:
    """Return the environment of the stand-in. It is not the environment of the Manager, which may contain the password
    of the database. A Python that `greenroom up` has copied needs LD_LIBRARY_PATH: without it, Python does not start,
    or loads another libpython, which shares no memory with the roles."""
    folder = os.environ.get("LD_LIBRARY_PATH")
    return {"LC_ALL": "C.UTF-8"} | ({"LD_LIBRARY_PATH": folder} if folder else {})
