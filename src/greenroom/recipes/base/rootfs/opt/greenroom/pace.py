"""Which stripes of the video picture a viewer is sent, by what they have painted of those before. No I/O, no clock.

A viewer is sent as many frames ahead of what they painted as take no longer on their way than the fastest did. Of frames
that come while they are not ready they get nothing, and then each row again from a stripe that needs no other.
"""

import struct
from collections import deque

WINDOW_FIRST, WINDOW_LEAST, WINDOW_MOST = 6, 2, 20
LATE_S = 0.15
"""A frame that takes this much longer than the fastest has waited somewhere on its way."""
STUCK_S = 10.0

HEAD = struct.Struct(">BBHH")
"""Of a stripe: 4, codec and in the last bit whether it needs no other, number of its frame, its upper row."""


def frame_of(stripe: bytes) -> int:
    """The number of a stripe's frame."""
    return HEAD.unpack_from(stripe)[2]


class Pace:
    """One viewer, from the start of their stream."""

    def __init__(self) -> None:
        self.wants_key = True
        self._window = WINDOW_FIRST
        self._fastest_s = float("inf")
        self._on_the_way: deque[tuple[int, float]] = deque()
        self._rows: set[int] = set()
        self._frame = -1
        self._takes_frame = False

    @property
    def is_ready(self) -> bool:
        """Whether they should be sent another frame."""
        return len(self._on_the_way) < self._window

    def takes(self, stripe: bytes, now: float) -> bool:
        """Whether they are sent this stripe."""
        _, kind, frame, row = HEAD.unpack_from(stripe)
        if frame != self._frame:
            self._frame, self._takes_frame = frame, self.is_ready
        if not self._takes_frame:
            self._rows.clear()
        elif kind & 1:
            self._rows.add(row)
            self.wants_key = False
        if row not in self._rows:
            self.wants_key = True
            return False
        if not self._on_the_way or self._on_the_way[-1][0] != frame:
            self._on_the_way.append((frame, now))
        return True

    def painted(self, frame: int, now: float) -> None:
        """They painted a frame, and so have those before it. A number that they were not sent says nothing."""
        if all(sent != frame for sent, _ in self._on_the_way):
            return
        sent, at = self._on_the_way.popleft()
        while sent != frame:
            sent, at = self._on_the_way.popleft()
        self._fastest_s = min(self._fastest_s, now - at)
        step = -1 if now - at > self._fastest_s + LATE_S else 1
        self._window = max(WINDOW_LEAST, min(WINDOW_MOST, self._window + step))

    def is_stuck(self, now: float) -> bool:
        """Whether nothing of what they were sent arrives any more."""
        return bool(self._on_the_way) and now - self._on_the_way[0][1] > STUCK_S
