"""The life cycle of a session, observed at its real container: stop, pause, resume, the two clocks, force, the
second start."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.open_desktop import is_streamed, open_desktop
from tests.support.processes import RoleProcess, free_port

from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings

COUNT = "nohup sh -c 'while :; do printf . >> /tmp/count; sleep 0.05; done' > /dev/null 2>&1 &"
"""A program whose file grows while it runs: its size is the count."""


def state(session_id: str) -> dict[str, Any]:
    """Docker's state of a session's container; empty if there is none."""
    answer = subprocess.run(["docker", "inspect", f"gr-{session_id}"], check=False, capture_output=True, text=True)
    found = json.loads(answer.stdout or "[]")
    return found[0]["State"] if found else {}


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def inside(session_id: str, script: str) -> str:
    return docker("exec", f"gr-{session_id}", "sh", "-c", script)


def count(session_id: str) -> int:
    """The value of the counter, read from outside, so that it can be read while everything is frozen."""
    argv = ["docker", "cp", f"gr-{session_id}:/tmp/count", "-"]
    packed = subprocess.run(argv, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        return files.getmember("count").size


def user_with(instance: Instance, **settings: Any) -> str:
    """The id of a new user whose group has these settings."""
    body = {"name": f"g-{uuid.uuid4().hex[:10]}", "priority": 2, "settings": settings}
    group_id = instance.call("POST", "/groups", json=body)["group_id"]
    body = {"username": f"u-{uuid.uuid4().hex[:10]}@example.org", "groups": [group_id]}
    return instance.call("POST", "/users", json=body)["user_id"]


def launched(instance: Instance, user_id: str | None = None) -> str:
    """Launch a session; for a new user if none is named."""
    body = {"image_id": instance.desktop(), "user_id": user_id or instance.new_user()}
    return instance.call("POST", "/sessions", json=body)["session_id"]


def running(instance: Instance, user_id: str | None = None) -> str:
    """Launch a session, and wait until it runs."""
    session_id = launched(instance, user_id)
    becomes(instance, session_id, "running")
    return session_id


def becomes(instance: Instance, session_id: str, *statuses: str, within_s: float = 90) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = instance.session(session_id)
        return found if found["status"] in statuses else None

    return wait_for(look, f"{session_id} is {' or '.join(statuses)}", within_s)


def order(instance: Instance, session_id: str, command: str) -> None:
    instance.call("POST", f"/sessions/{session_id}/lifecycle-commands", json={"command": command})


def delete(instance: Instance, *session_ids: str) -> None:
    for session_id in session_ids:
        instance.call("DELETE", f"/sessions/{session_id}")
    for session_id in session_ids:
        wait_for(lambda s=session_id: not state(s), "its container is gone")


def test_a_stopped_session_keeps_its_files_and_its_address(instance: Instance):
    session_id = running(instance)
    address = instance.call("GET", f"/sessions/{session_id}/connection")["frame_url"]
    inside(session_id, "echo kept > ~/file; " + COUNT)
    container = instance.containers_of(session_id)
    order(instance, session_id, "stop")
    becomes(instance, session_id, "stopped")
    assert state(session_id)["Status"] == "exited"
    assert instance.call("GET", f"/sessions/{session_id}/connection")["frame_url"] is None
    order(instance, session_id, "resume")
    becomes(instance, session_id, "running")
    assert instance.containers_of(session_id) == container
    assert state(session_id)["Status"] == "running"
    assert inside(session_id, "cat ~/file") == "kept"
    assert inside(session_id, "pgrep -f [/]tmp/count || echo none") == "none"
    assert instance.call("GET", f"/sessions/{session_id}/connection")["frame_url"] == address
    with open_desktop(instance, session_id) as desktop:
        assert desktop.goes_on()
    delete(instance, session_id)


def test_a_pause_freezes_programs_and_stream_until_a_resume(instance: Instance):
    session_id = running(instance)
    inside(session_id, COUNT)
    wait_for(lambda: inside(session_id, "test -s /tmp/count && echo yes || true"), "the counter has begun")
    with open_desktop(instance, session_id) as desktop:
        order(instance, session_id, "pause")
        becomes(instance, session_id, "paused")
        assert state(session_id)["Paused"] is True
        before = count(session_id)
        assert before > 0
        with pytest.raises(AssertionError, match="not within"):
            wait_for(lambda: count(session_id) != before, "the counter goes on", within_s=1)
        order(instance, session_id, "resume")
        becomes(instance, session_id, "running")
        wait_for(lambda: count(session_id) > before, "the counter goes on")
        assert state(session_id)["Paused"] is False
        assert desktop.goes_on()
    order(instance, session_id, "pause")
    becomes(instance, session_id, "paused")
    order(instance, session_id, "stop")
    becomes(instance, session_id, "stopped")
    assert state(session_id)["Status"] == "exited"
    delete(instance, session_id)


def test_a_stop_is_obeyed_although_the_manager_is_killed(instance: Instance):
    session_id = running(instance)
    instance.kill("manager")
    order(instance, session_id, "stop")
    becomes(instance, session_id, "stopped")
    assert state(session_id)["Status"] == "exited"
    delete(instance, session_id)
    wait_for(instance.healthy, "every part works again")


def test_expiry_does_what_the_owners_group_says(instance: Instance):
    sessions = {
        action: launched(instance, user_with(instance, keepalive_expiration=3, keepalive_expiration_action=action))
        for action in ("stop", "pause", "delete")
    }
    stopped = becomes(instance, sessions["stop"], "stopped")
    assert state(sessions["stop"])["Status"] == "exited"
    assert "`keepalive_expiration` = 3 from group" in stopped["stopped_reason"]
    assert "`keepalive_expiration_action` = stop from group" in stopped["stopped_reason"]
    assert stopped["expires"] is None
    becomes(instance, sessions["pause"], "paused")
    assert state(sessions["pause"])["Paused"] is True
    gone = becomes(instance, sessions["delete"], "deleted")
    assert state(sessions["delete"]) == {}
    assert "`keepalive_expiration` = 3 from group" in gone["ended_reason"]
    assert instance.session(sessions["stop"])["status"] == "stopped"
    assert instance.session(sessions["pause"])["status"] == "paused"
    order(instance, sessions["pause"], "resume")
    becomes(instance, sessions["pause"], "running", "pausing", "paused")
    delete(instance, sessions["stop"], sessions["pause"])


def test_a_time_limit_ends_active_stopped_and_paused_sessions(instance: Instance):
    user_id = user_with(instance, session_time_limit=600, keepalive_expiration_action="stop")
    kept, paused = running(instance, user_id), running(instance, user_id)
    order(instance, paused, "pause")
    becomes(instance, paused, "paused")
    limit = datetime.fromisoformat(instance.session(kept)["time_limit_ends"])
    expires = datetime.fromisoformat(instance.call("POST", f"/sessions/{kept}/keepalives")["expires"])
    assert abs(expires - limit) < timedelta(seconds=0.1)
    over = "UPDATE sessions SET time_limit_ends = clock_timestamp(), expires = clock_timestamp()"
    instance.sql(f"{over} WHERE session_id = ANY(%s::uuid[])", [kept, paused])
    for session_id in (kept, paused):
        gone = becomes(instance, session_id, "deleted")
        assert "`session_time_limit` = 600 from group" in gone["ended_reason"]
        assert state(session_id) == {}


def test_force_ends_a_session_at_once_and_its_container_later(instance: Instance):
    session_id = running(instance)
    (agent,) = instance.pids("agent")
    os.kill(agent, signal.SIGSTOP)
    try:
        instance.call("DELETE", f"/sessions/{session_id}")
        assert instance.session(session_id)["status"] == "deleting"
        assert instance.call("DELETE", f"/sessions/{session_id}?force=true")["status"] == "deleted"
        assert instance.session(session_id)["status"] == "deleted"
        assert state(session_id)["Status"] == "running"
    finally:
        os.kill(agent, signal.SIGCONT)
    wait_for(lambda: not state(session_id), "the verdict removes the container", within_s=60)
    wait_for(instance.healthy, "every part works again", within_s=60)
    assert instance.broken() == []


@pytest.fixture
def ending_image(openbox_image: str) -> Iterator[str]:
    """The name of an image whose containers print a line and end."""
    name = f"greenroom/ends:{uuid.uuid4().hex[:10]}"
    container = docker("create", openbox_image)
    docker("commit", "--change", 'ENTRYPOINT ["sh", "-c", "echo cannot open display; exit 3"]', container, name)
    docker("rm", container)
    yield name
    docker("rmi", name)


def test_a_container_that_ends_at_once_gives_cause_and_last_lines(instance: Instance, ending_image: str):
    body = {"friendly_name": ending_image, "name": ending_image, "cores": 0.1, "memory": 256_000_000}
    image_id = instance.call("POST", "/images", json=body)["image_id"]
    query = "SELECT 1 FROM agent_images WHERE name = %s AND state = 'present'"
    wait_for(lambda: instance.sql(query, ending_image), "the Agent reports the image")
    body = {"image_id": image_id, "user_id": instance.new_user()}
    session_id = instance.call("POST", "/sessions", json=body)["session_id"]
    failed = becomes(instance, session_id, "failed")
    assert "exit code 3" in failed["error"]
    assert failed["error"].endswith("It was not tried on another Agent: Zone default has no other Agent.")
    assert failed["log_tail"] == "cannot open display\n"
    steps = instance.call("GET", f"/sessions/{session_id}/placement")["steps"]
    assert [step["code"] for step in steps[-3:]] == [None, "start_failed", "no_capacity"], steps
    assert [step["used"] for step in steps[-3:]] == [True, False, False]
    delete(instance, session_id)
    instance.call("PATCH", f"/images/{image_id}", json={"enabled": False})


@pytest.fixture
def second_agent(instance: Instance, tmp_path: Path) -> Iterator[str]:
    """The id of a second Agent in the zone, on which containers are created slowly and none can be started. It
    counts as another machine: if a start was too slow, as on a busy host, the next one is made on another."""
    zone_id = instance.found["zones"][0]["zone_id"]
    token = tmp_path / "token"
    body = {"zone_id": zone_id, "enable_agent": True}
    token.write_text(instance.call("POST", "/join-tokens", json=body)["token"])
    image = instance.sql("SELECT name FROM images WHERE friendly_name = 'Desktop'")[0]["name"]
    runtime = SimulatedRuntime("", "", folder=tmp_path / "agent")
    runtime.configure(SimulationSettings(broken_images=frozenset({image}), start_s=8.0))
    agent = RoleProcess(
        "agent",
        "second-agent",
        tmp_path,
        {
            "GREENROOM_AGENT_DIR": str(tmp_path / "agent"),
            "GREENROOM_AGENT_PORT": str(free_port()),
            "GREENROOM_MANAGER_URLS": instance.found["zones"][0]["gateway_url"],
            "GREENROOM_CA_FILE": instance.found["ca_file"],
            "GREENROOM_JOIN_TOKEN_FILE": str(token),
            "GREENROOM_RUNTIME": "simulated",
        },
    )
    mine = instance.found["agents"][0]["agent_id"]
    agent.start()
    try:
        second = wait_for(
            lambda: instance.sql("SELECT agent_id::text FROM agents WHERE agent_id <> %s AND status = 'running'", mine),
            "the second Agent is running",
        )[0]["agent_id"]
        instance.sql("UPDATE agents SET machine_id = 'another' WHERE agent_id = %s", second)
        yield second
    finally:
        agent.close()
        instance.sql("UPDATE agents SET enabled = false WHERE agent_id <> %s", mine)
        instance.sql("DELETE FROM sessions WHERE agent_id <> %s", mine)
        instance.sql("DELETE FROM agents WHERE agent_id <> %s", mine)


def test_a_session_that_cannot_start_on_one_agent_runs_on_the_other(instance: Instance, second_agent: str):
    mine = instance.found["agents"][0]["agent_id"]
    instance.call("PATCH", f"/agents/{mine}", json={"enabled": False})
    launched = instance.launch(instance.new_user())
    instance.call("PATCH", f"/agents/{mine}", json={"enabled": True})
    first = launched["session_id"]
    assert instance.call("GET", f"/sessions/{first}?follow=false")["agent_id"] == second_agent
    found = becomes(instance, first, "running")
    second = found["session_id"]
    assert second != first
    assert found["agent_id"] == mine
    assert state(second)["Status"] == "running"
    assert inside(second, "echo $KASM_ID") == second
    steps = instance.call("GET", f"/sessions/{first}/placement")["steps"]
    assert [step["used"] for step in steps[-2:]] == [False, True]
    assert "is broken" in steps[-2]["reason"]
    wait_for(lambda: is_streamed(instance, first), "the stream of the old id shows the new session")
    wait_for(
        lambda: instance.sql("SELECT 1 FROM sessions WHERE session_id = %s AND status = 'deleted'", first),
        "the first try is discarded",
    )
    delete(instance, second)


def test_a_session_whose_agent_hangs_in_create_runs_on_the_other(instance: Instance, second_agent: str, tmp_path: Path):
    SimulatedRuntime("", "", folder=tmp_path / "agent").configure(SimulationSettings(create_s=3600.0))
    mine = instance.found["agents"][0]["agent_id"]
    instance.call("PATCH", f"/agents/{mine}", json={"enabled": False})
    first = instance.launch(instance.new_user())["session_id"]
    becomes(instance, first, "starting")
    instance.call("PATCH", f"/agents/{mine}", json={"enabled": True})
    # Its last step counts, and a busy host extends the limit; this was long ago for either.
    instance.sql("UPDATE sessions SET deadline = clock_timestamp() - interval '2 h' WHERE session_id = %s", first)
    instance.sql("UPDATE session_steps SET at = at - interval '2 h' WHERE session_id = %s", first)
    second = becomes(instance, first, "running")["session_id"]
    assert state(second)["Status"] == "running"
    steps = instance.call("GET", f"/sessions/{first}/placement")["steps"]
    assert "still starting" in steps[-2]["reason"]
    row = instance.sql("SELECT agent_id::text, status, want FROM sessions WHERE session_id = %s", first)
    assert row == [{"agent_id": second_agent, "status": "deleting", "want": "absent"}]
    assert instance.call("DELETE", f"/sessions/{second}?force=true")["status"] == "deleted"
    wait_for(lambda: not state(second), "the verdict removes the container", within_s=60)
