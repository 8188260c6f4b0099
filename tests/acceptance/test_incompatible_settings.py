"""Each setting that keeps a staged session from serving, on real containers (docs/reference/staging.md).

With the setting the user gets a session on demand to which it is applied, and the violation is in the log, in the
trace, in `explain` and in the history of the config. Without it the same user gets the staged session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.members import Member, Running, member_of, run, workspace

pytestmark = pytest.mark.docker

HOME = "/home/kasm-user"
POLICY = "Only what we know"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A setting in force. `settings` are those of a group, where `DATA` stands for a folder of the host. `applied`
    asserts that it holds inside the session; `names` is the setting in the log."""

    code: str
    names: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    request: dict[str, Any] = field(default_factory=dict[str, Any])
    applied: Callable[[Running, Member], None]


def variables_are_set(session: Running, user: Member) -> None:
    said = session.shell("echo $KASM_USER; echo $KASM_USER_ID")
    assert said.splitlines() == [user.username, user.user_id]


def keys_are_there(session: Running, user: Member) -> None:
    public = user.instance.call("GET", f"/users/{user.user_id}/attributes")["ssh_public_key"].strip()
    assert session.shell("cat ~/.ssh/authorized_keys") == public
    assert session.shell("stat -c %a ~/.ssh/id_ed25519") == "600"


def run_config_is_used(session: Running, user: Member) -> None:
    del user
    assert session.shell("hostname; echo $COLOUR").split() == ["desk", "blue"]


def volume_is_mounted(session: Running, user: Member) -> None:
    session.shell("echo mine > /mnt/own/file")
    assert (data_of(user.instance) / "group" / user.username / "file").read_text() == "mine\n"


def filter_is_in_force(session: Running, user: Member) -> None:
    del user
    page = session.shell("curl -s -m 10 http://elsewhere.test/")
    assert "elsewhere.test is blocked" in page
    assert POLICY in page


def clipboard_and_uploads_are_closed(session: Running, user: Member) -> None:
    del user
    assert session.shell("tigervncconfig -display :1 -get SendCutText") == "0"
    assert session.shell("tigervncconfig -display :1 -get AcceptCutText") == "1", "the other direction as before"
    assert (session.environment()["KASM_SVC_UPLOADS"], session.environment()["KASM_SVC_DOWNLOADS"]) == ("0", "1")


def language_is_set(session: Running, user: Member) -> None:
    del user
    assert session.environment()["LANG"].startswith("de_DE")


def time_zone_is_set(session: Running, user: Member) -> None:
    del user
    assert session.shell("date +%Z") == "JST"


def variable_of_the_request_is_set(session: Running, user: Member) -> None:
    del user
    assert session.shell("echo $COURSE") == "b c"


def address_is_known(session: Running, user: Member) -> None:
    assert session.shell("echo $KASM_URL") == "https://example.org/?a=1"
    assert user.instance.session(session.session_id)["kasm_url"] == "https://example.org/?a=1"


def nothing_more(session: Running, user: Member) -> None:
    """The caller does not choose the network of a container: it is always the sessions' network."""
    del user
    (network,) = session.facts()["NetworkSettings"]["Networks"]
    assert network != "chosen"


CASES = (
    Case(
        code="expose_user_environment_vars",
        names="expose_user_environment_vars",
        settings={"expose_user_environment_vars": True},
        applied=variables_are_set,
    ),
    Case(code="inject_ssh_keys", names="inject_ssh_keys", settings={"inject_ssh_keys": True}, applied=keys_are_there),
    Case(
        code="run_config",
        names="run_config",
        settings={"run_config": {"hostname": "desk", "environment": {"COLOUR": "blue"}}},
        applied=run_config_is_used,
    ),
    Case(
        code="volume_mapping",
        names="volume_mapping",
        settings={"volume_mapping": {"DATA/group/{username}": {"bind": "/mnt/own"}}},
        applied=volume_is_mounted,
    ),
    Case(
        code="web_filter_policy",
        names="web_filter_policy",
        settings={"web_filter_policy": POLICY},
        applied=filter_is_in_force,
    ),
    Case(
        code="permissions",
        names="permissions",
        settings={"allow_kasm_clipboard_down": False, "allow_kasm_uploads": False},
        applied=clipboard_and_uploads_are_closed,
    ),
    Case(
        code="language_or_timezone",
        names="preferred_language",
        attributes={"preferred_language": "de-DE"},
        applied=language_is_set,
    ),
    Case(
        code="language_or_timezone",
        names="preferred_timezone",
        attributes={"preferred_timezone": "Asia/Tokyo"},
        applied=time_zone_is_set,
    ),
    Case(
        code="launch_options",
        names="launch_options",
        request={"environment": {"COURSE": "b c"}},
        applied=variable_of_the_request_is_set,
    ),
    Case(
        code="launch_options",
        names="launch_options",
        request={"kasm_url": "https://example.org/?a=1"},
        applied=address_is_known,
    ),
    Case(code="launch_options", names="launch_options", request={"network_id": "chosen"}, applied=nothing_more),
)


def data_of(instance: Instance) -> Path:
    """The folder of the host for data that sessions receive."""
    return instance.folder / "incompatible"


@pytest.fixture(scope="module")
def pool(instance: Instance) -> Iterator[str]:
    """A config with enough staged sessions of `Desktop`, and the policy that a case names."""
    policy = {"name": POLICY, "default_action": "deny", "allow": ["known.test"]}
    policy_id = instance.call("POST", "/filter-policies", json=policy)["filter_policy_id"]
    config_id = instance.stage(2)
    wait_for(lambda: instance.staged(config_id) == 2, "the pool is full", within_s=60)
    try:
        yield config_id
    finally:
        instance.unstage(config_id)
        instance.call("DELETE", f"/filter-policies/{policy_id}")


@pytest.mark.parametrize("case", CASES, ids=[" ".join((c.names, *c.request)) for c in CASES])
def test_a_setting_of_a_group_or_user_or_request(instance: Instance, pool: str, case: Case):
    settings = {
        name: {path.replace("DATA", str(data_of(instance))): place for path, place in value.items()}
        if name == "volume_mapping"
        else value
        for name, value in case.settings.items()
    }
    with member_of(instance) as ada:
        instance.call("POST", f"/users/{ada.user_id}/ssh-key")
        group = group_of(ada, settings) if settings else None
        if case.attributes:
            instance.call("PATCH", f"/users/{ada.user_id}/attributes", json=case.attributes)
        if not case.request:
            assert settings_against(instance, pool, ada) == [(case.code, case.names, group)]
        session = ada.launch(**case.request)
        assert_passed_over(session, ada, pool, code=case.code, setting=case.names, group=group)
        case.applied(session, ada)
        for group_id in ada.groups:
            instance.call("PATCH", f"/groups/{group_id}", json={"settings": dict.fromkeys(settings)})
        if case.attributes:
            instance.call("PATCH", f"/users/{ada.user_id}/attributes", json=dict.fromkeys(case.attributes))
        assert_is_staged(ada, pool)


def test_a_persistent_profile(instance: Instance):
    path = f"{data_of(instance)}/profiles/{{username}}"
    with (
        workspace(instance, persistent_profile_path=path) as image_id,
        staged(instance, image_id) as pool,
        member_of(instance, allow_persistent_profile=True) as ada,
        member_of(instance) as bob,
    ):
        session = ada.launch(image_id)
        assert_passed_over(session, ada, pool, code="persistent_profile", setting="persistent_profile_path")
        session.shell("echo kept > ~/note")
        assert (data_of(instance) / "profiles" / ada.username / "note").read_text() == "kept\n"
        assert [m["Destination"] for m in session.facts()["Mounts"]] == [HOME]
        bobs = assert_is_staged(bob, pool, image_id)
        assert bobs.facts()["Mounts"] == [], "who may have no profile gets a staged session, without one"
        bobs.delete()
        wait_for(lambda: instance.staged(pool) == 1, "there is another one", within_s=60)
        assert_is_staged(ada, pool, image_id, persistent_profile_mode="Disabled")


@pytest.mark.parametrize("token", ["{username}", "{user_id}"])
def test_a_volume_mapping_of_the_workspace_with_the_users_name_or_id(instance: Instance, token: str):
    own, shared = f"{data_of(instance)}/own/{token}", f"{data_of(instance)}/shared"
    both = {own: {"bind": "/mnt/own"}, shared: {"bind": "/mnt/shared"}}
    with (
        workspace(instance, volume_mappings=both) as image_id,
        staged(instance, image_id) as pool,
        member_of(instance) as ada,
    ):
        session = ada.launch(image_id)
        assert_passed_over(session, ada, pool, code="image_volume_mapping", setting="volume_mappings")
        session.shell("echo mine > /mnt/own/file")
        name = {"{username}": ada.username, "{user_id}": ada.user_id}[token]
        assert (data_of(instance) / "own" / name / "file").read_text() == "mine\n"
        if token == "{username}":
            return
        instance.call("PATCH", f"/images/{image_id}", json={"volume_mappings": {shared: both[shared]}})
        wait_for(lambda: not explained(instance, pool, ada), "the pool has followed the workspace", within_s=60)
        mounts = assert_is_staged(ada, pool, image_id).facts()["Mounts"]
        assert [mount["Destination"] for mount in mounts] == ["/mnt/shared"], "without a user it is staged, too"


def test_every_violation_is_said_not_only_the_first(instance: Instance, pool: str):
    settings = {"inject_ssh_keys": True, "run_config": {"hostname": "desk"}, "allow_kasm_audio": False}
    with member_of(instance, **settings) as ada:
        instance.call("POST", f"/users/{ada.user_id}/ssh-key")
        codes = ["inject_ssh_keys", "run_config", "permissions"]
        assert [code for code, _, _ in settings_against(instance, pool, ada)] == codes
        session = ada.ask(environment={"A": "b"})
        steps = instance.call("GET", f"/sessions/{session['session_id']}/placement")["steps"]
        found = [(step["order"], step["code"]) for step in steps if step["candidate"] == pool]
        assert found == [(1, code) for code in (*codes, "launch_options")]
        settings_said = {*codes, "launch_options"}
        wait_for(lambda: {row["setting"] for row in violations(instance, ada)} == settings_said, "the log has them")


# Requests of the tests -------------------------------------------------------------------------------------------


@contextmanager
def staged(instance: Instance, image_id: str) -> Iterator[str]:
    """A config with one staged session of a workspace; returns its id."""
    body = {"zone_id": instance.found["zones"][0]["zone_id"], "image_id": image_id}
    made = instance.call("POST", "/staging-configs", json={**body, "num_sessions": 1, "expiration": 8})
    config_id: str = made["staging_config_id"]
    try:
        wait_for(lambda: instance.staged(config_id) == 1, "one is staged", within_s=60)
        yield config_id
    finally:
        instance.unstage(config_id)


def group_of(user: Member, settings: dict[str, Any]) -> str:
    """Put a user into a new group with these settings; returns its name."""
    user.join(**settings)
    return user.instance.call("GET", f"/groups/{user.groups[-1]}")["name"]


def explained(instance: Instance, config_id: str, user: Member) -> list[dict[str, Any]]:
    """The reasons that prevent a user from getting a config's sessions; nothing is launched."""
    answer = instance.call("GET", f"/staging-configs/{config_id}/explain", params={"user": user.username})
    assert answer["would_get"] == (not answer["reasons"])
    return answer["reasons"]


def settings_against(instance: Instance, config_id: str, user: Member) -> list[tuple[str, str, str | None]]:
    """Code, setting and group of the settings that do; the current state of the pool is left out."""
    reasons = explained(instance, config_id, user)
    return [(reason["code"], reason["setting"], reason["group"]) for reason in reasons if reason["setting"]]


def violations(instance: Instance, user: Member) -> list[dict[str, Any]]:
    """The rows of the log about a user's incompatible settings."""
    return instance.call("GET", "/logs", params={"code": "staging-violation", "user_id": user.user_id})


def assert_passed_over(
    session: Running, user: Member, config_id: str, *, code: str, setting: str, group: str | None = None
) -> None:
    """The session was created for the user, and every administrator's view has the reason."""
    instance, row = session.instance, session.row()
    assert (row["staging_config_id"], row["username"]) == (None, user.username)
    placement = instance.call("GET", f"/sessions/{session.session_id}/placement")
    assert placement["outcome"] == "on_demand"
    steps = [(s["order"], s["step"], s["code"], s["used"]) for s in placement["steps"] if s["candidate"] == config_id]
    assert steps == [(1, "staged_here", code, False)]
    assert placement["steps"][-1]["used"] is True
    (said,) = wait_for(lambda: violations(instance, user), "the log has the violation")
    assert (said["level"], said["username"], said["setting"]) == ("WARNING", user.username, setting)
    assert said["staging_config_id"] == config_id
    for word in (user.username, setting, group or "", row["image_friendly_name"], row["zone_name"]):
        assert word in said["message"]
    (miss,) = instance.call("GET", f"/staging-configs/{config_id}/history", params={"limit": 1})["recent_misses"]
    assert (miss["session_id"], miss["username"]) == (session.session_id, user.username)
    assert [reason["code"] for reason in miss["reasons"]] == [code]


def assert_is_staged(user: Member, config_id: str, image_id: str | None = None, **request: Any) -> Running:
    """The user gets a staged session of the config."""
    wait_for(lambda: user.instance.staged(config_id), "a staged session is free", within_s=60)
    session = user.launch(image_id, **request)
    assert session.row()["staging_config_id"] == config_id
    return session


def test_the_containers_of_a_pool_are_those_of_a_plain_launch(instance: Instance, pool: str):
    """Otherwise "with the setting applied" would prove nothing: a staged container has none of the expected values."""
    wait_for(lambda: instance.staged(pool), "a staged session is free", within_s=60)
    query = "SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND claimable LIMIT 1"
    session = Running(instance, instance.sql(query, pool)[0]["session_id"])
    environment = session.environment()
    assert not {"KASM_USER", "KASM_USER_ID", "KASM_URL", "COLOUR", "COURSE", "http_proxy"} & environment.keys()
    assert (session.facts()["Mounts"], environment["KASM_SVC_UPLOADS"]) == ([], "1")
    assert session.shell("ls -A ~/.ssh 2>/dev/null || true; date +%Z") == "UTC"
    assert run("docker", "exec", f"gr-{session.session_id}", "hostname").strip() != "desk"
