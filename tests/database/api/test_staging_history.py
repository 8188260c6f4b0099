"""Hits and misses of a staging config: as history, in its view, and as metrics; no cold start is silent."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict
from typing import Any, LiteralString

from psycopg.types.json import Jsonb
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import PATH, Stage
from tests.database.api.test_diagnostics_api import values
from tests.support import rows

from greenroom.core.launch.forecast import pool_outcomes
from greenroom.core.launch.plan import TraceStep
from greenroom.db.database import Database
from greenroom.db.pool import history as db_history


async def history(stage: Stage, config_id: str, client: Client | None = None, **query: Any) -> dict[str, Any]:
    return await (client or stage.admin).read(f"{PATH}/{config_id}/history", **query)


async def test_a_config_that_no_launch_asked_for_has_an_empty_history(stage: Stage):
    config = await stage.created()
    found = await history(stage, config["staging_config_id"])
    nothing = {"hits": 0, "misses": 0, "served_elsewhere": 0, "hit_rate": None}
    assert found["windows"] == [{"hours": hours, **nothing} for hours in (1, 24, 168)]
    assert (found["reasons"], found["recent_misses"]) == ([], [])
    assert [hour["hits"] + hour["misses"] for hour in found["by_hour"]] == [0] * 168
    assert (config["hits_24h"], config["misses_24h"]) == (0, 0)
    await stage.admin.refused(404, f"GET {PATH}/68d557ac-4cac-42cc-a9f3-1c7c853de0f3/history")


async def test_launches_are_hits_or_misses_with_their_reasons(stage: Stage, with_user: MakeClient, anonymous: Client):
    config_id = await stage.config()
    ada, bob = await with_user("ada@example.org"), await with_user("bob@example.org")
    await stage.staged(config_id, 1)
    assert (await ada.launch(stage.image_id))["staged"] is True
    missed = await ada.launch(stage.image_id)
    option = await bob.launch(stage.image_id, environment={"A": "b"})
    found = await history(stage, config_id)
    assert found["windows"][0] == {"hours": 1, "hits": 1, "misses": 2, "served_elsewhere": 0, "hit_rate": 1 / 3}
    assert (
        found["by_hour"][-1]["hits"] + found["by_hour"][-2]["hits"],
        sum(h["misses"] for h in found["by_hour"]),
    ) == (1, 2)
    assert {(r["code"], r["setting"], r["launches"]) for r in found["reasons"]} == {
        ("pool_empty", None, 1),
        ("launch_options", "launch_options", 1),
    }
    assert [(m["session_id"], m["username"], m["outcome"]) for m in found["recent_misses"]] == [
        (option["session_id"], "bob@example.org", "on_demand"),
        (missed["session_id"], "ada@example.org", "on_demand"),
    ]
    assert "No staged session of Desktop in zone default is free" in found["recent_misses"][1]["reasons"][0]["reason"]
    assert len((await history(stage, config_id, limit=1))["recent_misses"]) == 1
    listed = (await stage.admin.read(PATH))[0]
    assert (listed["hits_24h"], listed["misses_24h"]) == (1, 2)
    counted = await values(anonymous)
    of = ("default", "Desktop")
    assert counted["greenroom_api_staging_outcomes_total", "hit", config_id, *of[1:], of[0]] == 1
    assert counted["greenroom_api_staging_outcomes_total", "miss", config_id, *of[1:], of[0]] == 2
    assert counted["greenroom_api_staging_misses_total", "pool_empty", config_id, *of[1:], of[0]] == 1
    assert counted["greenroom_api_staging_shortfall", "no-running-manager", config_id, *of[1:], of[0]] == 1


async def test_who_missed_is_for_those_who_may_see_sessions(stage: Stage, with_user: MakeClient, with_key: MakeClient):
    config_id = await stage.config()
    await (await with_user("ada@example.org")).launch(stage.image_id)
    (seen,) = (await history(stage, config_id, await with_key("staging_view", "sessions_view")))["recent_misses"]
    assert seen["username"] == "ada@example.org"
    (hidden,) = (await history(stage, config_id, await with_key("staging_view")))["recent_misses"]
    assert (hidden["username"], hidden["user_id"], hidden["reasons"][0]["code"]) == (None, None, "pool_empty")
    other = await (await with_key("sessions_view")).get(f"{PATH}/{config_id}/history")
    assert other.status_code == 403


async def test_what_assign_printed_is_for_those_who_may_see_sessions(stage: Stage, with_key: MakeClient):
    config_id = await stage.config()
    step = {"order": 1, "step": "staged_here", "zone_name": "default", "candidate": config_id, "used": False}
    failed = step | {"code": "hand_over_failed", "reason": "`assign` ended with exit code 3: no licence for ada."}
    await stage.db.write(
        "INSERT INTO launches (launch_id, image_id, outcome, steps) VALUES (gen_random_uuid(), %s, 'failed', %s)",
        (stage.image_id, Jsonb([failed, step | {"code": "pool_empty", "reason": "Nothing is free."}])),
    )
    for codes, is_named in ((("staging_view", "sessions_view"), True), (("staging_view",), False)):
        found = await history(stage, config_id, await with_key(*codes))
        (miss,) = found["recent_misses"]
        assert [r["code"] for r in miss["reasons"]] == ["hand_over_failed", "pool_empty"]
        assert miss["reasons"][1]["reason"] == "Nothing is free."
        assert ("ada" in str(found["reasons"]), "ada" in str(miss["reasons"])) == (is_named, is_named)


async def test_another_pool_that_served_makes_it_no_miss(stage: Stage, with_user: MakeClient):
    here = await stage.config()
    other_zone = await rows.zone(stage.db, "other")
    there = await stage.config(zone_id=other_zone)
    await stage.staged(there, 1, await rows.agent(stage.db, other_zone, hostname="agent-2", image=stage.image_name))
    assert (await (await with_user("ada@example.org")).launch(stage.image_id))["staged"] is True
    of_here, of_there = (await history(stage, here))["windows"][0], (await history(stage, there))["windows"][0]
    assert (of_here["hits"], of_here["misses"], of_here["served_elsewhere"]) == (0, 0, 1)
    assert (of_there["hits"], of_there["misses"], of_there["hit_rate"]) == (1, 0, 1.0)


async def test_a_config_for_other_users_missed_nothing(stage: Stage, with_user: MakeClient):
    for_ada = await stage.config()
    for_others = await stage.config(allow_kasm_audio=False)
    assert (await (await with_user("ada@example.org")).launch(stage.image_id))["staged"] is False
    assert (await history(stage, for_ada))["windows"][0]["misses"] == 1
    found = await history(stage, for_others)
    assert (found["windows"][0]["misses"], found["reasons"], found["recent_misses"]) == (0, [], [])
    await stage.admin.delete(f"{PATH}/{for_ada}")
    await (await with_user("bob@example.org")).launch(stage.image_id)
    assert [m["username"] for m in (await history(stage, for_others))["recent_misses"]] == ["bob@example.org"]


async def test_every_cold_start_logs_user_config_and_reason(stage: Stage, ada: Client):
    """Each reason for which a config did not serve: paused, empty, out of date, its Agent unavailable, a setting."""
    config_id = await stage.config()
    agents = "UPDATE agents SET {} WHERE hostname = 'agent-1'"
    await rows.agent(stage.db, stage.zone_id, hostname="agent-2", image=stage.image_name)
    changes: list[tuple[LiteralString, LiteralString, str]] = [
        ("UPDATE staging_configs SET paused = true", "UPDATE staging_configs SET paused = false", "pool_empty"),
        (agents.format("status = 'missing'"), agents.format("status = 'running'"), "agent_missing"),
        (agents.format("enabled = false"), agents.format("enabled = true"), "agent_disabled"),
        (agents.format("draining = true"), agents.format("draining = false"), "agent_disabled"),
        (
            "UPDATE sessions SET expires = now() WHERE user_id IS NULL",
            "DELETE FROM sessions WHERE user_id IS NULL",
            "pool_empty",
        ),
        ("UPDATE images SET revision = revision + 1", "SELECT 1", "pool_empty"),
    ]
    for change, back, code in changes:
        await stage.staged(config_id, 1)
        await stage.db.write(change)
        got = await ada.launch(stage.image_id)
        await stage.db.write(back)
        assert got["staged"] is False, change
        await stage.logs.flush()
        (row,) = await stage.db.fetch(
            "SELECT level, username, staging_config_id::text, message, details FROM logs WHERE code = 'staging-miss'"
            " AND details->>'launch_id' = (SELECT launch_id::text FROM sessions WHERE session_id = %s)",
            (got["session_id"],),
        )
        assert (row["level"], row["username"], row["staging_config_id"]) == ("WARNING", "ada@example.org", config_id)
        assert row["details"]["code"] == code, row
        assert row["message"].startswith("ada@example.org gets no staged Desktop from zone default: ")
        await stage.db.write("DELETE FROM sessions WHERE user_id IS NOT NULL")


async def test_the_ledger_is_read_as_the_process_counts(db: Database):
    """SQL and `core.launch.forecast` agree on any trace, including those that continued after a failed hand-over."""
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    configs = [await rows.staging_config(db, zone_id, image_id)]
    configs.append(await rows.staging_config(db, zone_id, image_id, allow_kasm_audio=True))
    chance = random.Random(5)  # noqa: S311 -- any traces will do
    results: Counter[tuple[str, str]] = Counter()
    codes: Counter[tuple[str, str]] = Counter()
    for _ in range(300):
        trace = [_any_step(chance, configs) for _ in range(chance.randint(1, 5))]
        await db.write(
            "INSERT INTO launches (launch_id, image_id, outcome, steps) VALUES (gen_random_uuid(), %s, 'staged', %s)",
            (image_id, Jsonb([asdict(step) for step in trace])),
        )
        for outcome in pool_outcomes(trace):
            results[outcome.staging_config_id, outcome.result] += 1
            if outcome.result == "miss":
                codes.update((outcome.staging_config_id, code) for code in outcome.codes)
    counted = await db_history.hits_and_misses(db, configs, hours=24)
    for config_id in configs:
        found = await db_history.read_history(db, config_id, limit=100)
        day = next(window for window in found.windows if window.hours == 24)
        for name, result in (("hits", "hit"), ("misses", "miss"), ("served_elsewhere", "served_elsewhere")):
            assert getattr(day, name) == getattr(counted[config_id], name) == results[config_id, result] > 0
        said = {r.code: r.launches for r in found.reasons if r.code != "hand_over_failed"}
        assert said == {code: number for (of, code), number in codes.items() if of == config_id}


async def test_hours_that_were_counted_are_not_read_from_the_ledger_and_add_up_the_same(db: Database):
    zone_id, image_id = await rows.zone(db), await rows.image(db)
    configs = [await rows.staging_config(db, zone_id, image_id)]
    configs.append(await rows.staging_config(db, zone_id, image_id, allow_kasm_audio=True))
    chance = random.Random(7)  # noqa: S311 -- any traces will do
    for number in range(300):
        trace = [asdict(_any_step(chance, configs)) for _ in range(chance.randint(1, 3))]
        await db.write(
            "INSERT INTO launches (launch_id, image_id, outcome, steps, at) VALUES (gen_random_uuid(), %s, 'staged',"
            " %s, now() - make_interval(mins => %s))",
            (image_id, Jsonb(trace), 6 * number + 3),
        )
    spans = (3, 24, 168)
    before = [await db_history.hits_and_misses(db, configs, hours=hours) for hours in spans]
    await db_history.store_hourly_counts(db)
    assert [await db_history.hits_and_misses(db, configs, hours=hours) for hours in spans] == before
    await db.write("DELETE FROM launches WHERE at BETWEEN now() - interval '23 h' AND now() - interval '2 h'")
    assert await db_history.hits_and_misses(db, configs, hours=24) == before[1]
    await db.write("UPDATE launches SET steps = '[]' WHERE at > now() - interval '1 h'")
    assert (await db_history.hits_and_misses(db, configs, hours=24)) != before[1], "what is younger can still change"


def _any_step(chance: random.Random, configs: list[str]) -> TraceStep:
    used = chance.random() < 0.4
    staged = chance.random() < 0.6
    return TraceStep(
        order=1,
        step="staged_here" if staged else "on_demand_here",
        zone_name="eu",
        candidate=chance.choice([*configs, None]) if staged else "agent-1",
        used=used,
        code=None if used else chance.choice(["pool_empty", "permissions", "agent_missing"]),
        reason="because",
    )
