"""The past time series of the demo."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support import rows

from greenroom.core.series.names import NAMES, SeriesName
from greenroom.core.series.points import DAY_S, HOUR_S, plan_read
from greenroom.db.database import Database
from greenroom.db.series.reading import SeriesFilter, read_done_times, read_series
from greenroom.db.series.recording import database_now_s
from greenroom.demo.series import PastLoad, PastPool, past_times, write_past_series

NOW_S = 1_800_000_000.0
EVERYTHING = SeriesFilter(zone_ids=dict.fromkeys(("sessions_view", "staging_view", "agents_view", "managers_view")))
GAUGES: tuple[SeriesName, ...] = tuple(name for name in NAMES if not name.startswith("wait"))


def past_launch(at: datetime, used_s: float, config_id: str | None = None) -> Any:
    workspace = SimpleNamespace(cores=2.0, memory=1_000)
    return SimpleNamespace(
        session_id="s", zone="eu", at=at, used_s=used_s, workspace=workspace, staging_config_id=config_id
    )


def test_each_moment_of_the_past_is_in_one_point():
    points = sorted((begin_s, begin_s + step_s) for step_s, begin_s in past_times(NOW_S - 30 * DAY_S, NOW_S))
    assert points[0][0] <= NOW_S - 30 * DAY_S
    assert NOW_S - 60 < points[-1][1] <= NOW_S
    assert all(first[1] == second[0] for first, second in pairwise(points))


def test_a_session_counts_from_its_launch_to_its_end():
    begin = datetime.fromtimestamp(NOW_S, UTC)
    load = PastLoad([past_launch(begin, 60), past_launch(begin + timedelta(seconds=30), 60)])
    assert [load.at(NOW_S + seconds)[0] for seconds in (-1, 0, 40, 70, 100)] == [0, 1, 2, 1, 0]
    assert load.at(NOW_S + 40) == (2, 4.0, 2_000)


def test_a_pool_lacks_the_sessions_that_were_claimed_just_before():
    pool = PastPool(staging_config_id="", zone_id="", desired=2, claims=[NOW_S, NOW_S + 1, NOW_S + 2])
    assert [pool.ready_at(NOW_S + seconds) for seconds in (-1, 0, 2, 21, 30)] == [2, 1, 0, 1, 2]


@pytest.mark.parametrize("period_s", [HOUR_S, DAY_S, 7 * DAY_S, 29 * DAY_S])
async def test_every_period_has_values_without_gaps(db: Database, period_s: float):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    await rows.agent(db, zone_id)
    config_id = await rows.staging_config(db, zone_id, image_id)
    now_s = await database_now_s(db)
    await db.write(
        "INSERT INTO launches (launch_id, outcome, steps, at, zone_id) SELECT gen_random_uuid(), 'failed', '[]',"
        " to_timestamp(%s - 3600 * n), %s FROM generate_series(1, 720) n",
        (now_s, zone_id),
    )
    launches = [past_launch(datetime.fromtimestamp(now_s - 3600 * n, UTC), 1800, config_id) for n in range(1, 720)]
    await write_past_series(db, launches, {"eu": zone_id}, random.Random(1))  # noqa: S311 -- invented data
    plan = plan_read(now_s - period_s, now_s, now_s, await read_done_times(db))
    found = await read_series(db, plan, GAUGES, EVERYTHING)
    for series in found.series:
        assert None not in series.values[1:], series.name
    launched = sum(
        value or 0.0 for series in found.series if series.name == "launches_failed" for value in series.values
    )
    assert launched == pytest.approx(period_s / 3600, abs=7)
