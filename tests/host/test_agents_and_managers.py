"""Real Agents and Managers behind a real gateway: the Manager that an Agent uses; nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from tests.host.deployed import Zone, deployed_zone, own_database
from tests.support.real_agents import simulated
from tests.support.waiting import eventually

from greenroom.agent.fleet.checkin import MAX_QUICK_ANSWERS
from greenroom.runtimes.simulated import SimulationSettings
from greenroom.up.postgres import PostgresCluster

Record = Callable[[str, object], None]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_zone(cluster: PostgresCluster) -> AsyncIterator[Zone]:
    async with own_database(cluster) as db, deployed_zone(db, "one", "two", "three", agents=2) as zone:
        yield zone


@pytest_asyncio.fixture(loop_scope="module")
async def zone(shared_zone: Zone) -> Zone:
    await shared_zone.all_at_work()
    return shared_zone


@pytest.mark.timeout(400)
async def test_after_each_fault_all_agents_report_to_the_new_primary(zone: Zone, record_property: Record):
    """Disabled, ended, killed, frozen: each Manager comes back without taking leadership."""
    session_id = await zone.launch()
    await zone.running(session_id)
    lease = await zone.all_report_to_primary()
    for fault in ("disable", "sigterm", "kill", "freeze"):
        name, others = lease["primary"], [n for n in zone.fleet.managers if n != lease["primary"]]
        manager, begun = zone.fleet.managers[name], time.monotonic()
        if fault == "disable":
            await zone.enable(name, False)
        else:
            manager.kill({"sigterm": signal.SIGTERM, "kill": signal.SIGKILL, "freeze": signal.SIGSTOP}[fault])
        lease = await zone.all_report_to_primary(*others)
        record_property(f"{fault}_ms", round((time.monotonic() - begun) * 1000))
        if fault == "disable":
            await zone.enable(name, True)
        elif fault == "freeze":
            manager.thaw()
        else:
            await manager.ended()
            await zone.start_manager(name)
        assert (await zone.all_report_to_primary())["term"] == lease["term"]
    for host in zone.hosts:
        assert host.failed_calls == 0
        reasons = {r for r in ("unavailable", "error", "silent") if host.value("failovers_total", reason=r)}
        assert reasons == {"unavailable", "error", "silent"}
    assert sum(host.creations[session_id] for host in zone.hosts) == 1
    await zone.end(session_id)


@pytest.mark.parametrize("stop", ["checkin.before_answer", "checkin.before_commit", "checkin.after_commit"])
async def test_a_launch_and_a_command_at_the_end_of_a_manager_happen_once(zone: Zone, stop: str):
    """The Manager dies with the answer unsent, or with the Agent's report, committed or not."""
    first = await zone.launch()
    await zone.running(first)
    await zone.all_report_to_primary()
    manager = await zone.primary()
    await manager.stops.arm(stop)
    launching = asyncio.create_task(zone.launch())
    commanding = asyncio.create_task(zone.command(first, "echo", stop))
    await manager.stops.reached(stop)
    manager.kill()
    second = await launching
    assert (await commanding)["output"] == f"{stop}\n"
    await zone.running(second)
    done = [host.commands[f"echo {stop}"] for host in zone.hosts]
    assert sorted(done) == [0, 1]
    assert sum(host.creations[second] for host in zone.hosts) == 1
    assert len(await zone.containers()) == 2
    await asyncio.gather(zone.end(first), zone.end(second))
    assert sum(host.failed_calls for host in zone.hosts) == 0


async def test_a_command_result_of_a_dead_manager_reaches_the_next(zone: Zone):
    session_id = await zone.launch()
    await zone.running(session_id)
    await zone.all_report_to_primary()
    manager = await zone.primary()
    commanding = asyncio.create_task(zone.command(session_id, "sleep", "1"))
    await eventually(lambda: any(host.commands["sleep 1"] for host in zone.hosts))
    manager.kill()
    assert (await commanding)["exit_code"] == 0
    assert sum(host.commands["sleep 1"] for host in zone.hosts) == 1
    await zone.end(session_id)


async def test_commands_in_a_row_make_no_agent_pause(zone: Zone):
    """An Agent pauses after several quick answers without news; a command is news."""
    session_id = await zone.launch()
    await zone.running(session_id)
    await zone.all_report_to_primary()
    (host,) = [host for host in zone.hosts if host.creations[session_id]]
    before = await zone.counted("instruction_seconds_count", kind="command")
    for number in range(3 * MAX_QUICK_ANSWERS):
        assert (await zone.command(session_id, "echo", str(number)))["exit_code"] == 0
        assert host.agent.check_in._quick_answers <= 1
    assert await zone.counted("instruction_seconds_count", kind="command") == before + 3 * MAX_QUICK_ANSWERS
    assert await zone.counted("instruction_seconds_count", kind="session") > 0
    assert await zone.counted("check_ins_total", result="news") > 3 * MAX_QUICK_ANSWERS
    assert await zone.counted("agents_taken_over_total") > 0
    await zone.end(session_id)


async def test_without_managers_sessions_run_on_and_agents_return_unharmed(zone: Zone):
    session_ids = [await zone.launch() for _ in range(3)]
    for session_id in session_ids:
        await zone.running(session_id)
    before = await zone.containers()
    for manager in zone.fleet.managers.values():
        manager.kill()
    for manager in zone.fleet.managers.values():
        await manager.ended()
    tried = [host.failed_calls for host in zone.hosts]
    await eventually(lambda: all(h.failed_calls > n + 1 for h, n in zip(zone.hosts, tried, strict=True)))
    assert await zone.containers() == before
    late = await zone.launch()
    await asyncio.gather(*(zone.start_manager(name) for name in zone.fleet.managers))
    await zone.all_report_to_primary()
    await zone.running(late)
    rows = await zone.db.fetch("SELECT status FROM sessions WHERE status <> 'deleted'")
    assert {row["status"] for row in rows} == {"running"}
    after = await zone.containers()
    assert before < after
    assert len(after) == len(before) + 1
    await asyncio.gather(*(zone.end(session_id) for session_id in [*session_ids, late]))


@pytest.mark.timeout(200)
async def test_a_start_on_a_host_that_is_cut_off_moves_to_another(zone: Zone):
    first, other = zone.hosts
    runtime = simulated(first.agent)
    runtime.configure(SimulationSettings(paint_s=3600))
    await zone.drain(other, True)
    session_id = await zone.launch()
    await eventually(lambda: first.creations[session_id])
    await zone.drain(other, False)
    with first.cut_off():
        successor = await zone.successor(session_id)
        await zone.running(successor)
        assert (first.creations[successor], other.creations[successor]) == (0, 1)
        assert len(await first.containers()) == 1, "the first host has no order to end it yet"
    await eventually(lambda: zone.is_over(session_id))
    assert await first.containers() == set()
    assert (await zone.running(successor))["user_id"] is not None
    runtime.configure(SimulationSettings())
    await zone.end(successor)


async def test_an_enabled_manager_is_found_before_its_retry_after(zone: Zone):
    """Two are disabled one after the other and enabled again; then the third one is disabled."""
    await zone.all_report_to_primary()
    for name in ("one", "two"):
        await zone.enable(name, False)
        await zone.all_report_to_primary(*(n for n in zone.fleet.managers if n != name))
        await zone.enable(name, True)
    last = (await zone.all_report_to_primary())["primary"]
    begun = time.monotonic()
    await zone.enable(last, False)

    async def reports_elsewhere() -> bool:
        return last not in {name for name, _ in await zone.reported()}

    await eventually(reports_elsewhere)
    assert time.monotonic() - begun < 30, "sooner than the Retry-After of those that were disabled"
