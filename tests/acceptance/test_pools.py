"""The pool stays at Desired, with real containers: the effect of each change on it, and the shortfall of the config."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.acceptance.instance import Instance, wait_for

pytestmark = pytest.mark.timeout(300)

POOL = 2
ROLLED_S = 90.0
"""The time within which a pool is replaced; a start takes seconds on a busy machine."""


class Pool:
    """A staging config of the instance for `Desktop`."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.config_id = instance.stage(POOL)
        self.full()

    @property
    def path(self) -> str:
        return f"/staging-configs/{self.config_id}"

    def claimable(self) -> set[str]:
        query = "SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND claimable"
        return {row["session_id"] for row in self.instance.sql(query, self.config_id)}

    def reserved(self) -> set[tuple[float, bool]]:
        """The cores of its sessions, with True if a session can be claimed."""
        query = "SELECT cores, claimable FROM sessions WHERE staging_config_id = %s AND user_id IS NULL"
        rows = self.instance.sql(query + " AND status IN ('requested', 'starting', 'running')", self.config_id)
        return {(row["cores"], row["claimable"]) for row in rows}

    def full(self, number: int = POOL) -> set[str]:
        wait_for(lambda: len(self.claimable()) == number, f"{number} are staged", ROLLED_S)
        return self.claimable()

    def is_new(self, old: set[str], number: int = POOL) -> None:
        """Wait until none of these remains."""
        wait_for(lambda: not old & self.claimable(), "the old ones are gone", ROLLED_S)
        self.full(number)

    def says(self, code: str) -> str:
        """Wait until the config has this shortfall; returns the message."""

        def look() -> str | None:
            shortfall = self.instance.call("GET", self.path)["shortfall"]
            return shortfall["reason"] if shortfall and shortfall["code"] == code else None

        return wait_for(look, f"it says {code}")

    def levels(self, code: str) -> list[str]:
        """Levels of the rows that were logged for this cause, the oldest first; waits until there is one."""
        query = "SELECT level FROM logs WHERE code = 'staging-shortfall' AND staging_config_id = %s"
        query += " AND details->>'code' = %s ORDER BY log_id"
        rows = wait_for(lambda: self.instance.sql(query, self.config_id, code), f"the log says {code}")
        return [row["level"] for row in rows]

    @contextmanager
    def watched(self) -> Iterator[list[tuple[int, int]]]:
        """Read the database many times a second: the number of claimable sessions, and the number of all."""
        seen: list[tuple[int, int]] = []
        over = threading.Event()
        query = (
            "SELECT count(*) FILTER (WHERE claimable AND expires > clock_timestamp()), count(*) FROM sessions"
            " WHERE staging_config_id = %s AND user_id IS NULL AND status IN ('requested', 'starting', 'running')"
        )

        def watch() -> None:
            with psycopg.connect(self.instance.found["database_url"], autocommit=True) as connection:
                while not over.wait(0.02):
                    seen.extend(connection.execute(query, (self.config_id,)).fetchall())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


@pytest.fixture(scope="module")
def pool(instance: Instance) -> Iterator[Pool]:
    """One pool for all tests of the module; each leaves it full."""
    pool = Pool(instance)
    yield pool
    query = "SELECT session_id::text FROM sessions WHERE user_id IS NOT NULL AND status <> 'deleted'"
    for row in instance.sql(query):
        instance.call("DELETE", f"/sessions/{row['session_id']}")
    instance.unstage(pool.config_id)


@contextmanager
def changed(instance: Instance, path: str, **fields: Any) -> Iterator[None]:
    """Change these fields for the duration of the block."""
    noun, _, key = path.strip("/").partition("/")
    (before,) = [found for found in instance.call("GET", f"/{noun}") if key in found.values()]
    instance.call("PATCH", path, json=fields)
    try:
        yield
    finally:
        instance.call("PATCH", path, json={name: before[name] for name in fields})


def test_no_gap_is_seen_when_staged_sessions_expire_or_are_recycled(instance: Instance, pool: Pool):
    old = pool.full()
    with pool.watched() as seen:
        # Starts took 60 s here, so it is time to replace both, even if that takes long on a busy machine.
        instance.sql(
            "UPDATE sessions SET created = created - interval '1 h',"
            " started = created - interval '1 h' + interval '60 s',"
            " expires = clock_timestamp() + interval '120 s' WHERE staging_config_id = %s AND claimable",
            pool.config_id,
        )
        instance.sql("SELECT pg_notify('greenroom', %s)", f"staging:{pool.config_id}")
        pool.is_new(old)
    assert min(current for current, _ in seen) == POOL
    assert max(total for _, total in seen) == POOL + 1
    old = pool.full()
    with pool.watched() as seen:
        instance.call("POST", f"{pool.path}/recycle")
        pool.is_new(old)
    assert min(current for current, _ in seen) == POOL
    assert max(total for _, total in seen) == POOL + 1
    assert instance.broken() == []


def test_no_gap_is_seen_when_a_workspace_is_changed_and_changed_back(instance: Instance, pool: Pool):
    old, before = pool.full(), pool.reserved()
    with pool.watched() as seen:
        with changed(instance, f"/images/{instance.desktop()}", cores=0.15):
            wait_for(lambda: (0.15, False) in pool.reserved(), "the first replacement is on its way")
        pool.is_new(old)
    assert min(current for current, _ in seen) == POOL
    assert max(total for _, total in seen) == POOL + 1
    wait_for(lambda: pool.reserved() == before, "nothing of the change in between is left")


def test_an_assigned_session_is_replaced_and_a_surplus_ends_the_oldest(instance: Instance, pool: Pool):
    old = pool.full()
    launched = instance.launch(instance.new_user())["session_id"]
    assert launched in old
    left = pool.full() - old
    assert len(left) == 1, "one for the one that was assigned"
    instance.resize(pool.config_id, 1)
    assert pool.full(1) == left
    assert instance.has_status(launched, "assigning") or instance.has_status(launched, "running")
    instance.resize(pool.config_id, POOL)
    pool.full()


def test_each_change_of_a_sessions_contents_replaces_older_ones(instance: Instance, pool: Pool):
    """exec config, permissions, and either value of the zone."""
    zone = instance.found["zones"][0]["zone_id"]
    (found,) = [z for z in instance.call("GET", "/zones") if z["zone_id"] == zone]
    exec_config = {"first_launch": {"cmd": "true"}}
    origins = f"{found['allow_origin_domain']},desk.example"
    upstream = found["upstream_auth_address"].replace("127.0.0.1", "localhost")
    is_allowed = instance.call("GET", pool.path)["allow_kasm_gamepad"]
    old = pool.full()
    with changed(instance, f"/images/{instance.desktop()}", exec_config=exec_config):
        pool.is_new(old)
        old = pool.full()
        instance.call("PATCH", pool.path, json={"allow_kasm_gamepad": not is_allowed})
        pool.is_new(old)
        old = pool.full()
        with changed(instance, f"/zones/{zone}", allow_origin_domain=origins):
            pool.is_new(old)
        old = pool.full()
        with changed(instance, f"/zones/{zone}", upstream_auth_address=upstream):
            pool.is_new(old)
        old = pool.full()
    pool.is_new(old)


def test_the_cause_of_an_empty_pool_is_shown_and_then_it_is_filled(instance: Instance, pool: Pool):
    zone = instance.found["zones"][0]
    with changed(instance, f"/zones/{zone['zone_id']}", upstream_auth_address="$request_host$"):
        assert pool.says("zone-request-host").startswith(
            f"Nothing is staged: Upstream Auth Address of zone {zone['zone_name']} contains $request_host$"
        )
        pool.full(0)
        launched = instance.launch(instance.new_user())
        assert launched["staged"] is False, "nothing was there to be assigned"
    pool.full()
    with changed(instance, f"/images/{instance.desktop()}", enabled=False):
        assert "Nothing is staged: workspace Desktop is disabled." in pool.says("image-disabled")
        pool.full(0)
    pool.full()
    assert (pool.levels("zone-request-host"), pool.levels("image-disabled")) == (["WARNING"], ["WARNING"])


def test_a_short_pool_says_how_much_is_missing_where_or_what_failed(instance: Instance, pool: Pool):
    (agent,) = instance.call("GET", "/agents")
    with changed(instance, f"/agents/{agent['agent_id']}", cores_override=0.2):
        instance.resize(pool.config_id, 50)
        sentence = pool.says("no-capacity")
        assert "of 50 not staged: no Agent in zone default has 0.1 cores and 256 MB free" in sentence
        assert "of 0.2 cores free, 0.1 are needed" in sentence
        instance.resize(pool.config_id, POOL)
    with changed(instance, f"/agents/{agent['agent_id']}", enabled=False):
        assert pool.says("no-agent").endswith(" is disabled.")
    image = f"/images/{instance.desktop()}"
    with changed(instance, image, exec_config={"first_launch": {"cmd": "bash -c 'echo no licence; exit 3'"}}):
        sentence = pool.says("start-failing")
        assert "`first_launch` ended with exit code 3" in sentence
        assert "no licence" in sentence
        assert "next try at " in sentence or "trying again now" in sentence
    pool.full()
    assert pool.levels("no-capacity") == ["WARNING"]
    assert set(pool.levels("start-failing")) == {"ERROR"}
