"""What programs type and point at, on a connection of RFB that asks for no picture (RFC 6143, and TigerVNC's fences)."""

import asyncio
import struct

VERSION = b"RFB 003.008\n"
NO_SECURITY, SHARED = b"\x01", b"\x01"
ENCODINGS, KEY, POINTER, FENCE = 2, 4, 5, 248
BELL, CUT_TEXT, CONTINUOUS_UPDATES_END = 2, 3, 150
FENCE_ENCODING = -312
REQUEST, BLOCK_BEFORE = 1 << 31, 1
ANSWERED_WITHIN_S = 5.0


class InputError(OSError):
    """The X server has ended, or takes no input."""


class Input:
    """Keys and pointer; `buttons` and `keys` are those that are held."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._fences = 0
        self._passed: dict[int, asyncio.Future[None]] = {}
        self.buttons = 0
        self.keys: dict[int, None] = {}

    async def open(self) -> None:
        """Connect where there is no connection.

        Raises:
            OSError: the X server takes none.
        """
        if self._reading is not None and not self._reading.done():
            return
        reader, self._writer = await asyncio.open_unix_connection(self._socket)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await greet(reader, self._writer)
        except (EOFError, TimeoutError) as error:
            self._writer.close()
            raise InputError("the X server takes no input") from error
        self._writer.write(struct.pack(">BxHi", ENCODINGS, 1, FENCE_ENCODING))
        self.buttons, self.keys = 0, {}
        self._reading = asyncio.create_task(self._read(reader, self._writer), name="X server's input")

    def point(self, buttons: int, x: int, y: int) -> None:
        """The pointer is here, with these buttons held."""
        self.buttons = buttons
        self._send(struct.pack(">BBHH", POINTER, buttons, x, y))

    def key(self, keysym: int, *, down: bool) -> None:
        """A key is pressed, or let go of."""
        if down:
            self.keys[keysym] = None
        else:
            self.keys.pop(keysym, None)
        self._send(struct.pack(">BBxxI", KEY, down, keysym))

    async def done(self) -> None:
        """Wait until the X server has done all of it.

        Raises:
            InputError: it has ended.
        """
        self._fences += 1
        passed = self._passed[self._fences] = asyncio.get_running_loop().create_future()
        self._send(struct.pack(">BxxxIBI", FENCE, REQUEST | BLOCK_BEFORE, 4, self._fences))
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await passed
        except TimeoutError as error:
            raise InputError("the X server does not answer") from error
        finally:
            self._passed.pop(self._fences, None)

    def _send(self, message: bytes) -> None:
        if self._writer is None or self._reading is None or self._reading.done():
            raise InputError("the X server has ended")
        self._writer.write(message)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the X server says: without a picture only that fences are passed, and what is of no use here."""
        try:
            while True:
                (kind,) = await reader.readexactly(1)
                if kind == FENCE:
                    flags, length = struct.unpack(">3xIB", await reader.readexactly(8))
                    self._fence(writer, flags, await reader.readexactly(length))
                elif kind == CUT_TEXT:
                    (length,) = struct.unpack(">3xi", await reader.readexactly(7))
                    await reader.readexactly(abs(length))
                elif kind not in (BELL, CONTINUOUS_UPDATES_END):
                    return
        except (OSError, EOFError):
            pass  # it has ended; the next input opens another connection, or says why not
        finally:
            writer.close()
            for passed in self._passed.values():
                if not passed.done():
                    passed.set_exception(InputError("the X server has ended"))

    def _fence(self, writer: asyncio.StreamWriter, flags: int, data: bytes) -> None:
        if flags & REQUEST:
            writer.write(struct.pack(">BxxxIB", FENCE, flags & BLOCK_BEFORE, len(data)) + data)
        elif (passed := self._passed.get(int.from_bytes(data, "big"))) and not passed.done():
            passed.set_result(None)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Begin a connection; returns the size of the screen and the format of its pixels, as the X server says them."""
    await reader.readexactly(len(VERSION))
    writer.write(VERSION)
    (number,) = await reader.readexactly(1)
    await reader.readexactly(number)
    writer.write(NO_SECURITY)
    await reader.readexactly(4)
    writer.write(SHARED)
    begin = await reader.readexactly(24)
    await reader.readexactly(int.from_bytes(begin[20:24], "big"))
    return begin
