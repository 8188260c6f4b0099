"""Machines that are returned or kept, on a real database: those that never serve, on which another Agent has
joined, that cannot be ended, and that other secrets do not list.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.database.cloud import Cloud
from tests.support import rows

from greenroom.core.fleet.machines.model import OrderState, OrderTransition
from greenroom.db.database import Database
from greenroom.db.fleet import machine_orders, machine_pools
from greenroom.db.fleet.machine_pools import MachinePoolRow
from greenroom.machine_providers.contract import ProviderError, ProviderMachine
from greenroom.up.invariants import INVARIANTS, find_violations


@pytest.fixture
async def cloud(db: Database) -> Cloud:
    return await Cloud.populate(db)


async def _pool(cloud: Cloud) -> MachinePoolRow:
    (pool,) = (await machine_pools.list_pools(cloud.system.db)).rows
    return pool


async def _joined(cloud: Cloud, machine_id: str = "m-1") -> str:
    """Let a serving machine join; returns its Agent."""
    await cloud.short(1)
    await cloud.rounds(2)
    agent_id = await cloud.join("sim-1")
    await cloud.system.db.write("UPDATE agents SET machine_id = %s", (machine_id,))
    await cloud.rounds()
    assert await cloud.states() == ["joined"]
    await cloud.at_rest()
    return agent_id


# Never serves ---------------------------------------------------------------------------------------------------------


async def test_a_machine_that_registers_and_never_serves_is_given_back_and_the_pool_pauses(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    await cloud.join("sim-1", status="pending")
    await cloud.rounds()
    assert await cloud.states() == ["created"]
    await cloud.later(1020)
    await cloud.rounds()
    assert await cloud.states() == ["created"]
    await cloud.later(60)
    await cloud.rounds()
    (order,) = await cloud.orders()
    assert (order.state, order.failed) == (OrderState.RELEASING, True)
    assert order.state_reason == "its Agent sim-1 registered, but was not ready 1080 s after the order"
    assert (await _pool(cloud)).failures == 1
    assert await cloud.system.db.fetch("SELECT 1 FROM agents") == []
    await cloud.rounds(2)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended"], {})


async def test_failures_are_forgotten_when_an_agent_serves_and_not_when_it_registers(cloud: Cloud):
    await cloud.system.db.write("UPDATE machine_pools SET failures = 3")
    await cloud.short(1)
    await cloud.rounds(2)
    agent_id = await cloud.join("sim-1", status="pending")
    await cloud.rounds()
    assert (await _pool(cloud)).failures == 3
    await cloud.system.db.write("UPDATE agents SET status = 'running' WHERE agent_id = %s", (agent_id,))
    await cloud.rounds()
    assert (await cloud.states(), (await _pool(cloud)).failures) == (["joined"], 0)


async def test_an_agent_that_registers_while_its_machine_is_given_up_keeps_it(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    (order,) = await cloud.orders()
    agent_id = await cloud.join("sim-1", status="pending")

    async def given_up(known: str | None) -> str | None:
        async with cloud.system.db.transaction() as connection:
            move = OrderTransition(order.machine_order_id, OrderState.RELEASING, "a plan of before", agent_id=known)
            return await machine_orders.apply_transition(connection, move)

    assert await given_up(None) is None
    assert await cloud.states() == ["created"]
    assert await given_up(agent_id) == agent_id
    assert await cloud.states() == ["releasing"]


# Another Agent is there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["dead", "deleted", "drained"])
async def test_a_machine_on_which_another_agent_was_joined_is_kept_while_that_is_there(cloud: Cloud, before: str):
    first = await _joined(cloud)
    db = cloud.system.db
    second = await rows.agent(db, cloud.system.zone_id, hostname="by-hand")
    await db.write("UPDATE agents SET machine_id = 'm-1' WHERE agent_id = %s", (second,))
    if before == "deleted":
        await db.write("DELETE FROM agents WHERE agent_id = %s", (first,))
    elif before == "dead":
        await db.write("UPDATE agents SET status = 'dead' WHERE agent_id = %s", (first,))
    else:
        await db.write("UPDATE agents SET draining = true WHERE agent_id = %s", (first,))
    await cloud.rounds(4)
    (order,) = await cloud.orders()
    assert order.state in (OrderState.JOINED, OrderState.DRAINING)
    async with db.transaction() as connection:
        move = OrderTransition(order.machine_order_id, OrderState.RELEASING, "a plan that did not know")
        assert await machine_orders.apply_transition(connection, move) is None
    assert len(cloud.cloud.machines) == 1
    await db.write("UPDATE agents SET status = 'dead' WHERE agent_id = %s", (second,))
    await cloud.rounds(5)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended"], {})


async def test_the_agent_of_another_order_is_another_machine_despite_a_copied_disks_id(cloud: Cloud):
    await cloud.short(9)
    await cloud.rounds(2)
    for ref in ("sim-1", "sim-2"):
        await cloud.join(ref)
    await cloud.system.db.write("UPDATE agents SET machine_id = 'copied'")
    await cloud.rounds()
    await cloud.at_rest()
    await cloud.rounds(6)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended", "ended"], {})


async def test_the_agent_of_the_host_whose_disk_was_copied_keeps_no_machine(cloud: Cloud):
    db = cloud.system.db
    template = await rows.agent(db, cloud.system.zone_id, hostname="template", enabled=False)
    await cloud.short(1)
    await cloud.rounds(2)
    await cloud.join("sim-1")
    await db.write("UPDATE agents SET machine_id = 'copied', registered = registered - interval '1 hour'")
    await cloud.rounds()
    assert await cloud.states() == ["joined"]
    await cloud.at_rest()
    await cloud.rounds(6)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended"], {})
    assert [row["agent_id"] for row in await db.fetch("SELECT agent_id::text FROM agents")] == [template]


async def test_a_second_machine_with_the_name_of_the_first_is_left_until_both_go(cloud: Cloud):
    await _joined(cloud)
    session = await cloud.system.launch()
    cloud.cloud.machines["twin"] = ProviderMachine("twin", cloud.cloud.machines["sim-1"].name)
    await cloud.system.db.write("UPDATE machine_orders SET ref = 'twin'")
    await cloud.rounds(3)
    assert sorted(cloud.cloud.machines) == ["sim-1", "twin"]
    assert [line["message"] for line in await cloud.system.log("machine-unknown")] == [
        (
            "Machine sim-1 of pool cloud is not changed: another machine has the same name, and the machine of the"
            " Agent is unknown. Both machines end with their order. To end one of them earlier, end the machine"
            " without an Agent at the provider."
        ),
    ]
    await cloud.system.end(session.session_id)
    await cloud.rounds(6)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended"], {})


# Cannot be ended ------------------------------------------------------------------------------------------------------


async def test_a_machine_that_cannot_be_ended_pauses_itself_and_not_its_pool(cloud: Cloud):
    await _joined(cloud)
    ends: list[str] = []

    def protected(action: str) -> None:
        if action == "end":
            ends.append(action)
            raise ProviderError("It is protected.", retry_after_s=100.0)

    cloud.cloud.before_action = protected
    await cloud.rounds(5)
    (order,) = await cloud.orders()
    assert order.state is OrderState.RELEASING
    assert order.state_reason.startswith("It is protected. The provider is asked again at ")
    assert len(ends) == 1, "it is asked again after the pause that it wanted"
    pool = await _pool(cloud)
    assert (pool.call_failures, pool.next_call, pool.last_error) == (0, None, "")
    await _due(cloud)
    await cloud.rounds()
    (row,) = await cloud.system.db.fetch(
        "SELECT end_failures, next_end - clock_timestamp() AS away FROM machine_orders"
    )
    assert (row["end_failures"], len(ends)) == (2, 2)
    assert 90 < row["away"].total_seconds() <= 100
    assert [line["message"] for line in await cloud.system.log("machine-provider-failed")] == [
        "Machine sim-1 of machine pool cloud was not ended: It is protected."
    ]
    await cloud.system.db.write("UPDATE machine_orders SET releasing = releasing - interval '2 hours'")
    (i25,) = [one for one in INVARIANTS if one.code == "I25"]
    assert ["It is protected" in what for what in await find_violations(cloud.system.db, i25)] == [True]
    cloud.cloud.before_action = lambda _: None
    await _due(cloud)
    await cloud.rounds(2)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended"], {})


async def _due(cloud: Cloud) -> None:
    await cloud.system.db.write("UPDATE machine_orders SET next_end = clock_timestamp()")


# Other secrets --------------------------------------------------------------------------------------------------------


async def _new_secrets(cloud: Cloud) -> None:
    """Change the secrets as if they were entered some minutes ago, after the machine was requested."""
    pool = await _pool(cloud)
    fields: Any = pool
    async with cloud.system.db.transaction() as connection:
        await machine_pools.update_pool(connection, pool.machine_pool_id, fields, has_new_secrets=True)
    await cloud.system.db.write("UPDATE machine_pools SET secrets_since = clock_timestamp()")


async def test_a_machine_that_other_secrets_do_not_show_stays_in_the_ledger(cloud: Cloud):
    await _joined(cloud)
    await _new_secrets(cloud)
    hidden = dict(cloud.cloud.machines)
    cloud.cloud.machines.clear()  # another account
    await cloud.rounds(5)
    assert await cloud.states() == ["releasing"]
    await cloud.system.db.write("UPDATE machine_orders SET releasing = releasing - interval '2 hours'")
    (i25,) = [one for one in INVARIANTS if one.code == "I25"]
    assert ["check the former account" in what for what in await find_violations(cloud.system.db, i25)] == [True]
    await _new_secrets(cloud)  # the correct ones again
    cloud.cloud.machines = hidden
    await cloud.rounds(2)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended"], {})


async def test_a_machine_that_other_secrets_show_too_goes_as_any_other(cloud: Cloud):
    await _joined(cloud)
    await _new_secrets(cloud)
    await cloud.rounds(5)
    assert (await cloud.states(), cloud.cloud.machines) == (["ended"], {})
