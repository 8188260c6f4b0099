"""A launch that gets no staged session although it considered a config logs a line for that config, with the reason.

Checked on the plan and on the trace of any launch, with any zones, configs, settings and contents of pools; the same
lines are written to the log (`api.launch.service`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings, resolve
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.forecast import SimulatedLaunch, pool_outcomes, simulate_launch
from greenroom.core.launch.plan import (
    LaunchAttempt,
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
Planner = Callable[..., tuple[LaunchAttempt, ...]]

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


def simulated(attempts: Sequence[LaunchAttempt], inside: Mapping[str, PoolContents]) -> list[TraceStep]:
    """The trace of a launch: attempts one after the other; a pool serves if it has a session, an Agent always does."""
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


@dataclass(frozen=True)
class Case:
    """A launch: the arguments of its plan, and the content of the pools."""

    here: str
    alternate: bool
    found: list[tuple[str, bool, bool, PoolContents]]
    group: dict[str, object]
    only: str | None

    @property
    def inside(self) -> dict[str, PoolContents]:
        return {f"{zone}-{audio}": content for zone, audio, _, content in self.found}

    @property
    def configs(self) -> list[StagedPool]:
        return [
            StagedPool(
                staging_config_id=f"{zone}-{audio}", zone_id=zone, permissions=AUDIO if audio else OFF, paused=paused
            )
            for zone, audio, paused, _ in self.found
        ]

    def attempts(self, planner: Planner) -> tuple[LaunchAttempt, ...]:
        zones = [
            LaunchZone(facts=ZoneFacts(zone_id=name, zone_name=name), search_alternate_zones=self.alternate)
            for name in ZONES
        ]
        facts = LaunchFacts(settings=resolve([GroupSettings("g", "Students", 5, self.group)]))
        return planner(zones, self.here, replace(IMAGE, only_zone_id=self.only), self.configs, facts)


cases = st.builds(
    Case, st.sampled_from(ZONES), st.booleans(), pools, groups, st.sampled_from([None, None, None, *ZONES])
)


def silent_about_paused(*arguments: Any) -> tuple[LaunchAttempt, ...]:
    attempts = plan_launch(*arguments)
    return tuple(a for a in attempts if not (a.pool and a.pool.paused))


def silent_about_settings(*arguments: Any) -> tuple[LaunchAttempt, ...]:
    attempts = plan_launch(*arguments)
    return tuple(
        replace(a, pool=None, misses=(replace(a.misses[0], candidate=None),)) if a.pool and a.misses else a
        for a in attempts
    )


@for_all(cases, subject=plan_launch, mutants=[silent_about_paused, silent_about_settings])
def test_no_cold_start_is_silent(subject: Any, case: Case):
    trace = simulated(case.attempts(subject), case.inside)
    results = pool_outcomes(trace)
    assert all(step.reason for step in trace)
    if not any(outcome.result == "hit" for outcome in results):
        in_reach = {
            one.staging_config_id
            for one in case.configs
            if (case.alternate or one.zone_id == case.here) and case.only in (None, one.zone_id)
        }
        assert {outcome.staging_config_id for outcome in results} == in_reach, "each config in reach has its line"
        assert all(o.result in ("miss", "other_permissions") and o.codes for o in results)
        assert not results or any(outcome.result == "miss" for outcome in results)


def without_the_zones_before(*arguments: Any) -> SimulatedLaunch:
    return replace(simulate_launch(*arguments), earlier=())


@for_all(cases, subject=simulate_launch, mutants=[without_the_zones_before])
def test_what_is_foretold_of_a_config_is_what_a_launch_gets(subject: Any, case: Case):
    attempts, inside = case.attempts(plan_launch), case.inside
    served = [one.staging_config_id for one in pool_outcomes(simulated(attempts, inside)) if one.result == "hit"]
    for config in case.configs:
        ahead = subject(attempts, config.staging_config_id, config.zone_id)
        serves_before = any(inside[a.pool.staging_config_id].claimable for a in ahead.earlier if a.pool)
        would_get = not ahead.misses and not serves_before and bool(inside[config.staging_config_id].claimable)
        assert would_get == (served == [config.staging_config_id])
