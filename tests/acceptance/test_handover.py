"""The hand-over of staged sessions on real containers: `assign`, and the consequences of its failure
(docs/explanation/protocols.md §3)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.acceptance.open_desktop import open_desktop

ASSIGN = """
{ echo "$COLOUR|$KASM_USER|$KASM_USER_ID|$KASM_URL|$(id -un)|$PWD"; } > /var/assigned
if [ -e /var/behaviour ]; then . /var/behaviour; fi
"""
EXEC_CONFIG = {
    "assign": {
        "cmd": ["bash", "-c", ASSIGN],
        "user": "root",
        "workdir": "/usr/share",
        "environment": {"COLOUR": "blue"},
    }
}


class Stage:
    """An instance with two zones, and pools of one workspace whose `assign` is controlled by the test."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.image_id = instance.desktop()
        self.change(EXEC_CONFIG)
        self.zone_ids = {zone["zone_name"]: zone["zone_id"] for zone in instance.found["zones"]}
        self.configs = {zone: self.stage(zone) for zone in ("eu", "us")}

    def stage(self, zone: str, **fields: Any) -> str:
        body = {"zone_id": self.zone_ids[zone], "image_id": self.image_id, "num_sessions": 1, "expiration": 8}
        return self.instance.call("POST", "/staging-configs", json=body | fields)["staging_config_id"]

    def change(self, exec_config: dict[str, Any]) -> None:
        """Change `assign`; sessions staged before are no longer handed out."""
        made = self.instance.sql("SELECT DISTINCT config_hash FROM sessions")
        self.outdated = [row["config_hash"] for row in made]
        self.instance.call("PATCH", f"/images/{self.image_id}", json={"exec_config": exec_config})

    def full(self, *zones: str) -> str:
        """Wait until each of these pools has its session; returns the id of the first pool's session."""
        found = [wait_for(lambda zone=zone: self.staged(zone), f"the pool of {zone} is full") for zone in zones]
        return found[0]

    def staged(self, zone: str) -> str | None:
        found = self.instance.sql(
            "SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND claimable"
            " AND config_hash <> ALL(%s)",
            self.configs[zone],
            self.outdated,
        )
        return found[0]["session_id"] if found else None

    def behave(self, session_id: str, script: str) -> None:
        """Set the behavior of `assign` in this session, after it has recorded its arguments."""
        inside(session_id, f"cat > /var/behaviour <<'END'\n{script}\nEND")

    @contextmanager
    def held(self, zone: str, stop: str) -> Generator[None]:
        """Hold the Agent of a zone whenever it reaches this stop (greenroom.kit.stops)."""
        process = f"agent-{zone}"
        self.instance.arm(process, stop)
        try:
            yield
        finally:
            self.instance.release(process, stop)

    def not_refilled(self, zone: str) -> AbstractContextManager[None]:
        """The pool of a zone stays empty once its session is claimed: a replacement would fail as fast as `assign`."""
        return self.held(zone, "agent.before_create")

    def launch(self, user_id: str, key: str | None = None, **fields: Any) -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"image_id": self.image_id, "user_id": user_id} | fields
        return self.instance.call("POST", "/sessions", json=body, headers=headers)

    def handed_over(self, session_id: str) -> dict[str, Any]:
        """The session, or its replacement, once its user may open it. A busy host extends the 6 s for an
        acknowledgment tenfold."""
        wait_for(lambda: self.instance.session(session_id)["status"] == "running", "it is handed over", 90)
        return self.instance.session(session_id)

    def agent_pid(self, zone: str) -> int:
        parts = json.loads((self.instance.data / "run/state.json").read_text())["parts"]
        return next(part["pid"] for part in parts if part["name"].startswith(f"agent-{zone}"))

    def very(self, session_id: str) -> dict[str, Any]:
        """The session itself, even if it was replaced."""
        return self.instance.call("GET", f"/sessions/{session_id}?follow=false")

    def delete(self, session_id: str) -> None:
        self.instance.call("DELETE", f"/sessions/{session_id}")

    def trace(self, session_id: str) -> list[tuple[str, str, bool, str | None]]:
        steps = self.instance.call("GET", f"/sessions/{session_id}/placement")["steps"]
        return [(step["step"], step["zone_name"], step["used"], step["code"]) for step in steps]


@pytest.fixture(scope="module")
def stage(openbox_image: str) -> Iterator[Stage]:
    with running_instance("--zones", "eu,us", GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield Stage(instance)


@pytest.fixture
def user(stage: Stage) -> str:
    return stage.instance.new_user()


def inside(session_id: str, script: str) -> str:
    argv = ["docker", "exec", "-u", "root", f"gr-{session_id}", "bash", "-c", script]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def has_file(session_id: str, path: str) -> Callable[[], bool]:
    return lambda: inside(session_id, f"test -e {path} && echo yes || true") == "yes"


def dies_once_assign_runs(session_id: str) -> None:
    """Let its user end the container at that moment: `assign` runs for only 3 s, and a test may be too late."""
    script = "until [ -e /var/assigned ]; do sleep 0.02; done; kill 1"
    argv = ["docker", "exec", "--detach", f"gr-{session_id}", "bash", "-c", script]
    subprocess.run(argv, check=True, capture_output=True)


@contextmanager
def frozen(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_assign_runs_as_its_account_and_folder_with_user_and_address(stage: Stage, user: str):
    staged = stage.full("eu")
    launched = stage.launch(user, kasm_url="https://example.org/a?b=c")
    assert (launched["session_id"], launched["staged"], launched["status"]) == (staged, True, "assigning")
    session = stage.handed_over(staged)
    expected = f"blue|{session['username']}|{user}|https://example.org/a?b=c|root|/usr/share"
    assert inside(staged, "cat /var/assigned") == expected
    assert "KASM_USER" not in inside(staged, "env"), "the container itself was made before any user asked"
    with open_desktop(stage.instance, staged) as desktop:
        assert desktop.goes_on()
    stage.delete(staged)


def test_the_reply_waits_for_nothing_and_a_late_assign_goes_on(stage: Stage, user: str):
    staged = stage.full("eu")
    stage.behave(staged, "mkfifo /var/gate; read _ < /var/gate; touch /var/ended")
    with stage.held("eu", "agent.handover_received"):
        assert stage.launch(user)["session_id"] == staged
        connection = stage.instance.call("GET", f"/sessions/{staged}/connection")
        assert (connection["status"], connection["frame_url"]) == ("assigning", None)
    wait_for(has_file(staged, "/var/assigned"), "assign runs")
    stage.handed_over(staged)
    assert not has_file(staged, "/var/ended")(), "it counts as assigned while it still runs"
    inside(staged, "echo > /var/gate")
    wait_for(has_file(staged, "/var/ended"), "it was not ended")
    stage.delete(staged)


def test_after_a_failed_assign_the_user_gets_another_session(stage: Stage, user: str):
    first = stage.full("eu", "us")
    stage.behave(first, "echo no licence left; exit 7")
    key = uuid.uuid4().hex
    with stage.not_refilled("eu"):
        launched = stage.launch(user, key, kasm_url="https://example.org/")
        assert launched["session_id"] == first
        second = stage.handed_over(first)
    assert (second["zone_name"], second["session_id"] != first) == ("us", True)
    assert inside(second["session_id"], "cat /var/assigned").split("|")[3] == "https://example.org/"
    assert stage.trace(first)[-4:] == [
        ("staged_here", "eu", True, None),
        ("staged_here", "eu", False, "hand_over_failed"),
        ("staged_here", "eu", False, "pool_empty"),
        ("staged_elsewhere", "us", True, None),
    ]
    assert stage.launch(user, key, kasm_url="https://example.org/")["session_id"] == second["session_id"]
    with open_desktop(stage.instance, first) as desktop:
        assert desktop.goes_on(), "the old id leads to the new session's stream"
    before = stage.instance.session(first)["expires"]
    stage.instance.call("POST", f"/sessions/{first}/keepalives")
    assert stage.instance.session(second["session_id"])["expires"] > before

    row = stage.very(first)
    assert (row["status"], row["user_id"], row["staging_config_id"]) == (
        "failed",
        None,
        stage.configs["eu"],
    )
    assert "exit code 7: no licence left" in row["set_aside_reason"]
    mine = stage.instance.call("GET", f"/sessions?user_id={user}")
    assert [session["session_id"] for session in mine] == [second["session_id"]]
    kept = [session["session_id"] for session in stage.instance.call("GET", "/sessions?set_aside=true")]
    assert kept == [first]
    assert len(stage.instance.containers_of(first)) == 1, "it is there to be looked at"
    rows = f"/logs?code=session-set-aside&session_id={first}"
    (logged,) = wait_for(lambda: stage.instance.call("GET", rows), "the log has it")
    assert (logged["level"], second["session_id"] in logged["message"]) == ("WARNING", True)

    stage.instance.call("DELETE", f"/sessions/{first}?follow=false")
    wait_for(lambda: not stage.instance.containers_of(first), "who has seen enough destroys it")
    assert stage.instance.session(first)["session_id"] == second["session_id"]
    stage.delete(first)
    wait_for(lambda: not stage.instance.containers_of(second["session_id"]), "the old id destroys the new session")


def test_a_container_that_dies_while_it_is_handed_over_is_quarantined(stage: Stage, user: str):
    first = stage.full("eu", "us")
    stage.behave(first, "sleep 60")
    dies_once_assign_runs(first)
    with stage.not_refilled("eu"):
        stage.launch(user)
        second = stage.handed_over(first)
    assert (second["zone_name"], stage.very(first)["status"]) == ("us", "failed")
    stage.delete(first)


def test_an_agent_that_missed_its_deadline_does_nothing_on_return(stage: Stage, user: str):
    first = stage.full("eu", "us")
    with frozen(stage.agent_pid("eu")):
        stage.launch(user)
        second = stage.handed_over(first)
        assert second["zone_name"] == "us"
        assert "did not acknowledge the hand-over" in stage.very(first)["set_aside_reason"]
    wait_for(lambda: stage.instance.staged(stage.configs["eu"]) == 1, "the Agent works again")
    assert not has_file(first, "/var/assigned")(), "no assign of a user runs in a session they did not get"
    stage.delete(first)


def test_who_deletes_while_it_is_handed_over_gets_no_other_one(stage: Stage, user: str):
    staged = stage.full("eu", "us")
    stage.behave(staged, "sleep 60")
    stage.launch(user)
    wait_for(has_file(staged, "/var/assigned"), "assign runs")
    stage.delete(staged)
    wait_for(lambda: stage.instance.has_status(staged, "deleted"), "it is gone")
    assert stage.instance.session(staged)["session_id"] == staged
    assert stage.instance.sessions_of_user(user) == []
    assert stage.instance.staged(stage.configs["us"]) == 1


def test_an_assign_that_is_refused_costs_no_user_their_session(stage: Stage, user: str):
    stage.change({"assign": {"cmd": "true", "user": "missing-user"}})
    try:
        first = stage.full("eu", "us")
        stage.launch(user)
        last = stage.handed_over(first)
        assert stage.trace(first)[-1] == ("on_demand_here", "eu", True, None)
        assert last["staging_config_id"] is None
        assert "missing-user" in stage.very(first)["set_aside_reason"]
    finally:
        stage.change(EXEC_CONFIG)
    stage.delete(first)


def test_nothing_is_broken_in_the_end(stage: Stage):
    stage.full("eu", "us")
    wait_for(lambda: not stage.instance.broken(), "no invariant is broken")
