"""The display of a single object for people: names instead of ids, steps as a table, times with units."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.cli.conftest import Done, Pretended, problem
from tests.unit.cli.test_commands import FOUND, GROUP, IMAGE, SESSION, USER

from greenroom.cli.nouns import NOUNS

Greenroom = Callable[..., Done]

POLICY = "99999999-9999-4999-8999-999999999999"
STEP = {"order": 1, "step": "staged_here", "zone_name": "eu", "used": True, "code": None, "setting": None}


def test_a_launch_is_shown_in_steps(api: Pretended, greenroom: Greenroom):
    launch = {"launch_id": SESSION, "duration_ms": 11.4478000000418, "steps": [STEP | {"reason": "It was assigned."}]}
    api.answers = {("GET", f"/launches/{SESSION}"): launch}
    shown = greenroom("launches", "get", SESSION).out
    assert "11.4 ms" in shown
    assert shown.splitlines()[-1].split() == ["1", "staged_here", "eu", "yes", "-", "-", "It", "was", "assigned."]
    assert "{" not in shown
    assert greenroom("launches", "get", SESSION, "--json").json == launch


@pytest.fixture
def group(api: Pretended) -> Pretended:
    """A group with a workspace and a policy, in the api's format: by their ids."""
    answer = {"name": "Students", "images": [IMAGE], "settings": {"web_filter_policy": POLICY, "idle_disconnect": 5}}
    api.answers = dict(FOUND) | {
        ("GET", f"/groups/{GROUP}"): answer,
        ("GET", "/filter-policies"): [{"filter_policy_id": POLICY, "name": "Exam"}],
        ("GET", f"/users/{USER}/attributes"): {"user_id": USER, "default_image": IMAGE},
    }
    return api


def test_what_was_typed_as_a_name_is_shown_as_a_name(group: Pretended, greenroom: Greenroom):
    shown = greenroom("groups", "get", GROUP).out
    assert "Desktop" in shown
    assert "web_filter_policy: Exam" in shown
    assert IMAGE not in shown
    assert POLICY not in shown
    shown = greenroom("users", "attributes", USER).out
    assert "Desktop" in shown
    assert USER in shown, "whose they are is an id beside which no name is wanted"


def test_programs_get_ids_and_ask_for_nothing_more(group: Pretended, greenroom: Greenroom):
    assert greenroom("groups", "get", GROUP, "--json").json["images"] == [IMAGE]
    assert len(group.asked) == 1


def test_ids_stay_where_the_names_may_not_be_looked_up(group: Pretended, greenroom: Greenroom):
    group.answers["GET", "/images"] = problem(403, "forbidden", "You may not see workspaces.")
    done = greenroom("groups", "get", GROUP)
    assert done.code == 0
    assert IMAGE in done.out


def test_two_pools_that_differ_in_permissions_can_be_distinguished(api: Pretended, greenroom: Greenroom):
    columns = {column.title: column for column in NOUNS["staging"].columns}
    permissions = {f"allow_kasm_{name}": True for name in ("audio", "uploads", "downloads", "clipboard_down")}
    permissions |= {f"allow_kasm_{name}": True for name in ("clipboard_up", "microphone", "gamepad", "webcam")}
    assert columns["Permissions"].value_of(permissions) == "all"
    assert columns["Permissions"].value_of(permissions | {"allow_kasm_clipboard_up": False}) == "all but clipboard up"


@pytest.mark.parametrize("noun", ["staging", "join-tokens", "filter-policies"])
def test_help_calls_things_by_their_names(greenroom: Greenroom, noun: str):
    assert f"List {NOUNS[noun].plural}." in greenroom(noun, "list", "--help").out
    assert NOUNS[noun].plural != noun


def test_an_unknown_user_is_not_reported_as_an_unknown_service_account(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/users"): [], ("GET", "/service-accounts"): []}
    done = greenroom("users", "get", "unknown")
    assert "There is no user unknown; see greenroom users list." in done.err


def test_a_list_has_all_columns_and_whole_values_with_wide(api: Pretended, greenroom: Greenroom):
    reason = "Nothing was free in any zone that may be searched, and each of the Agents was full at the time."
    launch = {"launch_id": IMAGE, "session_id": SESSION, "username": "ann", "outcome": "failed", "reason": reason}
    api.answers = {("GET", "/launches"): [launch]}
    short, wide = greenroom("launches", "list").out, greenroom("launches", "list", "--wide").out
    assert (IMAGE in short, SESSION in short, reason in short) == (True, False, True)
    assert (IMAGE in wide, SESSION in wide, reason in wide) == (True, True, True)


@pytest.mark.parametrize(
    ("session", "shown"),
    [
        ({"username": "amy", "user_id": USER, "staging_config_id": POLICY}, "amy"),
        ({"username": None, "user_id": None, "staging_config_id": POLICY}, "(staged)"),
        ({"username": None, "user_id": None, "staging_config_id": POLICY, "set_aside_reason": "x"}, "(quarantined)"),
        ({"username": None, "user_id": None, "staging_config_id": None}, "-"),
    ],
)
def test_only_a_session_of_a_pool_without_a_user_is_listed_as_staged(session: dict[str, str | None], shown: str):
    (user,) = (column for column in NOUNS["sessions"].columns if column.title == "User")
    assert user.value_of(session) == shown
