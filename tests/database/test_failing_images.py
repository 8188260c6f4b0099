"""Sessions that do not start: only on one Agent, on all of them, or never finishing; other pools continue."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.database.test_pools import stage
from tests.support import rows
from tests.support.system import System

from greenroom.db.pool import configs

__all__ = ["stage"]


class Hosts:
    """Two Agents; on `broken` no session of the workspace starts."""

    def __init__(self, stage: System, broken: str, sound: str) -> None:
        self.stage = stage
        self.broken = broken
        self.sound = sound

    async def settle(self) -> None:
        """Run the Primary's rounds, with the maximum pause of a pool between them."""
        for _ in range(6):
            await self.stage.plan()
            await self.stage.db.write(
                "UPDATE sessions SET status = 'failed', error = 'exec format error' WHERE agent_id = %s"
                " AND status IN ('requested', 'starting')",
                (self.broken,),
            )
            await self.stage.agents_do()
            await self.stage.db.write(
                "UPDATE staging_configs SET next_try = clock_timestamp() WHERE next_try > clock_timestamp()"
            )

    async def running(self) -> Counter[str]:
        """Agent → claimable sessions."""
        found = await self.stage.db.fetch("SELECT agent_id::text FROM sessions WHERE claimable")
        return Counter(row["agent_id"] for row in found)

    async def failed(self) -> int:
        """The number of failed starts so far."""
        return len(await self.stage.db.fetch("SELECT 1 FROM sessions WHERE error IS NOT NULL"))


@pytest.fixture
async def hosts(stage: System) -> Hosts:
    sound = await rows.agent(stage.db, stage.zone_id, cores=20.0, hostname="agent-2")
    # The one on which nothing starts is the one with the least load.
    await stage.db.write("UPDATE agent_capacity SET cores_allocated = 10 WHERE agent_id = %s", (sound,))
    return Hosts(stage, stage.agent_id, sound)


async def test_a_workspace_that_fails_on_one_agent_is_staged_on_another(hosts: Hosts):
    await hosts.settle()
    assert await hosts.running() == {hosts.sound: 3}
    assert await hosts.failed() == 2, "those of the first round, which is spread over both Agents, and none after them"
    config = await hosts.stage.config()
    assert (config["failures"], config["shortfall_code"]) == (0, None)
    created = [row["message"] for row in await hosts.stage.log("staged-session-created") if "not on" in row["message"]]
    assert created[0].endswith("placed on agent-2 and not on agent-1, where a start failed lately.")


async def test_a_failed_agent_is_retried_later_and_at_once_when_recycled(hosts: Hosts):
    await hosts.settle()
    await hosts.stage.db.write("UPDATE staging_configs SET num_sessions = 4")
    await hosts.stage.db.write("UPDATE sessions SET created = created - interval '10 min' WHERE error IS NOT NULL")
    await hosts.stage.plan()
    (new,) = await hosts.stage.db.fetch("SELECT agent_id::text FROM sessions WHERE status = 'requested'")
    assert new["agent_id"] == hosts.broken
    await hosts.settle()
    assert await hosts.running() == {hosts.sound: 4}
    async with hosts.stage.db.transaction() as connection:
        await configs.recycle_config(connection, hosts.stage.config_id)
    await hosts.stage.plan()
    (new,) = await hosts.stage.db.fetch("SELECT agent_id::text FROM sessions WHERE status = 'requested'")
    assert new["agent_id"] == hosts.broken


async def test_starts_that_never_end_leave_other_pools_alone(stage: System):
    await stage.plan()
    await stage.db.write("UPDATE sessions SET status = 'starting'")
    other = await rows.image(stage.db, friendly_name="Other")
    second = await rows.staging_config(stage.db, stage.zone_id, other, num_sessions=2)
    await stage.plan()
    assert await stage.statuses() == {"starting": 3, "requested": 2}
    await stage.db.write("UPDATE sessions SET status = 'running' WHERE staging_config_id = %s", (second,))
    await stage.db.write("UPDATE staging_configs SET num_sessions = 4 WHERE staging_config_id = %s", (second,))
    await stage.plan()
    assert await stage.statuses() == {"starting": 3, "running": 2, "requested": 2}
