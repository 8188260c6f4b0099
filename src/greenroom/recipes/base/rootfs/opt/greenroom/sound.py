"""Sound of a session: what its programs play goes to those who listen, and what viewers say comes out of its microphone.

    GET sound               what is allowed, and why not
    websocket sound         each binary message to the viewer is a packet of Opus: 20 ms, 48 kHz, stereo. What is silent
                            is not sent
    websocket microphone    each binary message of the viewer is a packet of Opus: 20 ms, 48 kHz, one channel

KASM_SVC_AUDIO and KASM_SVC_AUDIO_INPUT say what is allowed: 0 or false = not. A viewer who may only watch (header
X-Greenroom-View-Only) has no microphone. The encoder runs while a viewer listens, a decoder while one uses the microphone, and
PulseAudio from the first program that connects to it until some time after the last has left (sound_server.py).
"""

import asyncio
import json
import struct
import sys
from pathlib import Path

from answers import Request, reply
from files import allowed
from frames import BINARY, CLOSE, PING, PONG, accept, frame, read_frame

PATHS = ("/sound", "/microphone")
HERE = Path(__file__).parent
AUDIO, MICROPHONE = allowed("KASM_SVC_AUDIO"), allowed("KASM_SVC_AUDIO_INPUT")
PACKET_MAX_BYTES = 1500
"""A packet of 20 ms has 1275 at most."""
LATE_BYTES = 8192
"""About half a second of packets that are not sent yet: a viewer so far behind misses some instead of getting all of it late."""
TALKERS_MAX = 4
BROKEN = struct.pack(">H", 1011)


def refusal(path: str, request: Request) -> str | None:
    """Why this viewer may not have it."""
    if path == "/sound":
        return None if AUDIO else "Sound is not allowed for your group."
    if not MICROPHONE:
        return "The microphone is not allowed for your group."
    if request.headers.get("x-greenroom-view-only", "0") not in ("", "0"):
        return "Those who only watch this session have no microphone."
    return None


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer a request for one of PATHS; False when the connection cannot be used for another."""
    why_not = refusal(request.path, request)
    if request.headers.get("upgrade", "").lower() != "websocket":
        body = {path[1:]: {"allowed": why is None, "reason": why} for path in PATHS for why in [refusal(path, request)]}
        reply(writer, "200 OK", json.dumps(body).encode())
        return True
    if why_not is None and request.path == "/microphone" and _talk.count >= TALKERS_MAX:
        refuse(writer, "503 Service Unavailable", f"{TALKERS_MAX} people use the microphone of this session already.")
    elif why_not is not None:
        refuse(writer, "403 Forbidden", why_not)
    else:
        accept(request, writer)
        await (_listening.listen(reader, writer) if request.path == "/sound" else _talk.take(reader, writer))
    return False


def refuse(writer: asyncio.StreamWriter, status: str, sentence: str) -> None:
    """Say why not."""
    body = json.dumps({"error_message": sentence}).encode()
    reply(writer, status, body, "application/json", "Connection: close")


async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the viewer closes the websocket."""
    async for _ in packets_of(reader, writer):
        pass


async def packets_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
    """The binary messages of a viewer, until they close the websocket."""
    while True:
        opcode, data = await read_frame(reader)
        if opcode == CLOSE:
            writer.write(frame(CLOSE, data[:2]))
            return
        if opcode == PING:
            writer.write(frame(PONG, data))
        elif opcode == BINARY:
            yield data


def helper(name: str, **pipes: int):
    """A process that knows libpulse and libopus, which would cost memory in this one."""
    return asyncio.create_subprocess_exec(sys.executable, "-S", "-E", str(HERE / name), **pipes)


async def end(process: asyncio.subprocess.Process) -> None:
    """End a helper, which has nothing to lose."""
    if process.returncode is None:
        process.kill()
    await process.wait()


class Listening:
    """All who listen, and the one encoder for them."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.StreamWriter] = set()
        self._encoding: asyncio.Task[None] | None = None

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send packets until the viewer leaves; when the encoder ends, the page connects again."""
        self._listeners.add(writer)
        if self._encoding is None or self._encoding.done():
            self._encoding = asyncio.create_task(self._encode())
        encoding, closed = self._encoding, asyncio.create_task(until_closed(reader, writer))
        try:
            await asyncio.wait({encoding, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not closed.done():
                writer.write(frame(CLOSE, BROKEN))
        finally:
            closed.cancel()
            await asyncio.gather(closed, return_exceptions=True)
            self._listeners.discard(writer)
            if not self._listeners and self._encoding is encoding:
                self._encoding = None
                encoding.cancel()

    async def _encode(self) -> None:
        process = await helper("sound_encoder.py", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
        try:
            while True:
                (length,) = struct.unpack(">H", await process.stdout.readexactly(2))
                message = frame(BINARY, await process.stdout.readexactly(length))
                for listener in self._listeners:
                    if listener.transport.get_write_buffer_size() < LATE_BYTES:
                        listener.write(message)
        except EOFError:
            print("the encoder of the session's sound has ended; those who listen connect again", file=sys.stderr)
        finally:
            await end(process)


class Talk:
    """All who use the microphone; PulseAudio mixes them."""

    def __init__(self) -> None:
        self.count = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give packets to a decoder until the viewer leaves."""
        self.count += 1
        try:
            process = await helper("sound_decoder.py", stdin=asyncio.subprocess.PIPE)
            try:
                passed = asyncio.create_task(self._pass_on(reader, writer, process.stdin))
                ended = asyncio.create_task(process.wait())
                await asyncio.wait({passed, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not passed.done():
                    writer.write(frame(CLOSE, BROKEN))
                passed.cancel()
                await asyncio.gather(passed, return_exceptions=True)
            finally:
                await end(process)
        finally:
            self.count -= 1

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: asyncio.StreamWriter
    ) -> None:
        async for packet in packets_of(reader, writer):
            if 0 < len(packet) <= PACKET_MAX_BYTES and decoder.transport.get_write_buffer_size() < LATE_BYTES:
                decoder.write(struct.pack(">H", len(packet)) + packet)


_listening, _talk = Listening(), Talk()
