"""What a viewer sends over RFB, security type None, cut into its messages, however it arrives."""

from collections.abc import Iterator
from typing import NamedTuple

VERSION_BYTES = 12
OLD_VERSION = b"RFB 003.003\n"
"""The one in which the client chooses no security type."""

FIXED_BYTES = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 250: 4}
"""Message type → length: pixel format, picture wanted, key, pointer, continuous updates, xvp."""
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
            begins = self._left == 0
            if begins and self._kind != UNKNOWN:
                length = message_bytes(self._head)
                if length == 0:
                    return  # the head of this message is not complete
                self._kind = UNKNOWN if length is None else self._head[0]
                self._left = length or 0
            taken = len(self._head) if self._kind == UNKNOWN else min(self._left, len(self._head))
            piece = bytes(self._head[:taken])
            del self._head[:taken]
            self._left = max(0, self._left - taken)
            yield Piece(self._kind, piece, begins, self._left == 0)


def message_bytes(head: bytes | bytearray) -> int | None:
    """The length of the message that begins with `head`; 0 = more of it is needed, None = a kind not known here."""
    kind = head[0]
    if kind in FIXED_BYTES:
        return FIXED_BYTES[kind]
    if kind not in VARIABLE_BYTES:
        return None
    head_bytes, length = VARIABLE_BYTES[kind]
    return length(head) if len(head) >= head_bytes else 0


VARIABLE_BYTES = {
    2: (4, lambda head: 4 + 4 * int.from_bytes(head[2:4], "big")),
    6: (8, lambda head: 8 + abs(int.from_bytes(head[4:8], "big", signed=True))),
    248: (9, lambda head: 9 + head[8]),
    251: (8, lambda head: 8 + 16 * head[6]),
    255: (2, lambda head: 12 if head[1] == 0 else None),
}
"""Message type → its head, which says its length: encodings, clipboard (negative = extended), fence, size, QEMU key."""
