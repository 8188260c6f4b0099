"""Decides from health checks when a process that is running, but does not work, must be restarted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_FAILED_CHECKS: Final = 3
"""The number of answers 500 in a row after which a Manager is restarted."""
SILENT_S: Final = 120.0
"""A process is restarted after this time without an answer. A frozen Manager loses its leadership long before."""


@dataclass(frozen=True, slots=True)
class FailedChecks:
    """The failed health checks of a running process: the number of answers 500 in a row, or the time (monotonic, in
    seconds) since which the process has not answered."""

    errors_in_row: int = 0
    silent_since_s: float | None = None


NO_FAILED_CHECKS: Final = FailedChecks()


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """The decision after a health check: the failed checks so far, and the reason for a restart; None = no restart."""

    failures: FailedChecks
    reason: str | None = None


def decide_restart(name: str, before: FailedChecks, status: int | None, now_s: float) -> RestartDecision:
    """Return the decision for the api or an Agent: a restart after `SILENT_S` without an answer. Any HTTP status is
    an answer.

    `before` contains the failed checks of the last decision. `status` is the HTTP status of the health check; None = no
    answer.
    """
    if status is not None:
        return RestartDecision(NO_FAILED_CHECKS)
    return _silent(name, before.silent_since_s, now_s, "")


def decide_manager_restart(
    name: str, before: FailedChecks, status: int | None, now_s: float, *, enabled: bool | None
) -> RestartDecision:
    """Return the decision for a Manager: a restart after `MAX_FAILED_CHECKS` answers 500 in a row, or after `SILENT_S`
    without an answer.

    A Manager is not restarted because of an answer 503 (disabled), nor while the database may be the cause. The
    restart of a frozen Manager is not urgent, because its leadership expires. A disabled Manager without an answer is
    never restarted. `enabled` is None if the database could not be read.
    """
    if enabled is None:
        return RestartDecision(NO_FAILED_CHECKS)
    if status == 500:
        return _unhealthy(name, before.errors_in_row + 1)
    if status is None and enabled:
        return _silent(name, before.silent_since_s, now_s, " while the database could be reached")
    return RestartDecision(NO_FAILED_CHECKS)


def _unhealthy(name: str, errors_in_row: int) -> RestartDecision:
    if errors_in_row < MAX_FAILED_CHECKS:
        return RestartDecision(FailedChecks(errors_in_row=errors_in_row))
    return RestartDecision(
        NO_FAILED_CHECKS,
        f"{name} answered 500 to {MAX_FAILED_CHECKS} health checks in a row while the database could be reached",
    )


def _silent(name: str, before_s: float | None, now_s: float, condition: str) -> RestartDecision:
    since_s = now_s if before_s is None else before_s
    if now_s - since_s < SILENT_S:
        return RestartDecision(FailedChecks(silent_since_s=since_s))
    return RestartDecision(NO_FAILED_CHECKS, f"{name} answered no health check for {SILENT_S:g} s{condition}")
