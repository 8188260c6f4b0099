"""RFB, the protocol between viewers and the X server (RFC 6143, with TigerVNC's fences): `ClientMessages` parses the
messages of a viewer; `Input` is a connection without a picture, through which programs type and point.

KasmVNC's client uses a dialect of RFB: pointer events of 11 bytes, and additional messages. Their lengths are from
core/rfb.js (RFB.messages) of github.com/kasmtech/noVNC and common/rfb/SMsgReader.cxx of github.com/kasmtech/KasmVNC.
A client uses the dialect if it requests a level of JPEG quality for video, as no other client does (TurboVNC's levels
end at -768), or if it sends one of the additional messages. Otherwise the bytes from the first pointer event on are
parsed in both dialects, and are held back until one dialect is excluded. If the received data consists of whole
messages in standard RFB, but ends inside a message in KasmVNC's dialect, the client counts as standard.
"""

import asyncio
import struct
from collections.abc import Iterator
from typing import NamedTuple

VERSION_BYTES = 12
VERSION = b"RFB 003.008\n"
OLD_VERSION = b"RFB 003.003\n"
"""The version in which the client chooses no security type."""
NO_SECURITY, SHARED = b"\x01", b"\x01"
BELL, CUT_TEXT, CONTINUOUS_UPDATES_END = 2, 3, 150
"""Types of messages of the X server."""
FENCE_ENCODING = -312
REQUEST, BLOCK_BEFORE = 1 << 31, 1
"""Flags of a fence: it requests an answer; the answer is sent after all earlier messages are processed."""
ANSWER_TIMEOUT_S = 5.0

FIXED_BYTES = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 250: 4}
"""Message type → length in bytes: pixel format, request for a picture, key, pointer, continuous updates, xvp."""
PIXEL_FORMAT, PICTURE, CONTINUOUS, FENCE = 0, 3, 150, 248
ENCODINGS, KEY, POINTER, TEXT, KASM_CLIPBOARD, KASM_MOTION, SIZE, SCAN_CODE = 2, 4, 5, 6, 180, 188, 251, 255
PASSED = (PIXEL_FORMAT, ENCODINGS, PICTURE, CONTINUOUS, FENCE)
"""Types of messages that request pictures. They are the only messages that pass from viewers who may only watch."""
UNSPLIT = (ENCODINGS, KEY, POINTER, SCAN_CODE)
"""Types of messages that `ClientMessages` yields in one piece; the longest has 256 KiB."""

KASM_VIDEO_QUALITY = frozenset(range(-1023, -1013))
"""Encodings that only KasmVNC's client requests: levels of JPEG quality for video."""
KASM_POINTER_BYTES = 11
"""The length of KasmVNC's pointer event: type, mask of two bytes, position, distances of the wheel."""

KASM_BYTES = {178: 4, 179: 12, KASM_CLIPBOARD: 2, 185: 1, KASM_MOTION: 10, 189: 8, 190: 4, 191: 4, 252: 5}
"""The lengths of KasmVNC's additional messages: request for statistics, statistics of frames, head of a clipboard,
keep-alive, relative motion, latency, network, system, largest video."""
COMPARED_BYTES = 1 << 16
"""After this number of bytes that are valid in both dialects, the client counts as standard."""

ZERO, FLAG = range(1), range(2)
ALLOWED = {
    0: {1: ZERO, 2: ZERO, 3: ZERO, 4: (8, 16, 32)},
    ENCODINGS: {1: ZERO, 2: ZERO, 3: range(128)},
    3: {1: FLAG},
    KEY: {1: FLAG, 2: ZERO, 3: ZERO},
    6: {1: ZERO, 2: ZERO, 3: ZERO},
    150: {1: FLAG},
    248: {1: ZERO, 2: ZERO, 3: ZERO, 4: (0, 0x80), 5: ZERO, 6: ZERO, 7: range(8)},
    250: {1: ZERO, 2: (1,)},
    SIZE: {1: ZERO, 2: range(64), 4: range(64), 7: ZERO},
    SCAN_CODE: {1: ZERO, 2: ZERO, 3: FLAG},
}
"""Message type → position of a byte in the message → the valid values of the byte: padding, flags, bits per pixel,
number of encodings, high bytes of a size of the screen. Used only to compare the dialects."""
KASM_POINTER_ALLOWED = {1: FLAG, 7: (*range(16), *range(240, 256)), 9: (*range(16), *range(240, 256))}
"""The same for KasmVNC's pointer event: nine buttons, and a wheel turned by less than 4096."""

IMPOSSIBLE, PARTIAL, WHOLE_MESSAGES = range(3)
"""The result of parsing bytes in one dialect: invalid, valid with an incomplete message at the end, or whole
messages."""

HANDSHAKE, UNKNOWN = -1, -2
"""Kinds of a `Piece` in addition to the message types: data before the first message; all data from a message of an
unknown type on."""


class Piece(NamedTuple):
    """A part of one message. `kind` is the message type; `begins` and `ends` are True for the first and the last
    part."""

    kind: int
    data: bytes
    begins: bool
    ends: bool


class ClientMessages:
    """Parses the messages of one viewer from the start of the connection; the security type is None. The data may be
    split at any position."""

    def __init__(self) -> None:
        self._head = bytearray()
        """The received data that was not yielded yet."""
        self._kind = HANDSHAKE
        self._left = 0
        """The number of bytes of the current message that were not yielded yet."""
        self._version: bytes | None = None
        self._items = 0
        """The number of items of a clipboard message that still follow."""
        self._is_kasm: bool | None = None
        self._parsed_bytes = {False: 0, True: 0}
        """While the dialects are compared: the number of bytes of `_head` that are whole messages of the standard
        (False) and of KasmVNC's dialect (True)."""

    @property
    def is_kasm(self) -> bool:
        """True if the viewer has been identified as KasmVNC's client."""
        return self._is_kasm is True

    @property
    def version(self) -> bytes | None:
        """The protocol version that the viewer sent; None if the version was not received yet."""
        return self._version

    def pieces(self, data: bytes) -> Iterator[Piece]:
        """Add received data. Yield the pieces of messages that can be recognized."""
        self._head += data
        if self._version is None and len(self._head) >= VERSION_BYTES:
            # after the version: the security type, and the flag of a shared desktop
            self._version = bytes(self._head[:VERSION_BYTES])
            self._left = VERSION_BYTES + (1 if self._version == OLD_VERSION else 2)
        while self._head and self._version is not None:
            begins = self._left == 0 and self._items == 0
            if self._left == 0 and self._kind != UNKNOWN and not self._begin_message():
                return  # more data is needed
            taken = len(self._head) if self._kind == UNKNOWN else min(self._left, len(self._head))
            piece = bytes(self._head[:taken])
            del self._head[:taken]
            self._left = max(0, self._left - taken)
            yield Piece(self._kind, piece, begins, self._left == 0 and self._items == 0)

    def _begin_message(self) -> bool:
        """Begin a message, or an item of a clipboard message. Return False if more data is needed."""
        if self._items:
            self._left = item_bytes(self._head)
            self._items -= self._left > 0
            return self._left > 0
        kind = self._head[0]
        if kind == POINTER and self._is_kasm is None and not self._determine_dialect():
            return False
        length = KASM_POINTER_BYTES if kind == POINTER and self._is_kasm else message_bytes(self._head)
        if length == 0 or (length and kind in UNSPLIT and len(self._head) < length):
            return False
        if kind == KASM_CLIPBOARD:
            if len(self._head) < KASM_BYTES[kind]:
                return False
            self._items = self._head[1]
        elif kind == ENCODINGS and length:
            numbers = (int.from_bytes(self._head[at : at + 4], "big", signed=True) for at in range(4, length, 4))
            if any(number in KASM_VIDEO_QUALITY for number in numbers):
                self._is_kasm = True
        if kind in KASM_BYTES or kind in KASM_VARIABLE_BYTES:
            self._is_kasm = True
        self._kind = UNKNOWN if length is None else kind
        self._left = length or 0
        return True

    def _determine_dialect(self) -> bool:
        """Determine the dialect when `_head` begins with a pointer event. Return False if more data is needed."""
        standard, kasm = self._parse(is_kasm=False), self._parse(is_kasm=True)
        if kasm == IMPOSSIBLE or (standard == WHOLE_MESSAGES and kasm == PARTIAL):
            self._is_kasm = False
        elif standard == IMPOSSIBLE and len(self._head) >= KASM_POINTER_BYTES:
            self._is_kasm = True
        elif len(self._head) >= COMPARED_BYTES:
            self._is_kasm = False
        return self._is_kasm is not None

    def _parse(self, *, is_kasm: bool) -> int:
        new = bytes(self._head[self._parsed_bytes[is_kasm] : COMPARED_BYTES])
        result, rest_bytes = parsed_as(memoryview(new), is_kasm=is_kasm)
        self._parsed_bytes[is_kasm] += len(new) - rest_bytes
        return result


def parsed_as(data: memoryview, *, is_kasm: bool) -> tuple[int, int]:
    """Parse messages as standard or as KasmVNC's dialect. Return the result, such as `PARTIAL`, and the number of bytes
    that do not belong to whole messages."""
    while data:
        kind = data[0]
        is_additional = kind in KASM_BYTES or kind in KASM_VARIABLE_BYTES
        if is_kasm and kind == POINTER:
            length, allowed = KASM_POINTER_BYTES, KASM_POINTER_ALLOWED
        else:
            length, allowed = None if is_additional and not is_kasm else message_bytes(data), ALLOWED.get(kind, {})
        if length is None or any(data[at] not in values for at, values in allowed.items() if at < len(data)):
            return IMPOSSIBLE, len(data)
        if kind == TEXT and len(data) > 4 and data[4] < 0x80 and b"\0" in bytes(data[8:length]):
            return IMPOSSIBLE, len(data)  # plain text contains no NUL
        if kind == SIZE and data[2:4] == b"\0\0":
            return IMPOSSIBLE, len(data)
        if kind == KASM_CLIPBOARD and length <= len(data):
            length = clipboard_bytes(data)
        if length == 0 or length > len(data):
            return PARTIAL, len(data)
        data = data[length:]
    return WHOLE_MESSAGES, 0


def clipboard_bytes(data: memoryview) -> int:
    """The length of KasmVNC's clipboard message; 0 if more data is needed."""
    length = KASM_BYTES[KASM_CLIPBOARD]
    for _ in range(data[1]):
        item = data[length:]
        taken = item_bytes(item) if item else 0
        if taken == 0:
            return 0
        length += taken
    return length


def message_bytes(head: bytes | bytearray | memoryview) -> int | None:
    """The length of the message that begins with `head`; 0 if more data is needed, None for an unknown type."""
    kind = head[0]
    fixed = FIXED_BYTES.get(kind) or KASM_BYTES.get(kind)
    if fixed:
        return fixed
    variable = VARIABLE_BYTES.get(kind) or KASM_VARIABLE_BYTES.get(kind)
    if variable is None:
        return None
    head_bytes, length = variable
    return length(head) if len(head) >= head_bytes else 0


def item_bytes(head: bytes | bytearray | memoryview) -> int:
    """The length of an item of KasmVNC's clipboard message; 0 if more data is needed. An item consists of the length of
    its name (one byte), the name, the length of its content (four bytes), and the content."""
    content = 1 + head[0]
    return 0 if len(head) < content + 4 else content + 4 + int.from_bytes(head[content : content + 4])


VARIABLE_BYTES = {
    2: (4, lambda head: 4 + 4 * int.from_bytes(head[2:4], "big")),
    6: (8, lambda head: 8 + abs(int.from_bytes(head[4:8], "big", signed=True))),
    248: (9, lambda head: 9 + head[8]),
    251: (8, lambda head: 8 + 16 * head[6]),
    255: (2, lambda head: 12 if head[1] == 0 else None),
}
"""Message type → the size of the head that determines the length of the message, and a function from the head to the
length: encodings, clipboard (a negative size marks the extended clipboard), fence, size of the screen, QEMU key."""

KASM_VARIABLE_BYTES = {
    181: (3, lambda head: 3 + int.from_bytes(head[1:3], "big")),
    182: (2, lambda head: 2 + head[1]),
    183: (2, lambda head: (item := item_bytes(head[1:])) and 1 + item),
    184: (2, lambda head: 2 + 4 * head[1]),
}
"""The same for KasmVNC's additional messages: change of the transport, request for a Unix socket, data for this socket,
video codecs."""


class InputError(OSError):
    """The X server has ended, or does not accept input."""


class Input:
    """Sends keyboard and pointer input of programs to the X server. `buttons` is the mask of the pressed buttons, and
    `keys` contains the keysyms of the pressed keys."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._fences = 0
        self._fence_answers: dict[int, asyncio.Future[None]] = {}
        self.buttons = 0
        self.keys: dict[int, None] = {}

    async def open(self) -> None:
        """Connect to the X server if there is no connection.

        Raises:
            OSError: the X server accepts no connection.
        """
        if self._reading is not None and not self._reading.done():
            return
        reader, self._writer = await asyncio.open_unix_connection(self._socket)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await shake_hands(reader, self._writer)
        except (EOFError, TimeoutError) as error:
            self._writer.close()
            raise InputError("the X server accepts no input") from error
        self._writer.write(struct.pack(">BxHi", ENCODINGS, 1, FENCE_ENCODING))
        self.buttons, self.keys = 0, {}
        self._reading = asyncio.create_task(self._read(reader, self._writer), name="X server's input")

    def point(self, buttons: int, x: int, y: int) -> None:
        """Move the pointer, with these buttons pressed."""
        self.buttons = buttons
        self._send(struct.pack(">BBHH", POINTER, buttons, x, y))

    def key(self, keysym: int, *, down: bool) -> None:
        """Press or release a key."""
        if down:
            self.keys[keysym] = None
        else:
            self.keys.pop(keysym, None)
        self._send(struct.pack(">BBxxI", KEY, down, keysym))

    async def wait_until_processed(self) -> None:
        """Wait until the X server has processed all input: it has answered a fence.

        Raises:
            InputError: the X server has ended, or does not answer.
        """
        self._fences += 1
        fence_answer = self._fence_answers[self._fences] = asyncio.get_running_loop().create_future()
        self._send(struct.pack(">BxxxIBI", FENCE, REQUEST | BLOCK_BEFORE, 4, self._fences))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await fence_answer
        except TimeoutError as error:
            raise InputError("the X server does not answer") from error
        finally:
            self._fence_answers.pop(self._fences, None)

    def _send(self, message: bytes) -> None:
        if self._writer is None or self._reading is None or self._reading.done():
            raise InputError("the X server has ended")
        self._writer.write(message)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the messages of the X server. The connection requests no picture, so these are fences, and messages that
        are ignored."""
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
            pass  # the X server has ended; the next input opens another connection or raises an error
        finally:
            writer.close()
            for fence_answer in self._fence_answers.values():
                if not fence_answer.done():
                    fence_answer.set_exception(InputError("the X server has ended"))

    def _fence(self, writer: asyncio.StreamWriter, flags: int, data: bytes) -> None:
        if flags & REQUEST:
            writer.write(struct.pack(">BxxxIB", FENCE, flags & BLOCK_BEFORE, len(data)) + data)
        elif (fence_answer := self._fence_answers.get(int.from_bytes(data, "big"))) and not fence_answer.done():
            fence_answer.set_result(None)


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Perform the handshake of a client. Return the 24 bytes of the X server that begin with the size of the screen (4)
    and the format of its pixels (16)."""
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
