"""Leadership of a zone with real Managers on a real PostgreSQL, held at named stops (docs/explanation/protocols.md
§1)."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import Any

import pytest
from tests.support.managers import LONG_LEADERSHIP, STARTED_S, Fleet, leadership, primary_is
from tests.support.processes import answers, arm_before_start
from tests.support.waiting import eventually

from greenroom.core.errors import LastEnabledManager
from greenroom.core.fleet.liveness import unattended_zone_warning
from greenroom.db.database import Database
from greenroom.db.fleet.managers import find_or_insert_manager, set_enabled


async def two(fleet: Fleet, db: Database, **settings: str) -> None:
    """Managers `one`, the Primary, with these settings, and `two`, its follower; no other leadership ends soon."""
    await fleet.start("one", **(LONG_LEADERSHIP | settings))
    await primary_is(db, "one")
    await fleet.start("two", **LONG_LEADERSHIP)


SHORT_LEASE = {"lease_ttl_s": "6"}
"""It ends during a test, but not because of a stalled machine."""


async def manager_id(db: Database, name: str) -> str:
    (row,) = await db.fetch("SELECT manager_id::text FROM managers WHERE instance_id = %s", (name,))
    return str(row["manager_id"])


async def drift(db: Database) -> None:
    """Give the Primary something to correct: an Agent with wrong counts."""
    await db.write(
        "INSERT INTO agents (agent_id, zone_id, credential_hash, status, last_reported)"
        " SELECT %s, zone_id, '', 'running', clock_timestamp() FROM zones",
        (str(uuid.uuid4()),),
    )
    await db.write("INSERT INTO agent_capacity (agent_id, cores_allocated) SELECT agent_id, 9 FROM agents")


async def drift_is_gone(db: Database) -> bool:
    return not await db.fetch("SELECT 1 FROM agent_capacity WHERE cores_allocated <> 0")


# Becoming Primary -----------------------------------------------------------------------------------------------------


async def test_two_managers_on_an_empty_lease_give_one_primary(fleet: Fleet, db: Database):
    for name in ("one", "two"):
        fleet.make(name, **LONG_LEADERSHIP).start()
    assert (await primary_is(db, "one", "two"))["term"] == 1


async def test_belief_begins_with_the_first_renewal(fleet: Fleet, db: Database):
    arm_before_start(fleet.folder, "one", "leadership.after_take")
    one = fleet.make("one")
    one.start()
    await one.stops.reached("leadership.after_take")
    await drift(db)
    await asyncio.sleep(1.5)  # to see that nothing happens
    assert not await drift_is_gone(db)
    assert (await leadership(db))["term"] == 1
    await one.stops.release("leadership.after_take")
    await eventually(lambda: drift_is_gone(db))


async def test_after_a_kill_before_the_first_renewal_the_next_term_begins(fleet: Fleet, db: Database):
    await fleet.start("two", **LONG_LEADERSHIP)
    await primary_is(db, "two")
    arm_before_start(fleet.folder, "one", "leadership.after_take")
    one = fleet.make("one", **LONG_LEADERSHIP)
    one.start()
    await answers(f"{fleet.urls['one']}/health", 200)
    fleet.managers["two"].kill()
    await one.stops.reached("leadership.after_take")
    await fleet.start("three", **LONG_LEADERSHIP)
    one.kill()
    assert (await primary_is(db, "three"))["term"] == 3


# Losing it ------------------------------------------------------------------------------------------------------------


async def test_after_kill_9_the_follower_takes_over_at_once(fleet: Fleet, db: Database):
    await two(fleet, db)
    fleet.managers["one"].kill()
    assert (await primary_is(db, "two"))["term"] == 2
    message = await eventually(lambda: elected(db, "two"))
    reason = "because the process of one, or its connection to the database, ended"
    assert message == f"two became Primary of zone default with term 2 {reason}"


async def elected(db: Database, name: str) -> str | None:
    rows = await db.fetch(
        "SELECT message FROM logs WHERE code = 'primary-elected' AND message LIKE %s || ' %%' ORDER BY log_id", (name,)
    )
    return str(rows[-1]["message"]) if rows else None


async def test_on_sigterm_the_primary_resigns_at_once(fleet: Fleet, db: Database):
    await two(fleet, db)
    fleet.managers["one"].kill(signal.SIGTERM)
    await primary_is(db, "two")
    assert await fleet.managers["one"].ended() == 0


async def test_a_frozen_primary_is_replaced_and_cannot_write_when_it_wakes(fleet: Fleet, db: Database):
    """Frozen between check and write, that is, with a finished plan."""
    await two(fleet, db, **SHORT_LEASE)
    one = fleet.managers["one"]
    await one.stops.arm("primary.after_check")
    await drift(db)
    await one.stops.reached("primary.after_check")
    await db.write("UPDATE agent_capacity SET cores_allocated = 0")
    one.freeze()
    await primary_is(db, "two")
    fleet.managers["two"].freeze()
    await db.write("UPDATE agent_capacity SET cores_allocated = 5")
    one.thaw()
    await one.stops.release("primary.after_check")

    async def is_refused() -> bool:
        return "Term 1 is over" in one.log

    await eventually(is_refused)
    assert not await drift_is_gone(db)
    fleet.managers["two"].thaw()


async def test_a_primary_frozen_in_a_transaction_does_not_delay_the_next(fleet: Fleet, db: Database):
    await two(fleet, db, **SHORT_LEASE)
    one = fleet.managers["one"]
    await one.stops.arm("primary.in_guard")
    await drift(db)
    await one.stops.reached("primary.in_guard")
    one.freeze()
    await primary_is(db, "two")
    await eventually(lambda: drift_is_gone(db))
    one.thaw()
    await one.stops.release("primary.in_guard")
    assert (await leadership(db))["primary"] == "two"


async def test_a_frozen_primary_that_is_disabled_is_replaced_at_once(fleet: Fleet, db: Database):
    await two(fleet, db)
    fleet.managers["one"].freeze()
    change = await set_enabled(db, await manager_id(db, "one"), enabled=False)
    assert change.changed
    await primary_is(db, "two")
    message = await eventually(lambda: elected(db, "two"))
    assert message.endswith("because one was disabled")
    fleet.managers["one"].thaw()


async def test_a_bare_update_in_sql_disables_without_waiting_for_the_lease(fleet: Fleet, db: Database):
    await two(fleet, db)
    pid = fleet.managers["one"].process
    await db.write("UPDATE managers SET enabled = false WHERE instance_id = 'one'")
    await primary_is(db, "two")
    await answers(f"{fleet.urls['one']}/health", 503)
    assert fleet.sentinel("one").exists()
    assert pid is not None
    assert pid.poll() is None

    async def has_no_lease_connection() -> bool:
        return not await db.fetch("SELECT 1 FROM pg_stat_activity WHERE application_name = 'greenroom leadership one'")

    await eventually(has_no_lease_connection)


async def test_a_renewal_that_is_sent_late_does_not_bring_a_term_back(fleet: Fleet, db: Database):
    """The renewal was begun in time and reaches the database after another term began."""
    await two(fleet, db, **SHORT_LEASE)
    one = fleet.managers["one"]
    await one.stops.arm("leadership.before_renew")
    await one.stops.reached("leadership.before_renew")
    assert (await primary_is(db, "two"))["term"] == 2
    await one.stops.release("leadership.before_renew")
    await asyncio.sleep(0.7)  # to see that nothing happens
    assert (await leadership(db))["primary"] == "two"
    assert (await leadership(db))["term"] == 2


async def test_while_a_renewal_is_late_belief_ends_before_the_lease_does(fleet: Fleet, db: Database):
    """Alone in its zone the Manager still stops acting when its trust window is over."""
    one = await fleet.start("one")
    await primary_is(db, "one")
    await one.stops.arm("leadership.before_renew")
    await one.stops.reached("leadership.before_renew")
    await asyncio.sleep(2.7)  # the trust window is over, the leadership is not
    await drift(db)
    await asyncio.sleep(1.5)  # to see that nothing happens
    assert not await drift_is_gone(db)
    await one.stops.release("leadership.before_renew")
    await eventually(lambda: drift_is_gone(db))


async def test_a_cut_lease_connection_ends_belief_and_the_follower_leads(fleet: Fleet, db: Database):
    await two(fleet, db)
    await db.write("SELECT pg_terminate_backend(backend_pid) FROM zone_leases")
    assert (await primary_is(db, "two"))["term"] == 2


async def test_alone_after_a_cut_connection_it_goes_on_with_its_term(fleet: Fleet, db: Database):
    await fleet.start("one", **LONG_LEADERSHIP)
    first = await primary_is(db, "one")
    await db.write("SELECT pg_terminate_backend(backend_pid) FROM zone_leases")

    async def back() -> dict[str, Any] | None:
        now = await leadership(db)
        return now if now["primary"] == "one" and now["backend_pid"] != first["backend_pid"] else None

    assert (await eventually(back))["term"] == first["term"]


async def test_with_listen_cut_a_resignation_is_found_all_the_same(fleet: Fleet, db: Database):
    """The follower waits for the lock on its own connection and needs no notification."""
    await two(fleet, db)
    await db.write(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'greenroom listen %%'"
    )
    fleet.managers["one"].kill(signal.SIGTERM)
    await primary_is(db, "two")


# Enabling and disabling -----------------------------------------------------------------------------------------------


@pytest.fixture
async def zone(db: Database, fleet: Fleet) -> int:
    (row,) = await db.fetch("SELECT zone_key FROM zones")
    return int(row["zone_key"])


async def test_the_last_enabled_manager_of_a_zone_cannot_be_disabled(db: Database, zone: int):
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    with pytest.raises(LastEnabledManager, match="me is the last enabled Manager of zone default"):
        await set_enabled(db, me.manager_id, enabled=False)
    with pytest.raises(LastEnabledManager, match="Zone default would be left"):
        await db.write("UPDATE managers SET enabled = false")
    with pytest.raises(LastEnabledManager):
        await db.write("DELETE FROM managers")


async def test_of_two_concurrent_disables_of_the_last_two_one_is_refused(db: Database, zone: int):
    managers = [await find_or_insert_manager(db, name, "default", "host", "1") for name in ("one", "two")]
    for _ in range(5):
        changes = [set_enabled(db, m.manager_id, enabled=False) for m in managers]
        results = await asyncio.gather(*changes, return_exceptions=True)
        assert sum(isinstance(result, LastEnabledManager) for result in results) == 1
        assert sum(not isinstance(result, BaseException) for result in results) == 1
        for manager in managers:
            await set_enabled(db, manager.manager_id, enabled=True)


async def test_disabling_warns_when_no_other_manager_is_running(db: Database, zone: int):
    one = await find_or_insert_manager(db, "one", "default", "host", "1")
    await find_or_insert_manager(db, "two", "default", "host", "1")
    change = await set_enabled(db, one.manager_id, enabled=False)
    assert unattended_zone_warning(change.zone_name, change.others, change.running_others) == (
        "No other enabled Manager of zone default is running, so its Agents have no coordinator now."
    )


# Refusing to start ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"lease_ttl_s": "4", "lease_renew_s": "2", "lease_margin_s": "1"},
            "2 * GREENROOM_LEASE_RENEW_S + statement timeout = 4.9 s must be less than",
        ),
        ({"agent_missing_s": "4", "checkin_hold_s": "5"}, "GREENROOM_AGENT_MISSING_S = 4 s must be at least"),
    ],
)
async def test_timings_that_cannot_work_are_refused(fleet: Fleet, settings: dict[str, str], said: str):
    manager = fleet.make("one", **settings)
    manager.start()
    assert await manager.ended(STARTED_S) == 1
    assert said in manager.log
    assert "Traceback" not in manager.log


async def test_a_second_process_with_the_same_instance_id_refuses_to_start(fleet: Fleet):
    await fleet.start("one")
    first = fleet.managers["one"]
    second = fleet.make("one")
    second.start()
    try:
        assert await second.ended(STARTED_S) == 1
        assert "Another Manager process with the instance id one is running" in second.log
    finally:
        first.close()


async def test_a_zone_that_does_not_exist_is_refused(fleet: Fleet):
    manager = fleet.make("one", zone="elsewhere")
    manager.start()
    assert await manager.ended(STARTED_S) == 1
    assert "There is no zone named elsewhere" in manager.log
