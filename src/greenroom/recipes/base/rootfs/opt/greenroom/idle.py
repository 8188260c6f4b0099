"""Since when a viewer has given no input, read from what they send, and what of it the X server understands.

Asking for pictures and answering fences is no input; keys, pointer and clipboard are. After a message of a kind that is
not known everything counts as input, so that no user is ever disconnected by mistake. Of KasmVNC's client, pointer events
become standard ones and its own messages end here: the X server would end the connection over them. Who may not type now,
because someone else has control (control.py), is not disconnected for it.
"""

import struct
import time
from collections.abc import Callable

from answers import BadRequestError
from client_half import (
    KASM_BYTES,
    KASM_CLIPBOARD,
    KASM_MOTION,
    KASM_POINTER_BYTES,
    KASM_VARIABLE_BYTES,
    KEY,
    POINTER,
    SCAN_CODE,
    UNKNOWN,
    ClientHalf,
)
from control import Gate

INPUT = (KEY, POINTER, 6, SCAN_CODE, KASM_CLIPBOARD, KASM_MOTION, UNKNOWN)
"""Key, pointer, clipboard, key with its scan code."""
WHEEL_UP, WHEEL_DOWN, WHEEL_LEFT, WHEEL_RIGHT = 8, 16, 32, 64


class Idle:
    """One viewer, from the start of their connection."""

    def __init__(self, on_input: Callable[[], None] = lambda: None, gate: Gate | None = None) -> None:
        self._on_input = on_input
        self._gate = gate
        self._sent = ClientHalf()
        self._last_input = time.monotonic()

    @property
    def for_s(self) -> float:
        """How long they have given no input, while they may."""
        if self._gate and self._gate.watches:
            self._last_input = time.monotonic()
        return time.monotonic() - self._last_input

    def sent(self, data: bytes) -> bytes:
        """They sent this, anywhere in the stream of messages; returns what goes to the X server.

        Raises BadRequestError when KasmVNC's client says something that cannot be read.
        """
        passed = bytearray()
        for piece in self._sent.pieces(data):
            if piece.kind == UNKNOWN and self._sent.is_kasm:
                raise BadRequestError("this message of KasmVNC's client is not known")
            if piece.kind == UNKNOWN or (piece.begins and piece.kind in INPUT):
                self._last_input = time.monotonic()
                self._on_input()
            if piece.kind in KASM_BYTES or piece.kind in KASM_VARIABLE_BYTES:
                continue
            is_kasm = piece.kind == POINTER and len(piece.data) == KASM_POINTER_BYTES
            standard = piece._replace(data=standard_pointer(piece.data)) if is_kasm else piece
            passed += self._gate.passed(standard) if self._gate else standard.data
        return bytes(passed)


def standard_pointer(event: bytes) -> bytes:
    """The same for a server that knows eight buttons, four of which are a wheel's; a turned wheel is pressed and released."""
    mask, x, y, right, down = struct.unpack(">xHHHhh", event)
    buttons = mask & 0xFF
    turned = (down < 0, WHEEL_UP), (down > 0, WHEEL_DOWN), (right < 0, WHEEL_LEFT), (right > 0, WHEEL_RIGHT)
    wheel = sum(button for is_turned, button in turned if is_turned)
    masks = (buttons | wheel, buttons) if wheel else (buttons,)
    return b"".join(struct.pack(">BBHH", POINTER, buttons, x, y) for buttons in masks)
