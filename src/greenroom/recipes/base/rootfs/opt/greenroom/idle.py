"""Since when a viewer has given no input, read from what they send: the client's half of RFB, security type None.

Asking for pictures and answering fences is no input; keys, pointer and clipboard are. After a message of a kind that is
not known here everything counts as input, so that no user is ever disconnected by mistake.
"""

import time
from collections.abc import Callable

VERSION_BYTES = 12
OLD_VERSION = b"RFB 003.003\n"
"""The one in which the client chooses no security type."""

FIXED_BYTES = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 250: 4}
"""Message type → length: pixel format, picture wanted, key, pointer, continuous updates, xvp."""

INPUT = (4, 5, 6, 255)
"""Key, pointer, clipboard, key with its scan code."""


class Idle:
    """One viewer, from the start of their connection."""

    def __init__(self, on_input: Callable[[], None] = lambda: None) -> None:
        self._on_input = on_input
        self._head = bytearray()
        self._skip = 0
        self._begun = False
        self._lost = False
        self._last_input = time.monotonic()

    @property
    def for_s(self) -> float:
        """How long they have given no input."""
        return time.monotonic() - self._last_input

    def sent(self, data: bytes) -> None:
        """They sent this, anywhere in the stream of messages."""
        self._head += data
        if not self._begun and len(self._head) >= VERSION_BYTES:
            self._begun = True  # after the version: the security type, whether the desktop is shared
            self._skip = VERSION_BYTES + (1 if self._head[:VERSION_BYTES] == OLD_VERSION else 2)
        while self._begun and self._head and not self._lost:
            skipped = min(self._skip, len(self._head))
            del self._head[:skipped]
            self._skip -= skipped
            if self._skip or not self._head:
                return
            length = message_bytes(self._head)
            if length == 0:
                return  # the head of this message is not complete
            self._lost = length is None
            if self._lost or self._head[0] in INPUT:
                self._had_input()
            self._skip = length or 0
        if self._lost:
            self._head.clear()
            self._had_input()

    def _had_input(self) -> None:
        self._last_input = time.monotonic()
        self._on_input()


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
