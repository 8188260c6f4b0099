"""The rules for starting a process again after it ended, and for restarting a live process that does not work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""The time for which an exit counts."""

FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 10.0

MAX_FAILED_CHECKS: Final = 3
"""The number of answers 500 in a row after which a Manager is restarted."""
SILENT_S: Final = 120.0
"""The time without any answer after which a process is restarted. A frozen Manager loses its leadership long before."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the process again after `pause_s` seconds."""

    pause_s: float
    reason: str


def next_start(name: str, how: str, exits_s: Sequence[float], now_s: float) -> Restart:
    """Return the next start after an exit: immediately after the first exit, later after pauses that double up to 10 s.

    The number of attempts is not limited. `exits_s` are the times of the exits of the process, including this one, on
    the clock of `now_s`; `how` is, for example, "was killed by SIGKILL".
    """
    recent = sum(1 for at in exits_s if now_s - at <= WINDOW_S)
    pause_s = 0.0 if recent <= 1 else min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(recent - 2, 16))
    when = "immediately" if pause_s == 0 else f"in {pause_s:g} s"
    times = "" if recent <= 1 else f", exit {recent} within {WINDOW_S:g} s"
    return Restart(pause_s, f"{name} {how}; it is started again {when}{times}")


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
    """Return the sentence of `crash_loop` with `name` as its subject."""
    return f"{name}{crash_loop.removeprefix('It')}"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The failed health checks of a live process: the number of answers 500 in a row, or the time since which it does
    not answer.
    """

    failed_checks: int = 0
    silent_since_s: float | None = None


NO_SUSPICION: Final = Suspicion()


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """The result of a health check: the failures so far, and the reason why the process must be restarted, or None."""

    suspicion: Suspicion
    restart: str | None = None


def judge_silence(name: str, before: Suspicion, status: int | None, now_s: float) -> HealthVerdict:
    """Return the verdict about the api or an Agent: restart it after `SILENT_S` without an answer. Any answer is good.

    `before` is the suspicion of the last verdict. `status` is the HTTP status of the health check; None = no answer.
    """
    if status is not None:
        return HealthVerdict(NO_SUSPICION)
    return _silent(name, before.silent_since_s, now_s, "")


def judge_manager(
    name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None
) -> HealthVerdict:
    """Return the verdict about a Manager: restart it at its third answer 500 in a row, or after `SILENT_S` without
    answer.

    A Manager is not restarted because of an answer 503 (disabled), nor while the database may be the cause. A frozen
    Manager does no harm, because its leadership expires. A disabled Manager may be silent for any time. `enabled` is
    None if the database could not be read.
    """
    if enabled is None:
        return HealthVerdict(NO_SUSPICION)
    if status == 500:
        return _unhealthy(name, before.failed_checks + 1)
    if status is None and enabled:
        return _silent(name, before.silent_since_s, now_s, " while the database could be reached")
    return HealthVerdict(NO_SUSPICION)


def _unhealthy(name: str, failed_checks: int) -> HealthVerdict:
    if failed_checks < MAX_FAILED_CHECKS:
        return HealthVerdict(Suspicion(failed_checks=failed_checks))
    return HealthVerdict(
        NO_SUSPICION,
        f"{name} answered 500 to {MAX_FAILED_CHECKS} health checks in a row while the database could be reached",
    )


def _silent(name: str, before_s: float | None, now_s: float, how: str) -> HealthVerdict:
    since_s = now_s if before_s is None else before_s
    if now_s - since_s < SILENT_S:
        return HealthVerdict(Suspicion(silent_since_s=since_s))
    return HealthVerdict(NO_SUSPICION, f"{name} answered no health check for {SILENT_S:g} s{how}")
