"""Users and launches: ordered, filtered, counted and read page by page by the server, as sessions are."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from greenroom.db.access.users import USERS
from greenroom.db.database import Database
from greenroom.db.launch.ledger import LAUNCHES
from greenroom.testing import rows

Client = httpx.AsyncClient


async def paged(admin: Client, path: str, key: str, **question: Any) -> list[str]:
    """The ids of a list that is read two rows at a time."""
    found: list[str] = []
    answer = await admin.get(path, params={"limit": 2, **question})
    while True:
        assert answer.status_code == 200, answer.text
        found += [row[key] for row in answer.json()]
        if "next" not in answer.links:
            return found
        answer = await admin.get(answer.links["next"]["url"])


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


LISTS = [
    *(("/api/v1/users", "user_id", column) for column in USERS.columns),
    *(("/api/v1/launches", "launch_id", column) for column in LAUNCHES.columns),
]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(("path", "key", "column"), LISTS)
async def test_the_pages_of_every_order_have_each_row_once_and_are_turned_round_by_a_minus(
    admin: Client, path: str, key: str, column: str
):
    everything = {row[key] for row in (await admin.get(path)).json()}
    ascending = await paged(admin, path, key, sort=column)
    assert (set(ascending), len(ascending)) == (everything, len(everything))
    assert await paged(admin, path, key, sort=f"-{column}") == ascending[::-1]


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
        ("/api/v1/launches", "first", 0),
    ],
)
async def test_words_choose_and_the_number_of_all_pages_is_said(admin: Client, path: str, words: str, number: int):
    answer = await admin.get(path, params={"q": words, "count": True})
    assert (len(answer.json()), answer.headers["x-total-count"]) == (number, str(number))
    assert (await admin.get(path, params={"q": words, "count": True, "limit": 1})).headers["x-total-count"] == str(
        number
    )
