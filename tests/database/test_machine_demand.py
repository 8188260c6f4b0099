"""The launches that wait for a machine, and the zone in which they count."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.database.cloud import FIELDS, Cloud
from tests.support import rows

from greenroom.core.errors import NoResources
from greenroom.core.fleet.machines.plan import plan
from greenroom.db.database import Database
from greenroom.db.fleet import machine_pools
from greenroom.db.fleet.machine_snapshot import read_snapshot
from greenroom.db.launch.on_demand import query_waiting_users, store_waiting_user


@pytest.fixture
async def cloud(db: Database) -> Cloud:
    return await Cloud.populate(db)


async def test_people_who_wait_are_the_reason_of_an_order(cloud: Cloud):
    """This also holds if the zone has no host at all; its staged pools have nothing to leave to them then."""
    system = cloud.system
    with pytest.raises(NoResources):
        await system.launch()
    (waiting,) = await system.db.fetch("SELECT room_helps FROM launches_waiting")
    assert waiting["room_helps"] is False
    async with system.db.connection() as connection:
        assert await (await query_waiting_users(connection, system.zone_id)).fetchone() == {"number": 0}
    await cloud.rounds()
    (order,) = await cloud.orders()
    assert order.reason == "1 user waits for Desktop, and there is no room."
    await cloud.rounds()
    await cloud.join("sim-1")
    await cloud.rounds()
    await system.launch()
    await cloud.rounds()
    assert await cloud.states() == ["joined"]


async def test_who_waits_in_two_zones_counts_in_the_one_where_a_machine_may_come_first(cloud: Cloud):
    db, zones = cloud.system.db, {"eu": cloud.system.zone_id, "us": await rows.zone(cloud.system.db, "us")}
    async with db.transaction() as connection:
        await machine_pools.insert_pool(connection, zones["us"], replace(FIELDS, name="other"))
    for zone_id in zones.values():
        await store_waiting_user(
            db,
            zone_id=zone_id,
            user_id=cloud.system.user_id,
            image_id=cloud.system.image_id,
            room_helps=False,
        )

    async def wanted(zone: str) -> tuple[list[str], list[str]]:
        async with db.connection() as connection:
            pools = [row.plan_input for row in await machine_pools.pools_of_zone(connection, zones[zone])]
            snapshot = await read_snapshot(connection, zones[zone], pools, listings={})
        return [want.why for want in snapshot.demands], [report.sentence for report in plan(snapshot).reports]

    whys, _ = await wanted("eu")
    assert whys == ["1 user waits for Desktop, in zone us as well"]
    elsewhere = "1 user waits for Desktop in this zone, too; zone eu counts them and may get a machine first."
    assert await wanted("us") == ([], [f"No machine. The capacity is sufficient. {elsewhere}"])
    await cloud.rounds(2)
    assert (await wanted("us"))[0] == [], "one is coming in zone eu"
    for lost in ("max_machines = 0", "call_failures = 1, max_machines = 5", "enabled = false, call_failures = 0"):
        await db.write(f"DELETE FROM machine_orders; UPDATE machine_pools SET {lost} WHERE name = 'cloud'")
        assert (await wanted("us"))[0] == ["1 user waits for Desktop, in zone eu as well"], lost
        assert (await wanted("eu"))[0] == [], lost


async def test_no_user_is_taken_to_wait_where_neither_room_nor_a_machine_may_come(cloud: Cloud):
    await cloud.system.db.write("UPDATE machine_pools SET enabled = false")
    with pytest.raises(NoResources):
        await cloud.system.launch()
    assert await cloud.system.db.fetch("SELECT 1 FROM launches_waiting") == []
