"""Several machines: two hosts with sessions, two with Managers, a separate database; and the effect of a cut cable."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from tests.acceptance.instance import wait_for
from tests.acceptance.machines import Machine
from tests.acceptance.open_desktop import entered, is_streamed, open_desktop, open_stream
from tests.acceptance.several_hosts import EDGE, LEASE_S, LOST_S, Deployment, Web, running_deployment
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def deployed(openbox_image: str) -> Iterator[Deployment]:
    del openbox_image
    yield from running_deployment()


def launch(web: Web) -> dict[str, Any]:
    """`Desktop` for a new user, running."""
    user = web.call("POST", "/users", json={"username": f"u-{uuid.uuid4().hex[:10]}@example.org"})["user_id"]
    image = next(i["image_id"] for i in web.call("GET", "/images") if i["friendly_name"] == "Desktop")
    session_id = web.call("POST", "/sessions", json={"image_id": image, "user_id": user})["session_id"]
    return wait_for(lambda: running(web, session_id), f"session {session_id} runs", 60)


def running(web: Web, session_id: str) -> dict[str, Any] | None:
    session = web.call("GET", f"/sessions/{session_id}")
    assert session["status"] != "failed", session
    return session if session["status"] == "running" else None


Sessions = dict[str, dict[str, Any]]
"""Host → the session on it."""


def on_both_hosts(deployment: Deployment, web: Web) -> Sessions:
    """A session on each host, by the host's name, while the other host accepts none: their reported load is that of
    one machine, measured at different times."""
    found: Sessions = {}
    for host, other in (deployment.hosts, deployment.hosts[::-1]):
        path = f"/agents/{deployment.agent_id(other)}"
        web.call("PATCH", path, json={"enabled": False})
        found[host.name] = launch(web)
        web.call("PATCH", path, json={"enabled": True})
    return found


@pytest.fixture(scope="module")
def sessions(deployed: Deployment) -> Sessions:
    """A session in use on each host, during all tests; both web gateways know the path to it."""
    found = on_both_hosts(deployed, deployed.webs[0])
    for web in deployed.webs:
        for session_id in (session["session_id"] for session in found.values()):
            wait_for(lambda web=web, s=session_id: is_streamed(web, s), f"{web.machine.name} streams it", 60)
    return found


@pytest.fixture(scope="module")
def pool(deployed: Deployment, sessions: Sessions) -> str:
    """A pool of two, one on each host."""
    del sessions
    web = deployed.webs[0]
    zone, image = web.call("GET", "/zones")[0], web.call("GET", "/images")[0]
    body = {"zone_id": zone["zone_id"], "image_id": image["image_id"], "num_sessions": 2, "expiration": 8}
    config_id = web.call("POST", "/staging-configs", json=body)["staging_config_id"]
    wait_for(lambda: len(claimable(deployed, config_id)) == 2, "two are staged", 60)
    spread(deployed, config_id)
    return config_id


def spread(deployment: Deployment, config_id: str) -> None:
    """Place one of the two on each host; the less loaded host gets the next session."""
    hosts = set(map(deployment.agent_id, deployment.hosts))
    staged = claimable(deployment, config_id)
    while {row["agent_id"] for row in staged} != hosts:
        deployment.webs[0].call("DELETE", f"/sessions/{staged[0]['session_id']}")
        wait_for(
            lambda: len(rows_of(deployment, config_id)) == 2 == len(claimable(deployment, config_id)), "refilled", 60
        )
        staged = claimable(deployment, config_id)


def claimable(deployment: Deployment, config_id: str) -> list[dict[str, Any]]:
    query = (
        "SELECT s.session_id::text, s.agent_id::text FROM sessions s JOIN agents a USING (agent_id)"
        " WHERE staging_config_id = %s AND claimable AND a.status = 'running'"
    )
    return deployment.sql(query, config_id)


def is_settled(deployment: Deployment) -> bool:
    """True if each host has exactly the containers of its sessions."""
    rows = deployment.sql("SELECT session_id::text, agent_id::text, status FROM sessions WHERE status <> 'deleted'")
    if any(row["status"] != "running" for row in rows):
        return False
    on = {host.name: deployment.agent_id(host) for host in deployment.hosts}
    wanted = {name: sorted(r["session_id"] for r in rows if r["agent_id"] == agent_id) for name, agent_id in on.items()}
    return {host.name: host.containers() for host in deployment.hosts} == wanted


@contextmanager
def cut_off(deployment: Deployment, host: Machine, how: str) -> Iterator[None]:
    """`host` receives nothing during the block, or neither receives nor sends."""
    if how == "cable":
        host.pull_cable()
    else:
        for web in deployment.webs:
            host.drop("INPUT", web.machine)
    try:
        yield
    finally:
        if how == "cable":
            host.put_cable()
        else:
            for web in deployment.webs:
                host.pass_again("INPUT", web.machine)


def status_of(deployment: Deployment, session_id: str) -> str:
    return deployment.sql("SELECT status FROM sessions WHERE session_id = %s", session_id)[0]["status"]


def test_sessions_of_both_hosts_stream_through_both_web_gateways(deployed: Deployment, sessions: Sessions):
    for web in deployed.webs:
        for session in sessions.values():
            with open_desktop(web, session["session_id"]) as desktop:
                assert desktop.goes_on()
    seen = [web.call("GET", f"/sessions/{sessions['host-1']['session_id']}")["stream_url"] for web in deployed.webs]
    assert [url.split("/desktop/")[0] for url in seen] == [web.stream_url for web in deployed.webs]


def for_any_name(trusted: ssl.SSLContext) -> ssl.SSLContext:
    """A TLS context that trusts the same authorities, for any name."""
    trusted.check_hostname = False
    return trusted


@dataclass(frozen=True)
class AnyName:
    """`web` at an address whose certificate is accepted for any name, as long as the fleet's authority signed it."""

    url: str
    web: Web

    def ca(self) -> ssl.SSLContext:
        return for_any_name(self.web.ca())

    def call(self, method: str, path: str, **options: Any) -> Any:
        return self.web.call(method, path, **options)


def test_without_proxy_connections_browsers_go_to_the_host_itself(deployed: Deployment, sessions: Sessions):
    web = deployed.webs[0]
    # The fleet's authority signs only its own names. Browsers need a certificate of the administrator; here the same
    # certificate replaces it, for any name.
    trusting = AnyName(web.url, web)
    zone_path = f"/zones/{web.call('GET', '/zones')[0]['zone_id']}"
    web.call("PATCH", zone_path, json={"proxy_connections": False, "proxy_hostname": "$request_host$"})
    try:
        for host in deployed.hosts:
            edge = f"https://{host.address}:{EDGE}"
            address, cookie = entered(trusting, sessions[host.name]["session_id"])
            assert address.startswith(f"{edge}/desktop/")
            with open_stream(AnyName(edge, web), address, cookie) as desktop:
                assert desktop.goes_on()
            with (
                pytest.raises(InvalidStatus) as refused,
                open_stream(AnyName("https://elsewhere.example", web), address, cookie),
            ):
                pass
            assert refused.value.response.status_code == 403

        def console_frames() -> bool:
            page = httpx2.get(web.url, verify=web.ca(), timeout=15, trust_env=False)
            frames = page.headers["Content-Security-Policy"]
            return all(f"https://{host.address}:{EDGE}" in frames for host in deployed.hosts)

        wait_for(console_frames, "the console may frame both hosts")
    finally:
        web.call("PATCH", zone_path, json={"proxy_connections": True})


@pytest.mark.parametrize("how", ["cable", "answers lost"])
def test_a_host_that_is_cut_off_keeps_its_sessions_and_has_them_again(
    deployed: Deployment, sessions: Sessions, pool: str, how: str
):
    web, (cut, other) = deployed.webs[0], deployed.hosts
    (staged,) = (row["session_id"] for row in claimable(deployed, pool) if row["agent_id"] == deployed.agent_id(cut))
    there, elsewhere = cut.containers(), other.containers()
    in_use = sessions[cut.name]["session_id"]
    with open_desktop(web, sessions[other.name]["session_id"]) as desktop:
        with cut_off(deployed, cut, how):
            wait_for(lambda: deployed.agent(cut)["status"] == "missing", "its Agent is missing")
            assert status_of(deployed, staged) == "unreachable", "cannot be claimed"
            assert status_of(deployed, in_use) == "running", "a user's session stays theirs"
            launched = launch(web)
            assert launched["agent_id"] == deployed.agent_id(other)
            wait_for(lambda: len(claimable(deployed, pool)) == 2, "the pool is full again, on the other host", 60)
            assert cut.containers() == there, "the host keeps what it runs"
            assert set(elsewhere) <= set(other.containers()), "no Agent destroys anything"
            assert desktop.goes_on()
        wait_for(lambda: deployed.agent(cut)["status"] == "running", "the Agent is back", 60)
        assert desktop.goes_on()
    wait_for(lambda: is_streamed(web, in_use), "its session is streamed again", 60)
    web.call("DELETE", f"/sessions/{launched['session_id']}")
    wait_for(lambda: is_settled(deployed) and len(rows_of(deployed, pool)) == 2, "nothing is doubled or left over", 60)
    assert status_of(deployed, in_use) == "running"
    spread(deployed, pool)


def rows_of(deployment: Deployment, config_id: str) -> list[dict[str, Any]]:
    query = "SELECT 1 FROM sessions WHERE staging_config_id = %s AND user_id IS NULL AND status <> 'deleted'"
    return deployment.sql(query, config_id)


def test_a_primary_that_is_cut_off_from_the_database_is_replaced(deployed: Deployment, sessions: Sessions, pool: str):
    before, term = deployed.primary(), deployed.term()
    assert before is not None
    after = next(web for web in deployed.webs if web is not before)
    with ExitStack() as streams:
        desktops = [
            streams.enter_context(open_desktop(web, session["session_id"]))
            for web in deployed.webs
            for session in sessions.values()
        ]
        for chain in ("INPUT", "OUTPUT"):
            before.machine.drop(chain, deployed.db)
        try:
            wait_for(lambda: deployed.primary(after) is after, "the other Manager is Primary", LEASE_S + 30)
            assert deployed.term() == term + 1
            wait_for(lambda: reports_to(deployed, after), "both Agents report to it")
            launched = launch(after)
            assert all(desktop.goes_on() for desktop in desktops), "streams go on"
        finally:
            for chain in ("INPUT", "OUTPUT"):
                before.machine.pass_again(chain, deployed.db)
        wait_for(lambda: all(m["status"] == "running" for m in deployed.managers(after)), "the old one is back", 60)
        assert all(desktop.goes_on() for desktop in desktops)
    assert (deployed.primary(after), deployed.term()) == (after, term + 1), "and leaves the role where it is"
    after.call("DELETE", f"/sessions/{launched['session_id']}")
    wait_for(lambda: is_settled(deployed), "nothing is doubled or left over", 60)
    assert deployed.broken() == []


def reports_to(deployment: Deployment, web: Web) -> bool:
    manager_id = next(m["manager_id"] for m in deployment.managers(web) if m["instance_id"] == web.instance_id)
    agents = web.call("GET", "/agents")
    return all((a["manager_id"], a["manager_term"]) == (manager_id, deployment.term()) for a in agents)


def test_a_host_that_is_lost_for_good(deployed: Deployment, sessions: Sessions, pool: str):
    web, (lost, other) = deployed.webs[0], deployed.hosts
    in_use, agent_id = sessions[lost.name]["session_id"], deployed.agent_id(lost)
    lost.lose_power()
    wait_for(lambda: deployed.agent(lost)["status"] == "missing", "its Agent is missing")
    assert status_of(deployed, in_use) == "running"
    wait_for(lambda: len(claimable(deployed, pool)) == 2, "the pool is full, on the other host", 60)
    assert {row["agent_id"] for row in claimable(deployed, pool)} == {deployed.agent_id(other)}
    wait_for(lambda: status_of(deployed, in_use) == "lost", "its session is lost", LOST_S + 30)
    assert silence_before_change(deployed, in_use) > LOST_S, "not before"
    assert web.ask("DELETE", f"/agents/{agent_id}").status_code == 409, "it has a session"
    web.call("DELETE", f"/sessions/{in_use}?force=true")
    assert status_of(deployed, in_use) == "deleted"
    web.call("DELETE", f"/agents/{agent_id}?force=true")
    assert deployed.running_hosts() == [other.name]
    wait_for(lambda: is_streamed(web, sessions[other.name]["session_id"]), "the other host streams on", 60)
    assert deployed.broken() == []


def silence_before_change(deployment: Deployment, session_id: str) -> float:
    """The seconds for which its Agent had not reported at the last change of the session's status."""
    query = "SELECT extract(epoch FROM s.status_changed - a.last_reported)::double precision AS seconds"
    query += " FROM sessions s JOIN agents a USING (agent_id) WHERE s.session_id = %s"
    return deployment.sql(query, session_id)[0]["seconds"]
