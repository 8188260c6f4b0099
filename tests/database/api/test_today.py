"""The page Today: what needs attention in the database, the facts, and the permissions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, LiteralString

import pytest
from fastapi import FastAPI
from tests.database.api.client import KEY, Client, MakeClient
from tests.database.api.staging import Stage
from tests.support import rows
from tests.support.waiting import eventually

from greenroom.core.audit import AuditEvent
from greenroom.core.diagnostics.attention import needs_attention
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics import batches
from greenroom.db.diagnostics.logs import LogRow
from greenroom.db.diagnostics.today import read_beginning, read_watched
from greenroom.db.fleet.reports import ReportedImage, write_images

PATH = "/api/v1/today"
NO_ROOM = [
    {"order": 1, "step": "on_demand_here", "zone_name": "default", "candidate": "vm", "used": False,
     "code": "no_disk", "reason": "vm has no disk."},
    {"order": 2, "step": "on_demand_elsewhere", "zone_name": "eu", "candidate": None, "used": False,
     "code": "no_capacity", "reason": "Zone eu has no Agent."},
]  # fmt: skip


async def launched(db: Database, image_id: str, user_id: str, outcome: str = "failed", age: str = "1 hour") -> None:
    await db.write(
        "INSERT INTO launches (launch_id, image_id, user_id, outcome, steps, at, duration_ms)"
        " VALUES (gen_random_uuid(), %s, %s, %s, %s, now() - %s::interval, 5)",
        (image_id, user_id, outcome, json.dumps(NO_ROOM), age),
    )


async def attention(client: Client) -> dict[str, dict[str, Any]]:
    """The entries of the list by their code; each code occurs once."""
    entries = (await client.read(PATH))["attention"]
    assert len({entry["code"] for entry in entries}) == len(entries)
    return {entry["code"]: entry for entry in entries}


async def test_failed_launches_name_the_cause_in_their_zone_and_the_people(stage: Stage, db: Database):
    people = [await rows.user(db, f"{name}@example.org") for name in ("ann", "ben")]
    for user_id in (*people, people[0]):
        await launched(db, stage.image_id, user_id)
    entry = (await attention(stage.admin))["launches"]
    assert entry["sentence"] == "2 people could not launch Desktop in 3 attempts. Zone default: vm has no disk."
    assert entry["people"] == 2
    assert {"text": "Desktop", "object": {"kind": "image", "id": stage.image_id}} in entry["parts"]
    assert {"text": "default", "object": {"kind": "zone", "id": stage.zone_id}} in entry["names"]
    assert entry["launch_id"] in [row["launch_id"] for row in await stage.admin.read("/api/v1/launches")]
    facts = (await stage.admin.read(PATH))["launches"]
    assert (facts["refused"], {user["username"] for user in facts["refused_users"]}) == (
        2,
        {"ann@example.org", "ben@example.org"},
    )
    assert entry["launch_id"] in [user["launch_id"] for user in facts["refused_users"]]
    assert facts["refused_users"][0]["reason"] == "Zone default: vm has no disk."


@pytest.mark.parametrize(("later", "age"), [("on_demand", "1 hour"), ("failed", "25 hours")])
async def test_launches_that_are_over_need_no_attention(stage: Stage, db: Database, later: str, age: str):
    user_id = await rows.user(db, "ann@example.org")
    await launched(db, stage.image_id, user_id, age=age)
    if later != "failed":
        await launched(db, stage.image_id, user_id, later, "1 minute")
    assert "launches" not in await attention(stage.admin)


async def test_an_image_that_an_agent_cannot_get(stage: Stage, db: Database):
    await db.write("UPDATE agent_images SET state = 'failed', error = 'not found' WHERE name = %s", (stage.image_name,))
    entry = (await attention(stage.admin))["image"]
    assert entry["sentence"].endswith(". Not found.")
    assert entry["help"] == {
        "title": "Pull again",
        "operation": "pull",
        "object": {"kind": "image", "id": stage.image_id},
    }


async def test_an_image_that_cannot_be_pulled_fails_since_the_first_attempt(stage: Stage, db: Database):
    async def reported(state: str, error: str = "") -> None:
        image = ReportedImage(
            name=stage.image_name,
            state=state,  # pyright: ignore[reportArgumentType]
            how="",
            reason="",
            digest="",
            size_bytes=0,
            progress=0,
            error=error,
            refreshed=0.0,
        )
        async with db.transaction() as connection:
            await write_images(connection, stage.agent_id, [image])

    await reported("failed", "not found")
    since = (await attention(stage.admin))["image"]["since"]
    assert since is not None
    await reported("pulling")
    await reported("failed", "still not found")
    entry = (await attention(stage.admin))["image"]
    assert (entry["since"], entry["sentence"].endswith(". Still not found.")) == (since, True)
    await reported("present")
    await reported("failed", "not found")
    assert (await attention(stage.admin))["image"]["since"] > since


async def test_a_full_pool_that_cannot_be_refilled_is_on_today_and_on_the_stage_map(stage: Stage, db: Database):
    config_id = await stage.config()
    await stage.staged(config_id, 2)
    await stage.manager()
    refill = "UPDATE staging_configs SET refill_reason = 'The next session cannot start: no room.', refill_code = "
    await db.write(refill + "'no-capacity'")
    assert "pool" not in await attention(stage.admin), "a full zone is normal"
    await db.write(refill + "'start-failing'")
    row = LogRow(level="WARNING", component="manager", code=LogCode.STAGING_REFILL_BLOCKED, message="Pool")
    stage.logs.add(replace(row, staging_config_id=config_id))
    await stage.logs.flush()
    entry = (await attention(stage.admin))["pool"]
    assert entry["sentence"] == "Pool Desktop in zone default: The next session cannot start: no room."
    assert entry["since"]
    (pool,) = (await stage.admin.read("/api/v1/stage-map"))["pools"]
    assert (pool["shortfall"], pool["refill_problem"]["code"]) == (None, "start-failing")
    assert (await stage.admin.read(PATH))["pools"]["short"] == 0


async def test_a_short_pool_and_a_paused_one(stage: Stage, db: Database):
    config = await stage.config()
    await db.write(
        "INSERT INTO managers (instance_id, zone_id, last_reported, last_round)"
        " VALUES ('one', %s, clock_timestamp(), clock_timestamp())",
        (stage.zone_id,),
    )
    await db.write("UPDATE staging_configs SET shortfall_code = 'no-capacity', shortfall_reason = '2 of 2 not staged'")
    entry = (await attention(stage.admin))["pool"]
    assert entry["sentence"] == "Pool Desktop in zone default: 2 of 2 not staged."
    assert (await stage.admin.read(PATH))["pools"] == {"pools": 1, "current": 0, "desired": 2, "short": 1}
    await stage.admin.change(f"/api/v1/staging-configs/{config}", paused=True)
    assert "pool" not in await attention(stage.admin)


async def test_a_disabled_manager_has_the_time_of_its_log_row(stage: Stage, db: Database):
    for name in ("one", "two"):
        await db.write("INSERT INTO managers (instance_id, zone_id) VALUES (%s, %s)", (name, stage.zone_id))
    await db.write("UPDATE managers SET enabled = false WHERE instance_id = 'two'")
    stage.logs.write(LogCode.MANAGER_DISABLED, "two was disabled")
    await stage.logs.flush()
    entry = (await attention(stage.admin))["manager-disabled"]
    assert (entry["sentence"], entry["help"]["operation"]) == ("Manager two of zone default is disabled.", "enable")
    assert entry["since"] is not None


async def test_a_webhook_that_does_not_deliver(stage: Stage, db: Database):
    await db.write(
        "WITH w AS (INSERT INTO webhooks (name, url, events, secret_encrypted) VALUES ('ops', 'https://x', '{}', '')"
        " RETURNING webhook_id) INSERT INTO webhook_deliveries (webhook_id, event, data, attempts, error)"
        " SELECT webhook_id, 'launch.failed', '{}', 2, 'no answer' FROM w, generate_series(1, 4)"
    )
    assert "4 messages waiting. No answer." in (await attention(stage.admin))["webhook"]["sentence"]
    await db.write("UPDATE webhook_deliveries SET error = '', status = 500")
    assert "4 messages waiting. The answer was 500." in (await attention(stage.admin))["webhook"]["sentence"]


async def test_a_credential_that_expires_next(admin: Client, db: Database):
    await db.write("UPDATE api_keys SET expires = now() + interval '3 days' WHERE key_id = %s", (KEY[0],))
    today = await admin.read(PATH)
    assert today["next_credential"]["object_id"] == KEY[0]
    assert [entry["severity"] for entry in today["attention"] if entry["code"] == "expiry"] == ["warning"]


async def test_events_of_the_audit_that_a_server_has_not_received(app: FastAPI, admin: Client, db: Database):
    await admin.make("/api/v1/groups", name="Sales")
    await app.state.audit.flush()

    async def reported() -> list[str]:
        seen = await read_watched(db, "tls://siem:6514")
        return [entry.sentence for entry in needs_attention(seen) if entry.code == "audit-delivery"]

    assert await reported() == [], "the events are too young"
    await db.write("UPDATE audit_events SET time = now() - interval '1 hour'")
    (never_reached,) = await reported()
    assert never_reached.endswith(" of the audit did not reach tls://siem:6514.")
    await db.write(
        "INSERT INTO audit_deliveries (target, last_id) SELECT 'tls://siem:6514', last_id - 1 FROM audit_head"
    )
    assert await reported() == ["1 event of the audit did not reach tls://siem:6514."]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("sync_problem = 'The directory does not answer.'", "The directory does not answer."),
        ("created = now() - interval '4 hours'", "The synchronization is overdue."),
        ("sync_problem = 'It is off.', sync_s = 0", None),
        ("created = now() - interval '4 hours', synchronized = now()", None),
    ],
)
async def test_a_directory_whose_users_are_not_synchronized(
    admin: Client, db: Database, change: LiteralString, reason: str | None
):
    fields = {"name": "campus", "title": "Campus", "servers": ["ldaps://ldap"], "user_base": "o=c", "sync_s": 3600}
    await admin.make("/api/v1/directories", **fields)
    await db.write("UPDATE directories SET " + change)
    entry = (await attention(admin)).get("directory")
    assert (
        entry
        and entry["sentence"].removeprefix(
            "Directory Campus is not synchronized: users who left it keep their access. "
        )
    ) == reason


async def test_events_that_the_database_refuses_need_attention(
    stage: Stage, app: FastAPI, monkeypatch: pytest.MonkeyPatch
):
    writer = app.state.audit
    await writer.flush()
    await stage.db.write("ALTER TABLE audit_events RENAME TO audit_events_away")
    for number in range(2):
        writer.add(AuditEvent(code="login", message=f"{number}", interface="api", actor_kind="user"))
    await writer.flush()
    assert await stage.db.fetch("SELECT 1 FROM logs WHERE code = 'rows-waiting'") == [], "they wait less than 30 s"
    monkeypatch.setattr(batches, "WAIT_LIMIT_S", 0.0)
    await eventually(lambda: writer.waited_s > 0)
    for _ in range(2):
        await writer.flush()
    await stage.db.write("ALTER TABLE audit_events_away RENAME TO audit_events")
    seen = await read_watched(stage.db)
    (entry,) = [entry for entry in needs_attention(seen) if entry.code == "rows-waiting"]
    assert entry.sentence.startswith("2 events of the audit of this api have waited to be stored for ")
    await writer.flush()
    assert writer.waited_s == 0
    assert await stage.db.fetch("SELECT count(*) AS n FROM logs WHERE code = 'rows-waiting'") == [{"n": 1}]


async def test_a_task_of_the_primary_that_fails_again_and_again(stage: Stage):
    for number in range(3):
        assert "task" not in await attention(stage.admin)
        stage.logs.write(LogCode.PRIMARY_TASK_FAILED, f"The Primary's task expiry failed: {number}")
        await stage.logs.flush()
    entry = (await attention(stage.admin))["task"]
    assert (entry["severity"], entry["sentence"]) == ("failure", "The Primary's task expiry failed: 2.")
    assert "log" not in await attention(stage.admin), "one cause has one entry"


async def test_a_web_filter_that_fails_on_an_agent(stage: Stage, db: Database):
    details = {"agent_id": stage.agent_id, "policy_id": "p1"}
    row = LogRow(level="WARNING", component="agent", code="web-filter-down", message="It ended.", details=details)
    stage.logs.add(row)
    stage.logs.add(replace(row, level="ERROR", message="The web filter fails: no Squid"))
    await stage.logs.flush()
    entry = (await attention(stage.admin))["web-filter"]
    assert (entry["severity"], entry["sentence"].partition(": ")[2]) == ("failure", "The web filter fails: no Squid.")
    await db.write("UPDATE logs SET time = time - interval '2 minutes'")
    assert "web-filter" not in await attention(stage.admin)


async def test_the_last_backup_is_older_than_the_setting(app: FastAPI, admin: Client, db: Database):
    assert "backup" not in await attention(admin), "without a first backup, there is a first step"
    await db.write(
        "INSERT INTO audit_events (event_id, time, code, result, message, interface, actor_kind, details, hash)"
        " VALUES (0, now() - interval '3 days', 'backup', 'done', '', 'cli', 'host', '{}', '')"
    )
    assert (await attention(admin))["backup"]["sentence"] == "The last backup is 3 days old."
    await admin.change("/api/v1/settings", backup_warning_days=7)
    await app.state.snapshot.reload()
    assert "backup" not in await attention(admin)


async def test_errors_in_the_log(stage: Stage):
    stage.logs.write(LogCode.LOOP_FAILED, "a loop failed")
    await stage.logs.flush()
    assert "The newest: A loop failed." in (await attention(stage.admin))["log"]["sentence"]


async def test_the_facts_name_sessions_changes_and_the_slowest_launch(app: FastAPI, stage: Stage, db: Database):
    user_id = await rows.user(db, "ann@example.org")
    for minutes in (90, 30):
        await db.write(
            "INSERT INTO sessions (session_id, launch_id, zone_id, image_id, user_id, agent_id, status, spec,"
            " credential_encrypted, spec_hash, cores, memory, created, started, expires) VALUES (gen_random_uuid(),"
            " gen_random_uuid(), %s, %s, %s, %s, 'running', '{}', '', '', 1, 1000, now() - make_interval(mins => %s),"
            " now(), now() + make_interval(mins => %s))",
            (stage.zone_id, stage.image_id, user_id, stage.agent_id, minutes, minutes),
        )
    await db.write(
        "INSERT INTO launches (launch_id, session_id, user_id, image_id, outcome, steps, at, duration_ms)"
        " SELECT launch_id, session_id, user_id, image_id, 'on_demand', '[]', created, 5 FROM sessions"
    )
    await stage.admin.make("/api/v1/groups", name="Sales")
    await app.state.audit.flush()
    today = await stage.admin.read(PATH)
    assert (today["sessions"]["number"], today["sessions"]["users"]) == (2, 1)
    assert today["sessions"]["oldest"]["time"] < today["sessions"]["next_expiry"]["time"]
    assert today["sessions"]["oldest"]["session_id"] != today["sessions"]["next_expiry"]["session_id"]
    assert today["launches"]["slowest"]["waited_ms"] > 80 * 60_000
    newest = today["changes"]["newest"][0]
    assert newest["message"].endswith("Sales")
    assert [(name["text"], name["object"]["kind"]) for name in newest["names"]][-1] == ("Sales", "group")
    assert newest["message"].startswith(f"API key {newest['key_name']}")
    assert newest["names"][0]["object"]["kind"] == "api_key"
    assert today["sessions"]["oldest"]["user_id"] == today["launches"]["slowest"]["user_id"] == user_id
    assert today["launches"]["slowest"]["image_id"] == stage.image_id
    assert today["capacity"]["agents"] == 1


async def test_the_first_steps_end_with_their_facts(app: FastAPI, admin: Client, db: Database):
    assert "backup" in (await admin.read(PATH))["first_steps"]
    await admin.make("/api/v1/groups", name="Sales")
    await app.state.audit.flush()
    await db.write("UPDATE audit_events SET code = 'backup'")
    await rows.user(db, "ann@example.org")
    await rows.user(db, "ben@example.org")
    steps = (await admin.read(PATH))["first_steps"]
    assert "backup" not in steps
    assert "people" not in steps
    await db.write("UPDATE users SET password_once = true")
    (admin_user,) = await db.fetch("SELECT user_id::text FROM users ORDER BY created LIMIT 1")
    assert (await read_beginning(db, admin_user["user_id"])).has_one_time_password


async def test_a_caller_sees_the_facts_of_its_permissions(with_key: MakeClient, stage: Stage):
    today = await (await with_key("agents_view")).read(PATH)
    assert today["capacity"] is not None
    assert {name for name, fact in today.items() if fact is None} == {
        "primaries",
        "pools",
        "sessions",
        "launches",
        "changes",
        "next_credential",
    }
    assert (await (await with_key("user")).get(PATH)).status_code == 403


async def test_no_primary_is_missed_in_a_zone_whose_managers_are_not_visible(
    stage: Stage, db: Database, admin: Client, user: Client
):
    other_zone = await rows.zone(db, "us")
    roles = [{"role": "zone_operator", "zones": [other_zone]}]
    body = {"name": "Operators", "roles": roles, "permissions": ["zones_view"]}
    group_id = (await admin.make("/api/v1/groups", **body))["group_id"]
    await admin.put(f"/api/v1/groups/{group_id}/users/{await user.own_id()}")
    assert [primary["zone_name"] for primary in (await user.read(PATH))["primaries"]] == ["us"]
    assert len((await admin.read(PATH))["primaries"]) == 2
