"""`greenroom NOUN VERB` against a running instance (docs/reference/command-line.md)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from tests.acceptance.commands import answered, greenroom
from tests.acceptance.instance import GREENROOM, Instance, run, wait_for

from greenroom.kit.program import EXIT_INTERRUPTED

NOUNS = ("zones", "managers", "agents", "images", "staging", "sessions", "users", "groups", "keys", "logs", "settings")
NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def user(instance: Instance) -> Iterator[str]:
    """The name of a new user; deleted with the sessions."""
    name = "command-line@example.org"
    answered(instance, "users", "create", name, "--first-name", "Lin")
    yield name
    answered(instance, "users", "delete", name, "--force")


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_can_be_listed_for_people_and_for_programs(instance: Instance, noun: str):
    rows = answered(instance, noun, "list")
    assert isinstance(rows, list)
    shown = greenroom(instance, noun, "list")
    assert shown.returncode == 0
    assert shown.stdout.strip() if rows else shown.stderr.strip()


def test_the_exit_code_of_the_process_says_done_refused_or_wrong_usage(instance: Instance):
    data = {"GREENROOM_DATA": str(instance.data)}
    done, refused = run("zones", "get", "default", **data), run("zones", "get", "nowhere", **data)
    assert (done.returncode, refused.returncode, run("zones", "get", **data).returncode) == (0, 1, 2)
    assert "default" in done.stdout
    assert refused.stderr.startswith("greenroom: There is no zone nowhere")


def test_a_deployment_is_named_by_options_or_environment(instance: Instance):
    found = instance.found
    key, secret = found["api_key"], found["api_key_secret"]
    by_option = run("zones", "list", "--json", "--url", found["url"], "--key", key, "--secret", secret)
    names = {"GREENROOM_URL": found["url"], "GREENROOM_KEY": key, "GREENROOM_SECRET": secret}
    by_environment = run("zones", "list", "--json", **names)
    verified = run("zones", "list", "--json", GREENROOM_CA_FILE=found["ca_file"], **names)
    for done in (by_option, by_environment, verified):
        assert done.returncode == 0, done.stderr
        assert [zone["zone_name"] for zone in json.loads(done.stdout)] == ["default"]


def test_a_staging_config_from_create_to_delete(instance: Instance):
    made = answered(
        instance, "staging", "create", "--zone", "default", "--image", "Desktop", "--num-sessions", "0",
        "--expiration", "1.5", "--no-allow-kasm-audio",
    )  # fmt: skip
    config_id = made["staging_config_id"]
    assert (made["zone_name"], made["image_friendly_name"]) == ("default", "Desktop")
    assert (made["num_sessions"], made["expiration"], made["allow_kasm_audio"]) == (0, 1.5, False)
    assert made["allow_kasm_uploads"] is True

    changed = answered(instance, "staging", "update", config_id, "--expiration", "2", "--paused")
    assert (changed["expiration"], changed["paused"], changed["allow_kasm_audio"]) == (2, True, False)
    assert answered(instance, "staging", "recycle", config_id)["staging_config_id"] == config_id
    assert answered(instance, "staging", "get", config_id)["paused"] is True
    assert config_id in [config["staging_config_id"] for config in answered(instance, "staging", "list")]

    assert answered(instance, "staging", "delete", config_id) == {"staging_config_id": config_id, "deleted": True}
    gone = greenroom(instance, "staging", "get", config_id)
    assert gone.returncode == 1
    assert config_id in gone.stderr


def test_explain_says_whether_a_user_would_get_one_and_if_not_why(instance: Instance, user: str):
    config_id = instance.stage(1)
    try:
        wait_for(lambda: instance.staged(config_id) == 1, "the pool is full")
        assert answered(instance, "staging", "explain", config_id, "--user", user)["would_get"] is True
        answered(instance, "groups", "create", "Keys", "--priority", "5", "--settings", "inject_ssh_keys=true")
        answered(instance, "groups", "add-user", "Keys", user)
        answered(instance, "users", "ssh-key", user)
        found = answered(instance, "staging", "explain", config_id, "--user", user)
        assert found["would_get"] is False
        assert [(reason["setting"], reason["group"]) for reason in found["reasons"]] == [("inject_ssh_keys", "Keys")]
        for_people = greenroom(instance, "staging", "explain", config_id, "--user", user)
        assert f"{user} would not get" in for_people.stdout
        assert "inject_ssh_keys" in for_people.stdout
    finally:
        greenroom(instance, "groups", "delete", "Keys")
        instance.unstage(config_id)


def test_a_launch_with_wait_shows_steps_and_a_running_session(instance: Instance, user: str):
    done = greenroom(instance, "sessions", "launch", "Desktop", "--user", user, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    session = json.loads(done.stdout)
    session_id = session["session_id"]
    assert (session["status"], session["username"]) == ("running", user)
    assert instance.has_status(session_id, "running")
    steps = [line.split("  ")[0] for line in done.stderr.splitlines()]
    assert steps[:2] == ["✓ Requested", "✓ Machine chosen"]
    assert "✓ First picture drawn" in steps

    assert [s["session_id"] for s in answered(instance, "sessions", "list", "--user", user)] == [session_id]
    assert answered(instance, "sessions", "placement", session_id)["outcome"] == "on_demand"
    assert answered(instance, "sessions", "destroy", session_id)["status"] == "deleting"
    wait_for(lambda: instance.has_status(session_id, "deleted"), "the session is gone")
    assert instance.containers_of(session_id) == []


def test_without_a_user_a_launch_is_for_the_administrator(instance: Instance):
    session = answered(instance, "sessions", "launch", "Desktop")
    assert session["username"] == "admin@greenroom.local"
    answered(instance, "sessions", "destroy", session["session_id"])
    wait_for(lambda: instance.has_status(session["session_id"], "deleted"), "the session is gone")


def test_the_last_enabled_manager_cannot_be_disabled(instance: Instance):
    instance_id = instance.found["managers"][0]["instance_id"]
    done = greenroom(instance, "managers", "disable", instance_id, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{instance_id} is the last enabled Manager of zone default" in done.stderr
    assert answered(instance, "managers", "get", instance_id)["enabled"] is True


def test_an_agent_is_drained_and_enabled_again(instance: Instance):
    agent_id = instance.found["agents"][0]["agent_id"]
    try:
        assert answered(instance, "agents", "drain", agent_id)["draining"] is True
        refused = greenroom(instance, "sessions", "launch", "Desktop", "--wait")
        assert refused.returncode == 1
        assert "draining" in refused.stderr
    finally:
        assert answered(instance, "agents", "enable", agent_id)["draining"] is False


@pytest.mark.parametrize(
    "typed", ["zones get nowhere", f"zones get {NOWHERE}", f"sessions destroy {NOWHERE}", "agents drain unknown"]
)
def test_an_unknown_id_is_exit_code_1_with_a_sentence(instance: Instance, typed: str):
    done = greenroom(instance, *typed.split(), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no" in done.stderr


@pytest.mark.parametrize("typed", ["zones", "zones fly", "staging create --zone default", "zones update default"])
def test_wrong_usage_is_exit_code_2(instance: Instance, typed: str):
    assert greenroom(instance, *typed.split()).returncode == 2


def test_tail_shows_what_happens(instance: Instance):
    environment = {**os.environ, "GREENROOM_DATA": str(instance.data)}
    command = [*GREENROOM, "logs", "tail", "--json", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["message"]
        answered(instance, "zones", "create", "tailed")
        answered(instance, "zones", "delete", "tailed")
        codes: list[str] = []
        while "zone-deleted" not in codes:
            codes.append(json.loads(tail.stdout.readline())["code"])
        assert "zone-created" in codes
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) == EXIT_INTERRUPTED
