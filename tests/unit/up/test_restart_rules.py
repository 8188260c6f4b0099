"""The restart of a part that runs but does not work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.up.restart_rules import (
    MAX_FAILED_CHECKS,
    NO_FAILED_CHECKS,
    SILENT_S,
    FailedChecks,
    RestartDecision,
    decide_manager_restart,
    decide_restart,
)

# A Manager is restarted exactly at the third 500 in a row, or once it was silent for two minutes while it was enabled;
# nothing counts during which the database could not be asked.

looks = st.lists(
    st.tuples(
        st.sampled_from([None, None, 200, 404, 500, 500, 503]),
        st.sampled_from([True, True, True, False, None]),
        st.floats(min_value=0, max_value=SILENT_S),
    ),
    max_size=40,
)


def restarted_for_500_or_for_silence(subject: Any, seen: list[tuple[int | None, bool | None, float]]) -> None:
    failures, now, row, silence_began = NO_FAILED_CHECKS, 0.0, 0, None
    for status, enabled, pause in seen:
        now += pause
        decision = subject("manager-a-1", failures, status, now, enabled=enabled)
        row = row + 1 if status == 500 and enabled is not None else 0
        is_silent = status is None and enabled is True
        silence_began = (now if silence_began is None else silence_began) if is_silent else None
        too_long = silence_began is not None and now - silence_began >= SILENT_S
        assert (decision.reason is not None) == (row == MAX_FAILED_CHECKS or too_long)
        if decision.reason is not None:
            row, silence_began = 0, None
        failures = decision.failures


def judged(
    changed: dict[str, Any], before: FailedChecks, status: int | None, now_s: float, enabled: bool | None
) -> RestartDecision:
    known: dict[str, Any] = {"before": before, "status": status, "now_s": now_s, "enabled": enabled}
    return decide_manager_restart("a", **{**known, **changed})


def counts_503(
    name: str, before: FailedChecks, status: int | None, now_s: float, *, enabled: bool | None
) -> RestartDecision:
    return judged({"status": 500 if status == 503 else status}, before, status, now_s, enabled)


def blames_the_manager(
    name: str, before: FailedChecks, status: int | None, now_s: float, *, enabled: bool | None
) -> RestartDecision:
    return judged({"enabled": enabled is not False}, before, status, now_s, enabled)


def restarts_a_disabled_one(
    name: str, before: FailedChecks, status: int | None, now_s: float, *, enabled: bool | None
) -> RestartDecision:
    return judged({"enabled": None if enabled is None else True}, before, status, now_s, enabled)


def waits_for_ever(
    name: str, before: FailedChecks, status: int | None, now_s: float, *, enabled: bool | None
) -> RestartDecision:
    return judged({"now_s": 0.0}, before, status, now_s, enabled)


def test_a_manager_is_restarted_after_three_500s_or_two_silent_minutes():
    holds(restarted_for_500_or_for_silence, decide_manager_restart, looks)


def test_the_reason_of_a_restart_rules_the_database_out():
    struck = FailedChecks(errors_in_row=MAX_FAILED_CHECKS - 1)
    assert decide_manager_restart("m", struck, 500, 0, enabled=False) == RestartDecision(
        NO_FAILED_CHECKS, "m answered 500 to 3 health checks in a row while the database could be reached"
    )
    silent = FailedChecks(silent_since_s=1.0)
    assert decide_manager_restart("m", silent, None, 1 + SILENT_S, enabled=True) == RestartDecision(
        NO_FAILED_CHECKS, "m answered no health check for 120 s while the database could be reached"
    )


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [counts_503, blames_the_manager, restarts_a_disabled_one, waits_for_ever])
def test_the_property_of_restarts_catches_its_mutants(mutant: Any):
    catches(restarted_for_500_or_for_silence, mutant, looks)


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_of_api_and_agents_only_silence_counts_and_any_answer_ends_it(status: int):
    silent = decide_restart("api", NO_FAILED_CHECKS, None, 0).failures
    assert decide_restart("api", silent, None, SILENT_S - 1).reason is None
    assert decide_restart("api", silent, None, SILENT_S).reason == "api answered no health check for 120 s"
    assert decide_restart("api", silent, status, SILENT_S) == RestartDecision(NO_FAILED_CHECKS)
