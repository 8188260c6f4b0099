"""A whole instance while PostgreSQL is stopped for a minute, and while it restarts as after a crash."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
from tests.acceptance.instance import UNHEALTHY_S, Instance, containers, wait_for
from tests.acceptance.open_desktop import OpenDesktop, entered, open_desktop, open_stream
from tests.support.servers import Server, own_server

from greenroom.up.postgres import PostgresCluster

GONE_S = 60.0
PRIMARY_WITHIN_S = 15.0
"""The time until a Manager is Primary once the database is back: 2 s, plus the stalls of a busy machine."""
HTTP_S = 15.0
MISSING_S = 15.0
ROLES = ("api", "manager", "agent", "gateway", "nginx")


@pytest.fixture(scope="module")
def server(cluster: PostgresCluster) -> Iterator[Server]:
    with own_server(cluster) as server:
        asyncio.run(server.start())
        yield server


@pytest.fixture(scope="module")
def instance(server: Server, openbox_image: str) -> Iterator[Instance]:
    """Three Managers on a database that the test can stop."""
    made = Instance("--managers", "3", "--database-url", server.cluster.dsn, GREENROOM_DESKTOP_IMAGE=openbox_image)
    try:
        made.up()
        yield made
    finally:
        if server.process is not None and server.process.poll() is not None:
            asyncio.run(server.start())
        made.remove()


@pytest.fixture(scope="module")
def desktop(instance: Instance) -> Iterator[tuple[str, OpenDesktop]]:
    """The session that a user views all the time, and its stream."""
    session_id = instance.launch(instance.new_user())["session_id"]
    wait_for(lambda: instance.has_status(session_id, "running"), "the session runs")
    with open_desktop(instance, session_id) as opened:
        yield session_id, opened


@pytest.fixture(scope="module")
def pool(instance: Instance) -> str:
    config = instance.stage(2)
    wait_for(lambda: instance.staged(config) == 2, "the pool is full", 60)
    return config


def health(instance: Instance) -> list[int]:
    """The health status of each Manager."""
    urls = [f"http://127.0.0.1:{manager['port']}/__healthcheck" for manager in instance.found["managers"]]
    return [httpx2.get(url, timeout=HTTP_S).status_code for url in urls]


def term(instance: Instance) -> int:
    return instance.sql("SELECT term FROM zone_leases")[0]["term"]


def has_primary(instance: Instance) -> bool:
    """True if a Manager has taken or renewed leadership since the database was started."""
    held = "SELECT 1 FROM zone_leases WHERE expires_at > clock_timestamp() AND renewed_at > pg_postmaster_start_time()"
    return bool(instance.sql(held))


@pytest.mark.timeout(300)  # a minute of it is the outage itself
def test_a_minute_without_postgresql_ends_no_session_stream_or_process(
    instance: Instance,
    server: Server,
    desktop: tuple[str, OpenDesktop],
    pool: str,
    record_property: Callable[[str, object], None],
):
    session_id, stream = desktop
    address, cookie = entered(instance, session_id)
    pids = {role: instance.pids(role) for role in ROLES}
    label, before = instance.label(), term(instance)
    there = set(containers(label))
    server.stop(signal.SIGINT)
    gone_at = time.monotonic()

    wait_for(lambda: set(health(instance)) == {500}, "each Manager says that it does not work", UNHEALTHY_S)
    known_viewers = 0
    while time.monotonic() < gone_at + GONE_S or known_viewers < GONE_S / 10:
        assert stream.goes_on()
        with open_stream(instance, address, cookie) as again:
            assert again.goes_on()
        known_viewers += 1
        time.sleep(5)
    plain = address.partition("?")[0]
    unknown_viewer = {"Cookie": "greenroom_viewer=x"}
    stranger = httpx2.get(plain, headers=unknown_viewer, verify=instance.ca(), timeout=HTTP_S, trust_env=False)
    assert stranger.status_code == 503, "no viewer gets in, and the answer is not final: the api could not be asked"
    assert set(containers(label)) == there
    assert {role: instance.pids(role) for role in ROLES} == pids, "no process is restarted for it"

    asyncio.run(server.start())
    back_at = time.monotonic()
    wait_for(lambda: has_primary(instance), "a Manager is Primary again", PRIMARY_WITHIN_S)
    record_property("primary_s", round(time.monotonic() - back_at, 2))
    wait_for(lambda: set(health(instance)) == {200}, "every Manager works again")
    record_property("healthy_s", round(time.monotonic() - back_at, 2))
    # The server closes its connections one after the other, so each of the two other Managers can become Primary during
    # the shutdown. After the start, one Manager becomes Primary.
    assert before <= term(instance) <= before + 3
    launched = instance.launch(instance.new_user())["session_id"]
    wait_for(lambda: instance.has_status(launched, "running"), "a launch works as before")
    while time.monotonic() < back_at + MISSING_S + 5:
        assert not instance.sql("SELECT 1 FROM agents WHERE status <> 'running'"), "silence proves nothing yet"
        time.sleep(1)
    assert there <= set(containers(label))
    assert instance.has_status(session_id, "running")
    wait_for(lambda: instance.staged(pool) == 2, "the pool has another one for the launch")
    assert stream.goes_on()
    assert {role: instance.pids(role) for role in ROLES} == pids
    assert instance.broken() == []


def test_an_immediate_restart_keeps_term_sessions_and_streams(
    instance: Instance, server: Server, desktop: tuple[str, OpenDesktop], pool: str
):
    session_id, stream = desktop
    wait_for(lambda: set(health(instance)) == {200}, "every Manager works")
    wait_for(lambda: instance.staged(pool) == 2, "the pool is full")
    pids = {role: instance.pids(role) for role in ROLES}
    there, before = set(instance.containers()), term(instance)
    # Even if a busy machine restarts slowly, the lease must not end meanwhile: that would be another term.
    instance.sql("UPDATE zone_leases SET expires_at = clock_timestamp() + interval '60 s'")
    server.stop(signal.SIGQUIT)
    asyncio.run(server.start())
    wait_for(lambda: has_primary(instance), "a Manager is Primary")
    wait_for(instance.healthy, "every part works")
    assert term(instance) == before
    assert stream.goes_on()
    assert instance.has_status(session_id, "running")
    assert set(instance.containers()) == there
    assert {role: instance.pids(role) for role in ROLES} == pids
    assert instance.staged(pool) == 2
