"""Starts PulseAudio when a program connects to its socket, and again after it has ended for want of programs.

The socket is there from the start, so that every program finds a sound server; a session in which nothing plays has
none running. PulseAudio takes the socket over as from an init system (LISTEN_FDS) and leaves it in place.
"""

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

from files import allowed

SOCKET = Path(os.environ.get("PULSE_SERVER", "unix:/tmp/.greenroom/pulse/native").removeprefix("unix:"))
HERE = Path(__file__).parent
IDLE_S = 15
FAILED_PAUSE_S = 2.0

OPTIONS = (
    *("--daemonize=no", "--use-pid-file=no", f"--exit-idle-time={IDLE_S}"),
    *("--disable-shm=yes", "--realtime=no", "--high-priority=no"),
    *("-n", "-F", str(HERE / "sound.pa")),
)
MICROPHONE = ("-F", str(HERE / "microphone.pa")) if allowed("KASM_SVC_AUDIO_INPUT") else ()
START = 'descriptor=$1; shift; eval "exec 3<&$descriptor"; LISTEN_FDS=1 LISTEN_PID=$$ exec pulseaudio "$@"'


class SoundServer:
    """The session's sound server, as long as the page is there."""

    async def __aenter__(self) -> None:
        SOCKET.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        SOCKET.unlink(missing_ok=True)  # of an earlier life of this container
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(SOCKET))
        self._socket.listen(16)
        self._socket.setblocking(False)
        self._task = asyncio.create_task(self._run())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()

    async def _run(self) -> None:
        while True:
            await self._program()
            descriptor = self._socket.fileno()
            with (SOCKET.parent / "log").open("wb") as log:
                process = await asyncio.create_subprocess_exec(
                    *("sh", "-c", START, "sh", str(descriptor), *OPTIONS, *MICROPHONE),
                    pass_fds=(descriptor,), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            if await process.wait():
                print(f"PulseAudio has failed; {SOCKET.parent}/log says why", file=sys.stderr)
                self._turn_away()
                await asyncio.sleep(FAILED_PAUSE_S)

    async def _program(self) -> None:
        """Wait until a program connects."""
        loop, connects = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, connects.set)
        try:
            await connects.wait()
        finally:
            loop.remove_reader(self._socket)

    def _turn_away(self) -> None:
        """Programs that wait go on without sound."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.accept()[0].close()
