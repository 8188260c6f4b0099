"""An answer whose length is not known when it begins."""

import asyncio

from answers import SECURITY


class Chunks:
    """Such an answer. One that is not ended is no whole one for its reader."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._turn = asyncio.Lock()

    def begin(self, mime: str, *extra: str) -> None:
        """Write its head."""
        lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", f"Content-Type: {mime}", "Connection: close"]
        self._writer.write("\r\n".join([*lines, *SECURITY, *extra, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        """Write some of it, once what was written before is on its way. Raises OSError: its reader is gone."""
        async with self._turn:
            self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await self._writer.drain()

    def end(self) -> None:
        """Write its end."""
        self._writer.write(b"0\r\n\r\n")


async def while_read(reader: asyncio.StreamReader, work: "asyncio.Task[None]") -> bool:
    """Let `work` go on as long as the other end is there, which sends nothing more; whether it was done."""
    gone = asyncio.create_task(_until_gone(reader))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        was_done = work.done()
    finally:
        gone.cancel()
        work.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)
    if was_done:
        work.result()
    return was_done


async def _until_gone(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1 << 10):
            pass
    except OSError:
        pass
