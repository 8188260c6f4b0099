"""The rules for restarting a live process that does not work, by its health checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_FAILED_CHECKS: Final = 3
"""The number of answers 500 in a row after which a Manager is restarted."""
SILENT_S: Final = 120.0
"""The time without any answer after which a process is restarted. A frozen Manager loses its leadership long before."""


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
