"""What the launcher promises a user follows the plan of the launch itself."""

from __future__ import annotations

import asyncio

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings, resolve
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.forecast import HAND_OVER_S, NOT_NOW, START_S, Measured, Prospect, Supply, prospect
from greenroom.core.launch.placement import AgentView, ImageOnAgent
from greenroom.core.launch.plan import LaunchZone, StagedPool, plan_launch
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts, config_hash_of
from greenroom.kit.concurrency import Coalesced

IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop", cores=1.0, memory=100)
HERE = LaunchZone(facts=ZoneFacts(zone_id="here", zone_name="here"))
THERE = LaunchZone(facts=ZoneFacts(zone_id="there", zone_name="there"))
POOL = StagedPool(staging_config_id="c", zone_id="there", permissions=dict.fromkeys(STAGED_PERMISSIONS, True))
HASH = config_hash_of(IMAGE, THERE.facts, POOL.permissions)
ALLOWED = LaunchFacts(settings=resolve([GroupSettings("g", "All", 1, dict.fromkeys(STAGED_PERMISSIONS, True))]))
EXCLUDED = LaunchFacts(
    settings=resolve([GroupSettings("g", "All", 1, {"expose_user_environment_vars": True} | POOL.permissions)])
)


def agent(cores: float = 4.0, **fields: object) -> AgentView:
    return AgentView(agent_id="a", hostname="vm", cores=cores, memory=1000, **fields)  # pyright: ignore[reportArgumentType]


def found(facts: LaunchFacts = ALLOWED, **supply: object) -> Prospect:
    offered = Supply(zones=(HERE, THERE), pools={"i": [POOL]}, **supply)  # pyright: ignore[reportArgumentType]
    return prospect(IMAGE, plan_launch(offered.zones, "here", IMAGE, offered.pools["i"], facts), offered)


def test_a_staged_session_is_promised_only_to_those_who_would_get_it():
    supply = {"claimable": {("c", HASH): 1}, "agents": {"here": [agent()]}}
    assert found(**supply) == Prospect(True, HAND_OVER_S), "from the other zone"
    assert found(EXCLUDED, **supply) == Prospect(False, START_S)
    assert found(claimable={("c", "before a change of the workspace"): 1}, agents={"here": [agent()]}).ready is False


def test_what_was_measured_is_expected():
    measured = {"i": Measured(start_s=7.5, hand_over_s=0.2)}
    assert found(claimable={("c", HASH): 2}, measured=measured).expected_s == 0.2
    assert found(agents={"there": [agent()]}, measured=measured).expected_s == 7.5


def test_what_cannot_be_launched_now_says_why_without_naming_machines():
    full = agent(cores_allocated=agent().cores)
    assert found(agents={"here": [full]}) == Prospect(False, None, NOT_NOW["no_capacity"])
    assert found(agents={"here": [agent(cores=0.5)]}) == Prospect(False, None, NOT_NOW["too_large"])
    assert found(agents={"here": [agent(cores=0.5), full]}).reason == NOT_NOW["no_capacity"], "waiting helps"
    away = found(agents={"here": [agent(status="missing")]})
    assert away == Prospect(False, None, NOT_NOW["agent_missing"])
    absent = {"desktop": {"a": ImageOnAgent(agent_id="a", image_state="absent")}}
    assert found(agents={"here": [agent()]}, image_states=absent).reason == NOT_NOW["image_unavailable"]
    assert found().reason, "no Agent at all"
    assert not any("vm" in sentence for sentence in NOT_NOW.values())


async def test_those_who_ask_during_a_reading_share_the_next_one():
    number, begun, go = 0, asyncio.Event(), asyncio.Event()

    async def read() -> int:
        nonlocal number
        number += 1
        mine = number
        begun.set()
        await go.wait()
        return mine

    offers = Coalesced(read)
    first = asyncio.create_task(offers.get())
    await begun.wait()
    others = [asyncio.create_task(offers.get()) for _ in range(50)]
    await asyncio.sleep(0)
    go.set()
    assert await first == 1
    assert set(await asyncio.gather(*others)) == {2}, "begun after all of them had asked"
    assert await offers.get() == 3


def test_zones_that_are_not_searched_promise_nothing():
    here = LaunchZone(facts=HERE.facts, search_alternate_zones=False)
    supply = Supply(zones=(here, THERE), pools={"i": [POOL]}, agents={"there": [agent()]})
    found = prospect(IMAGE, plan_launch(supply.zones, "here", IMAGE, supply.pools["i"], ALLOWED), supply)
    assert (found.ready, found.expected_s) == (False, None)
