"""The Agent of a zone to which a launch is assigned: the strategy of the zone, with the figures of the database."""

from __future__ import annotations

from typing import LiteralString

import pytest
from psycopg.types.json import Jsonb
from tests.support import rows
from tests.support.system import System

from greenroom.core.errors import NoResources
from greenroom.db.database import Database
from greenroom.db.fleet.liveness import TAKES_SESSIONS
from greenroom.db.launch.on_demand import read_agents

IMAGE = "greenroom/desktop:test"


class Hosts(System):
    async def host(self) -> str:
        """The host of a new session."""
        result = await self.launch()
        return next(hostname for hostname, agent_id in self.agents.items() if agent_id == result.agent_id)

    async def restrict_to(self, hostname: str) -> None:
        await self.db.write("UPDATE images SET restrict_to_server = true, server_id = %s", (self.agents[hostname],))


@pytest.fixture
async def stage(db: Database) -> Hosts:
    stage = await Hosts.populate(db, agents=("hot", "packed", "idle"), max_kasms_per_user=99)
    config_id = await rows.staging_config(db, stage.zone_id, await rows.image(db, friendly_name="Other"))
    for hostname, cpu, sessions in (("hot", 0.9, 2), ("packed", 0.1, 4), ("idle", 0.1, 1)):
        usage = {"cpu": cpu, "memory_bytes": 1_000_000_000}
        await db.write("UPDATE agents SET usage = %s WHERE agent_id = %s", (Jsonb(usage), stage.agents[hostname]))
        await rows.staged_sessions(db, config_id, stage.agents[hostname], sessions)
    return stage


@pytest.mark.parametrize(
    ("strategy", "hostname"),
    [("Least Load", "idle"), ("Most Load", "hot"), ("Least Kasms", "idle"), ("Most Kasms", "packed")],
)
async def test_the_strategy_of_the_zone_chooses(stage: Hosts, strategy: str, hostname: str):
    await stage.db.write("UPDATE zones SET load_balancing_strategy = %s", (strategy,))
    assert await stage.host() == hostname


@pytest.mark.parametrize("change", ["last_reported = clock_timestamp() - interval '8 s'", "disconnected = 'infinity'"])
async def test_an_agent_that_is_silent_or_disconnected_is_tried_last(stage: Hosts, change: LiteralString):
    await stage.db.write("UPDATE agents SET " + change + " WHERE agent_id = %s", (stage.agents["idle"],))
    assert await stage.host() == "packed"
    await stage.db.write("UPDATE agent_capacity SET cores = 0 WHERE agent_id <> %s", (stage.agents["idle"],))
    assert await stage.host() == "idle", "it is better than none"


async def test_a_full_agent_is_passed_over_with_any_strategy(stage: Hosts):
    await stage.db.write("UPDATE zones SET load_balancing_strategy = 'Most Load'")
    await stage.db.write("UPDATE agent_capacity SET cores = 2 WHERE agent_id = %s", (stage.agents["hot"],))
    assert await stage.host() == "packed"


async def test_a_workspace_restricted_to_an_agent_goes_there_or_nowhere(stage: Hosts):
    await stage.restrict_to("hot")
    assert await stage.host() == "hot"
    await stage.db.write("UPDATE agents SET draining = true WHERE agent_id = %s", (stage.agents["hot"],))
    with pytest.raises(NoResources) as refused:
        await stage.host()
    assert "hot is draining and takes no new sessions" in refused.value.message
    assert "idle: the workspace is restricted to Agent hot" in refused.value.message


async def test_a_restricted_workspace_uses_no_staged_session_elsewhere(stage: Hosts):
    config_id = await rows.staging_config(stage.db, stage.zone_id, stage.image_id)
    as_it_was = await rows.config_hash(stage.db, config_id)
    await rows.staged_sessions(stage.db, config_id, stage.agents["idle"], 2, config_hash=as_it_was)
    assert await stage.host() == "idle"
    await stage.restrict_to("hot")
    assert await stage.host() == "hot"
    (newest,) = await stage.db.fetch("SELECT session_id FROM sessions ORDER BY created DESC LIMIT 1")
    assert (await stage.trace(newest["session_id"]))[-1][1:4] == ("on_demand_here", "eu", True)


async def test_a_host_whose_disk_is_short_gets_no_session_and_says_so(stage: Hosts):
    short = Jsonb({"cpu": 0.1, "memory_bytes": 1, "disk_free_bytes": 3_000_000_000, "disk_kept_bytes": 5_000_000_000})
    await stage.db.write("UPDATE agents SET usage = %s WHERE agent_id = %s", (short, stage.agents["idle"]))
    assert await stage.host() == "packed"
    await stage.db.write("UPDATE agents SET usage = %s", (short,))
    with pytest.raises(NoResources) as refused:
        await stage.host()
    assert "idle has 3 GB of disk free; 5 GB must stay free" in refused.value.message
    assert "Free disk space on the hosts of the Agents" in refused.value.message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("status = 'running'", None),
        ("status = 'missing'", "status"),
        ("enabled = false", "disabled"),
        ("draining = true", "draining"),
        ("runtime_error = 'Docker does not answer.'", "runtime"),
        ('usage = \'{"disk_free_bytes": 4, "disk_kept_bytes": 5}\'', "disk"),
        ('usage = \'{"disk_free_bytes": 5, "disk_kept_bytes": 5}\'', None),
        ("usage = '{\"disk_kept_bytes\": 5}'", None),
        ("usage = '{\"disk_free_inodes\": 0.099}'", "disk"),
        ("usage = '{\"disk_free_inodes\": 0.1}'", None),
    ],
)
async def test_the_statement_about_agents_that_take_sessions_agrees_with_the_rule(
    stage: Hosts, change: LiteralString, code: str | None
):
    await stage.db.write("UPDATE agents SET " + change)
    found = await read_agents(stage.db, stage.zone_id, IMAGE)
    assert {reason and reason.code for reason in (agent.closed for agent in found)} == {code}
    (counted,) = await stage.db.fetch("SELECT count(*) AS number FROM agents a WHERE " + TAKES_SESSIONS)
    assert counted["number"] == (len(found) if code is None else 0)


async def test_a_workspace_goes_only_where_its_runtime_is_offered(stage: Hosts):
    await stage.db.write("UPDATE images SET run_config = %s", (Jsonb({"runtime": "runsc"}),))
    with pytest.raises(NoResources) as refused:
        await stage.host()
    assert "idle does not offer the runtime runsc of the workspace" in refused.value.message
    offers = Jsonb({"cpu": 0.9, "memory_bytes": 1, "runtime_classes": ["runsc"]})
    await stage.db.write("UPDATE agents SET usage = %s WHERE agent_id = %s", (offers, stage.agents["hot"]))
    assert await stage.host() == "hot"
