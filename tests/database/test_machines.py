"""Machine pools on a real database: the Primary's work, with the simulated provider and simulated Agents."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tests.database.cloud import FIELDS, Cloud, OneProvider
from tests.support.system import SECRETS
from tests.support.waiting import eventually
from tests.unit.clouds import address, answering

from greenroom.core.errors import LeaseLost
from greenroom.core.fleet.machines.model import OrderState, OrderTransition
from greenroom.core.fleet.machines.provider import name_prefix
from greenroom.db.database import Database
from greenroom.db.fleet import machine_orders, machine_pools
from greenroom.db.fleet.agents import update_agent
from greenroom.db.fleet.enrollment import read_token
from greenroom.db.fleet.machine_pools import MachinePoolRow
from greenroom.db.installation import change_installation_settings
from greenroom.kit.secrets import secret_digest
from greenroom.machine_providers.builtin import SimulatedProvider
from greenroom.machine_providers.contract import NewMachine, ProviderError, ProviderMachine
from greenroom.manager.machines.calls import Providers
from greenroom.manager.machines.machine_rounds import MachineRounds


@pytest.fixture
async def cloud(db: Database) -> Cloud:
    return await Cloud.populate(db)


async def test_a_machine_is_ordered_for_missing_resources_and_released_after_use(cloud: Cloud):
    await cloud.short(9)
    await cloud.rounds()
    assert await cloud.states() == ["ordered", "ordered"]
    assert cloud.cloud.created == 0
    await cloud.rounds(2)
    assert await cloud.states() == ["created", "created"]
    assert cloud.cloud.created == 2
    (first, *_) = await cloud.orders()
    assert "lacks 9 sessions, and there is no room." in first.reason
    for ref in list(cloud.made):
        await cloud.join(ref)
    await cloud.rounds()
    assert await cloud.states() == ["joined", "joined"]
    assert {order.hostname for order in await cloud.orders()} == {"sim-1", "sim-2"}
    await cloud.at_rest()
    await cloud.rounds(2)  # surplus, then draining: the pool's idle_s is 0
    assert await cloud.states() == ["draining", "draining"]
    await cloud.rounds(3)
    assert await cloud.states() == ["ended", "ended"]
    assert cloud.cloud.machines == {}
    assert await cloud.system.db.fetch("SELECT 1 FROM agents") == []


async def test_the_user_data_has_the_one_time_token_of_the_order(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    (machine,) = cloud.made.values()
    (order,) = await cloud.orders()
    assert machine.join.token == SECRETS.machine_token(order.machine_order_id)
    assert machine.join.token in machine.user_data
    token = await read_token(cloud.system.db, secret_digest(machine.join.token))
    assert token is not None
    assert (token.uses_left, token.enable_agent) == (1, True)
    assert abs((token.expires - order.deadline).total_seconds()) < 1
    stored = await cloud.system.db.fetch("SELECT * FROM machine_orders")
    assert machine.join.token not in str(stored)


async def test_a_machine_with_a_session_is_never_released(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    agent_id = await cloud.join("sim-1")
    await cloud.rounds()
    await cloud.at_rest()
    session = await cloud.system.launch()
    async with cloud.system.db.transaction() as connection:
        await machine_pools.mark_deleted(connection, cloud.pool_id)
    await cloud.rounds(3)
    assert await cloud.states() == ["draining"]
    # Even a plan without the session would change nothing.
    (order,) = await cloud.orders()
    async with cloud.system.db.transaction() as connection:
        move = OrderTransition(order.machine_order_id, OrderState.RELEASING, "a plan of before")
        assert await machine_orders.apply_transition(connection, move) is None
    assert len(cloud.cloud.machines) == 1
    await cloud.system.end(session.session_id)
    await cloud.rounds(3)
    assert await cloud.states() == ["ended"]
    assert cloud.cloud.machines == {}
    assert await cloud.system.db.fetch("SELECT 1 FROM agents WHERE agent_id = %s", (agent_id,)) == []
    assert await cloud.system.db.fetch("SELECT 1 FROM machine_pools") == []


async def test_a_draining_machine_is_used_again_if_resources_are_missing(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    await cloud.join("sim-1")
    await cloud.rounds()
    session = await cloud.system.launch()
    await cloud.at_rest()
    await update_agent(cloud.system.db, (await cloud.orders())[0].agent_id or "", draining=True)
    await cloud.rounds()
    assert await cloud.states() == ["draining"]
    await cloud.short(4)
    await cloud.rounds()
    (order,) = await cloud.orders()
    assert (order.state, order.sessions) == (OrderState.JOINED, 1)
    assert order.state_reason.startswith("it is used again: the pool Desktop in zone eu")
    (agent,) = await cloud.system.db.fetch("SELECT draining FROM agents")
    assert agent["draining"] is False
    assert (await cloud.system.row(session.session_id))["status"] != "deleted"


async def test_a_create_without_an_answer_is_looked_up_and_not_repeated(cloud: Cloud):
    await cloud.short(1)

    def lose_the_answer(machine: NewMachine, ref: str) -> None:
        cloud.made[ref] = machine
        raise ProviderError("The line was cut.")

    cloud.cloud.on_create = lose_the_answer
    await cloud.rounds(2)
    assert (await cloud.states(), cloud.cloud.created) == (["ordered"], 1)
    (order,) = await cloud.orders()
    assert order.state_reason.startswith("The line was cut. The machine may exist; ")
    await cloud.rounds()
    (order,) = await cloud.orders()
    assert (order.state, order.ref, cloud.cloud.created) == (OrderState.CREATED, "sim-1", 1)


async def test_a_machine_that_appears_after_its_order_was_given_up_is_deleted(cloud: Cloud):
    await cloud.short(1)

    def silent(action: str) -> None:
        if action == "create":
            raise ProviderError("The line was cut.")

    cloud.cloud.before_action = silent
    await cloud.rounds(2)
    (order,) = await cloud.orders()
    await cloud.at_rest()
    await cloud.later(300)
    await cloud.rounds()
    assert await cloud.states() == ["releasing"]
    name = f"gr-{(await _installation(cloud))[:8]}-{cloud.pool_id[:8]}-{uuid.UUID(order.machine_order_id).hex}"
    cloud.cloud.machines["late"] = ProviderMachine("late", name)
    await cloud.rounds(2)
    assert cloud.cloud.machines == {}
    assert await cloud.states() == ["releasing"]
    await cloud.later(900)
    await cloud.rounds()
    assert await cloud.states() == ["ended"]


async def _installation(cloud: Cloud) -> str:
    (row,) = await cloud.system.db.fetch("SELECT installation_id::text AS id FROM installation")
    return row["id"]


async def test_machines_without_an_order_in_this_database_are_not_deleted(cloud: Cloud):
    """Foreign machines, and one of this installation that is unknown after a restore: a session may run there."""
    ours, other = await _installation(cloud), str(uuid.uuid4())
    order_id = uuid.uuid4().hex
    machines = {
        "web-1": ProviderMachine("web-1", "web-1"),
        "other pool": ProviderMachine("other pool", f"gr-{ours[:8]}-{other[:8]}-{order_id}"),
        "other installation": ProviderMachine("other installation", f"gr-{other[:8]}-{cloud.pool_id[:8]}-{order_id}"),
        "unknown": ProviderMachine("unknown", f"gr-{ours[:8]}-{cloud.pool_id[:8]}-{order_id}"),
    }
    cloud.cloud.machines = dict(machines)
    await cloud.rounds(4)
    assert cloud.cloud.machines == machines
    assert await cloud.orders() == []


async def test_a_machine_that_still_exists_after_its_order_ended_is_deleted_again(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    await cloud.at_rest()
    await cloud.system.db.write("UPDATE machine_orders SET state = 'ended', ended = now()")
    await cloud.rounds()
    (order,) = await cloud.orders()
    assert (order.state, order.state_reason) == (
        OrderState.RELEASING,
        "the provider lists it without an open order",
    )
    await cloud.rounds(2)
    assert cloud.cloud.machines == {}
    assert await cloud.states() == ["ended"]


async def test_a_refusal_of_the_provider_is_stored_and_the_call_is_repeated_later(cloud: Cloud):
    await cloud.short(1)

    def refuse(action: str) -> None:
        if action == "create":
            raise ProviderError("The cloud refused: no more quota.", retry_after_s=100.0, refused=True)

    cloud.cloud.before_action = refuse
    await cloud.rounds(2)
    assert await cloud.states() == ["ended"]
    (pool,) = (await machine_pools.list_pools(cloud.system.db)).rows
    assert (pool.failures, pool.call_failures) == (1, 1)
    assert pool.last_error == "The cloud refused: no more quota."
    assert pool.next_call is not None
    assert 95 < (pool.next_call - pool.now).total_seconds() <= 100
    await cloud.work.round(cloud.system.ctx)
    assert len(await cloud.orders()) == 1  # none is ordered before the next try


async def test_a_call_to_a_provider_that_hangs_has_a_time_limit(cloud: Cloud):
    class Hanging(SimulatedProvider):
        async def list(self, prefix: str) -> list[ProviderMachine]:
            await asyncio.Event().wait()
            raise AssertionError

    work = MachineRounds(lambda: cloud.system.ctx, OneProvider(Hanging(cloud.cloud)), call_timeout_s=0.05)
    await cloud.short(1)
    await work.round(cloud.system.ctx)
    (pool,) = (await machine_pools.list_pools(cloud.system.db)).rows
    assert pool.last_error == "The provider did not list its machines within 0.05 s."
    assert await cloud.states() == ["ordered"]


async def test_a_provider_that_hangs_does_not_delay_other_pools(cloud: Cloud):
    class HangingForOne(SimulatedProvider):
        async def list(self, prefix: str) -> list[ProviderMachine]:
            if prefix == hanging:
                asked.append(prefix)
                await answers.wait()
            return list(await super().list(prefix))

    answers, asked = asyncio.Event(), list[str]()
    slow = await _other_pool(cloud, name="slow")
    hanging = name_prefix(await _installation(cloud), slow)
    cloud.work = MachineRounds(lambda: cloud.system.ctx, OneProvider(HangingForOne(cloud.cloud)), provider_wait_s=0.2)
    await cloud.short(1)
    async with asyncio.timeout(20):  # a call may take 60 s
        await cloud.rounds(2)
        await eventually(lambda: cloud.system.db.fetch("SELECT 1 FROM machine_orders WHERE state = 'created'"))
    assert (await cloud.states(), len(asked)) == (["created"], 1), "it is asked once, and the other pool meanwhile"
    answers.set()
    await cloud.rounds()
    (listed,) = await cloud.system.db.fetch("SELECT listed FROM machine_pools WHERE machine_pool_id = %s", (slow,))
    assert listed["listed"] is not None, "what came late was not used"


class _Unforeseen(SimulatedProvider):
    async def list(self, prefix: str) -> list[ProviderMachine]:
        raise ZeroDivisionError(prefix)


async def _other_pool(cloud: Cloud, **fields: Any) -> str:
    async with cloud.system.db.transaction() as connection:
        return await machine_pools.insert_pool(connection, cloud.system.zone_id, replace(FIELDS, **fields))


async def _pool(cloud: Cloud, name: str) -> MachinePoolRow:
    return next(pool for pool in (await machine_pools.list_pools(cloud.system.db)).rows if pool.name == name)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nested", " cannot be read: "),
        ("unforeseen", "The provider did not list its machines: ZeroDivisionError."),
    ],
)
async def test_an_unexpected_error_of_a_provider_affects_only_its_pool(
    cloud: Cloud, kind: str, words: str, tmp_path: Path
):
    await _other_pool(cloud, name="bad", max_machines=0)
    async with answering("command", tmp_path, b'{"x":' + b"[" * 5000) as nested:
        bad = nested if kind == "nested" else _Unforeseen(cloud.cloud)
        good = SimulatedProvider(cloud.cloud)
        cloud.work = MachineRounds(lambda: cloud.system.ctx, OneProvider(good, bad=bad), provider_wait_s=20.0)
        await cloud.short(1)
        await cloud.rounds(2)
    assert await cloud.states() == ["created"]
    pool = await _pool(cloud, "bad")
    assert words in pool.last_error
    assert pool.next_call is not None
    assert pool.next_call > pool.now, "it is asked again after a pause"
    assert (await _pool(cloud, "cloud")).last_error == ""


async def test_a_provider_webhook_on_this_host_needs_the_setting_webhook_hosts(cloud: Cloud):
    async def answer(_: Request) -> Response:
        return JSONResponse({"machines": []})

    async with address(answer) as url:
        await _other_pool(cloud, name="hook", provider="webhook", options={"url": url})
        providers = Providers(SECRETS)
        cloud.work = MachineRounds(lambda: cloud.system.ctx, providers, provider_wait_s=20.0)
        await cloud.rounds()
        pool = await _pool(cloud, "hook")
        assert pool.last_error.endswith("only hosts of the setting `webhook_hosts` may use http.")
        assert pool.listed is None
        async with cloud.system.db.transaction() as connection:
            await change_installation_settings(connection, {"webhook_hosts": "127.0.0.1"})
        await cloud.rounds()
    pool = await _pool(cloud, "hook")
    assert (pool.last_error, pool.listed is None) == ("", False)


async def test_a_machine_that_does_not_join_in_time_is_replaced_after_a_pause(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    token = secret_digest(next(iter(cloud.made.values())).join.token)
    await cloud.later(901)
    await cloud.rounds()
    assert await cloud.states() == ["releasing"]
    revoked = await read_token(cloud.system.db, token)
    assert revoked is not None
    assert revoked.revoked
    await cloud.rounds(2)
    assert await cloud.states() == ["ended"]
    await cloud.system.db.write("UPDATE machine_pools SET next_try = NULL")
    await cloud.rounds(2)
    assert await cloud.states() == ["created", "ended"]


async def test_a_machine_that_joins_at_the_last_moment_is_kept(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    await cloud.later(901)
    await cloud.join("sim-1")
    await cloud.rounds()
    assert await cloud.states() == ["joined"]


async def test_a_primary_whose_term_is_over_writes_nothing(cloud: Cloud):
    await cloud.short(1)
    await cloud.system.db.write("UPDATE zone_leases SET term = term + 1")
    with pytest.raises(LeaseLost):
        await cloud.work.round(cloud.system.ctx)
    assert await cloud.orders() == []


async def test_a_deleted_pool_that_had_no_machine_waits_for_no_look_of_later(cloud: Cloud):
    await cloud.short(1)
    await cloud.rounds(2)
    await cloud.at_rest()
    await cloud.system.db.write("UPDATE machine_orders SET state = 'ended', ended = now()")
    cloud.cloud.machines.clear()
    async with cloud.system.db.transaction() as connection:
        await machine_pools.mark_deleted(connection, cloud.pool_id)
    await cloud.work.round(cloud.system.ctx)
    assert await cloud.system.db.fetch("SELECT 1 FROM machine_pools") == []


async def test_the_token_of_a_machine_enables_its_agent_while_the_pool_is_approved(cloud: Cloud):
    db = cloud.system.db
    await cloud.short(1)
    await cloud.rounds(2)
    token = secret_digest(next(iter(cloud.made.values())).join.token)

    async def enables() -> bool:
        found = await read_token(db, token)
        assert found is not None
        return found.enable_agent

    async def store(approved_by: str) -> None:
        async with db.transaction() as connection:
            fields = replace(FIELDS, approved_by=approved_by)
            await machine_pools.update_pool(connection, cloud.pool_id, fields)

    assert await enables()
    await store("")
    assert not await enables()
    await store("an administrator")
    assert not await enables(), "the machine was ordered before"


async def test_the_agent_of_a_pool_without_approval_waits_for_an_administrator(db: Database):
    cloud = await Cloud.populate(db, approved_by="")
    await cloud.short(1)
    await cloud.rounds(2)
    token = await read_token(db, secret_digest(next(iter(cloud.made.values())).join.token))
    assert token is not None
    assert not token.enable_agent
    await cloud.join("sim-1", status="pending", enabled=False)
    await cloud.later(1100)
    await cloud.rounds(1)
    (order,) = await cloud.orders()
    assert (
        order.state_reason == "its Agent sim-1 registered, but no administrator enabled it within 1080 s of the order"
    )
