"""The kill table: kill -9 of each role while it is idle, and while a session is launched, claimed, staged, destroyed.

The work is held at named stops (greenroom.kit.stops), so that the kill happens exactly there: at the killed role's
stop if it has one in that column, otherwise at that of another process in the middle of the work. During all of it a
user views a desktop over one connection from the first cell to the last: no role is on its path.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.open_desktop import OpenDesktop, open_desktop

ROLES = ("api", "manager", "agent", "gateway", "nginx", "postgres")
API, MANAGER, AGENT = "api", "manager-default-1", "agent-default"
PROCESS = {"api": API, "manager": MANAGER, "agent": AGENT}
WAITS_AT = {"audit": API, "launch": API, "claim": API, "destroy": API, "pool": MANAGER, "agent": AGENT}
"""First part of a stop's name → the process that reaches it."""

TABLE: dict[str, dict[str, tuple[str, ...]]] = {
    "launching": {
        "api": ("launch.before_insert", "launch.after_insert"),
        "manager": ("agent.before_create",),
        "agent": ("agent.before_create", "agent.after_create"),
        "gateway": ("agent.before_create",),
        "nginx": ("agent.before_create",),
        "postgres": ("agent.before_create",),
    },
    "claiming": {
        "api": ("claim.after_user_lock", "claim.after_commit"),
        "manager": ("agent.handover_received",),
        "agent": ("agent.handover_received",),
        "gateway": ("agent.handover_received",),
        "nginx": ("agent.handover_received",),
        "postgres": ("claim.after_user_lock", "agent.handover_received"),
    },
    "staging": {
        "api": ("agent.before_create",),
        "manager": ("pool.after_count",),
        "agent": ("agent.after_start",),
        "gateway": ("agent.before_create",),
        "nginx": ("agent.before_create",),
        "postgres": ("pool.after_count", "agent.before_create"),
    },
    "destroying": {
        "api": ("destroy.after_commit",),
        "manager": ("agent.before_remove",),
        "agent": ("agent.before_remove", "agent.after_remove"),
        "gateway": ("agent.before_remove",),
        "nginx": ("agent.before_remove",),
        "postgres": ("agent.before_remove",),
    },
}
"""Column → role → its cells: the stops where a process is held during the kill. A Manager is killed while the Agent is
in the middle of the work. `tests/host/test_agents_and_managers.py` kills it at its commits."""


def cells(column: str) -> list[tuple[str, str]]:
    """(role, stop) of a column."""
    return [(role, stop) for role in ROLES for stop in TABLE[column][role]]


@dataclass
class Killing:
    """Kills roles of an instance and waits for their restart; a user views a desktop meanwhile."""

    instance: Instance
    desktop: OpenDesktop
    record: Callable[[str, object], None]
    held: tuple[str, str] | None = None
    killed: str | None = None
    began: float = 0.0

    def idle(self, role: str) -> None:
        """Kill an idle role, and return when every part works again."""
        self._returned(role, self._kill(role))

    def amid(self, act: Callable[[], object], role: str, stop: str) -> Exception | None:
        """Start `act`, kill the role in the middle of it, and return when every part works again. Returns the error of
        the call of `act`, or None."""
        doing = Doing(act)
        process = WAITS_AT[stop.partition(".")[0]]
        self.instance.arm(process, stop)
        self.held = (process, stop)
        doing.begin()
        try:
            self.instance.wait_at(process, stop)
        except TimeoutError:
            pytest.fail(f"{process} did not come to {stop}; the call: {doing.error or 'no error'}")
        killed = self._kill(role)
        self.let_go()
        self._returned(role, killed)
        doing.end()
        return doing.error

    def let_go(self) -> None:
        """Release the held process, if it was not killed."""
        if self.held is not None and self.held[0] != self.killed:
            self.instance.release(*self.held)
        self.held = None

    def done(self) -> None:
        """The work has ended, and nothing was lost, duplicated or orphaned."""
        self.record("done_s", round(time.monotonic() - self.began, 1))
        wait_for(self._containers_are_right, "each session has one container, and no container is without")
        broken = self.instance.broken()
        assert broken == [], "\n".join(broken) + self.instance.logs()
        assert self.desktop.goes_on()

    def _kill(self, role: str) -> int:
        pid = wait_for(lambda: self.instance.pids(role), f"a {role} to kill")[0]
        self.killed = PROCESS.get(role)
        self.began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert self.desktop.goes_on()
        return pid

    def _returned(self, role: str, killed: int) -> None:
        wait_for(lambda: (pids := self.instance.pids(role)) and killed not in pids, f"a new {role}")
        self.record("process_s", round(time.monotonic() - self.began, 1))
        wait_for(self.instance.healthy, "every part works again", 45)
        self.record("back_s", round(time.monotonic() - self.began, 1))

    def _containers_are_right(self) -> bool:
        """Compared with the rows: an ended session has no container, a running one has one."""
        of_sessions = self.instance.sessions_of_containers()
        rows = self.instance.sql("SELECT session_id::text, status FROM sessions WHERE status <> 'deleted'")
        running = {row["session_id"] for row in rows if row["status"] == "running"}
        alive = {row["session_id"] for row in rows}
        return len(of_sessions) == len(set(of_sessions)) and running <= set(of_sessions) <= alive


class Doing:
    """A call that continues while roles are killed. Its caller may get an error: the result is checked later."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self.error: Exception | None = None

    def begin(self) -> None:
        """Start it."""
        self._thread.start()

    def end(self) -> None:
        """Wait for its end."""
        self._thread.join(30)

    def _run(self) -> None:
        try:
            self._act()
        except (AssertionError, httpx2.HTTPError) as error:
            self.error = error


@pytest.fixture(scope="module")
def desktop(instance: Instance) -> Iterator[OpenDesktop]:
    """The desktop that a user views all the time."""
    session_id = instance.launch(instance.new_user())["session_id"]
    with open_desktop(instance, session_id) as opened:
        yield opened
    instance.call("DELETE", f"/sessions/{session_id}")


@pytest.fixture(scope="module")
def pool(instance: Instance) -> Iterator[str]:
    """A staging config with one session to claim; the workspace has an `assign`, so that a hand-over has two phases."""
    instance.call("PATCH", f"/images/{instance.desktop()}", json={"exec_config": {"assign": {"cmd": "true"}}})
    config = instance.stage(1)
    wait_for(lambda: instance.staged(config) == 1, "the pool is full")
    yield config
    instance.unstage(config)
    instance.call("PATCH", f"/images/{instance.desktop()}", json={"exec_config": {}})


@pytest.fixture
def killing(
    instance: Instance, desktop: OpenDesktop, record_property: Callable[[str, object], None]
) -> Iterator[Killing]:
    killing = Killing(instance, desktop, record_property)
    yield killing
    killing.let_go()


def test_an_event_survives_the_kill_of_its_api(killing: Killing, instance: Instance):
    killing.amid(lambda: instance.call("POST", "/groups", json={"name": "Killed"}), "api", "audit.before_event")
    (group,) = instance.sql("SELECT group_id::text FROM groups WHERE name = 'Killed'")
    instance.sql("UPDATE audit_operations SET alive = alive - interval '1 minute'")
    unknown = "SELECT operation FROM audit_events WHERE result = 'unknown' AND code = 'create-group'"
    wait_for(lambda: instance.sql(unknown), "another api stores the event", within_s=60)
    assert instance.sql(unknown) == [{"operation": "POST /api/v1/groups"}]
    killing.done()
    instance.call("DELETE", f"/groups/{group['group_id']}")


def processes(instance: Instance) -> dict[str, int]:
    """Role → the number of its processes."""
    return {role: len(instance.pids(role)) for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_idle(killing: Killing, instance: Instance, role: str):
    before = processes(instance)
    killing.idle(role)
    wait_for(lambda: processes(instance) == before, "as many processes of each role as before")
    killing.done()


@pytest.mark.parametrize(("role", "stop"), cells("launching"))
def test_launching(killing: Killing, instance: Instance, role: str, stop: str):
    user, key = instance.new_user(), uuid.uuid4().hex
    killing.amid(lambda: instance.launch(user, key), role, stop)
    session = instance.launch(user, key)["session_id"]
    wait_for(lambda: instance.has_status(session, "running"), "the session runs")
    assert instance.sessions_of_user(user) == [session]
    assert len(instance.containers_of(session)) == 1
    killing.done()
    instance.call("DELETE", f"/sessions/{session}")


@pytest.mark.parametrize(("role", "stop"), cells("claiming"))
def test_claiming(killing: Killing, instance: Instance, pool: str, role: str, stop: str):
    wait_for(lambda: instance.staged(pool) == 1, "the pool is full")
    user, key, before = instance.new_user(), uuid.uuid4().hex, instance.made_for(pool)
    killing.amid(lambda: instance.launch(user, key), role, stop)
    first = instance.launch(user, key)["session_id"]
    # A busy host has up to ten times as long for a hand-over (20 s); then the start of a successor follows.
    wait_for(
        lambda: instance.session(first)["status"] == "running",
        "the claimed session, or its successor, is handed over",
        within_s=60,
    )
    session = instance.session(first)["session_id"]
    assert instance.sessions_of_user(user) == [session]
    assert len(instance.containers_of(session)) == 1
    wait_for(lambda: instance.staged(pool) == 1, "the pool is full again")
    assert instance.made_for(pool) == before
    killing.done()
    instance.call("DELETE", f"/sessions/{session}")


@pytest.mark.parametrize(("role", "stop"), cells("staging"))
def test_staging(killing: Killing, instance: Instance, pool: str, role: str, stop: str):
    wait_for(lambda: instance.staged(pool) == 1, "the pool has one session")
    before = instance.made_for(pool)
    try:
        # A plan for an earlier change may reach the stop, so the kill may end the request before its commit.
        if killing.amid(lambda: instance.resize(pool, 2), role, stop):
            instance.resize(pool, 2)
        wait_for(lambda: instance.staged(pool) == 2, "the pool is full")
        assert instance.made_for(pool) == before + 1
        killing.done()
    finally:
        instance.resize(pool, 1)


@pytest.mark.parametrize(("role", "stop"), cells("destroying"))
def test_destroying(killing: Killing, instance: Instance, role: str, stop: str):
    session = instance.launch(instance.new_user())["session_id"]
    wait_for(lambda: instance.has_status(session, "running"), "the session runs")
    killing.amid(lambda: instance.call("DELETE", f"/sessions/{session}"), role, stop)
    wait_for(lambda: instance.has_status(session, "deleted"), "the session is over")
    assert instance.containers_of(session) == []
    killing.done()
