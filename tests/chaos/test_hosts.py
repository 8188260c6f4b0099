"""Staged sessions, and one in use, whose host's Docker daemon is restarted, with real desktops.

Every launch meanwhile gets a working desktop, and in the end the pool has Desired sessions, each row has its container,
and no container is without a row.
"""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.instance import wait_for
from tests.acceptance.machines import Machine
from tests.acceptance.open_desktop import open_desktop
from tests.acceptance.several_hosts import Deployment, running_deployment
from tests.acceptance.test_several_hosts import is_settled, running

FULL_WITHIN_S = 90.0
SETTLED_WITHIN_S = 90.0


@pytest.fixture(scope="module")
def deployed(openbox_image: str) -> Iterator[Deployment]:
    del openbox_image
    yield from running_deployment()


class Pool:
    """A staging config for `Desktop`, at first without sessions; its sessions go to the host with the fewest."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.web = deployed.webs[0]
        (zone,), (image,) = self.web.call("GET", "/zones"), self.web.call("GET", "/images")
        self.web.call("PATCH", f"/zones/{zone['zone_id']}", json={"load_balancing_strategy": "Least Kasms"})
        body = {"zone_id": zone["zone_id"], "image_id": image["image_id"], "num_sessions": 0, "expiration": 8}
        self.config_id = self.web.call("POST", "/staging-configs", json=body)["staging_config_id"]
        self._began = time.monotonic()

    def resize(self, number: int) -> None:
        """Change Desired."""
        self.web.call("PATCH", f"/staging-configs/{self.config_id}", json={"num_sessions": number})

    def claimable(self) -> dict[str, str]:
        """Session id → host name of the sessions that a launch may claim now."""
        query = (
            "SELECT s.session_id::text, s.agent_id::text FROM sessions s JOIN agents a USING (agent_id)"
            " WHERE s.staging_config_id = %s AND s.claimable AND a.status = 'running' AND a.enabled AND NOT a.draining"
        )
        return {row["session_id"]: self._host_of(row["agent_id"]) for row in self.deployed.sql(query, self.config_id)}

    def _host_of(self, agent_id: str) -> str:
        return next(host.name for host in self.deployed.hosts if self.deployed.agent_id(host) == agent_id)

    def full(self, number: int, on: set[str]) -> dict[str, str]:
        """Wait until this number can be claimed, on these hosts."""

        def look() -> dict[str, str] | None:
            found = self.claimable()
            return found if len(found) == number and set(found.values()) == on else None

        found = wait_for(look, f"{number} are staged on {on}", FULL_WITHIN_S)
        self.say(f"{number} staged on {', '.join(sorted(on))}")
        return found

    def none_of(self, sessions: set[str], what: str) -> None:
        """Wait until none of these can be claimed any more."""
        wait_for(lambda: not sessions & self.claimable().keys(), f"none of those {what} can be claimed", FULL_WITHIN_S)
        self.say(f"none of those {what} can be claimed")

    def start_clock(self, what: str) -> None:
        """Start the clock of the failure."""
        self._began = time.monotonic()
        self.say(what)

    def say(self, what: str) -> None:
        """Print the time since the failure; displayed with a failed test, and by -s."""
        print(f"{time.monotonic() - self._began:6.1f} s  {what}")  # noqa: T201

    def change(self, host: Machine, **fields: Any) -> None:
        """Change the Agent of a host."""
        self.web.call("PATCH", f"/agents/{self.deployed.agent_id(host)}", json=fields)

    def launch(self) -> str:
        """The session that a new user gets."""
        user = self.web.call("POST", "/users", json={"username": f"u-{uuid.uuid4().hex[:10]}@example.org"})["user_id"]
        (image,) = self.web.call("GET", "/images")
        session = self.web.call("POST", "/sessions", json={"image_id": image["image_id"], "user_id": user})
        self.say(f"a launch was given {'a staged session' if session['staged'] else 'one of its own'}")
        return session["session_id"]

    def works(self, session_id: str) -> str:
        """A launch must lead to a usable desktop; returns the name of its host."""
        session = wait_for(lambda: running(self.web, session_id), f"session {session_id} runs", 60)
        with open_desktop(self.web, session_id) as desktop:
            assert desktop.goes_on()
        host = self._host_of(session["agent_id"])
        self.say(f"a launch has its desktop, on {host}")
        return host

    def is_sound(self) -> None:
        """Assert that, without the sessions of users, each host has the containers of its rows, and no invariant is
        violated."""
        query = "SELECT session_id::text FROM sessions WHERE status <> 'deleted'"
        query += " AND (staging_config_id IS NULL OR user_id IS NOT NULL OR set_aside_for IS NOT NULL)"
        for row in self.deployed.sql(query):
            self.web.ask("DELETE", f"/sessions/{row['session_id']}")
        wait_for(lambda: is_settled(self.deployed), "each host has the containers of its rows", SETTLED_WITHIN_S)
        self.say("each host has the containers of its rows")
        assert self.deployed.broken() == []

    def close(self) -> None:
        """Let both hosts accept sessions again, with nothing running on them."""
        for host in self.deployed.hosts:
            host.put_cable()
            self.change(host, enabled=True)
        self.web.call("DELETE", f"/staging-configs/{self.config_id}")
        self.is_sound()


@pytest.fixture
def pool(deployed: Deployment) -> Iterator[Pool]:
    pool = Pool(deployed)
    yield pool
    pool.close()


@pytest.mark.timeout(300)
def test_the_containers_of_an_ended_docker_daemon_end_and_the_pool_is_made_anew(deployed: Deployment, pool: Pool):
    host, other = deployed.hosts
    pool.change(other, enabled=False)
    pool.resize(3)
    pool.full(3, on={host.name})
    in_use = pool.launch()
    pool.works(in_use)
    staged = pool.full(3, on={host.name})
    pool.start_clock("the daemon has to end")
    host.end_docker(signal.SIGTERM)
    pool.say("it has ended")
    meanwhile = pool.launch()
    host.start_docker()
    pool.say("another one answers")
    pool.none_of(set(staged), "of before")
    pool.works(meanwhile)
    pool.works(pool.launch())
    assert set(pool.full(3, on={host.name})) <= set(host.containers())
    session = wait_for(lambda: failed(pool, in_use), "the session in use has failed")
    assert "The container ended by itself with exit code" in session["error"]
    pool.is_sound()


def failed(pool: Pool, session_id: str) -> dict[str, Any] | None:
    session = pool.web.call("GET", f"/sessions/{session_id}")
    return session if session["status"] == "failed" else None
