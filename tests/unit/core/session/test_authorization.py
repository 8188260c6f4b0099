"""The authorization table: the permitted actions on a session, by role and condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.group_settings import SETTINGS, EffectiveSetting
from greenroom.core.access.permissions import PERMISSIONS, read_only_codes
from greenroom.core.session.authorization import (
    REQUIRES_RECORDING,
    TABLE,
    Act,
    Kind,
    SessionCaller,
    SessionFacts,
    decide,
    needs_settings,
)

BOTH = ("allow_kasm_uploads", "allow_kasm_downloads")
LOOKS = (Act.SCREENSHOT, Act.INPUT, Act.TREE)
SWITCHES = sorted({name for row in TABLE.values() for name in (*row.session_needs, *row.session_needs_one_of)})
GROUP_SETTINGS = sorted({name for row in TABLE.values() for name in (row.user_setting, row.watch_setting) if name})


def settings(*, on: bool = True) -> dict[str, EffectiveSetting]:
    trace = "from group Students, priority 5"
    return {
        name: EffectiveSetting(name=name, value=on, groups=(), trace=f"`{name}` {trace}") for name in GROUP_SETTINGS
    }


OPEN = SessionFacts(permitted=dict.fromkeys(SWITCHES, True), settings=settings(), user="ada")
KINDS = st.sampled_from(sorted(Kind))


def refusal_of(act: Act, kind: Kind, *permissions: str, facts: SessionFacts = OPEN, owns: bool = False) -> str:
    return decide(act, SessionCaller(kind=kind, permissions=permissions, owns=owns), facts).refused


def test_every_act_has_a_row_of_permissions_and_settings_that_exist():
    assert set(TABLE) == set(Act)
    for row in TABLE.values():
        assert {
            *row.others_need,
            *([row.exempting_permission] if row.exempting_permission else []),
        } <= PERMISSIONS.keys()
        assert {
            *filter(None, (*row.session_needs, *row.session_needs_one_of, row.user_setting, row.watch_setting))
        } <= SETTINGS.keys()


@for_all(
    act=st.sampled_from(sorted(Act)),
    kind=KINDS,
    codes=st.sets(st.sampled_from(sorted(PERMISSIONS))),
    subject=refusal_of,
    mutants=[
        lambda act, kind, *codes: refusal_of(act, kind, *codes, "global_admin"),
        lambda act, kind, *codes: refusal_of(act, Kind.OTHER, *codes),
    ],
)
def test_who_is_neither_named_nor_has_all_permissions_may_not(subject: Any, act: Act, kind: Kind, codes: set[str]):
    row = TABLE[act]
    may = kind in row.kinds or (row.others_need and (codes >= set(row.others_need) or "global_admin" in codes))
    assert bool(subject(act, kind, *codes)) == (not may)


@for_all(
    act=st.sampled_from(sorted(Act)),
    kind=KINDS,
    codes=st.sets(st.sampled_from(sorted(PERMISSIONS))),
    subject=refusal_of,
    mutants=[lambda act, kind, *codes, facts=OPEN: refusal_of(act, kind, *codes) if facts is OPEN else ""],
)
def test_a_closed_switch_opens_nothing(subject: Any, act: Act, kind: Kind, codes: set[str]):
    closed = replace(OPEN, permitted={}, settings=settings(on=False), held_by="bob", must_record=True)
    assert subject(act, kind, *codes, facts=closed) or not subject(act, kind, *codes)


@for_all(
    act=st.sampled_from([*LOOKS, Act.EXEC, Act.READ_FILES, Act.WRITE_FILES, Act.COMMAND]),
    subject=refusal_of,
    mutants=[lambda act, kind, *codes: refusal_of(act, kind, *PERMISSIONS)],
)
def test_a_read_only_key_neither_looks_nor_acts(subject: Any, act: Act):
    assert subject(act, Kind.OTHER, *read_only_codes(PERMISSIONS)) == "hidden"


@pytest.mark.parametrize("act", LOOKS)
def test_looking_takes_its_own_permission_the_groups_consent_and_a_notice(act: Act):
    codes = TABLE[act].others_need
    assert "sessions_screenshot" in codes
    assert refusal_of(act, Kind.OTHER, *(set(PERMISSIONS) - {"sessions_screenshot", "global_admin"}))
    banned = decide(act, SessionCaller(kind=Kind.OTHER, permissions=codes), replace(OPEN, settings=settings(on=False)))
    assert (banned.refused, banned.reason.startswith("Only ada may take pictures")) == ("forbidden", True)
    for kind in (Kind.USER, Kind.PROGRAM, Kind.LEASE_KEY):
        own = decide(act, SessionCaller(kind=kind), replace(OPEN, settings=settings(on=False)))
        assert (own.refused, own.logged, own.informs_user) == ("", False, False)
    seen = decide(act, SessionCaller(kind=Kind.OTHER, permissions=codes), OPEN)
    assert (seen.refused, seen.logged, seen.informs_user) == ("", True, True)
    by_own_key = decide(act, SessionCaller(kind=Kind.OTHER, permissions=codes, owns=True), OPEN)
    assert (by_own_key.logged, by_own_key.informs_user) == (False, False)


REVEAL_NOTHING = {
    *(Act.SEE, Act.KEEP_ALIVE, Act.STOP, Act.PAUSE, Act.RESUME, Act.EXTEND, Act.UNSHARE),
    *(Act.DELETE, Act.FORCE_DELETE, Act.RELEASE, Act.DESTROY_FOR_USERS),
}
EVIDENCE = {Act.SEE_RECORDING, Act.DELETE_RECORDING}


def test_watching_a_session_or_acting_in_it_needs_the_right_over_its_user():
    for_others = {act for act, row in TABLE.items() if row.others_need or Kind.FOR_USERS in row.kinds}
    with_right = {act for act, row in TABLE.items() if row.target_needs_right_over}
    assert with_right == for_others - REVEAL_NOTHING - EVIDENCE


@for_all(
    act=st.sampled_from([act for act, row in TABLE.items() if row.target_needs_right_over]),
    kind=KINDS,
    codes=st.sets(st.sampled_from(sorted(PERMISSIONS))),
    above=st.sampled_from(sorted({*PERMISSIONS} - {"user"})),
    owns=st.booleans(),
    subject=decide,
    mutants=[
        lambda act, caller, facts: decide(act, caller, replace(facts, user_permissions=())),
        lambda act, caller, facts: decide(act, replace(caller, codes=()), facts),
        lambda act, caller, facts: decide(act, replace(caller, owns=False), facts),
    ],
)
def test_the_right_over_a_user_is_that_of_a_change_of_the_user(
    subject: Any, act: Act, kind: Kind, *, codes: set[str], above: str, owns: bool
):
    counted = [*codes, *TABLE[act].others_need]
    caller = SessionCaller(kind=kind, permissions=counted, codes=codes, owns=owns)
    facts = replace(OPEN, user_permissions=["user", above])
    is_other = kind in (Kind.OTHER, Kind.FOR_USERS) and not owns
    has_right = not {above, "global_admin"}.isdisjoint(codes) or "users_modify_admin" in counted
    verdict = subject(act, caller, facts)
    refused_before = decide(act, caller, OPEN).refused
    assert bool(verdict.refused) == bool(refused_before or (is_other and not has_right))
    if verdict.refused and not refused_before:
        assert verdict.missing == ("users_modify_admin",)


def test_what_is_missing_is_named_to_those_who_know_the_session():
    part = decide(Act.INPUT, SessionCaller(kind=Kind.OTHER, permissions=("sessions_modify",)), OPEN)
    assert (part.refused, part.missing) == ("forbidden", ("sessions_screenshot",))
    assert refusal_of(Act.INPUT, Kind.OTHER, "sessions_view") == "hidden"
    assert refusal_of(Act.COMMAND_AS, Kind.USER) == "forbidden"


@pytest.mark.parametrize("kind", [Kind.PROGRAM, Kind.LEASE_KEY])
@pytest.mark.parametrize("act", [Act.SCREENSHOT, Act.TREE, Act.EXEC, Act.WRITE_FILES])
def test_a_program_neither_sees_nor_runs_nor_writes_while_a_person_has_control(act: Act, kind: Kind):
    held = decide(act, SessionCaller(kind=kind), replace(OPEN, held_by="ada"))
    assert (held.refused, held.reason.startswith("ada has control")) == ("held", True)
    assert refusal_of(act, Kind.USER, facts=replace(OPEN, held_by="ada")) == ""


@pytest.mark.parametrize("act", [Act.EXEC, Act.COMMAND, Act.DEVTOOLS, Act.WEBDRIVER])
@pytest.mark.parametrize("missing", BOTH)
def test_what_carries_files_both_ways_needs_both_switches(act: Act, missing: str):
    kind = Kind.PROGRAM if Kind.PROGRAM in TABLE[act].kinds else Kind.USER
    closed = replace(OPEN, permitted={name: name != missing for name in SWITCHES})
    verdict = decide(act, SessionCaller(kind=kind), closed)
    assert verdict.reason == f"This is not allowed in a session without {missing}."
    assert (refusal_of(act, kind, "sessions_modify", facts=closed) == "") == (act is Act.COMMAND)


def test_the_tree_needs_one_way_by_which_text_may_leave():
    assert refusal_of(Act.TREE, Kind.PROGRAM, facts=replace(OPEN, permitted={})) == "forbidden"
    for name in ("allow_kasm_downloads", "allow_kasm_clipboard_down"):
        assert refusal_of(Act.TREE, Kind.PROGRAM, facts=replace(OPEN, permitted={name: True})) == ""


def test_nothing_goes_past_a_required_recording():
    for act in (Act.DEVTOOLS, Act.WEBDRIVER, Act.STREAM_AS_PROGRAM):
        assert (
            decide(act, SessionCaller(kind=Kind.PROGRAM), replace(OPEN, must_record=True)).reason == REQUIRES_RECORDING
        )
    assert refusal_of(Act.EXEC, Kind.PROGRAM, facts=replace(OPEN, must_record=True)) == ""


def test_the_settings_of_a_user_bind_the_user_and_not_an_administrator():
    closed = replace(OPEN, settings=settings(on=False))
    bound = [act for act, row in TABLE.items() if row.user_setting]
    assert bound
    for act in bound:
        assert needs_settings(act, SessionCaller(kind=Kind.USER))
        assert decide(act, SessionCaller(kind=Kind.USER), closed).reason.startswith("You may not ")
        assert refusal_of(act, Kind.OTHER, *TABLE[act].others_need, facts=closed) == ""
        assert refusal_of(act, Kind.USER, facts=OPEN) == ""


def test_settings_are_read_only_for_callers_that_they_bind():
    for act in (Act.SCREENSHOT, Act.INPUT, Act.TREE):
        assert needs_settings(act, SessionCaller(kind=Kind.OTHER))
        assert not needs_settings(act, SessionCaller(kind=Kind.PROGRAM))


def test_commands_always_have_a_row_and_files_of_others_do():
    for act in (Act.EXEC, Act.COMMAND):
        assert decide(act, SessionCaller(kind=Kind.USER), OPEN).logged
    assert not decide(Act.READ_FILES, SessionCaller(kind=Kind.PROGRAM), OPEN).logged
    assert decide(Act.READ_FILES, SessionCaller(kind=Kind.OTHER, permissions=("sessions_modify",)), OPEN).logged
    assert not decide(Act.SEE, SessionCaller(kind=Kind.OTHER, permissions=("sessions_view",)), OPEN).logged


def test_a_staged_session_has_no_user_who_could_forbid_or_see_it():
    staged = replace(OPEN, settings=settings(on=False), user="")
    verdict = decide(Act.SCREENSHOT, SessionCaller(kind=Kind.OTHER, permissions=("sessions_screenshot",)), staged)
    assert (verdict.refused, verdict.logged, verdict.informs_user) == ("", False, False)
