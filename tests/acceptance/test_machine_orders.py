"""Machines that are ordered and removed: a program starts real Agents with their user data. One provider starts
machines that never run, another hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.acceptance.cloud import Cloud
from tests.acceptance.instance import Instance, running_instance, wait_for

pytestmark = pytest.mark.timeout(300)

COMES_S = 90.0
"""The time until a machine is ordered, started and joins; a few seconds on an idle machine."""
CALL_S = 60.0
"""The time limit for an answer of a provider."""
UNCONFIRMED_S = 180.0
"""The time after which a machine that was not confirmed is given up, also by a Manager that did not request it."""


class Ground:
    """An instance with the zones eu and us, and the cloud of its machine pools."""

    def __init__(self, instance: Instance, cloud: Cloud) -> None:
        self.instance = instance
        self.cloud = cloud

    def zone_id(self, name: str) -> str:
        return next(z["zone_id"] for z in self.instance.call("GET", "/zones") if z["zone_name"] == name)

    def new_pool(self, name: str, zone: str, how: str = "", **fields: Any) -> None:
        """An enabled machine pool, whose machines are 8 cores and 32 GB."""
        body = {
            "name": name,
            "zone_id": self.zone_id(zone),
            "enabled": True,
            "provider": "command",
            "options": {"program": str(self.cloud.program), "how": how},
            "cores": 8,
            "memory": 32_000_000_000,
            "edge_url": "https://{hostname}.example.org:8443",
            "idle_s": 0,
            **fields,
        }
        self.instance.call("POST", "/machine-pools", json=body)

    def change(self, pool: str, **fields: Any) -> None:
        self.instance.call("PATCH", f"/machine-pools/{pool}", json=fields)

    def pool(self, name: str) -> dict[str, Any]:
        return self.instance.call("GET", f"/machine-pools/{name}")

    def orders(self, pool: str) -> list[dict[str, Any]]:
        """The ledger of a pool, newest first."""
        return [order for order in self.instance.call("GET", "/machine-orders") if order["pool_name"] == pool]

    def newest(self, pool: str, *states: str) -> dict[str, Any] | None:
        """The newest order of a pool if it is in one of these states."""
        return next((order for order in self.orders(pool)[:1] if order["state"] in states), None)

    def wait(self, condition: Callable[[], Any], what: str, within_s: float = COMES_S) -> Any:
        try:
            return wait_for(condition, what, within_s)
        except AssertionError as error:
            known = "\n".join(map(str, self.instance.call("GET", "/machine-orders")))
            raise AssertionError(f"{error}\n{known}{self.cloud.logs()}{self.instance.logs()}") from error

    def looked_again(self, pool: str) -> None:
        """Return after its provider was listed, and the plan was made from the list, once more."""
        self.instance.sql("UPDATE machine_pools SET listed = NULL WHERE name = %s", pool)
        self.wait(lambda: self.pool(pool)["listed"], f"the provider of {pool} is asked again")

    def later(self, pool: str, seconds: float) -> None:
        """Let this time pass for the orders of a pool."""
        self.instance.sql(
            "UPDATE machine_orders SET ordered = ordered - d, deadline = deadline - d, changed = changed - d,"
            " asked = asked - d FROM make_interval(secs => %s) d WHERE pool_name = %s AND state <> 'ended'",
            seconds,
            pool,
        )

    @contextmanager
    def without_hosts(self) -> Generator[None]:
        """The zone's Agents accept no sessions during the block."""
        agents = [f"/agents/{agent['agent_id']}" for agent in self.instance.found["agents"]]
        for path in agents:
            self.instance.call("PATCH", path, json={"enabled": False})
        try:
            yield
        finally:
            for path in agents:
                self.instance.call("PATCH", path, json={"enabled": True})


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    cloud = Cloud()
    try:
        settings = {"GREENROOM_RUNTIME": "simulated", "GREENROOM_MACHINE_COMMANDS": str(cloud.program.parent)}
        with running_instance("--zones", "eu,us", **settings) as instance:
            instance.call("PATCH", "/settings", json={"machines_on_this_host": True})
            ground = Ground(instance, cloud)
            # Requested at once, because it blocks only its own pool for a minute.
            ground.new_pool("hangs", "us", "hangs", min_machines=1)
            yield ground
    finally:
        cloud.close()


@pytest.fixture
def cloud_pool(ground: Ground) -> Iterator[str]:
    """A pool of at most two machines in zone eu; at the end nothing of it remains."""
    name = f"cloud-{time.monotonic_ns()}"
    ground.new_pool(name, "eu", max_machines=2)
    yield name
    ground.instance.call("DELETE", f"/machine-pools/{name}")
    ground.wait(lambda: name not in [p["name"] for p in ground.instance.call("GET", "/machine-pools")], "it is gone")
    assert ground.cloud.machines == {}


def tried(ground: Ground, user_id: str) -> dict[str, Any] | None:
    """A session of zone eu, launched by a user who retries until there is capacity."""
    with ground.instance.http() as http:
        answer = http.post("/api/v1/sessions", json={"image_id": ground.instance.desktop(), "user_id": user_id})
    if answer.status_code == 409:
        assert answer.json()["code"] == "no-resources", answer.text
        time.sleep(0.5)  # like a person, who does not retry ten times in a second
        return None
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_who_waits_is_served_on_a_machine_that_came_for_them(ground: Ground, cloud_pool: str):
    instance, user_id = ground.instance, ground.instance.new_user()
    with ground.without_hosts():
        session_id = ground.wait(lambda: tried(ground, user_id), "there is room")["session_id"]
    ground.wait(lambda: instance.has_status(session_id, "running"), "the session runs")
    order = ground.wait(lambda: ground.newest(cloud_pool, "joined", "draining"), "the ledger knows its Agent")
    assert order["reason"].startswith("1 user waits for Desktop, "), order  # in zone us as well: they count only here
    assert order["reason"].endswith("and there is no room."), order
    assert (order["agent_id"], order["sessions"]) == (instance.session(session_id)["agent_id"], 1)
    (machine,) = ground.cloud.machines.values()
    assert (machine.ref, machine.ref) == (order["ref"], order["hostname"])

    # The hosts have capacity again: the machine is not needed, and keeps its session.
    order = ground.wait(lambda: ground.newest(cloud_pool, "draining"), "the machine drains")
    assert order["state_reason"].startswith("the other machines had room for all its sessions for ")
    ground.looked_again(cloud_pool)
    ground.change(cloud_pool, enabled=False)
    ground.looked_again(cloud_pool)
    assert ground.newest(cloud_pool, "draining") is not None
    assert machine.runs
    assert instance.has_status(session_id, "running")

    instance.call("DELETE", f"/sessions/{session_id}")
    order = ground.wait(lambda: ground.newest(cloud_pool, "ended"), "the machine was given back")
    assert (order["state_reason"], order["failed"]) == ("the provider does not list it any more", False)
    assert not machine.runs
    assert order["hostname"] not in [agent["hostname"] for agent in instance.call("GET", "/agents")]
    assert len(ground.orders(cloud_pool)) == 1, "no other was ordered"
    assert instance.broken() == []


def test_a_pool_that_is_disabled_leaves_no_machine_behind(ground: Ground, cloud_pool: str):
    ground.change(cloud_pool, min_machines=1)
    ground.wait(lambda: ground.newest(cloud_pool, "joined"), "a machine joined")
    ground.change(cloud_pool, min_machines=2)
    ground.wait(lambda: len(ground.cloud.machines) == 2, "another one is coming")
    ground.change(cloud_pool, min_machines=0, enabled=False)
    ground.wait(lambda: {order["state"] for order in ground.orders(cloud_pool)} == {"ended"}, "all were given back")
    assert ground.cloud.machines == {}
    assert [order["failed"] for order in ground.orders(cloud_pool)] == [False, False]


def test_a_machine_that_never_comes_is_given_up_with_a_sentence(ground: Ground):
    ground.new_pool("lies", "us", "lies", min_machines=1)
    order = ground.wait(lambda: ground.newest("lies", "created"), "the provider says that it makes one")
    assert order["state_reason"] == f"the provider creates it as {order['ref']}"
    ground.later("lies", 900)
    order = ground.wait(lambda: ground.newest("lies", "releasing"), "it is given up")
    assert (order["state_reason"], order["failed"]) == ("no Agent joined within 900 s", True)
    pool = ground.pool("lies")
    assert pool["last_error"] == "No Agent joined within 900 s."
    assert pool["next_try"] is not None, "the next one comes after a pause"
    ground.change("lies", enabled=False)
    ground.wait(lambda: ground.newest("lies", "ended"), "the provider ended it")
    assert ground.cloud.claimed == {}
    assert len(ground.orders("lies")) == 1


def given_up(order: dict[str, Any]) -> dict[str, Any] | None:
    """The order once its ledger has the reason for the missing machine; a Manager that ends during the call writes
    it later."""
    return order if order["state_reason"] else None


def test_a_provider_that_hangs_is_given_up_with_a_sentence(ground: Ground):
    order = ground.wait(lambda: given_up(ground.orders("hangs")[0]), "the call is given up", UNCONFIRMED_S + 30)
    if order["state"] == "ordered":
        assert order["state_reason"].startswith(f"The provider did not create a machine within {CALL_S:g} s. ")
        ground.later("hangs", UNCONFIRMED_S)
    order = ground.wait(lambda: ground.newest("hangs", "releasing"), "it was not made")
    assert order["state_reason"] == "the provider did not confirm the request for it and does not list it"
    assert order["failed"]
    ground.change("hangs", enabled=False)
    ground.later("hangs", 900)
    ground.wait(lambda: ground.newest("hangs", "ended"), "its order has ended")
    asked = [name for name in ground.cloud.created if name.endswith(order["machine_order_id"].replace("-", ""))]
    assert len(asked) == len(ground.orders("hangs")) == 1, "it was asked for once"
