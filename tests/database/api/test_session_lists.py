"""Lists of sessions: ordered, filtered, counted and read page by page by the server."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from tests.database.test_indexes import Recorder, plan

from greenroom.db.database import Database
from greenroom.db.session.views import SESSIONS, SessionFilter, list_sessions
from greenroom.testing import rows

Client = httpx.AsyncClient
PATH = "/api/v1/sessions"


@pytest.fixture
async def shown(admin: Client, db: Database) -> list[dict[str, Any]]:
    """Eleven sessions of three users and a pool in two zones, several made in the same moment."""
    zones = [row["zone_id"] for row in await db.fetch("SELECT zone_id::text FROM zones")]
    zones.append(await rows.zone(db, "west"))
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    users = [await rows.user(db, f"{name}@example.org") for name in ("ada", "Ben", "carla")]
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
    return (await admin.get(PATH)).json()


async def _paged(admin: Client, **question: Any) -> list[str]:
    """The ids of a list that is read two rows at a time."""
    found: list[str] = []
    answer = await admin.get(PATH, params={"limit": 2, **question})
    while True:
        assert answer.status_code == 200, answer.text
        found += [row["session_id"] for row in answer.json()]
        if "next" not in answer.links:
            return found
        answer = await admin.get(answer.links["next"]["url"])


@pytest.mark.parametrize("column", SESSIONS.columns)
async def test_the_pages_of_every_order_have_each_session_once_and_are_turned_round_by_a_minus(
    admin: Client, shown: list[dict[str, Any]], column: str
):
    ascending = await _paged(admin, sort=column)
    assert sorted(ascending) == sorted(row["session_id"] for row in shown)
    assert await _paged(admin, sort=f"-{column}") == ascending[::-1]


async def test_an_order_is_that_of_its_column(admin: Client, shown: list[dict[str, Any]]):
    by_id = {row["session_id"]: row for row in shown}
    assert await _paged(admin) == [row["session_id"] for row in shown] == await _paged(admin, sort="-created")
    names = [by_id[each]["username"] for each in await _paged(admin, sort="user")]
    assert names == sorted(names, key=str.lower)
    ends = [by_id[each]["expires"] for each in await _paged(admin, sort="expires")]
    assert ends[-5:] == [None] * 5, "what does not end comes last"


async def test_words_and_conditions_choose_and_the_number_of_all_pages_is_said(
    admin: Client, shown: list[dict[str, Any]]
):
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


async def test_a_cursor_of_another_order_and_an_order_there_is_not_are_refused(
    admin: Client, shown: list[dict[str, Any]]
):
    del shown
    first = await admin.get(PATH, params={"limit": 2, "sort": "zone"})
    cursor = httpx.URL(first.links["next"]["url"]).params["cursor"]
    for question in ({"cursor": cursor}, {"cursor": cursor, "sort": "-zone"}, {"sort": "memory"}, {"q": "a " * 9}):
        answer = await admin.get(PATH, params=question)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text


async def test_the_newest_are_read_from_an_index(db: Database):
    recorder = Recorder()
    await list_sessions(recorder, SessionFilter(), limit=100)  # type: ignore[arg-type]
    found = await plan(db, recorder.query, recorder.params)
    assert "sessions_shown" in found, found
    assert "Sort" not in found, found
