"""The queries of `greenroom doctor`: a healthy database has no findings, and each defect is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import LiteralString

import pytest
from tests.support import rows
from tests.support.system import System

from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogRow, LogWriter
from greenroom.db.workspace.images import delete_image
from greenroom.up.doctor import find_warnings
from greenroom.up.installation import end_sessions_of
from greenroom.up.invariants import find_unreadable_rows, sessions_that_fit


@pytest.fixture
async def stage(db: Database) -> System:
    """A running session of a user on an existing Agent."""
    stage = await System.populate(db, desired=3)
    await stage.staged()
    await db.write(
        "UPDATE sessions SET user_id = %s, assigned = clock_timestamp(), keepalive = clock_timestamp()",
        (stage.user_id,),
    )
    return stage


async def test_a_healthy_database_breaks_nothing(stage: System):
    assert await stage.broken() == {}


async def test_a_row_that_cannot_be_read_is_named_with_the_reason(stage: System):
    assert await find_unreadable_rows(stage.db) == []
    await stage.db.write("UPDATE images SET run_config = '7'")
    sentence = (await find_unreadable_rows(stage.db))[-1]
    assert sentence.startswith(f"a workspace cannot be read, image_id {stage.image_id}")
    assert sentence.endswith("Expected `object`, got `int` - at `$.run_config`")


async def test_as_many_sessions_fit_as_the_smallest_workspace_has_room_for(stage: System):
    await stage.db.write("UPDATE agent_capacity SET cores = 8, memory = 10 * 256000000::bigint")
    await stage.db.write("UPDATE images SET cores = 0.1, memory = 256000000")
    assert await sessions_that_fit(stage.db, [stage.agent_id]) == 10
    await stage.db.write("UPDATE images SET cores = 2")
    assert await sessions_that_fit(stage.db, [stage.agent_id]) == 4
    await stage.db.write("UPDATE images SET enabled = false")
    assert await sessions_that_fit(stage.db, [stage.agent_id]) == 0


_DELETING_FOR_AN_HOUR: LiteralString = (
    "UPDATE sessions SET status = 'deleting', want = 'absent', deadline = now(),"
    " status_changed = now() - interval '1 hour'"
)
_STAGED: LiteralString = "WITH s AS (UPDATE sessions SET user_id = NULL, assigned = NULL)"
DEFECTS: list[tuple[str, LiteralString]] = [
    ("I5", "UPDATE agent_capacity SET cores_allocated = 5"),
    ("I11", "UPDATE sessions SET status = 'starting', status_changed = now() - interval '1 hour'"),
    ("I11", _DELETING_FOR_AN_HOUR),
    ("I11", "UPDATE sessions SET status = 'lost', deadline = now() - interval '1 hour'"),
    ("I11", "UPDATE sessions SET status = 'stopping', want = 'stopped', deadline = now() - interval '1 hour'"),
    ("I13", "UPDATE sessions SET want = 'stopped'"),
    ("I13", "UPDATE sessions SET status = 'paused', want = 'running'"),
    ("I14", "UPDATE sessions SET expires = now() - interval '1 hour'"),
    ("I14", "UPDATE sessions SET status = 'paused', want = 'paused', time_limit_ends = now() - interval '1 hour'"),
    ("I8", _STAGED + " UPDATE staging_configs SET num_sessions = 0"),
    ("I19", "UPDATE sessions SET user_id = NULL, assigned = NULL, kasm_url = 'https://a.example'"),
    (
        "I20",
        _STAGED + ", z AS (INSERT INTO zones (zone_name) VALUES ('us') RETURNING zone_id)"
        " UPDATE agents SET zone_id = z.zone_id FROM z",
    ),
    ("I26", "UPDATE images SET name = repeat('a', 255)"),
    (
        "I27",
        "INSERT INTO managers (instance_id, zone_id, crash_loop) SELECT 'm', zone_id, 'It loops.' FROM zones",
    ),
    ("I27", "UPDATE agents SET crash_loop = 'It is crash-looping.'"),
    ("I21", "UPDATE sessions SET superseded_by = session_id"),
    ("I22", "UPDATE sessions SET launch_id = gen_random_uuid()"),
    ("I15", "UPDATE sessions SET status = 'failed', started = NULL, status_changed = now() - interval '1 hour'"),
]


@pytest.mark.parametrize(("code", "defect"), DEFECTS)
async def test_a_defect_is_found(stage: System, code: str, defect: LiteralString):
    await stage.db.write(defect)
    assert list(await stage.broken()) == [code]


async def test_managers_that_plain_sql_could_not_have_made_so_are_found(stage: System):
    await stage.db.write("ALTER TABLE managers DISABLE TRIGGER USER")
    await stage.db.write(
        "INSERT INTO managers (instance_id, zone_id, enabled) SELECT name, zone_id, name = 'other' FROM zones,"
        " unnest(ARRAY['one', 'other']) name"
    )
    await stage.db.write(
        "UPDATE zone_leases SET holder = gen_random_uuid(), expires_at = 'infinity', backend_pid = pg_backend_pid(),"
        " manager_id = (SELECT manager_id FROM managers WHERE instance_id = 'one')"
    )
    assert (await stage.broken())["I17"] == ["one is disabled, but is Primary"]
    await stage.db.write("UPDATE managers SET enabled = false")
    assert "zone eu has Managers, but no enabled Manager" in (await stage.broken())["I17"]


async def test_a_pool_may_have_one_more_while_it_is_in_place_of_another(stage: System):
    """The first replacement stayed in addition to the replaced session, as the refill for another one; the second is
    starting."""
    await stage.db.write("UPDATE sessions SET user_id = NULL, assigned = NULL")
    await stage.db.write("UPDATE staging_configs SET num_sessions = 2")
    (replaced,) = await stage.sessions()
    (first,), (second,) = await stage.staged(), await stage.staged(status="starting")
    replaces = "UPDATE sessions SET replaces = %s WHERE session_id = %s"
    await stage.db.write(replaces, (replaced, first))
    await stage.db.write(replaces, (first, second))
    assert await stage.broken() == {}
    await stage.db.write("UPDATE staging_configs SET num_sessions = 1")
    assert list(await stage.broken()) == ["I8"]


HARMLESS: list[LiteralString] = [
    "UPDATE sessions SET status = 'paused', want = 'paused', expires = NULL",
    "UPDATE sessions SET status = 'lost', expires = now() - interval '1 hour'",
    "UPDATE sessions SET status = 'failed', started = NULL, gave_up = true, status_changed = now() - interval '1 hour'",
]


@pytest.mark.parametrize("change", HARMLESS)
async def test_what_may_be_so_is_not_found(stage: System, change: LiteralString):
    await stage.db.write(change)
    assert await stage.broken() == {}


async def test_a_session_that_is_kept_without_a_container_is_found(stage: System):
    await stage.db.write(
        "INSERT INTO session_observed (session_id, agent_id, incarnation, seq, generation, state)"
        " SELECT session_id, agent_id, 1, 1, generation, 'failed' FROM sessions"
    )
    await stage.db.write("UPDATE sessions SET status = 'failed', set_aside_for = user_id, user_id = NULL")
    assert list(await stage.broken()) == ["I24"]
    await stage.db.write("UPDATE session_observed SET container_id = 'c1'")
    assert await stage.broken() == {}


async def test_an_agents_name_distinguishes_it_from_others_of_its_host(db: Database):
    names = "SELECT agent_id::text, agent_name(a) AS name FROM agents a"
    east, west = [await rows.zone(db, name) for name in ("east", "west")]
    first = await rows.agent(db, east, hostname="vm")
    assert await db.fetch(names) == [{"agent_id": first, "name": "vm"}]
    second = await rows.agent(db, west, hostname="vm")
    named = {row["agent_id"]: row["name"] for row in await db.fetch(names)}
    assert named == {first: "vm (zone east)", second: "vm (zone west)"}
    third = await rows.agent(db, east, hostname="vm")
    named = {row["agent_id"]: row["name"] for row in await db.fetch(names)}
    assert named == {first: f"vm ({first[:8]})", second: "vm (zone west)", third: f"vm ({third[:8]})"}


async def test_what_waits_for_an_agent_that_is_away_is_not_stuck(stage: System):
    await stage.db.write("UPDATE agents SET status = 'missing'")
    await stage.db.write(
        "UPDATE sessions SET status = 'stopping', want = 'stopped', deadline = now() - interval '1 hour'"
    )
    assert await stage.broken() == {}


async def test_a_command_of_a_session_that_is_over_is_found(stage: System):
    await stage.db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv)"
        " SELECT gen_random_uuid(), session_id, agent_id, 1, '[\"true\"]' FROM sessions"
    )
    assert await stage.broken() == {}
    await stage.db.write("UPDATE agent_capacity SET cores_allocated = 0, memory_allocated = 0")
    await stage.db.write("UPDATE sessions SET status = 'deleted', want = 'absent', ended = now()")
    assert list(await stage.broken()) == ["I16"]


async def test_ending_an_instance_with_an_open_command_breaks_nothing(stage: System):
    await stage.db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv, state)"
        " SELECT gen_random_uuid(), session_id, agent_id, generation, '[]', 'started' FROM sessions"
    )
    assert await end_sessions_of(stage.db, [stage.agent_id], "down") == 1
    assert await stage.broken() == {}


async def test_an_answered_launch_without_its_session_is_a_defect(stage: System):
    await stage.db.write(
        "INSERT INTO launches (launch_id, session_id, user_id, image_id, zone_id, outcome, steps)"
        " SELECT gen_random_uuid(), session_id, user_id, image_id, zone_id, 'staged', '[]' FROM sessions"
    )
    assert await stage.broken() == {}
    await stage.db.write("UPDATE agent_capacity SET cores_allocated = 0, memory_allocated = 0")
    await stage.db.write("UPDATE sessions SET status = 'deleted', want = 'absent', ended = now()")
    await stage.db.write("UPDATE staging_configs SET deleted = now()")
    async with stage.db.transaction() as connection:
        await delete_image(connection, stage.image_id)
    assert await stage.broken() == {}
    image_id = await rows.image(stage.db, friendly_name="Another")
    await stage.db.write("UPDATE launches SET image_id = %s", (image_id,))
    assert list(await stage.broken()) == ["I12"]


async def test_pictures_of_recordings_that_are_left_out_are_a_warning(db: Database):
    logs = LogWriter(db, "api")
    logs.write(LogCode.RECORDINGS_FULL, "Pictures of recordings are omitted: it is full")
    await logs.flush()
    assert await find_warnings(db) == [
        "Pictures of recordings are omitted: it is full (greenroom logs list --code recordings-full)"
    ]


async def test_recent_failures_of_a_primary_are_one_warning_per_zone(db: Database):
    assert await find_warnings(db) == []
    logs = LogWriter(db, "manager")
    for minutes, zone, code in ((20, "us", "primary-task-failed"), (1, "us", "primary-lost")):
        logs.add(failure(zone, f"{minutes} minutes ago", minutes, code))
    for minutes in (9, 5, 1):
        logs.add(failure("eu", f"{minutes} minutes ago", minutes, "primary-task-failed"))
    await logs.flush()
    (sentence,) = await find_warnings(db)
    assert sentence.startswith(
        "A task of the Primary of zone eu failed 3 times in the last 10 minutes, most recently at "
    )
    assert "1 minutes ago" in sentence


async def test_an_administrators_key_that_ends_soon_is_warned_of(db: Database):
    for name, permission, days in (
        ("ended", "global_admin", -1),
        ("soon", "global_admin", 29),
        ("later", "global_admin", 31),
        ("small", "sessions_view", 29),
    ):
        await db.write(
            "INSERT INTO api_keys (key_id, secret_hash, name, permissions, expires)"
            " VALUES (%s, '', %s, ARRAY[%s], now() + make_interval(days => %s))",
            (name, name, permission, days),
        )
    (sentence,) = await find_warnings(db)
    assert sentence.startswith("The API key soon (soon), which has every permission, expires at ")


def failure(zone: str, message: str, minutes: int, code: str) -> LogRow:
    time = datetime.now(UTC) - timedelta(minutes=minutes)
    return LogRow(level="ERROR", component="manager", code=code, message=message, zone_name=zone, time=time)
