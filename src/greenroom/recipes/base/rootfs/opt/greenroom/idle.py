"""Since when a viewer has given no input, read from what they send.

Asking for pictures and answering fences is no input; keys, pointer and clipboard are. After a message of a kind that is
not known everything counts as input, so that no user is ever disconnected by mistake.
"""

import time
from collections.abc import Callable

from client_half import UNKNOWN, ClientHalf

INPUT = (4, 5, 6, 255, UNKNOWN)
"""Key, pointer, clipboard, key with its scan code."""


class Idle:
    """One viewer, from the start of their connection."""

    def __init__(self, on_input: Callable[[], None] = lambda: None) -> None:
        self._on_input = on_input
        self._sent = ClientHalf()
        self._last_input = time.monotonic()

    @property
    def for_s(self) -> float:
        """How long they have given no input."""
        return time.monotonic() - self._last_input

    def sent(self, data: bytes) -> None:
        """They sent this, anywhere in the stream of messages."""
        for piece in self._sent.pieces(data):
            if piece.kind == UNKNOWN or (piece.begins and piece.kind in INPUT):
                self._last_input = time.monotonic()
                self._on_input()
