"""The outcome of a launch for each staging config that it considered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.core.launch.forecast import PoolOutcome, pool_outcomes
from greenroom.core.launch.plan import Step, TraceStep


def line(step: Step, candidate: str | None, code: str | None = None) -> TraceStep:
    return TraceStep(
        order=1, step=step, zone_name="eu", candidate=candidate, used=code is None, code=code, reason="because"
    )


MADE = line("on_demand_here", "agent-1")


@pytest.mark.parametrize(
    ("trace", "results"),
    [
        ([], []),
        ([MADE], []),
        ([line("staged_here", "a")], [("a", "hit", ())]),
        ([line("staged_here", "a", "pool_empty"), MADE], [("a", "miss", ("pool_empty",))]),
        ([line("staged_here", "a", "pool_empty")], [("a", "miss", ("pool_empty",))]),
        (
            [line("staged_here", "a", "run_config"), line("staged_here", "a", "permissions"), MADE],
            [("a", "miss", ("run_config", "permissions"))],
        ),
        (
            [line("staged_here", "a", "pool_empty"), line("staged_elsewhere", "b")],
            [("a", "served_elsewhere", ("pool_empty",)), ("b", "hit", ())],
        ),
        # a config for other users: no miss if there is one for this user, with any content
        (
            [line("staged_here", "a", "pool_empty"), line("staged_here", "b", "permissions"), MADE],
            [("a", "miss", ("pool_empty",)), ("b", "other_permissions", ("permissions",))],
        ),
        (
            [line("staged_here", "a", "permissions"), line("staged_here", "b", "permissions"), MADE],
            [("a", "miss", ("permissions",)), ("b", "miss", ("permissions",))],
        ),
        ([line("staged_here", None, "zone_not_searched"), MADE], []),
        # its hand-over failed: the next one of the pool, one on demand, none at all
        ([line("staged_here", "a"), line("staged_here", "a")], [("a", "hit", ())]),
        ([line("staged_here", "a"), MADE], [("a", "miss", ())]),
        ([line("staged_here", "a"), line("on_demand_here", None, "start_failed")], [("a", "miss", ())]),
    ],
)
def test_what_a_launch_was_for_a_config(trace: list[TraceStep], results: list[tuple[str, str, tuple[str, ...]]]):
    assert [(o.staging_config_id, o.result, o.codes) for o in pool_outcomes(trace)] == results


def test_a_code_counts_once_and_names_the_configs_zone():
    twice = [line("staged_here", "a", "pool_empty"), replace(line("staged_here", "a", "pool_empty"), reason="again")]
    assert pool_outcomes(twice) == [PoolOutcome("a", "eu", "miss", ("pool_empty",))]
