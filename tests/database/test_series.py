"""Time series are recorded once per minute, rolled up without loss, and stay bounded."""

from __future__ import annotations

import asyncio
from typing import Any, LiteralString

import pytest
from tests.support import rows
from tests.support.waiting import eventually

from greenroom.core.errors import Unavailable
from greenroom.core.series.points import COARSEST, DAY_S, HOUR_S, RESOLUTIONS, plan_read
from greenroom.db.database import Database
from greenroom.db.series import recording
from greenroom.db.series.reading import SeriesFilter, read_done_times, read_series
from greenroom.db.series.recording import LOCK, TABLES, is_sampled, record
from greenroom.manager import series

NOW_S = 1_800_000_000
EVERYTHING = SeriesFilter(zone_ids=dict.fromkeys(("sessions_view", "staging_view", "agents_view", "managers_view")))


async def launch(db: Database, at_s: float, outcome: str = "staged", *, zone_id: str | None = None) -> str:
    """A launch with a session that was not handed over yet, or that failed; returns its session."""
    session_id = None if outcome == "failed" else "00000000-0000-4000-8000-00000000000a"
    await db.write(
        "INSERT INTO launches (launch_id, session_id, outcome, steps, at, duration_ms, zone_id) VALUES"
        ' (gen_random_uuid(), %s, %s, \'[{"zone_name": "eu"}]\', to_timestamp(%s), 0, %s)',
        (session_id, outcome, at_s, zone_id),
    )
    return session_id or ""


async def launches(db: Database, since_s: float, now_s: float, name: Any = "launches_failed") -> float:
    """The number of launches since a time, in all points."""
    plan = plan_read(since_s, now_s, now_s, await read_done_times(db))
    found = await read_series(db, plan, [name], EVERYTHING)
    return sum(value or 0.0 for value in found.series[0].values)


async def points(db: Database, table: LiteralString) -> list[dict[str, Any]]:
    return await db.fetch("SELECT * FROM " + table + " ORDER BY step_s, begin")


async def test_a_minute_has_one_sample_for_any_number_of_writers(db: Database):
    zone_id = await rows.zone(db)
    await rows.staging_config(db, zone_id, await rows.image(db))
    assert not await is_sampled(db, NOW_S)
    await asyncio.gather(*(record(db, NOW_S + number) for number in range(4)))
    await record(db, NOW_S + 30)
    assert await is_sampled(db, NOW_S)
    assert [(row["step_s"], row["samples"]) for row in await points(db, "series_zones")] == [(60, 1)]
    assert len(await points(db, "series_pools")) == 1
    await record(db, NOW_S + 60)
    assert len(await points(db, "series_pools")) == 2


async def test_a_sample_has_the_capacity_the_sessions_and_the_pools_of_a_zone(db: Database):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    agent_id = await rows.agent(db, zone_id, cores=8.0, memory=16_000)
    config_id = await rows.staging_config(db, zone_id, image_id, num_sessions=5)
    paused_id = await rows.staging_config(db, zone_id, image_id, num_sessions=5, allow_kasm_audio=True)
    await db.write("UPDATE staging_configs SET paused = true WHERE staging_config_id = %s", (paused_id,))
    await rows.staged_sessions(db, paused_id, agent_id, 1)
    (used_id, *_) = await rows.staged_sessions(db, config_id, agent_id, 3)
    await db.write("UPDATE sessions SET user_id = %s WHERE session_id = %s", (await rows.user(db, "ann"), used_id))
    await db.write("UPDATE agent_capacity SET cores_allocated = 3, memory_allocated = 6000")
    await record(db, NOW_S)
    (zone,) = await points(db, "series_zones")
    assert (zone["cores_offered"], zone["cores_reserved"], zone["cores_free_low"]) == (8.0, 3.0, 5.0)
    assert (zone["memory_offered"], zone["memory_free_low"]) == (16_000, 10_000)
    assert (zone["sessions_staged"], zone["sessions_running"], zone["sessions_failed"]) == (3, 1, 0)
    pools = {str(row["staging_config_id"]): row for row in await points(db, "series_pools")}
    assert (pools[config_id]["ready"], pools[config_id]["desired"]) == (2, 5)
    assert (pools[paused_id]["ready"], pools[paused_id]["desired"]) == (0, 0), (
        "a paused pool is not short, and no user gets its sessions"
    )


async def test_each_new_primary_counts_once_and_the_first_one_is_no_failover(db: Database):
    await rows.zone(db)
    for minute, term in enumerate((0, 1, 1, 4, 4)):
        await db.write("UPDATE zone_leases SET term = %s", (term,))
        for _ in range(2):
            await record(db, NOW_S + 60 * minute)
    assert [row["elections"] for row in await points(db, "series_zones")] == [0, 0, 0, 3, 0]


async def test_the_primaries_before_the_first_sample_do_not_count(db: Database):
    await rows.zone(db)
    await db.write("UPDATE zone_leases SET term = 57")
    for minute in range(2):
        await record(db, NOW_S + 60 * minute)
    assert [row["elections"] for row in await points(db, "series_zones")] == [0, 0]


async def test_a_launch_is_counted_again_until_its_wait_is_known(db: Database):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    agent_id = await rows.agent(db, zone_id)
    (session_id,) = await rows.staged_sessions(db, await rows.staging_config(db, zone_id, image_id), agent_id, 1)
    await launch(db, NOW_S - 600, zone_id=zone_id)
    await db.write("UPDATE launches SET session_id = %s", (session_id,))
    await record(db, NOW_S)
    assert [row["wait_bucket"] for row in await points(db, "series_launches")] == [-1]
    await db.write(
        "INSERT INTO session_steps (session_id, name, at) VALUES (%s, 'handed_over', to_timestamp(%s))",
        (session_id, NOW_S - 600 + 0.45),
    )
    await record(db, NOW_S + 60)
    (counted,) = await points(db, "series_launches")
    assert (counted["wait_bucket"], counted["launches"]) == (7, 1), "0.45 s is between 0.4 and 0.5 s"
    plan = plan_read(NOW_S - 3600, NOW_S + 60, NOW_S + 60, await read_done_times(db))
    (wait,) = (await read_series(db, plan, ["wait_p50_s"], EVERYTHING)).series
    assert [value for value in wait.values if value is not None] == [0.45]


async def test_a_failed_launch_belongs_to_the_zone_of_its_first_step(db: Database):
    zone_id = await rows.zone(db, "eu")
    await launch(db, NOW_S - 60, "failed")
    await record(db, NOW_S)
    assert [str(row["zone_id"]) for row in await points(db, "series_launches")] == [zone_id]
    await db.write("UPDATE zones SET zone_name = 'renamed'")
    await record(db, NOW_S + 60)
    assert [row["zone_id"] for row in await points(db, "series_launches")] == [None]


async def test_launches_stay_counted_after_the_ledger_has_forgotten_them(db: Database):
    await rows.zone(db)
    for minutes in range(0, 600, 10):
        await launch(db, NOW_S + minutes * 60, "failed")
    for hour in range(1, 12):
        await record(db, NOW_S + hour * HOUR_S)
    await db.write("DELETE FROM launches")
    for hour in range(12, 30):
        await record(db, NOW_S + hour * HOUR_S)
    now_s = NOW_S + 30 * HOUR_S
    assert await launches(db, NOW_S - 60, now_s) == 60
    assert await launches(db, NOW_S - 20 * DAY_S, now_s) == 60, "the same in points of 2 hours"
    assert {row["step_s"] for row in await points(db, "series_launches")} == {60, 900, 7200}


async def test_launches_before_the_first_round_are_counted(db: Database):
    await rows.zone(db)
    for days in range(40):
        await launch(db, NOW_S - days * DAY_S - 5, "failed")
    await record(db, NOW_S)
    assert await launches(db, NOW_S - 60 * DAY_S, NOW_S) == 40
    done = await read_done_times(db)
    assert done[7200] >= NOW_S - 4 * HOUR_S


@pytest.mark.parametrize("part", ["_count_launches", "_roll_up", "_delete_old"])
async def test_a_writer_that_ends_in_the_middle_neither_loses_nor_doubles(
    db: Database, monkeypatch: pytest.MonkeyPatch, part: str
):
    await rows.zone(db)
    healthy, ended = getattr(recording, part), 0

    async def ends_sometimes(*values: Any) -> None:
        nonlocal ended
        ended += 1
        if ended % 2:
            raise Unavailable("killed")
        await healthy(*values)

    monkeypatch.setattr(recording, part, ends_sometimes)
    for minutes in range(0, 480, 30):
        await launch(db, NOW_S + minutes * 60, "failed")
        for _ in range(2):
            try:
                await record(db, NOW_S + minutes * 60)
            except Unavailable:
                continue
    assert ended == 32
    now_s = NOW_S + 470 * 60
    assert await launches(db, NOW_S - 60, now_s) == 16
    assert await launches(db, NOW_S - 30 * DAY_S, now_s) == 16
    assert [row["samples"] for row in await points(db, "series_zones") if row["step_s"] == 60] == [1] * 16


async def test_while_another_process_writes_nothing_is_written(db: Database):
    await rows.zone(db)
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (LOCK,))
        await record(db, NOW_S)
    assert await points(db, "series_zones") == []


async def test_only_a_primary_records(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(series, "CHECK_INTERVAL_S", 0.01)
    await rows.zone(db)
    is_primary, checks = False, 0

    def check() -> bool:
        nonlocal checks
        checks += 1
        return is_primary

    recorder = asyncio.create_task(series.SeriesRecorder(db, check).run())
    try:
        await eventually(lambda: checks > 2)
        assert await points(db, "series_zones") == []
        is_primary = True
        await eventually(lambda: points(db, "series_zones"))
    finally:
        recorder.cancel()


async def test_a_roll_up_keeps_the_average_and_the_extremes(db: Database):
    await rows.zone(db)
    for minute in range(45):
        await record(db, NOW_S + 60 * minute)
    await db.write(
        "UPDATE series_zones SET cores_offered = extract(minute FROM begin), cores_free_low = -cores_offered"
    )
    for hours in (2, 3):
        await record(db, NOW_S + hours * HOUR_S)
    rolled = next(row for row in await points(db, "series_zones") if row["step_s"] == 900)
    assert (rolled["samples"], rolled["cores_offered"] / rolled["samples"]) == (15, 7.0)


DAY_OF_POINTS: LiteralString = """
INSERT INTO series_zones
SELECT 60, to_timestamp(%(begin_s)s + 900 * n), z.zone_id, 1, 8, 2, 6, 8, 2, 6, n, 0, 0, 0, 0, 0, 1
  FROM zones z, generate_series(0, 95) n
"""
DAY_OF_POOLS: LiteralString = """
INSERT INTO series_pools SELECT 60, to_timestamp(%(begin_s)s + 900 * n), c.zone_id, c.staging_config_id, 1, 3, 3, 0, 3
  FROM staging_configs c, generate_series(0, 95) n
"""
DAY_OF_LAUNCHES: LiteralString = """
INSERT INTO launches (launch_id, outcome, steps, at)
SELECT gen_random_uuid(), 'failed', '[]', to_timestamp(%(begin_s)s + 3600 * n) FROM generate_series(0, 23) n
"""


@pytest.mark.timeout(400)  # it takes a minute on a quiet machine
async def test_the_tables_stay_bounded_in_a_year_of_samples_every_15_minutes(db: Database):
    await rows.staging_config(db, await rows.zone(db), await rows.image(db))
    begin_s = NOW_S // DAY_S * DAY_S
    bound = sum(each.keep_s // max(each.step_s, 900) for each in RESOLUTIONS)
    largest = dict.fromkeys((table.name for table in TABLES), 0)
    for day in range(365):
        for statement in (DAY_OF_POINTS, DAY_OF_POOLS, DAY_OF_LAUNCHES):
            await db.write(statement, {"begin_s": begin_s + day * DAY_S})
        await record(db, begin_s + (day + 1) * DAY_S - 900)
        await db.write("DELETE FROM launches WHERE at < to_timestamp(%s)", (begin_s + (day - 2) * DAY_S,))
        if day % 30 == 29:
            for table in TABLES:
                (row,) = await db.fetch("SELECT count(*) AS number FROM " + table.name)
                largest[table.name] = max(largest[table.name], row["number"])
    slack = 24 * 4  # of the day that was just written
    assert all(0 < number <= bound + slack for number in largest.values()), largest
    now_s = begin_s + 365 * DAY_S - 900
    (oldest,) = await db.fetch("SELECT extract(epoch FROM min(begin))::bigint AS at_s FROM series_zones")
    assert COARSEST.keep_s - DAY_S < now_s - oldest["at_s"] <= COARSEST.keep_s
    assert await launches(db, now_s - 80 * DAY_S, now_s) == pytest.approx(80 * 24, abs=6)
