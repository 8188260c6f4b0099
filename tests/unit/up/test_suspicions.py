"""The restart of a part that runs but does not work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.up.suspicions import (
    MAX_FAILED_CHECKS,
    NO_SUSPICION,
    SILENT_S,
    HealthVerdict,
    Suspicion,
    judge_manager,
    judge_silence,
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
    suspicion, now, row, silence_began = NO_SUSPICION, 0.0, 0, None
    for status, enabled, pause in seen:
        now += pause
        verdict = subject("manager-a-1", suspicion, status, now, enabled=enabled)
        row = row + 1 if status == 500 and enabled is not None else 0
        is_silent = status is None and enabled is True
        silence_began = (now if silence_began is None else silence_began) if is_silent else None
        too_long = silence_began is not None and now - silence_began >= SILENT_S
        assert (verdict.restart is not None) == (row == MAX_FAILED_CHECKS or too_long)
        if verdict.restart is not None:
            row, silence_began = 0, None
        suspicion = verdict.suspicion


def judged(
    changed: dict[str, Any], before: Suspicion, status: int | None, now_s: float, enabled: bool | None
) -> HealthVerdict:
    known: dict[str, Any] = {"before": before, "status": status, "now_s": now_s, "enabled": enabled}
    return judge_manager("a", **{**known, **changed})


def counts_503(
    name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None
) -> HealthVerdict:
    return judged({"status": 500 if status == 503 else status}, before, status, now_s, enabled)


def blames_the_manager(
    name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None
) -> HealthVerdict:
    return judged({"enabled": enabled is not False}, before, status, now_s, enabled)


def restarts_a_disabled_one(
    name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None
) -> HealthVerdict:
    return judged({"enabled": None if enabled is None else True}, before, status, now_s, enabled)


def waits_for_ever(
    name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None
) -> HealthVerdict:
    return judged({"now_s": 0.0}, before, status, now_s, enabled)


def test_a_manager_is_restarted_after_three_500s_or_two_silent_minutes():
    holds(restarted_for_500_or_for_silence, judge_manager, looks)


def test_the_reason_of_a_restart_rules_the_database_out():
    struck = Suspicion(failed_checks=MAX_FAILED_CHECKS - 1)
    assert judge_manager("m", struck, 500, 0, enabled=False) == HealthVerdict(
        NO_SUSPICION, "m answered 500 to 3 health checks in a row while the database could be reached"
    )
    silent = Suspicion(silent_since_s=1.0)
    assert judge_manager("m", silent, None, 1 + SILENT_S, enabled=True) == HealthVerdict(
        NO_SUSPICION, "m answered no health check for 120 s while the database could be reached"
    )


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [counts_503, blames_the_manager, restarts_a_disabled_one, waits_for_ever])
def test_the_property_of_restarts_catches_its_mutants(mutant: Any):
    catches(restarted_for_500_or_for_silence, mutant, looks)


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_of_api_and_agents_only_silence_counts_and_any_answer_ends_it(status: int):
    silent = judge_silence("api", NO_SUSPICION, None, 0).suspicion
    assert judge_silence("api", silent, None, SILENT_S - 1).restart is None
    assert judge_silence("api", silent, None, SILENT_S).restart == "api answered no health check for 120 s"
    assert judge_silence("api", silent, status, SILENT_S) == HealthVerdict(NO_SUSPICION)
