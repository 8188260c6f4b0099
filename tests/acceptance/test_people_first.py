"""Users have priority over refill, and workspaces that do not start do not affect other pools: on real containers."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from tests.acceptance.instance import Instance, wait_for

from greenroom.core.pool.shortfalls import BACKOFF
from greenroom.core.session.starts import MAX_START_SLOTS_PER_CORE

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image"), pytest.mark.timeout(300)]

AGENT = "agent-default"
OPENBOX = "greenroom/desktop:openbox"
MOST = MAX_START_SLOTS_PER_CORE * (os.cpu_count() or 1)
"""The maximum number of simultaneous starts."""
RECOVERED_S = 150.0
"""The time within which a pool is full again: the pauses double, so the last one is as long as all before it."""


class House:
    """Workspaces, pools and launches of one test, removed at the end."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.images: list[str] = []
        self.configs: list[str] = []
        self.sessions: list[str] = []

    def workspace(self, name: str = OPENBOX, **fields: Any) -> str:
        """Create a workspace for all users, with a tenth of a core each; returns its id."""
        body = {"name": name, "friendly_name": f"W {uuid.uuid4().hex[:8]}", "cores": 0.1, "memory": 100_000_000}
        self.images.append(self.instance.call("POST", "/images", json=body | fields)["image_id"])
        return self.images[-1]

    def stage(self, image_id: str, number: int) -> str:
        """Create a pool of it; returns its id."""
        body = {"zone_id": self.instance.found["zones"][0]["zone_id"], "image_id": image_id}
        config = self.instance.call("POST", "/staging-configs", json={**body, "num_sessions": number, "expiration": 8})
        self.configs.append(config["staging_config_id"])
        return self.configs[-1]

    def launch(self, image_id: str) -> str:
        """Launch it for a user; returns the session's id."""
        body = {"image_id": image_id, "user_id": self.instance.new_user()}
        self.sessions.append(self.instance.call("POST", "/sessions", json=body)["session_id"])
        return self.sessions[-1]

    def runs(self, session_id: str) -> None:
        """Wait until it is usable."""
        wait_for(lambda: self.instance.has_status(session_id, "running"), f"{session_id} runs", 60)

    def full(self, config_id: str, number: int, within_s: float = 120) -> None:
        """Wait until this number of sessions of the pool is claimable; a busy host starts only two at a time."""
        wait_for(lambda: self.instance.staged(config_id) == number, f"{number} are staged", within_s)

    def in_pool(self, config_id: str) -> list[str]:
        """Ids of the pool's sessions."""
        query = "SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND user_id IS NULL"
        return [row["session_id"] for row in self.instance.sql(query + " AND want = 'running'", config_id)]

    def shortfall(self, config_id: str) -> dict[str, str]:
        """The reason of a pool's shortfall, according to the api."""
        configs = self.instance.call("GET", "/staging-configs")
        return next(c["shortfall"] for c in configs if c["staging_config_id"] == config_id) or {
            "code": "",
            "reason": "",
        }

    def in_use(self) -> bool:
        """True if one of its workspaces still has a session: its row ends a moment after its container."""
        query = "SELECT 1 FROM sessions WHERE image_id = ANY(%s::uuid[]) AND status <> 'deleted'"
        return bool(self.instance.sql(query, self.images))

    def clear(self) -> None:
        """Remove everything except the workspace `Desktop`."""
        for session_id in self.sessions:
            self.instance.call("DELETE", f"/sessions/{session_id}")
        for config_id in self.configs:
            self.instance.unstage(config_id)
        wait_for(lambda: not self.in_use(), "its sessions have ended", 60)
        for image_id in self.images:
            self.instance.call("DELETE", f"/images/{image_id}")


@pytest.fixture
def house(instance: Instance) -> Iterator[House]:
    house = House(instance)
    try:
        yield house
    finally:
        house.clear()


def begun(instance: Instance) -> list[str]:
    """Ids of the sessions whose containers the Agent began to create, in this order."""
    lines = (instance.data / f"logs/{AGENT}.log").read_text().splitlines()
    creating = [line for line in lines if "changing a container" in line and "create" in line]
    known = {row["session_id"] for row in instance.sql("SELECT session_id::text FROM sessions")}
    return [session_id for line in creating for session_id in known if session_id in line]


def test_launches_begin_before_the_refills_that_wait(house: House):
    instance = house.instance
    mine = house.workspace()
    instance.arm(AGENT, "agent.before_create")
    config = house.stage(house.workspace(), MOST + 4)
    instance.wait_at(AGENT, "agent.before_create")
    wait_for(lambda: len(set(begun(instance)) & set(house.in_pool(config))) > 1, "refills have begun")
    people = [house.launch(mine) for _ in range(3)]
    wait_for(lambda: len(set(begun(instance)) & set(people)) > 1, "people wait for no refill")
    known = "SELECT 1 FROM session_steps WHERE name = 'received' AND session_id = ANY(%s::uuid[])"
    wait_for(lambda: len(instance.sql(known, people)) == len(people), "the Agent knows of all of them")
    instance.release(AGENT, "agent.before_create")
    house.full(config, MOST + 4)
    order = begun(instance)
    refills = [session_id for session_id in order if session_id in house.in_pool(config)]
    assert max(order.index(s) for s in people) < order.index(refills[-1])
    for session_id in people:
        house.runs(session_id)


def test_a_launch_takes_the_room_of_what_is_not_claimable_yet(house: House, never_paints_image: str):
    instance = house.instance
    agent_id = instance.found["agents"][0]["agent_id"]
    instance.call("PATCH", f"/agents/{agent_id}", json={"cores_override": 0.3})
    try:
        config = house.stage(house.workspace(never_paints_image), 3)
        wait_for(lambda: len(instance.sessions_of_containers()) == 3, "the zone is full of what is never usable")
        before = house.in_pool(config)
        session_id = house.launch(house.workspace())
        house.runs(session_id)
        steps = instance.call("GET", f"/sessions/{session_id}/placement")["steps"]
        assert steps[-1]["reason"].endswith(
            "in place of a staged session that was not usable yet: launches of users have priority."
        )
        (gone,) = set(before) - set(house.in_pool(config))
        wait_for(lambda: instance.has_status(gone, "deleted"), "the one that yielded is gone")
        wait_for(lambda: house.shortfall(config)["code"] == "no-capacity", f"{house.shortfall(config)}")
        assert instance.broken() == []
    finally:
        instance.call("PATCH", f"/agents/{agent_id}", json={"cores_override": None})


def test_workspaces_that_do_not_start_spoil_no_other_pool_and_recover(
    house: House, never_paints_image: str, exiting_image: str, vanishing_image: str
):
    instance = house.instance
    vanishing = house.stage(house.workspace(vanishing_image), 1)
    house.full(vanishing, 1)
    exiting = house.stage(house.workspace(exiting_image), 2)
    never = house.stage(house.workspace(never_paints_image), MOST)
    wait_for(lambda: house.shortfall(exiting)["code"] == "start-failing", "starts that fail back off")
    untag(vanishing_image)
    house.sessions += house.in_pool(vanishing)
    instance.call("DELETE", f"/sessions/{house.sessions[-1]}")
    wait_for(lambda: house.shortfall(vanishing)["code"] in MISSING, "its image is gone", 60)

    image_id = house.workspace()
    good = house.stage(image_id, 2)
    house.full(good, 2)
    for _ in range(2):
        house.launch(image_id)
    house.full(good, 2)
    assert instance.staged(never) == 0

    reason = house.shortfall(exiting)["reason"]
    assert "The container ended by itself with exit code 1" in reason
    assert "next try at" in reason or "trying again now" in reason
    rows = instance.call("GET", "/logs", params={"code": "staging-shortfall", "level": "ERROR"})
    assert len([row for row in rows if row["staging_config_id"] == exiting]) == 1, "once per cause"
    wait_for(lambda: len(pauses_between_tries(instance, exiting)) > 1, "it is tried again")
    _, *pauses = pauses_between_tries(instance, exiting)  # both at first, then one at a time
    assert all(pause >= BACKOFF.delay_s(failures) for failures, pause in enumerate(pauses, 1)), (
        f"growing pauses: {pauses}"
    )

    tag(OPENBOX, exiting_image)
    tag(OPENBOX, vanishing_image)
    house.full(vanishing, 1, RECOVERED_S)
    house.full(exiting, 2, RECOVERED_S)


def pauses_between_tries(instance: Instance, config_id: str) -> list[float]:
    """Seconds from each session that was created for a pool to the next one; a pause begins after a start has
    failed."""
    rows = instance.sql("SELECT created FROM sessions WHERE staging_config_id = %s ORDER BY created", config_id)
    return [(later["created"] - row["created"]).total_seconds() for row, later in pairwise(rows)]


@pytest.fixture
def exiting_image() -> Iterator[str]:
    """An image whose containers exit at once."""
    name = new_name()
    made = docker("create", OPENBOX)
    docker("commit", "--change", 'ENTRYPOINT ["/bin/false"]', made, name)
    docker("rm", made)
    yield name
    untag(name)


@pytest.fixture
def vanishing_image() -> Iterator[str]:
    """An image that can be removed."""
    name = new_name()
    tag(OPENBOX, name)
    yield name
    tag(OPENBOX, name)
    untag(name)


def new_name() -> str:
    """A unique name for an image."""
    return f"greenroom/desktop:{uuid.uuid4().hex[:8]}"


MISSING = {"start-failing", "image-unavailable", "image-pulling"}


def tag(image: str, name: str) -> None:
    docker("tag", image, name)


def untag(name: str) -> None:
    docker("rmi", "--force", "--no-prune", name)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()
