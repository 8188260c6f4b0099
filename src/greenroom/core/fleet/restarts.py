"""The rules for starting a process again after it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""The time for which an exit of a process makes the pauses before its next starts longer."""

FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the process again after `pause_s` seconds."""

    pause_s: float
    reason: str


def next_start(name: str, exit_text: str, exits_s: Sequence[float], now_s: float) -> Restart:
    """Return the next start of a process after an exit: immediately after the first exit within `WINDOW_S`, otherwise
    after a pause that doubles with each exit, up to `MAX_PAUSE_S`.

    The number of starts is not limited. `exits_s` are the times of the exits of the process, including this one, on
    the clock of `now_s`. `exit_text` describes the exit, such as "was killed by SIGKILL".
    """
    recent = sum(1 for at in exits_s if now_s - at <= WINDOW_S)
    pause_s = 0.0 if recent <= 1 else min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(recent - 2, 16))
    when = "immediately" if pause_s == 0 else f"in {pause_s:g} s"
    times = "" if recent <= 1 else f", exit {recent} within {WINDOW_S:g} s"
    return Restart(pause_s, f"{name} {exit_text}; it is started again {when}{times}")


CRASH_WINDOW_S: Final = 300.0
CRASH_STARTS: Final = 3
HEALTHY_S: Final = 60.0
"""The time after which a running process is not crash-looping."""


def crash_loop(starts_s: Sequence[float], last_error: str) -> str:
    """Return the reason why a process counts as crash-looping, as a sentence; empty if it does not.

    A process counts as crash-looping after `CRASH_STARTS` starts within `CRASH_WINDOW_S`, each less than `HEALTHY_S`
    after the previous start. `starts_s` are the times of its starts in order; the last one is the current start.
    `last_error` is the error that ended the process before; empty if it is not known.
    """
    number = 1
    for earlier, later in zip(reversed(starts_s[:-1]), reversed(starts_s), strict=False):
        if later - earlier >= HEALTHY_S or starts_s[-1] - earlier > CRASH_WINDOW_S:
            break
        number += 1
    if number < CRASH_STARTS:
        return ""
    reason = f"The last error: {last_error}" if last_error else "It was killed, or ended without an error."
    return f"It is crash-looping: it started {number} times within {CRASH_WINDOW_S / 60:.0f} minutes. {reason}"


def with_subject(name: str, crash_loop: str) -> str:
    """Return `crash_loop`, a sentence from the function `crash_loop`, with `name` in place of "It"."""
    return f"{name}{crash_loop.removeprefix('It')}"
