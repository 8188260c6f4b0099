"""kill -9 of each role while something is being done: the columns launching, claiming, staging, destroying.

What is being done is held at a named stop (greenroom.kit.stops), so that the kill falls exactly there: at a stop of the
killed role itself where it has one in that column, else while the Agent is held in the middle of the work.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.acceptance.instance import Instance, run, wait_for

ROLES = ("api", "manager", "agent", "gateway", "nginx", "postgres")
PROCESS = {"api": "api", "manager": "manager-default-1", "agent": "agent-default"}

HELD_AT: dict[str, dict[str, str]] = {
    "launching": {"api": "launch.after_insert", "manager": "checkin.before_commit", "agent": "agent.after_create"},
    "claiming": {"api": "claim.after_commit", "manager": "checkin.before_commit", "agent": "agent.handover_received"},
    "staging": {"manager": "pool.after_count", "agent": "agent.after_start"},
    "destroying": {"api": "destroy.after_commit", "manager": "checkin.before_commit", "agent": "agent.before_remove"},
}
"""Column → role → the stop at which it is killed."""

MEANWHILE = {
    "launching": "agent.before_create",
    "claiming": "agent.handover_received",
    "staging": "agent.before_create",
    "destroying": "agent.before_remove",
}
"""Column → where the Agent is held while another role is killed."""


def kill_in(instance: Instance, column: str, role: str, act: Callable[[], object]) -> None:
    """Start `act`, kill the role in the middle of it, and return when every part works again."""
    stop = HELD_AT[column].get(role)
    process = PROCESS[role] if stop else PROCESS["agent"]
    stop = stop or MEANWHILE[column]
    instance.arm(process, stop)
    doing = threading.Thread(target=_in_spite_of_the_kill, args=(act,))
    doing.start()
    instance.wait_at(process, stop)
    killed = instance.kill(role)
    wait_for(lambda: killed not in instance.pids(role) and instance.pids(role), f"a new {role}")
    if process != PROCESS.get(role):
        instance.release(process, stop)
    doing.join(30)
    wait_for(instance.healthy, "every part works again", within_s=45)


def _in_spite_of_the_kill(act: Callable[[], object]) -> None:
    try:
        act()
    except (AssertionError, httpx.HTTPError):
        return  # the caller of a killed role gets an error; what it asked for is looked at afterwards


def check(instance: Instance) -> None:
    """Nothing lost, duplicated or orphaned."""
    done = run("doctor", "--data", str(instance.data))
    assert done.returncode == 0, done.stdout + instance.logs()


@pytest.fixture
def pool(instance: Instance) -> Iterator[str]:
    """A staging config with one session that can be claimed; the workspace has an `assign`, which is run then."""
    instance.call("PATCH", f"/images/{instance.desktop()}", json={"exec_config": {"assign": {"cmd": "true"}}})
    config = instance.stage(1)
    wait_for(lambda: instance.staged(config) == 1, "the pool is full")
    yield config
    instance.unstage(config)
    instance.call("PATCH", f"/images/{instance.desktop()}", json={"exec_config": {}})


@pytest.mark.parametrize("role", ROLES)
def test_launching(instance: Instance, role: str):
    user, key = instance.new_user(), uuid.uuid4().hex
    kill_in(instance, "launching", role, lambda: instance.launch(user, key))
    session = instance.launch(user, key)["session_id"]
    wait_for(lambda: instance.has_status(session, "running"), "the session runs")
    assert len(instance.sql("SELECT 1 FROM sessions WHERE user_id = %s", user)) == 1
    assert len(instance.containers_of(session)) == 1
    check(instance)
    instance.call("DELETE", f"/sessions/{session}")


@pytest.mark.parametrize("role", ROLES)
def test_claiming(instance: Instance, pool: str, role: str):
    user, key = instance.new_user(), uuid.uuid4().hex
    kill_in(instance, "claiming", role, lambda: instance.launch(user, key))
    first = instance.launch(user, key)["session_id"]
    wait_for(
        lambda: instance.session(first)["status"] == "running", "the claimed session, or its successor, is handed over"
    )
    session = instance.session(first)["session_id"]
    of_user = instance.sql("SELECT session_id FROM sessions WHERE user_id = %s AND status = 'running'", user)
    assert [str(row["session_id"]) for row in of_user] == [session]
    assert len(instance.containers_of(session)) == 1
    wait_for(lambda: instance.staged(pool) == 1, "the pool is full again")
    check(instance)
    instance.call("DELETE", f"/sessions/{session}")


@pytest.mark.parametrize("role", ROLES)
def test_staging(instance: Instance, role: str):
    configs: list[str] = []
    try:
        kill_in(instance, "staging", role, lambda: configs.append(instance.stage(2)))
        wait_for(lambda: instance.staged(configs[0]) == 2, "the pool is full")
        check(instance)
    finally:
        for config in configs:
            instance.unstage(config)


@pytest.mark.parametrize("role", ROLES)
def test_destroying(instance: Instance, role: str):
    session = instance.launch(instance.new_user())["session_id"]
    wait_for(lambda: instance.has_status(session, "running"), "the session runs")
    kill_in(instance, "destroying", role, lambda: instance.call("DELETE", f"/sessions/{session}"))
    wait_for(lambda: instance.has_status(session, "deleted"), "the session is over")
    assert instance.containers_of(session) == []
    check(instance)
