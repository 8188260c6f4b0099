"""Sound of a session: viewers receive the sound of the programs, and programs record the sound of the viewers'
microphones.

    GET sound               the permissions, with reasons
    websocket sound         each binary message to the viewer is a packet of Opus: 20 ms, 48 kHz, stereo. Silence is not
                            sent
    websocket microphone    each binary message of the viewer is a packet of Opus: 20 ms, 48 kHz, one channel

KASM_SVC_AUDIO and KASM_SVC_AUDIO_INPUT set the permissions: 0 or false = not allowed. A viewer who may only watch
cannot use a microphone. One encoder runs while viewers listen, and one decoder for each viewer who uses the microphone
(sound_codec.py).

`SoundServer` creates the socket of PulseAudio, and starts PulseAudio when a program connects to the socket. PulseAudio
ends when no program has used it for `IDLE_S`, and is started again for the next program. PulseAudio inherits the open
socket by the protocol of systemd (LISTEN_FDS), and therefore does not remove the socket when it ends.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from pathlib import Path

from protocol import BINARY, CLOSE, PING, PONG, Request, accept, frame, read_frame, refuse, reply
from viewers import allowed, is_view_only

PATHS = ("/sound", "/microphone")
HERE = Path(__file__).parent
AUDIO, MICROPHONE = allowed("KASM_SVC_AUDIO"), allowed("KASM_SVC_AUDIO_INPUT")
PACKET_MAX_BYTES = 1500
"""The size limit of a packet; a packet of 20 ms has at most 1275 bytes."""
LATE_BYTES = 8192
"""The maximum size of unsent packets, about half a second. Further packets are dropped: a viewer with a slow connection
misses packets instead of hearing all packets late."""
MAX_MICROPHONE_USERS = 4
INTERNAL_ERROR = struct.pack(">H", 1011)
"""A close code of a websocket."""
SOCKET = Path(os.environ.get("PULSE_SERVER", "unix:/tmp/.greenroom/pulse/native").removeprefix("unix:"))
IDLE_S = 15
FAILED_PAUSE_S = 2.0
"""The time after a failure of PulseAudio until it can be started again."""

OPTIONS = (
    *("--daemonize=no", "--use-pid-file=no", f"--exit-idle-time={IDLE_S}"),
    *("--disable-shm=yes", "--realtime=no", "--high-priority=no"),
    *("-n", "-F", str(HERE / "sound.pa")),
)
MICROPHONE_OPTIONS = ("-F", str(HERE / "microphone.pa")) if MICROPHONE else ()
START = 'descriptor=$1; shift; eval "exec 3<&$descriptor"; LISTEN_FDS=1 LISTEN_PID=$$ exec pulseaudio "$@"'
"""The shell command that starts PulseAudio with the open socket as file descriptor 3."""


def refusal(path: str, request: Request) -> str | None:
    """The reason why this viewer may not use the path; None if the viewer may use it."""
    if path == "/sound":
        return None if AUDIO else "Sound is not allowed for your group."
    if not MICROPHONE:
        return "The microphone is not allowed for your group."
    if is_view_only(request):
        return "You can only view this session; the microphone is not available to you."
    return None


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer a request for one of PATHS. Return False if the connection cannot be used for another request."""
    reason = refusal(request.path, request)
    if request.headers.get("upgrade", "").lower() != "websocket":
        reasons = {path[1:]: refusal(path, request) for path in PATHS}
        body = {name: {"allowed": reasons[name] is None, "reason": reasons[name]} for name in reasons}
        reply(writer, "200 OK", json.dumps(body).encode())
        return True
    if reason is None and request.path == "/microphone" and _microphone_users.count >= MAX_MICROPHONE_USERS:
        refuse(writer, "503 Service Unavailable", f"{MAX_MICROPHONE_USERS} people already use the microphone of this session.")
    elif reason is not None:
        refuse(writer, "403 Forbidden", reason)
    else:
        accept(request, writer)
        await (_listening.listen(reader, writer) if request.path == "/sound" else _microphone_users.use_microphone(reader, writer))
    return False


async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the viewer closes the websocket."""
    async for _ in packets_of(reader, writer):
        pass


async def packets_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
    """Yield the binary messages of a viewer, until the viewer closes the websocket."""
    while True:
        opcode, data = await read_frame(reader)
        if opcode == CLOSE:
            writer.write(frame(CLOSE, data[:2]))
            return
        if opcode == PING:
            writer.write(frame(PONG, data))
        elif opcode == BINARY:
            yield data


def start_codec(direction: str, **pipes: int):
    """Start sound_codec.py with `direction` "encode" or "decode". It is a process of its own, because libpulse and
    libopus would use memory in this process."""
    return asyncio.create_subprocess_exec(sys.executable, "-S", "-E", str(HERE / "sound_codec.py"), direction, **pipes)


async def kill_codec(process: asyncio.subprocess.Process) -> None:
    """Kill an encoder or a decoder, which has no state to save."""
    if process.returncode is None:
        process.kill()
    await process.wait()


class Listening:
    """The viewers who listen, and the encoder that they share."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.StreamWriter] = set()
        self._encoding: asyncio.Task[None] | None = None

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send packets until the viewer leaves. When the encoder ends, the websocket is closed, and the viewer's
        browser connects again."""
        self._listeners.add(writer)
        if self._encoding is None or self._encoding.done():
            self._encoding = asyncio.create_task(self._encode())
        encoding, closed = self._encoding, asyncio.create_task(until_closed(reader, writer))
        try:
            await asyncio.wait({encoding, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not closed.done():
                writer.write(frame(CLOSE, INTERNAL_ERROR))
        finally:
            closed.cancel()
            await asyncio.gather(closed, return_exceptions=True)
            self._listeners.discard(writer)
            if not self._listeners and self._encoding is encoding:
                self._encoding = None
                encoding.cancel()

    async def _encode(self) -> None:
        process = await start_codec("encode", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
        try:
            while True:
                (length,) = struct.unpack(">H", await process.stdout.readexactly(2))
                message = frame(BINARY, await process.stdout.readexactly(length))
                for listener in self._listeners:
                    if listener.transport.get_write_buffer_size() < LATE_BYTES:
                        listener.write(message)
        except EOFError:
            print("the encoder of the session's sound has ended; listeners connect again", file=sys.stderr)
        finally:
            await kill_codec(process)


class MicrophoneUsers:
    """The viewers who use the microphone; PulseAudio mixes their sound."""

    def __init__(self) -> None:
        self.count = 0

    async def use_microphone(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send the packets of a viewer to a decoder until the viewer leaves."""
        self.count += 1
        try:
            process = await start_codec("decode", stdin=asyncio.subprocess.PIPE)
            try:
                forwarding = asyncio.create_task(self._forward_packets(reader, writer, process.stdin))
                ended = asyncio.create_task(process.wait())
                await asyncio.wait({forwarding, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not forwarding.done():
                    writer.write(frame(CLOSE, INTERNAL_ERROR))
                forwarding.cancel()
                await asyncio.gather(forwarding, return_exceptions=True)
            finally:
                await kill_codec(process)
        finally:
            self.count -= 1

    async def _forward_packets(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: asyncio.StreamWriter
    ) -> None:
        async for packet in packets_of(reader, writer):
            if 0 < len(packet) <= PACKET_MAX_BYTES and decoder.transport.get_write_buffer_size() < LATE_BYTES:
                decoder.write(struct.pack(">H", len(packet)) + packet)


_listening, _microphone_users = Listening(), MicrophoneUsers()


class SoundServer:
    """Starts PulseAudio, the session's sound server, whenever a program needs it, until the end of the block."""

    async def __aenter__(self) -> None:
        SOCKET.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        SOCKET.unlink(missing_ok=True)  # left by an earlier run of this container
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
            await self._wait_for_program()
            descriptor = self._socket.fileno()
            with (SOCKET.parent / "log").open("wb") as log:
                process = await asyncio.create_subprocess_exec(
                    *("sh", "-c", START, "sh", str(descriptor), *OPTIONS, *MICROPHONE_OPTIONS),
                    pass_fds=(descriptor,), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            if await process.wait():
                print(f"PulseAudio has failed; {SOCKET.parent}/log contains the reason", file=sys.stderr)
                self._refuse_waiting()
                await asyncio.sleep(FAILED_PAUSE_S)

    async def _wait_for_program(self) -> None:
        """Wait until a program connects."""
        loop, connects = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, connects.set)
        try:
            await connects.wait()
        finally:
            loop.remove_reader(self._socket)

    def _refuse_waiting(self) -> None:
        """Close the connections that wait for PulseAudio; their programs continue without sound."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.accept()[0].close()
