"""Staged sessions that break, and Agents that leave and return, with real containers: sessions handed out are
usable."""

from __future__ import annotations

import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, wait_for
from tests.acceptance.open_desktop import open_desktop
from tests.support.processes import RoleProcess, free_port

pytestmark = pytest.mark.timeout(300)

POOL = 5
PAGE = "/opt/greenroom/page.py"
NOTICED_S = 60.0
"""A page that hangs is probed every 10 s, twice, with a time limit of 5 s each; on a busy machine."""


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def in_pool(instance: Instance, config_id: str) -> dict[str, str]:
    """Session id → Agent of the claimable sessions, in the order of claims."""
    query = "SELECT session_id::text, agent_id::text FROM sessions WHERE staging_config_id = %s AND claimable"
    query += " ORDER BY created"
    return {row["session_id"]: row["agent_id"] for row in instance.sql(query, config_id)}


def full(instance: Instance, config_id: str, number: int) -> dict[str, str]:
    def look() -> dict[str, str] | None:
        found = in_pool(instance, config_id)
        return found if len(found) == number else None

    return wait_for(look, f"{number} are staged", within_s=90)


def has_a_desktop(instance: Instance, session_id: str) -> bool:
    """True if this launch leads to a session with a visible desktop: its session, or the replacement."""
    wait_for(lambda: instance.session(session_id)["status"] == "running", f"{session_id} runs", within_s=60)
    with open_desktop(instance, session_id) as desktop:
        return desktop.goes_on()


@pytest.fixture
def pool(instance: Instance) -> Iterator[str]:
    """A staging config that is removed at the end, together with the sessions launched meanwhile."""
    config_id = instance.stage(POOL)
    full(instance, config_id, POOL)
    try:
        yield config_id
    finally:
        query = "SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND user_id IS NOT NULL"
        for row in instance.sql(query + " AND status <> 'deleted'", config_id):
            instance.call("DELETE", f"/sessions/{row['session_id']}")
        instance.unstage(config_id)


def test_what_breaks_in_a_pool_is_replaced_and_launches_get_what_works(instance: Instance, pool: str):
    killed, without_page, hangs, frozen, without_screen = in_pool(instance, pool)
    docker("exec", f"gr-{hangs}", "pkill", "-STOP", "-f", PAGE)
    docker("exec", f"gr-{without_screen}", "pkill", "-STOP", "Xtigervnc")
    docker("pause", f"gr-{frozen}")
    docker("kill", f"gr-{killed}")
    docker("exec", "--detach", f"gr-{without_page}", "pkill", "-KILL", "-f", PAGE)  # an ended process may end it, too
    assert has_a_desktop(instance, instance.launch(instance.new_user())["session_id"])

    def is_out(session_id: str) -> bool:
        row = instance.sql("SELECT claimable, status FROM sessions WHERE session_id = %s", session_id)[0]
        return not row["claimable"]

    for session_id in (hangs, without_screen, killed, without_page):
        wait_for(lambda s=session_id: is_out(s), f"{session_id} left the pool", NOTICED_S)
    staged = full(instance, pool, POOL)
    assert not {hangs, without_screen, killed, without_page} & set(staged)
    states = docker("inspect", "--format", "{{.State.Status}}", *(f"gr-{session_id}" for session_id in staged))
    assert set(states.split()) == {"running"}, "what was frozen goes on"
    (config,) = instance.sql("SELECT failures, next_try FROM staging_configs WHERE staging_config_id = %s", pool)
    assert config == {"failures": 0, "next_try": None}, "no start has failed"
    expected = {killed, without_page, hangs, without_screen} - _claimed(instance)
    broken = wait_for(lambda: found if expected <= (found := _in_log(instance)).keys() else None, "the log has them")
    for session_id in {killed, without_page} - _claimed(instance):
        assert "cannot be claimed" in broken[session_id]
    for session_id in {hangs, without_screen} - _claimed(instance):
        assert "stopped working while it was staged" in broken[session_id]
    assert instance.broken() == []


def _in_log(instance: Instance) -> dict[str, str]:
    """Session → the log's message about its break."""
    return {line["session_id"]: line["message"] for line in instance.call("GET", "/logs?code=staged-session-broken")}


def _claimed(instance: Instance) -> set[str]:
    """Sessions that a launch claimed: their hand-over failed, and the launch continued with another one."""
    rows = instance.sql("SELECT session_id::text FROM sessions WHERE assigned IS NOT NULL")
    return {row["session_id"] for row in rows}


@pytest.fixture
def second_agent(instance: Instance, tmp_path: Path) -> Iterator[RoleProcess]:
    """A second Agent in the zone, whose containers exist only in a file."""
    zone = instance.found["zones"][0]
    token = tmp_path / "token"
    body = {"zone_id": zone["zone_id"], "enable_agent": True}
    token.write_text(instance.call("POST", "/join-tokens", json=body)["token"])
    agent = RoleProcess(
        "agent",
        f"agent-{uuid.uuid4().hex[:6]}",
        tmp_path,
        {
            "GREENROOM_AGENT_DIR": str(tmp_path / "agent"),
            "GREENROOM_AGENT_PORT": str(free_port()),
            "GREENROOM_MANAGER_URLS": zone["gateway_url"],
            "GREENROOM_CA_FILE": instance.found["ca_file"],
            "GREENROOM_JOIN_TOKEN_FILE": str(token),
            "GREENROOM_RUNTIME": "simulated",
        },
    )
    mine = instance.found["agents"][0]["agent_id"]
    agent.start()
    try:
        wait_for(lambda: _other(instance), "the second Agent is running")
        yield agent
    finally:
        agent.close()
        instance.sql("UPDATE agents SET enabled = false WHERE agent_id <> %s", mine)
        instance.sql("DELETE FROM sessions WHERE agent_id <> %s", mine)
        instance.sql("DELETE FROM agents WHERE agent_id <> %s", mine)


def _other(instance: Instance) -> str | None:
    """The id of the second Agent, while it is running."""
    mine = instance.found["agents"][0]["agent_id"]
    rows = instance.sql("SELECT agent_id::text FROM agents WHERE agent_id <> %s AND status = 'running'", mine)
    return rows[0]["agent_id"] if rows else None


def change(instance: Instance, agent_id: str, **fields: Any) -> None:
    instance.call("PATCH", f"/agents/{agent_id}", json=fields)


def test_sessions_of_leaving_agents_are_replaced_before_they_end(instance: Instance, second_agent: RoleProcess):
    mine, other = instance.found["agents"][0]["agent_id"], str(_other(instance))
    change(instance, other, enabled=False)
    config_id = instance.stage(2)
    try:
        first = full(instance, config_id, 2)
        assert set(first.values()) == {mine}
        change(instance, other, enabled=True)
        for leaving, field, value in ((mine, "enabled", False), (other, "draining", True)):
            before, staying = in_pool(instance, config_id), other if leaving == mine else mine
            change(instance, leaving, **{field: value})
            wait_for(
                lambda s=staying: set(in_pool(instance, config_id).values()) == {s}, "they are on the other Agent", 60
            )
            assert len(in_pool(instance, config_id)) == 2
            _replaced_before_ended(instance, config_id, before)
            change(instance, leaving, **{field: not value})
        assert all(instance.containers_of(session_id) for session_id in in_pool(instance, config_id))
        wait_for(lambda: not any(map(instance.containers_of, first)), "the containers of the first ones are gone")
        change(instance, mine, enabled=False)
        wait_for(lambda: set(in_pool(instance, config_id).values()) == {other}, "they are on the other Agent", 60)
        missed = in_pool(instance, config_id)
        change(instance, mine, enabled=True)
        _away_and_back(instance, config_id, second_agent, missed, mine)
    finally:
        change(instance, mine, enabled=True)
        instance.unstage(config_id)


def _replaced_before_ended(instance: Instance, config_id: str, before: dict[str, str]) -> None:
    """None of those `before` was ended while the pool had too few usable replacements."""
    ended = instance.sql(
        "SELECT count(*) AS early FROM sessions old WHERE old.session_id = ANY(%s::uuid[]) AND 2 > (SELECT count(*)"
        " FROM sessions s WHERE s.staging_config_id = %s AND s.session_id <> ALL(%s::uuid[])"
        " AND s.started < old.status_changed)",
        list(before),
        config_id,
        list(before),
    )
    assert ended == [{"early": 0}]


def _away_and_back(instance: Instance, config_id: str, agent: RoleProcess, missed: dict[str, str], mine: str) -> None:
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(
            lambda: set(in_pool(instance, config_id).values()) == {mine},
            "sessions of a missing Agent are replaced",
            within_s=60,
        )
        staged = full(instance, config_id, 2)
        assert not set(staged) & set(missed)
        rows = instance.sql("SELECT status FROM sessions WHERE session_id = ANY(%s::uuid[])", list(missed))
        assert {row["status"] for row in rows} == {"unreachable"}
        shown = instance.call("GET", f"/staging-configs/{config_id}")
        assert shown["num_current_sessions"] == 2, "those of a missing Agent are not counted"
    finally:
        agent.process.send_signal(signal.SIGCONT)
    query = "SELECT count(*) FROM sessions WHERE staging_config_id = %s AND user_id IS NULL AND status <> 'deleted'"
    wait_for(lambda: instance.sql(query, config_id)[0]["count"] == 2, "the surplus is gone", within_s=60)
    assert instance.staged(config_id) == 2


def test_staged_sessions_survive_their_agent(instance: Instance):
    config_id = instance.stage(1)
    try:
        (session_id,) = full(instance, config_id, 1)
        container = instance.containers_of(session_id)
        changed = "SELECT status_changed, generation FROM sessions WHERE session_id = %s"
        before = instance.sql(changed, session_id)
        pid = instance.kill("agent")
        wait_for(lambda: instance.pids("agent") not in ([], [pid]) and instance.healthy(), "a new Agent works", 60)
        reported = "SELECT 1 FROM agents a JOIN session_observed o USING (agent_id) WHERE o.session_id = %s"
        reported += " AND o.usable AND o.incarnation = a.incarnation"
        wait_for(lambda: instance.sql(reported, session_id), "the new Agent has looked at the session")
        assert in_pool(instance, config_id) == {session_id: instance.found["agents"][0]["agent_id"]}
        assert instance.sql(changed, session_id) == before
        assert instance.containers_of(session_id) == container
    finally:
        instance.unstage(config_id)
