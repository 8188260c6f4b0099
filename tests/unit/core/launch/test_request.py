"""The decisions about a launch before its first attempt, and the placement of a new session in a zone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from greenroom.core.access.group_settings import GroupSettings
from greenroom.core.errors import (
    Forbidden,
    GreenroomError,
    IdempotencyMismatch,
    Invalid,
    NoResources,
    NotFound,
    SessionLimit,
)
from greenroom.core.launch.eviction import StartingSession
from greenroom.core.launch.placement import HOME_KEPT_ON, RESTRICTED_TO, PlacementAgent
from greenroom.core.launch.plan import LaunchZone
from greenroom.core.launch.request import (
    Launch,
    LaunchRequest,
    LaunchSnapshot,
    RepeatedLaunch,
    RepeatedRequest,
    is_same_request,
    launch_facts,
    plan_request,
)
from greenroom.core.lease import NewLease
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.launch_environment import PREFERENCES
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

EU = LaunchZone(facts=ZoneFacts(zone_id="id-eu", zone_name="eu"))
US = LaunchZone(facts=ZoneFacts(zone_id="id-us", zone_name="us"), former_names=("america",))
IMAGE = ImageFacts(
    image_id="i",
    name="desktop",
    friendly_name="Desktop",
    memory=200,
    cores=2,
    exec_config={"assign": {"cmd": "welcome --now", "environment": {"A": "1"}, "user": "root"}},
)
REQUEST = LaunchRequest(user_id="u", image_id="i", request_host="a.example")
SNAPSHOT = LaunchSnapshot(
    username_reused=False,
    username="ann",
    disabled=False,
    locked=False,
    preferred_language=None,
    preferred_timezone=None,
    has_ssh_keys=False,
    groups=[],
    num_sessions=0,
    image=IMAGE,
    image_allowed=True,
    zones=[EU, US],
    pools=[],
    repeated=None,
    ssh_public_key=None,
    ssh_private_key_encrypted=None,
)


def plan(request: LaunchRequest = REQUEST, snapshot: LaunchSnapshot = SNAPSHOT, **settings: Any) -> Launch:
    groups = [GroupSettings(group_id="g", name="All", priority=1, settings=settings)]
    return plan_request(request, replace(snapshot, groups=groups), launch_id="l", decrypt=bytes.decode)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"image": None}, NotFound, "There is no workspace i"),
        ({"disabled": True}, Forbidden, "ann is disabled or locked"),
        ({"locked": True}, Forbidden, "ann is disabled or locked"),
        ({"image_allowed": False}, Forbidden, "ann may not use workspace Desktop"),
        ({"num_sessions": 5}, SessionLimit, "5 sessions are allowed"),
        ({"zones": []}, NoResources, "There is no zone yet"),
        ({"repeated": RepeatedLaunch(session_id="s", body="another")}, IdempotencyMismatch, "used for a different"),
    ],
)
def test_a_launch_is_refused_with_the_reason(changes: dict[str, Any], error: type[GreenroomError], sentence: str):
    with pytest.raises(error, match=sentence):
        plan(snapshot=replace(SNAPSHOT, **changes))


def test_a_limit_of_one_session_is_said_in_the_singular():
    with pytest.raises(SessionLimit, match="1 session is allowed"):
        plan(snapshot=replace(SNAPSHOT, num_sessions=1), max_kasms_per_user=1)


def test_a_command_of_root_is_refused_beside_a_writable_folder():
    with pytest.raises(Invalid, match="Desktop cannot be launched by this user"):
        plan(volume_mapping={"/data": {"bind": "/data", "mode": "rw"}})


def test_a_repeated_request_gives_the_session_of_the_first():
    repeated = RepeatedLaunch(session_id="s", body=REQUEST.body())
    with pytest.raises(RepeatedRequest) as found:
        plan(replace(REQUEST, request_host="b.example"), replace(SNAPSHOT, repeated=repeated, disabled=True))
    assert found.value.session_id == "s"


def test_a_request_repeated_across_an_update_is_the_same_one():
    def without(name: str) -> str:
        return json.dumps({k: v for k, v in json.loads(REQUEST.body()).items() if k != name})

    assert is_same_request(without("with_secrets"), REQUEST.body())
    assert is_same_request(REQUEST.body(), without("with_secrets"))
    later = json.dumps(json.loads(REQUEST.body()) | {"gpu": None})
    assert is_same_request(later, REQUEST.body())
    assert is_same_request(REQUEST.body(), later)
    assert is_same_request(None, None)
    assert is_same_request(REQUEST.body(), replace(REQUEST, for_caller=True).body())
    assert not is_same_request(without("with_secrets"), replace(REQUEST, with_secrets=True).body())
    assert not is_same_request(without("image_id"), REQUEST.body())
    assert not is_same_request(None, REQUEST.body())
    assert not is_same_request(REQUEST.body(), None)


@pytest.mark.parametrize(
    ("request_", "may_choose", "zone_id"),
    [
        (REQUEST, True, "id-eu"),
        (replace(REQUEST, gateway_zone="us"), True, "id-us"),
        (replace(REQUEST, gateway_zone="america"), True, "id-us"),
        (replace(REQUEST, gateway_zone="nowhere"), True, "id-eu"),
        (replace(REQUEST, gateway_zone="us", zone_id="id-eu"), True, "id-eu"),
        (replace(REQUEST, gateway_zone="us", zone_id="id-eu"), False, "id-us"),
    ],
)
def test_a_launch_begins_in_the_zone_chosen_addressed_or_first(request_: LaunchRequest, may_choose: bool, zone_id: str):
    launch = plan(request_, allow_zone_selection=may_choose)
    assert (launch.current_zone_id, launch.attempts[0].zone.zone_id) == (zone_id, zone_id)


def test_a_zone_that_does_not_exist_cannot_be_chosen():
    with pytest.raises(Invalid, match="There is no zone nowhere"):
        plan(replace(REQUEST, zone_id="nowhere"), allow_zone_selection=True)


def test_a_staged_session_is_assigned_with_the_identity_of_its_user():
    assign = plan(replace(REQUEST, kasm_url="https://b.example")).wanted.assign
    identity = {"KASM_USER": "ann", "KASM_USER_ID": "u"}
    assert (assign.argv, assign.user) == (("welcome", "--now"), "root")
    assert assign.environment == {"A": "1", **identity, "KASM_URL": "https://b.example"}
    assert plan().wanted.assign.environment == {"A": "1", **identity}
    assert plan(snapshot=replace(SNAPSHOT, image=replace(IMAGE, exec_config={}))).wanted.assign.argv == ()


def test_a_lease_has_its_own_deadline_and_is_recorded_at_least_as_groups_require():
    lease = NewLease(lease_id="l", seconds=30, holder="ci", record="actions")
    request = replace(REQUEST, lease=lease, idempotency_key="k")
    user = plan(request, session_time_limit=60, record_leases="pictures").wanted.user
    assert (user.clocks.time_limit_s, user.lease) == (
        30,
        replace(lease, record="pictures", record_required=True, must_record=True),
    )
    assert plan(request, session_time_limit=60).wanted.user.lease == lease
    chosen = plan(replace(request, lease=replace(lease, record="pictures"))).wanted.user.lease
    assert chosen == replace(lease, record="pictures"), "its holder wished it, no group requires it"
    assert replace(request, lease=replace(lease, tags=["again"])).body() == request.body()
    for other in (replace(lease, seconds=31), replace(lease, record="pictures"), replace(lease, record_text=True)):
        assert replace(request, lease=other).body() != request.body()


@pytest.mark.parametrize(("mode", "profile"), [(None, "Enabled"), ("Reset", "Reset"), ("Disabled", None)])
def test_a_new_session_has_the_settings_and_keys_of_its_user(mode: str | None, profile: str | None):
    image = replace(IMAGE, exec_config={}, persistent_profile_path="/profiles/{username}")
    snapshot = replace(SNAPSHOT, image=image, ssh_public_key="ssh-rsa A", ssh_private_key_encrypted=b"secret")
    request = replace(REQUEST, persistent_profile_mode=mode, environment={"B": "2"}, idempotency_key="k")
    launch = plan(request, snapshot, inject_ssh_keys=True, allow_persistent_profile=True, session_time_limit=60)
    spec = launch.wanted.spec_maker_for(EU)(session_id="s", credential="c")
    assert (spec.environment["B"], len(spec.files)) == ("2", 3)
    assert [mount.profile for mount in spec.mounts] == ([] if profile is None else [profile])
    assert launch.wanted.user.clocks.time_limit_s == 60
    assert launch.wanted.user.idempotency_body == request.body()
    without = plan(replace(request, idempotency_key=None), replace(snapshot, ssh_private_key_encrypted=None))
    assert without.wanted.spec_maker_for(EU)(session_id="s", credential="c").files == ()
    assert without.wanted.user.idempotency_body is None
    public = plan(request, replace(snapshot, ssh_private_key_encrypted=None), inject_ssh_keys=True)
    assert len(public.wanted.spec_maker_for(EU)(session_id="s", credential="c").files) == 2


@pytest.mark.parametrize("mode", ["Enabled", "Reset"])
def test_a_profile_that_the_workspace_does_not_keep_is_not_promised(mode: str):
    with pytest.raises(Invalid, match="Desktop has no persistent profile"):
        plan(replace(REQUEST, persistent_profile_mode=mode))
    assert plan(replace(REQUEST, persistent_profile_mode="Disabled")).attempts


def test_what_a_launch_goes_without_is_said_with_its_session():
    assert plan().wanted.with_remark("It was placed.") == "It was placed."
    profile = replace(SNAPSHOT, image=replace(IMAGE, persistent_profile_path="/profiles/{username}"))
    reason = plan(snapshot=profile, allow_persistent_profile=False).wanted.with_remark("It was placed.")
    assert reason.startswith("It was placed. The workspace's persistent profile is not used")


@pytest.mark.parametrize(
    ("changes", "mode", "only", "allowed"),
    [
        ({}, None, "a", {}),
        ({"persistent_profile_path": "/srv/{user_id}"}, None, None, {"allow_persistent_profile": True}),
        ({}, "Disabled", None, {}),
        ({}, None, None, {"allow_persistent_profile": False}),
        ({"only_agent_id": "b"}, None, "b", {}),
    ],
)
def test_a_launch_goes_where_the_users_home_is(
    changes: dict[str, Any], mode: str | None, only: str | None, allowed: dict[str, Any]
):
    image = replace(IMAGE, **{"exec_config": {}, "persistent_profile_path": "{homes}", **changes})
    snapshot = replace(SNAPSHOT, image=image, home_agent_id="a")
    request = plan(replace(REQUEST, persistent_profile_mode=mode), snapshot, **allowed).wanted.request
    assert request.only_agent_id == only
    assert (request.only_reason == HOME_KEPT_ON) == (only == "a")
    assert plan(snapshot=replace(snapshot, home_agent_id=None), **allowed).wanted.request.only_reason == RESTRICTED_TO


def test_for_a_plain_launch_nothing_is_requested():
    facts = launch_facts(SNAPSHOT, IMAGE)
    assert (facts.environment, facts.kasm_url, facts.network_id, facts.persistent_profile_mode) == (
        {},
        None,
        None,
        None,
    )


AGENT = PlacementAgent(agent_id="a", hostname="agent-1", cores=4, memory=1000)
FULL = replace(AGENT, cores_allocated=4, memory_allocated=1000)
UNREADY = StartingSession(
    session_id="s", staging_config_id="c", agent_id="a", cores=2, memory=200, created=datetime(2026, 1, 2, tzinfo=UTC)
)


def test_a_new_session_goes_where_there_is_room_or_others_yield():
    wanted = plan().wanted
    free = wanted.find_room(EU, [AGENT])
    assert ([room.agent for room in free.agents], list(free.misses), free.room_helps) == ([AGENT], [], False)
    full = wanted.find_room(EU, [FULL])
    assert (list(full.agents), [miss.code for miss in full.misses], full.room_helps) == ([], ["no_capacity"], True)
    assert [room.evicted for room in wanted.find_room(EU, [FULL], [UNREADY]).agents] == [(UNREADY,)]
    assert not wanted.find_room(EU, [replace(FULL, enabled=False)]).room_helps


def test_a_replacement_tries_other_agents_first_and_some_never():
    agents = [replace(AGENT, agent_id=agent_id) for agent_id in "abc"]
    changed = {"least_preferred_agent_id": "a", "excluded_agent_ids": frozenset("b"), "agent_noun": "other Agent"}
    wanted = replace(plan().wanted, **changed)
    assert [room.agent.agent_id for room in wanted.find_room(EU, agents).agents] == ["c", "a"]
    assert [miss.reason for miss in wanted.find_room(EU, agents[1:2]).misses] == ["Zone eu has no other Agent."]


NEAR_US = replace(REQUEST, round_trips_ms={"id-eu": 80.0, "id-us": 12.0})
DIRECT_US = replace(SNAPSHOT, zones=[EU, replace(US, proxy=ProxyFacts(proxy_connections=False))])


@pytest.mark.parametrize(("mode", "begins_in"), [("off", "id-eu"), ("suggest", "id-eu"), ("on", "id-us")])
def test_a_launch_begins_in_the_nearest_zone_where_the_group_says_so(mode: str, begins_in: str):
    launch = plan(NEAR_US, DIRECT_US, nearest_zone=mode)
    assert launch.current_zone_id == begins_in
    assert ("nearer to the user's browser" in launch.wanted.remark) == (mode == "on")


US_IS_NEARER = "zone us, which is nearer to the user's browser than zone eu: a round trip of 12 ms rather than 80 ms."


@pytest.mark.parametrize(
    ("zone_id", "begins_in", "said"),
    [
        (None, "id-eu", f"The user did not accept the suggestion to begin in {US_IS_NEARER}"),
        ("id-eu", "id-eu", f"The user did not accept the suggestion to begin in {US_IS_NEARER}"),
        ("id-us", "id-us", f"The user accepted the suggestion to begin in {US_IS_NEARER}"),
    ],
)
def test_the_trace_says_what_was_suggested_to_those_who_may_choose(zone_id: str | None, begins_in: str, said: str):
    request = replace(NEAR_US, zone_id=zone_id)
    launch = plan(request, DIRECT_US, nearest_zone="suggest", allow_zone_selection=True)
    assert (launch.current_zone_id, launch.wanted.remark) == (begins_in, said)


def test_the_zone_that_a_user_chose_comes_before_the_nearest():
    chosen = replace(NEAR_US, zone_id="id-eu")
    assert plan(chosen, DIRECT_US, nearest_zone="on", allow_zone_selection=True).current_zone_id == "id-eu"


def test_what_the_browser_measured_is_no_part_of_what_was_asked_for():
    assert NEAR_US.body() == REQUEST.body()


def test_a_workspace_of_one_application_takes_no_variables():
    locked = replace(SNAPSHOT, image=replace(IMAGE, allow_launch_variables=False))
    assert plan(snapshot=locked).image.friendly_name == "Desktop"
    with pytest.raises(Invalid, match="does not accept variables from a launch"):
        plan(replace(REQUEST, environment={"COURSE": "algebra"}), locked)


@pytest.mark.parametrize(
    ("language", "timezone", "environment", "expected"),
    [
        ("de-DE", "Asia/Tokyo", {}, {"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Tokyo"}),
        ("en-GB", "Europe/London", {}, {"TZ": "Europe/London"}),
        ("de", "Asia/Tokyo", {"TZ": "UTC", "LANG": "fr_FR.UTF-8"}, {"TZ": "UTC", "LANG": "fr_FR.UTF-8"}),
        (None, None, {}, {}),
    ],
)
def test_a_session_uses_the_region_of_the_browser(
    language: str | None, timezone: str | None, environment: dict[str, str], expected: dict[str, str]
):
    request = replace(REQUEST, browser_language=language, browser_timezone=timezone, environment=environment)
    assert region_of(plan(request)) == expected


def test_the_preferences_of_the_user_have_priority_over_the_browser():
    request = replace(REQUEST, browser_language="de-DE", browser_timezone="Asia/Tokyo")
    snapshot = replace(SNAPSHOT, preferred_language="fr", preferred_timezone="Europe/Paris")
    region = region_of(plan(request, snapshot))
    assert region == {"LANG": "fr_FR.UTF-8", "LC_ALL": "fr_FR.UTF-8", "TZ": "Europe/Paris"}


def test_the_region_of_the_browser_excludes_no_staged_session():
    facts = launch_facts(SNAPSHOT, IMAGE, replace(REQUEST, browser_language="de", browser_timezone="Asia/Tokyo"))
    assert (facts.language, facts.timezone) == (None, None)


def region_of(launch: Launch) -> dict[str, str]:
    """The variables of language and time zone of a session that the launch would create."""
    spec = launch.wanted.spec_maker_for(EU)(session_id="s", credential="c")
    return {name: value for name, value in spec.environment.items() if name in PREFERENCES}
