"""What a viewer sends over RFB, security type None, cut into its messages, however it arrives.

KasmVNC's client has a dialect: pointer events of 11 bytes, and messages of its own. Lengths: core/rfb.js (RFB.messages)
of github.com/kasmtech/noVNC and common/rfb/SMsgReader.cxx of github.com/kasmtech/KasmVNC. It is known by what it says:
in its encodings it always names a level of JPEG quality for video, which no other client does (TurboVNC's end at -768),
or it sends a message of its own. A pointer event is read as 11 bytes from then on, and never guessed at by its bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

VERSION_BYTES = 12
OLD_VERSION = b"RFB 003.003\n"
"""The one in which the client chooses no security type."""

FIXED_BYTES = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 250: 4}
"""Message type → length: pixel format, picture wanted, key, pointer, continuous updates, xvp."""
ENCODINGS, KEY, POINTER, KASM_CLIPBOARD, KASM_MOTION, SCAN_CODE = 2, 4, 5, 180, 188, 255
WHOLE = (ENCODINGS, KEY, POINTER, SCAN_CODE)
"""Messages that come out in one piece; the longest is 256 KiB."""

KASM_VIDEO_QUALITY = frozenset(range(-1023, -1013))
KASM_POINTER_BYTES = 11
"""A mask of two bytes, position, and how far a wheel was turned."""

KASM_BYTES = {178: 4, 179: 12, KASM_CLIPBOARD: 2, 185: 1, KASM_MOTION: 10, 189: 8, 190: 4, 191: 4, 252: 5}
"""As FIXED_BYTES: statistics wanted, of frames, head of a clipboard, still there, relative motion, latency, network, system,
largest video."""
HANDSHAKE, UNKNOWN = -1, -2
"""Kinds of what comes before the first message, and from a message of a kind that is not known here on."""


class Piece(NamedTuple):
    """A part of one message; `begins` and `ends` say which."""

    kind: int
    data: bytes
    begins: bool
    ends: bool


class ClientHalf:
    """One viewer, from the start of their connection."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._kind = HANDSHAKE
        self._left = 0
        self._version: bytes | None = None
        self._items = 0
        self._is_kasm = False

    @property
    def is_kasm(self) -> bool:
        """Whether they have shown to be KasmVNC's client."""
        return self._is_kasm

    @property
    def version(self) -> bytes | None:
        """The one they use; None = not sent yet."""
        return self._version

    def pieces(self, data: bytes) -> Iterator[Piece]:
        """They sent this, anywhere in the stream of messages."""
        self._head += data
        if self._version is None and len(self._head) >= VERSION_BYTES:
            # after the version: the security type, and whether the desktop is shared
            self._version = bytes(self._head[:VERSION_BYTES])
            self._left = VERSION_BYTES + (1 if self._version == OLD_VERSION else 2)
        while self._head and self._version is not None:
            begins = self._left == 0 and self._items == 0
            if self._left == 0 and self._kind != UNKNOWN and not self._next():
                return  # the head of this message is not complete
            taken = len(self._head) if self._kind == UNKNOWN else min(self._left, len(self._head))
            piece = bytes(self._head[:taken])
            del self._head[:taken]
            self._left = max(0, self._left - taken)
            yield Piece(self._kind, piece, begins, self._left == 0 and self._items == 0)

    def _next(self) -> bool:
        """Begin a message, or an item of a clipboard; False = more of it is needed."""
        if self._items:
            self._left = item_bytes(self._head)
            self._items -= self._left > 0
            return self._left > 0
        kind = self._head[0]
        length = KASM_POINTER_BYTES if kind == POINTER and self._is_kasm else message_bytes(self._head)
        if length == 0 or (length and kind in WHOLE and len(self._head) < length):
            return False
        if kind == KASM_CLIPBOARD:
            if len(self._head) < KASM_BYTES[kind]:
                return False
            self._items = self._head[1]
        elif kind == ENCODINGS and length:
            said = (int.from_bytes(self._head[at : at + 4], "big", signed=True) for at in range(4, length, 4))
            self._is_kasm |= any(number in KASM_VIDEO_QUALITY for number in said)
        self._is_kasm |= kind in KASM_BYTES or kind in KASM_VARIABLE_BYTES
        self._kind = UNKNOWN if length is None else kind
        self._left = length or 0
        return True


def message_bytes(head: bytes | bytearray) -> int | None:
    """The length of the message that begins with `head`; 0 = more of it is needed, None = a kind not known here."""
    kind = head[0]
    fixed = FIXED_BYTES.get(kind) or KASM_BYTES.get(kind)
    if fixed:
        return fixed
    variable = VARIABLE_BYTES.get(kind) or KASM_VARIABLE_BYTES.get(kind)
    if variable is None:
        return None
    head_bytes, length = variable
    return length(head) if len(head) >= head_bytes else 0


def item_bytes(head: bytes | bytearray) -> int:
    """The length of what begins with a name, one byte long, and the length of its content; 0 = more of it is needed."""
    content = 1 + head[0]
    return 0 if len(head) < content + 4 else content + 4 + int.from_bytes(head[content : content + 4])


VARIABLE_BYTES = {
    2: (4, lambda head: 4 + 4 * int.from_bytes(head[2:4], "big")),
    6: (8, lambda head: 8 + abs(int.from_bytes(head[4:8], "big", signed=True))),
    248: (9, lambda head: 9 + head[8]),
    251: (8, lambda head: 8 + 16 * head[6]),
    255: (2, lambda head: 12 if head[1] == 0 else None),
}
"""Message type → its head, which says its length: encodings, clipboard (negative = extended), fence, size, QEMU key."""

KASM_VARIABLE_BYTES = {
    181: (3, lambda head: 3 + int.from_bytes(head[1:3], "big")),
    182: (2, lambda head: 2 + head[1]),
    183: (2, lambda head: (item := item_bytes(head[1:])) and 1 + item),
    184: (2, lambda head: 2 + 4 * head[1]),
}
"""As VARIABLE_BYTES: another transport, a socket wanted, bytes for it, video codecs."""
