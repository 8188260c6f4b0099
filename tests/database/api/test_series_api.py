"""GET /api/v1/series: values, splits, and the scopes of roles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.database.api.client import Client
from tests.database.api.staging import Stage
from tests.support import rows

from greenroom.db.database import Database
from greenroom.db.series.recording import database_now_s, record

SERIES = "/api/v1/series"
GROUPS = "/api/v1/groups"


@pytest.fixture
async def zones(stage: Stage, db: Database) -> list[str]:
    """Two zones with an Agent of 100 cores and a pool of 3 each, without ready sessions. A launch failed in the second
    one. The present minute is recorded."""
    other = await rows.zone(db, "eu")
    await rows.agent(db, other, hostname="agent-2", image=stage.image_name)
    for zone_id in (stage.zone_id, other):
        await rows.staging_config(db, zone_id, stage.image_id)
    await db.write(
        "INSERT INTO launches (launch_id, outcome, steps) VALUES (gen_random_uuid(), 'failed',"
        ' \'[{"zone_name": "eu"}]\')'
    )
    await record(db, await database_now_s(db))
    return [stage.zone_id, other]


def by_name(answer: dict[str, Any]) -> dict[str, list[float]]:
    """Name → the recorded values of all series with this name."""
    found = dict[str, list[float]]()
    for series in answer["series"]:
        assert len(series["values"]) == len(answer["series"][0]["values"]) <= 500
        found.setdefault(series["name"], []).extend(value for value in series["values"] if value is not None)
    return found


async def test_totals_and_series_of_zones_and_pools(zones: list[str], admin: Client):
    names = ["cores_offered", "cores_free_low", "failovers"]
    asked = datetime.now(UTC)
    total = await admin.read(SERIES, names=[*names, "pools_desired"])
    assert by_name(total) == {
        "cores_offered": [200.0],
        "cores_free_low": [200.0],
        "failovers": [0.0],
        "pools_desired": [6.0],
    }
    assert (total["step_s"], total["left_out"]) == (300, 0)
    newest = datetime.fromisoformat(total["begin"]) + timedelta(seconds=300 * len(total["series"][0]["values"]))
    assert asked <= newest <= datetime.now(UTC) + timedelta(seconds=300)
    assert {series["zone_id"] for series in total["series"]} == {None}
    each = await admin.read(SERIES, names="cores_offered", split="zone")
    assert [series["zone_id"] for series in each["series"]] == zones
    assert by_name(each) == {"cores_offered": [100.0, 100.0]}
    pools = await admin.read(SERIES, names=["pools_desired", "pools_ready"], split="pool")
    assert {series["zone_id"] for series in pools["series"]} == set(zones)
    assert by_name(pools) == {"pools_desired": [3.0, 3.0], "pools_ready": [0.0, 0.0]}
    config_id = pools["series"][0]["staging_config_id"]
    one = await admin.read(SERIES, names="pools_desired", staging_config_id=config_id)
    assert by_name(one) == {"pools_desired": [3.0]}


async def test_launches_are_zero_from_the_first_record_and_unknown_before(zones: list[str], admin: Client):
    answer = await admin.read(SERIES, names=["launches_failed", "launches_staged", "wait_p95_s"])
    values = {series["name"]: series["values"] for series in answer["series"]}
    assert sum(value or 0.0 for value in values["launches_failed"]) == 1.0
    assert values["launches_staged"][0] is None
    assert values["launches_staged"][-1] == 0.0
    assert set(values["wait_p95_s"]) == {None}, "no user waited for a session"
    in_zone = await admin.read(SERIES, names="launches_failed", zone_id=zones[0])
    assert set(by_name(in_zone)["launches_failed"]) == {0.0}


async def test_an_operator_of_a_zone_sees_the_series_of_this_zone(zones: list[str], admin: Client, user: Client):
    role = {"role": "zone_operator", "zones": zones[:1]}
    group_id = (await admin.make(GROUPS, name="Operators", roles=[role]))["group_id"]
    await admin.put(f"{GROUPS}/{group_id}/users/{await user.own_id()}")
    names = ["cores_offered", "pools_desired", "launches_failed"]
    seen = by_name(await user.read(SERIES, names=names))
    assert (seen["cores_offered"], seen["pools_desired"]) == ([100.0], [3.0])
    assert set(seen["launches_failed"]) == {0.0}, "the failed launch was in the other zone"
    each = await user.read(SERIES, names="cores_offered", split="zone")
    assert [series["zone_id"] for series in each["series"]] == zones[:1]
    assert by_name(await user.read(SERIES, names="cores_offered", zone_id=zones[1]))["cores_offered"] == []
    pools = await user.read(SERIES, names="pools_desired", split="pool")
    assert [series["zone_id"] for series in pools["series"]] == zones[:1]
    others = await admin.read(SERIES, names="pools_desired", split="pool", zone_id=zones[1])
    config_id = others["series"][0]["staging_config_id"]
    hidden = await user.read(SERIES, names="pools_desired", split="pool", staging_config_id=config_id)
    assert hidden["series"] == [], "the pool is in the other zone"


async def test_the_help_desk_of_a_group_sees_no_totals_of_zones(zones: list[str], admin: Client, user: Client):
    group_id = (await admin.make(GROUPS, name="Sales"))["group_id"]
    desk = {"role": "help_desk", "groups": [group_id]}
    desk_id = (await admin.make(GROUPS, name="Desk", roles=[desk]))["group_id"]
    await admin.put(f"{GROUPS}/{desk_id}/users/{await user.own_id()}")
    seen = by_name(await user.read(SERIES, names=["sessions_running", "launches_failed"]))
    assert seen == {"sessions_running": [], "launches_failed": []}
    assert "staging_view" in await user.refused(403, f"GET {SERIES}", names="pools_ready")


async def test_a_series_needs_its_own_permission(zones: list[str], admin: Client, user: Client):
    await user.refused(403, f"GET {SERIES}", names="pools_desired")
    group_id = (await admin.make(GROUPS, name="Pools", permissions=["staging_view"]))["group_id"]
    await admin.put(f"{GROUPS}/{group_id}/users/{await user.own_id()}")
    assert by_name(await user.read(SERIES, names="pools_desired"))["pools_desired"] == [6.0]
    assert "agents_view" in await user.refused(403, f"GET {SERIES}", names=["pools_desired", "cores_free"])


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"names": "cores"},
        {"names": "cores_free", "since": "2000-01-01T00:00:00Z", "until": "2001-01-01T00:00:00Z"},
        {"names": "cores_free", "since": "yesterday"},
        {"names": "cores_free", "split": "pool"},
        {"names": ["cores_free", "pools_ready"], "staging_config_id": "00000000-0000-4000-8000-000000000000"},
        {"names": "cores_free", "zone_id": "eu"},
    ],
)
async def test_a_query_that_cannot_be_answered_is_refused(admin: Client, query: dict[str, Any]):
    assert (await admin.get(SERIES, params=query)).status_code == 422


async def test_an_answer_has_at_most_50_pools_and_those_with_the_largest_shortage(
    stage: Stage, admin: Client, db: Database
):
    zone_id = stage.zone_id
    for number in range(52):
        image_id = await rows.image(db, name=f"image-{number}", friendly_name=f"Image {number:02}")
        await rows.staging_config(db, zone_id, image_id, num_sessions=number)
    await record(db, await database_now_s(db))
    answer = await admin.read(SERIES, names="pools_desired", split="pool")
    assert answer["left_out"] == 2
    assert [series["image_friendly_name"] for series in answer["series"]] == [f"Image {n:02}" for n in range(2, 52)]
