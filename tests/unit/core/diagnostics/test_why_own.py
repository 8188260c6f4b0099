"""Why in plain words, for users: their launch without names of infrastructure, and their permissions."""

from __future__ import annotations

import pytest
from tests.unit.core.diagnostics.test_why_launches import FULL, NO_POOL, OTHER, PLACED, step, zone

from greenroom.core.access.group_settings import GroupSettings, resolve
from greenroom.core.diagnostics.why.model import DecisiveSetting, Source, sentence_of
from greenroom.core.diagnostics.why.own import (
    LIMIT,
    QUEUE_FULL,
    GroupGrants,
    OwnLaunch,
    own_launch_decision,
    own_launch_of_forecast,
    own_launch_of_trace,
    own_setting,
    permission_decision,
)
from greenroom.core.launch.forecast import LIMIT_REACHED, NOTHING_FITS, USER_REMEDIES, ForecastCheck
from greenroom.core.launch.plan import LaunchAttempt, Miss, Step, TraceStep

EFFECTIVE = resolve([GroupSettings("g", "Students", 5, {LIMIT: 2, "run_config": {"environment": {"X": "secret"}}})])
MAXIMUM = own_setting(EFFECTIVE[LIMIT], "group")


def attempt(kind: Step) -> LaunchAttempt:
    return LaunchAttempt(order=1, step=kind, zone=zone("eu"))


def checked(kind: Step, *codes: str) -> ForecastCheck:
    return ForecastCheck(attempt(kind), tuple(Miss(code, "vm in zone eu") for code in codes))


@pytest.mark.parametrize(
    ("trace", "answer", "decisive"),
    [
        ((step("staged_here", 1, "Taken.", "c1"),), "A session is ready for you.", 0),
        (
            (NO_POOL, PLACED),
            "No ready session was free. A new session starts for you, in about 9 s.",
            0,
        ),
        (
            (OTHER, PLACED),
            "The ready sessions have other permissions than you. A new session starts for you, in about 9 s.",
            0,
        ),
        ((NO_POOL, FULL), USER_REMEDIES["no_capacity"], 1),
        ((step("turn", 1, "200 launches wait.", code="busy"),), QUEUE_FULL, 0),
        ((), NOTHING_FITS, 1),
    ],
)
def test_an_own_launch_of_the_ledger(trace: tuple[TraceStep, ...], answer: str, decisive: int):
    made = own_launch_of_trace("CAD", trace, 8.6)
    if not trace:
        made = OwnLaunch(friendly_name="CAD", staged_code="", on_demand=(Miss("", ""),))
    decision = own_launch_decision(made)
    assert sentence_of(decision.answer) == answer
    assert [step.decides for step in decision.steps].index(True) == decisive
    assert not {"vm", "eu", "c1"} & set(str(decision).replace("'", " ").replace(".", " ").split())


def test_a_wait_of_unknown_time_has_no_time():
    decision = own_launch_decision(own_launch_of_trace("CAD", (NO_POOL, PLACED), None))
    assert sentence_of(decision.answer) == "No ready session was free. A new session starts for you."


@pytest.mark.parametrize(
    ("checks", "tone", "staged_code"),
    [
        ((checked("staged_here"),), "ready", ""),
        ((checked("staged_here", "permissions", "x"), checked("on_demand_here")), "warning", "permissions"),
        ((checked("staged_here", "pool_empty"), checked("on_demand_here", "no_disk")), "failure", "pool_empty"),
        ((), "failure", ""),
    ],
)
def test_a_forecast_is_explained_like_a_launch(checks: tuple[ForecastCheck, ...], tone: str, staged_code: str):
    launch = own_launch_of_forecast("CAD", checks, 10.0)
    decision = own_launch_decision(launch, MAXIMUM, 1)
    assert (decision.tone, launch.staged_code) == (tone, staged_code)
    assert decision.steps[0].result == "passed"
    assert [fact.value for fact in decision.steps[0].facts] == ["1", "2"]


def test_the_maximum_number_of_sessions_decides_first():
    decision = own_launch_decision(own_launch_of_forecast("CAD", (checked("staged_here"),), 1.0), MAXIMUM, 2)
    assert sentence_of(decision.answer) == LIMIT_REACHED
    assert [step.result for step in decision.steps] == ["stopped", "unreached", "unreached"]
    assert decision.setting == MAXIMUM


@pytest.mark.parametrize(
    ("source", "owner"),
    [
        ("group", "one of your groups"),
        ("global", "all users"),
        ("default", "the default of Greenroom"),
        ("own", "your account"),
    ],
)
def test_the_source_of_an_own_setting_names_no_group(source: Source, owner: str):
    setting: DecisiveSetting = own_setting(EFFECTIVE[LIMIT], source)
    assert (setting.owner, setting.object, setting.value) == (owner, None, 2)


def test_a_mapping_shows_no_values():
    assert own_setting(EFFECTIVE["run_config"], "group").value == "environment"


def test_the_group_that_grants_a_permission_decides():
    groups = [GroupGrants("Students", ("user",)), GroupGrants("Help", ("role:help_desk",))]
    decision = permission_decision("sessions_view", groups, {"user", "sessions_view"})
    assert [(step.result, step.decides) for step in decision.steps] == [("stopped", False), ("passed", True)]
    assert sentence_of(decision.answer) == "You have the permission sessions_view."


def test_a_permission_of_no_group_names_the_roles_with_it():
    scoped = GroupGrants("Zone", ("role:zone_operator@zone:z1",))
    decision = permission_decision("agents_view", [GroupGrants("", ("user",)), scoped], {"user"})
    assert [step.rule for step in decision.steps][:2] == ["Your groups grant it", "Group Zone grants it"]
    assert "in the scope of a role" in sentence_of(decision.steps[1].reason)
    assert decision.steps[-1].decides
    assert decision.steps[-1].facts[0].value == "Installation administrator, Auditor, Zone operator"
    assert (decision.tone, decision.setting) == ("failure", None)


def test_a_key_may_have_fewer_permissions_than_its_owner():
    decision = permission_decision("users_view", [GroupGrants("Help", ("users_view",))], set())
    assert "this API key or log-in does not have it" in sentence_of(decision.steps[-1].reason)


def test_a_permission_without_a_group_is_granted_by_the_key():
    decision = permission_decision("users_view", [], {"users_view"})
    assert (decision.steps, decision.tone) == ((), "ready")
