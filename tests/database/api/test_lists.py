"""Long lists: ordered, filtered, counted and read page by page by the server."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx2
import pytest
from tests.database.api.client import Client
from tests.database.api.staging import bare_session
from tests.database.test_indexes import Recorder, plan
from tests.support import rows

from greenroom.db import listing
from greenroom.db.access.users import USERS
from greenroom.db.database import Database
from greenroom.db.launch.ledger import LAUNCHES
from greenroom.db.listing import SEARCHED_PER_ROW
from greenroom.db.session.views import SESSIONS, SessionFilter, list_sessions

PATH = "/api/v1/sessions"


@pytest.fixture
async def shown(admin: Client, db: Database) -> list[dict[str, Any]]:
    """Eleven sessions of three users and a pool in two zones, several created at the same time."""
    zones = [row["zone_id"] for row in await db.fetch("SELECT zone_id::text FROM zones")]
    zones.append(await rows.zone(db, "west"))
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    users = [await rows.user(db, f"{name}@example.com") for name in ("ada", "Ben", "carla")]
    agents = [await rows.agent(db, zone, hostname=f"host-{zone[:4]}", image=image["name"]) for zone in zones]
    for number in range(11):
        await db.write(
            "INSERT INTO sessions (session_id, zone_id, image_id, agent_id, user_id, status, spec,"
            " credential_encrypted, spec_hash, cores, memory, created, expires)"
            " VALUES (%s, %s, %s, %s, %s, %s, '{}', '', '', 1, 1,"
            " timestamptz '2026-11-21 12:00:00.25Z' + make_interval(secs => %s),"
            " CASE WHEN %s THEN clock_timestamp() END)",
            (
                uuid.uuid4(),
                zones[number % 2],
                image["image_id"],
                agents[number % 2] if number % 4 else None,
                users[number % 3],
                ("running", "stopped")[number % 2],
                number // 3,
                number % 2 == 0,
            ),
        )
    return await admin.read(PATH)


def _step(reason: str) -> dict[str, Any]:
    step = {"order": 1, "step": "on_demand_here", "zone_name": "default", "candidate": None, "used": False}
    return {**step, "code": None, "reason": reason}


@pytest.fixture
async def stored(admin: Client, db: Database) -> None:
    """Users with and without names, groups and log-ins; launches of some, of deleted ones and of none."""
    del admin
    group = await rows.group(db, name="Students", priority=5)
    names = ["ada", "Ben", "carla", "dan", "eve"]
    users = [await rows.user(db, f"{name}@example.org", *([group] if name != "dan" else [])) for name in names]
    await db.write(
        "UPDATE users SET first_name = 'Ada', locked = true, last_session = now() WHERE user_id = %s", (users[0],)
    )
    for number in range(7):
        await db.write(
            "INSERT INTO launches (launch_id, user_id, outcome, steps, duration_ms, at) VALUES (%s, %s, %s, %s::jsonb,"
            " %s, timestamptz '2026-11-21 12:00Z' + make_interval(secs => %s))",
            (
                uuid.uuid4(),
                users[number % 3] if number else None,
                ("staged", "on_demand", "failed")[number % 3],
                json.dumps([_step("first"), _step("No Agent has room")] if number % 2 else []),
                0.5 * (number % 4),
                number // 2,
            ),
        )


async def ids(admin: Client, path: str, key: str, **question: Any) -> list[str]:
    """The ids of a list that is read two rows at a time."""
    return [row[key] for row in await admin.pages(path, limit=2, **question)]


@pytest.mark.usefixtures("shown", "stored")
@pytest.mark.parametrize(
    ("path", "key", "columns"),
    [
        (PATH, "session_id", SESSIONS.orders),
        ("/api/v1/users", "user_id", USERS.orders),
        ("/api/v1/launches", "launch_id", LAUNCHES.orders),
    ],
)
async def test_the_pages_of_every_order_have_each_row_once(admin: Client, path: str, key: str, columns: list[str]):
    everything = sorted(row[key] for row in await admin.read(path))
    assert len(everything) > 5
    for column in columns:
        ascending = await ids(admin, path, key, sort=column)
        assert sorted(ascending) == everything, column
        assert await ids(admin, path, key, sort=f"-{column}") == ascending[::-1], column


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/api/v1/staging-configs", "staging_config_id"),
        ("/api/v1/images", "image_id"),
        ("/api/v1/agents", "agent_id"),
        ("/api/v1/groups", "group_id"),
        ("/api/v1/api-keys", "key_id"),
        ("/api/v1/filter-policies", "filter_policy_id"),
        ("/api/v1/join-tokens", "join_token_id"),
    ],
)
async def test_the_pages_of_a_list_in_its_one_order_have_each_row_once(
    admin: Client, db: Database, path: str, key: str
):
    zones = [await rows.zone(db, name) for name in ("west", "east")]
    images = [await rows.image(db, friendly_name=name) for name in ("Ärzte, {a}", "desk", "Desk", '"quoted"')]
    for number, image in enumerate(images):
        await rows.staging_config(db, zones[number % 2], image)
        await rows.agent(db, zones[number % 2], hostname=f"host-{number}")
        await rows.group(db, name=f"group {number}", priority=number % 2)
        await db.write("INSERT INTO api_keys (key_id, secret_hash) VALUES (%s, '')", (f"key {number}",))
        await db.write("INSERT INTO filter_policies (name) VALUES (%s)", (f"policy {number}",))
        await db.write(
            "INSERT INTO join_tokens (token_hash, zone_id, expires) VALUES (%s, %s, now() + interval '1 day')",
            (bytes([number]), zones[number % 2]),
        )
    whole = [row[key] for row in await admin.read(path)]
    assert len(set(whole)) >= 4
    assert await ids(admin, path, key) == whole


async def pages_with_short_links(admin: Client, path: str, key: str, **question: Any) -> list[str]:
    """The ids of a list that is read one row at a time. The gateway accepts answers with headers of 4096 bytes."""
    answer = await admin.get(path, params={"limit": 1, **question})
    found = [row[key] for row in answer.json()]
    while "next" in answer.links:
        assert len(answer.headers["Link"]) < 3000, (path, question)
        answer = await admin.get(answer.links["next"]["url"])
        assert answer.status_code == 200, answer.text
        found += [row[key] for row in answer.json()]
    return found


LONG = "😀" * 250


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("path", "key", "columns"),
    [
        ("/api/v1/users", "user_id", USERS.orders),
        ("/api/v1/launches", "launch_id", LAUNCHES.orders),
        *(
            (f"/api/v1/{name}", key, [None])
            for name, key in (
                ("staging-configs", "staging_config_id"),
                ("images", "image_id"),
                ("agents", "agent_id"),
                ("groups", "group_id"),
                ("api-keys", "key_id"),
                ("filter-policies", "filter_policy_id"),
                ("zones", "zone_id"),
                ("managers", "manager_id"),
            )
        ),
    ],
)
async def test_the_pages_of_lists_with_long_values_have_each_row_once(
    admin: Client, db: Database, path: str, key: str, columns: list[str | None]
):
    await db.write(
        "UPDATE users SET username = %s || username, first_name = repeat('Ж', 400), last_name = repeat('Ю', 400)"
        " WHERE username LIKE '%%@example.org'",
        (LONG[:200],),
    )
    for number in range(3):
        name = f"{LONG}{number}"
        zone, image = await rows.zone(db, f"long-{number}"), await rows.image(db, friendly_name=name)
        await rows.agent(db, zone, hostname=name)
        await rows.staging_config(db, zone, image)
        await rows.group(db, name=name)
        await db.write("INSERT INTO api_keys (key_id, secret_hash) VALUES (%s, '')", (name,))
        await db.write("INSERT INTO filter_policies (name) VALUES (%s)", (name,))
        await db.write("INSERT INTO managers (instance_id, zone_id) VALUES (%s, %s)", (name, zone))
    everything = sorted(row[key] for row in await admin.read(path))
    assert len(everything) >= 3
    for column in columns:
        for order in (column, f"-{column}") if column else (None,):
            question = {"sort": order} if order else {}
            assert sorted(await pages_with_short_links(admin, path, key, **question)) == everything, order


async def test_a_page_after_a_deleted_row_with_a_long_value_is_refused(admin: Client, db: Database):
    ids = [await rows.user(db, f"{LONG[:200]}{number}") for number in range(2)]
    answer = await admin.get("/api/v1/users", params={"limit": 1, "sort": "-username"})
    assert answer.json()[0]["user_id"] == ids[1]
    await db.write("UPDATE users SET username = 'ann' WHERE user_id = %s", (ids[1],))
    assert "deleted or changed" in await admin.refused(422, f"GET {answer.links['next']['url']}")


async def test_an_order_is_that_of_its_column(admin: Client, shown: list[dict[str, Any]]):
    by_id = {row["session_id"]: row for row in shown}

    async def ordered(**question: Any) -> list[str]:
        return await ids(admin, PATH, "session_id", **question)

    assert await ordered() == [row["session_id"] for row in shown] == await ordered(sort="-created")
    names = [by_id[each]["username"] for each in await ordered(sort="user")]
    assert names == sorted(names, key=str.lower)
    ends = [by_id[each]["expires"] for each in await ordered(sort="expires")]
    assert ends[-5:] == [None] * 5, "what does not end comes last"


async def test_measured_values_order_running_sessions(admin: Client, db: Database, shown: list[dict[str, Any]]):
    used = [row for row in shown if row["agent_id"] and row["status"] == "running"]
    for agent_id in {row["agent_id"] for row in used}:
        use = {
            row["session_id"]: {"cpu": 0.1 * number, "memory_bytes": 10**number}
            for number, row in enumerate(shown)
            if row["agent_id"] == agent_id
        }
        await db.write("INSERT INTO agent_session_use VALUES (%s, %s::jsonb)", (agent_id, json.dumps(use)))
    await db.write(
        "UPDATE sessions SET round_trip_ms = 12, frames_s = 24, kbit_s = 900 WHERE session_id = %s",
        (used[0]["session_id"],),
    )
    expected = [row["session_id"] for row in reversed(used)]
    assert len(expected) > 1
    for column in ("cpu", "memory"):
        assert (await ids(admin, PATH, "session_id", sort=f"-{column}"))[: len(expected)] == expected, column
    for column in ("latency", "frames", "received"):
        assert (await ids(admin, PATH, "session_id", sort=f"-{column}"))[0] == used[0]["session_id"], column


@pytest.mark.usefixtures("stored")
async def test_users_have_their_last_launch_with_a_session(admin: Client, db: Database):
    async def launched(session_id: str) -> dict[str, Any]:
        """Return carla after a launch with this session."""
        await db.write(
            "UPDATE launches SET session_id = %s WHERE launch_id = (SELECT launch_id FROM launches"
            " JOIN users USING (user_id) WHERE username = 'carla@example.org' ORDER BY at LIMIT 1)",
            (session_id,),
        )
        found = {user["username"]: user for user in await admin.read("/api/v1/users")}
        assert found["Ben@example.org"]["last_launched"] is None, "its launches have no session"
        return found["carla@example.org"]

    session_id = await bare_session(db)
    assert (await launched(session_id))["last_launched_session_id"] == session_id
    carla = await launched(str(uuid.uuid4()))
    assert carla["last_launched"] is not None
    assert carla["last_launched_session_id"] is None, "the session is not stored any more"


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("path", "words", "number"),
    [
        ("/api/v1/users", "BEN", 1),
        ("/api/v1/users", "status:locked", 1),
        ("/api/v1/users", "groups:students example", 4),
        ("/api/v1/launches", "user:carla", 2),
        ("/api/v1/launches", "outcome:on demand", 2),
        ("/api/v1/launches", "agent room", 3),
        ("/api/v1/launches", "reason:first", 3),
        ("/api/v1/launches", "nowhere", 0),
    ],
)
async def test_words_choose_and_the_number_of_all_pages_is_said(admin: Client, path: str, words: str, number: int):
    for limit in (100, 1):
        answer = await admin.get(path, params={"q": words, "count": True, "limit": limit})
        assert (len(answer.json()), answer.headers["x-total-count"]) == (min(limit, number), str(number))


async def test_words_and_conditions_choose_and_all_matches_are_counted(admin: Client, shown: list[dict[str, Any]]):
    async def found(**question: Any) -> tuple[set[str], int]:
        answer = await admin.get(PATH, params={"limit": 100, "count": True, **question})
        return {row["session_id"] for row in answer.json()}, int(answer.headers["x-total-count"])

    def which(name: str, value: str) -> set[str]:
        return {row["session_id"] for row in shown if value in str(row[name]).lower()}

    of_ben, in_west = which("username", "ben"), which("zone_name", "west")
    assert await found(q="BEN") == (of_ben, len(of_ben))
    assert await found(q="zone:west user:ben") == (of_ben & in_west, len(of_ben & in_west))
    assert await found(q="user:west") == (set(), 0)
    assert await found(q="100%_") == (set(), 0), "no patterns"
    two = {row["session_id"] for row in shown[:2]}
    assert await found(session_id=list(two)) == (two, 2)
    assert (await admin.get(PATH, params={"limit": 1, "count": True})).headers["x-total-count"] == "11"
    assert "x-total-count" not in (await admin.get(PATH)).headers


async def test_words_are_looked_for_in_so_many_rows_and_then_it_goes_on(admin: Client, shown: list[dict[str, Any]]):
    oldest = shown[-1]["session_id"]
    first = await admin.get(PATH, params={"q": oldest, "limit": 1})
    assert first.json() == []
    assert "next" in first.links, f"looked at {SEARCHED_PER_ROW} rows of {len(shown)}"
    assert await ids(admin, PATH, "session_id", q=oldest) == [oldest]
    assert await ids(admin, PATH, "session_id", q="zone:west") == [
        row["session_id"] for row in shown if row["zone_name"] == "west"
    ]


async def test_of_many_rows_so_many_are_counted(
    admin: Client, shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    async def total(**question: Any) -> str:
        return (await admin.get(PATH, params={"count": True, **question})).headers["x-total-count"]

    west = [row["zone_name"] == "west" for row in shown[:7]].count(True)
    monkeypatch.setattr(listing, "MAX_COUNTED", len(shown))
    monkeypatch.setattr(listing, "MAX_COUNTED_WITH_WORDS", 6)
    assert [await total(), await total(q="zone:west")] == ["11", f"{west}+"]
    monkeypatch.setattr(listing, "MAX_COUNTED", len(shown) - 1)
    assert await total() == "10+"


@pytest.mark.usefixtures("stored")
async def test_launches_of_a_period_are_listed_and_counted(admin: Client):
    launches = await admin.read("/api/v1/launches?sort=time")
    since, until = sorted({launch["at"] for launch in launches})[1:3]
    answer = await admin.get("/api/v1/launches", params={"since": since, "until": until, "sort": "time", "count": True})
    inside = [launch["launch_id"] for launch in launches if since <= launch["at"] < until]
    assert 0 < len(inside) < len(launches)
    assert [launch["launch_id"] for launch in answer.json()] == inside
    assert answer.headers["x-total-count"] == str(len(inside))
    assert "since" in await admin.refused(422, "GET /api/v1/launches?since=yesterday")


async def test_what_is_kept_of_the_past_is_ordered_by_time_alone(admin: Client):
    for path in (f"{PATH}?ended=true&sort=user", "/api/v1/launches?sort=user"):
        assert "`sort` must be one of" in await admin.refused(422, f"GET {path}"), path
    await admin.read(PATH, ended=True, sort="created")


async def test_a_list_with_a_single_page_accepts_the_parameters_of_pages(admin: Client):
    assert len((await admin.get("/api/v1/roles?limit=1")).json()) > 1


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("users?search=ann", "The query parameter search is not known; the parameters are"),
        ("users?Limit=2", "The query parameter Limit is not known; did you mean limit?"),
        ("logs?levels=ERROR", "The query parameter levels is not known; did you mean level?"),
        ("today?q=a", "The query parameter q is not known; omit it."),
    ],
)
async def test_an_unknown_query_parameter_is_refused(admin: Client, address: str, sentence: str):
    answer = await admin.get(f"/api/v1/{address}")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(sentence)


@pytest.mark.parametrize("path", ["users", "sessions", "audit", "logs", "session-videos"])
async def test_a_search_is_short_enough_for_the_address_of_the_next_page(admin: Client, path: str):
    assert (await admin.get(f"/api/v1/{path}", params={"q": "a" * 1000})).status_code == 200
    assert (await admin.get(f"/api/v1/{path}", params={"q": "a" * 1001})).status_code == 422


async def test_a_cursor_of_another_order_and_an_unknown_order_are_refused(admin: Client, shown: list[dict[str, Any]]):
    del shown
    first = await admin.get(PATH, params={"limit": 2, "sort": "zone"})
    cursor = httpx2.URL(first.links["next"]["url"]).params["cursor"]
    for question in ({"cursor": cursor}, {"cursor": cursor, "sort": "-zone"}, {"sort": "cores"}, {"q": "a " * 9}):
        answer = await admin.get(PATH, params=question)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text


async def test_the_newest_are_read_from_an_index(db: Database):
    recorder = Recorder()
    await list_sessions(recorder, SessionFilter().conditions(), limit=100)  # type: ignore[arg-type]  -- it only notes the query
    found = await plan(db, recorder.query, recorder.params)
    assert "sessions_shown" in found, found
    assert "Sort" not in found, found
