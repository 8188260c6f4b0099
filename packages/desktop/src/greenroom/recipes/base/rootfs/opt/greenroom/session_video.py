"""The recording of the session, for the Agent.

    GET session-video    the frames of recorder.py, as chunks without end; only for the Agent, not through a gateway

The first frame is an independent picture. The answer ends when the recorder ends or the Agent disconnects. Each request
has a separate recorder.
"""

import asyncio
import sys
from pathlib import Path

from protocol import Chunks, Request, reply, run_while_connected
from video import HAS_LIBRARY

PATH = "/session-video"
RECORDER = Path("/opt/greenroom/recorder.py")
LOG = Path("/tmp/.greenroom/recorder.log")
READ_BYTES = 1 << 16


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request for session-video."""
    if "x-forwarded-prefix" in request.headers or not HAS_LIBRARY:
        return reply(writer, "404 Not Found", b"")
    with LOG.open("wb") as log:
        recorder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-E", str(RECORDER)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert recorder.stdout
    try:
        await run_while_connected(reader, asyncio.create_task(forward(recorder.stdout, writer)))
    finally:
        if recorder.returncode is None:
            recorder.kill()
        code = await recorder.wait()
        print(f"the recorder of the session has ended with {code}", file=sys.stderr)
    return None


async def forward(frames: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the frames of the recorder to the Agent until the recorder ends."""
    chunks = Chunks(writer)
    chunks.begin("application/octet-stream")
    while data := await frames.read(READ_BYTES):
        await chunks.send(data)
    chunks.end()
