"""A launch that gets no staged session although a config was in reach leaves a line for that config, with the reason.

Checked on the plan and on the trace of any launch, with any zones, configs, settings and contents of pools; what is
written to the log is those very lines (`api.launch.log`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings, resolve
from greenroom.core.launch import forecast
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.forecast import simulate_launch
from greenroom.core.launch.outcomes import outcomes
from greenroom.core.launch.plan import (
    Attempt,
    LaunchZone,
    PoolContents,
    StagedPool,
    TraceStep,
    missed_steps,
    plan_launch,
    pool_miss,
    success_step,
)
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop")
OFF: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, False)
AUDIO: dict[str, bool] = {**OFF, "allow_kasm_audio": True}
ZONES = ["a", "b", "c"]
Planner = Callable[..., tuple[Attempt, ...]]

groups = st.fixed_dictionaries(
    {},
    optional={
        "inject_ssh_keys": st.sampled_from([False, False, True]),
        "allow_kasm_audio": st.booleans(),
        "run_config": st.sampled_from([{}, {}, {"hostname": "desk"}]),
    },
)
contents = st.builds(
    PoolContents,
    claimable=st.sampled_from([0, 1, 2]),
    on_missing_agents=st.integers(0, 1),
    on_disabled_agents=st.integers(0, 1),
    expired=st.integers(0, 1),
    starting=st.integers(0, 1),
)
pools = st.lists(
    st.tuples(st.sampled_from(ZONES), st.booleans(), st.sampled_from([False, False, True]), contents),
    unique_by=lambda p: (p[0], p[1]),
    min_size=2,
    max_size=5,
)


def simulated(attempts: Sequence[Attempt], inside: Mapping[str, PoolContents]) -> list[TraceStep]:
    """The trace of a launch: attempts one after the other, a pool serves if it has a session, an Agent always does."""
    trace: list[TraceStep] = []
    for attempt in attempts:
        if attempt.misses:
            trace += missed_steps(attempt, attempt.misses)
        elif not attempt.pool:
            return [*trace, success_step(attempt, "agent-1", "made")]
        elif inside[attempt.pool.staging_config_id].claimable:
            return [*trace, success_step(attempt, attempt.pool.staging_config_id, "assigned")]
        else:
            trace += missed_steps(attempt, [pool_miss(inside[attempt.pool.staging_config_id], IMAGE, attempt.zone)])
    return trace


def check(planner: Planner = plan_launch, simulate: Callable[..., forecast.SimulatedLaunch] = simulate_launch) -> None:
    @settings(max_examples=300, deadline=None, derandomize=True, database=None, report_multiple_bugs=False)
    @given(st.sampled_from(ZONES), st.booleans(), pools, groups, st.sampled_from([None, None, None, *ZONES]))
    def run(
        here: str,
        alternate: bool,
        found: list[tuple[str, bool, bool, PoolContents]],
        group: dict[str, object],
        only: str | None,
    ) -> None:
        zones = [
            LaunchZone(facts=ZoneFacts(zone_id=name, zone_name=name), search_alternate_zones=alternate)
            for name in ZONES
        ]
        inside = {f"{zone}-{audio}": content for zone, audio, _, content in found}
        configs = [
            StagedPool(
                staging_config_id=f"{zone}-{audio}", zone_id=zone, permissions=AUDIO if audio else OFF, paused=paused
            )
            for zone, audio, paused, _ in found
        ]
        facts = LaunchFacts(settings=resolve([GroupSettings("g", "Students", 5, group)]))
        image = replace(IMAGE, only_zone_id=only)
        attempts = planner(zones, here, image, configs, facts)
        trace = simulated(attempts, inside)
        in_reach = {
            c.staging_config_id for c in configs if (alternate or c.zone_id == here) and only in (None, c.zone_id)
        }
        results = {outcome.staging_config_id: outcome for outcome in outcomes(trace)}
        served = next((o.staging_config_id for o in results.values() if o.result == "hit"), None)
        if served is None:
            assert set(results) == in_reach, "each config in reach has its line"
            assert all(o.result in ("miss", "other_permissions") and o.codes for o in results.values())
            assert not results or any(outcome.result == "miss" for outcome in results.values())
        assert all(step.reason for step in trace)
        for config in configs:
            ahead = simulate(attempts, config.staging_config_id, config.zone_id)
            serves_before = any(inside[a.pool.staging_config_id].claimable for a in ahead.earlier if a.pool)
            would_get = not ahead.misses and not serves_before and bool(inside[config.staging_config_id].claimable)
            assert would_get == (served == config.staging_config_id), "what is foretold is what a launch gets"

    run()


def test_no_cold_start_is_silent_and_explain_agrees_with_the_launch():
    check()


def silent_about_paused(*arguments: Any) -> tuple[Attempt, ...]:
    attempts = plan_launch(*arguments)
    return tuple(a for a in attempts if not (a.pool and a.pool.paused))


def silent_about_settings(*arguments: Any) -> tuple[Attempt, ...]:
    attempts = plan_launch(*arguments)
    return tuple(
        replace(a, pool=None, misses=(replace(a.misses[0], candidate=None),)) if a.pool and a.misses else a
        for a in attempts
    )


@pytest.mark.parametrize("mutant", [silent_about_paused, silent_about_settings])
def test_the_property_catches_a_plan_that_silently_skips_configs(mutant: Planner):
    with pytest.raises((AssertionError, IndexError)):
        check(mutant)


def test_the_property_catches_an_explanation_without_the_zone_order():
    def forgetful(*arguments: Any) -> forecast.SimulatedLaunch:
        return replace(simulate_launch(*arguments), earlier=())

    with pytest.raises(AssertionError):
        check(simulate=forgetful)
