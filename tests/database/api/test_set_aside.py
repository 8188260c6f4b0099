"""Sessions that were set aside are for those who may see and destroy everybody's; the one in their place lives on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import pytest
from tests.database.api.staging import Stage

Make = Callable[..., Awaitable[httpx.AsyncClient]]


@dataclass(frozen=True)
class Pair:
    """`aside` was Ada's, `next` has taken its place."""

    stage: Stage
    ada: httpx.AsyncClient
    aside: str
    next: str

    async def status_of(self, session_id: str) -> str:
        (row,) = await self.stage.db.fetch("SELECT status FROM sessions WHERE session_id = %s", (session_id,))
        return row["status"]

    async def cores(self) -> float:
        (row,) = await self.stage.db.fetch("SELECT cores_allocated FROM agent_capacity")
        return row["cores_allocated"]


@pytest.fixture
async def pair(stage: Stage, with_user: Make) -> Pair:
    ada = await with_user("ada@example.org")
    aside, successor = await stage.staged((await stage.created())["staging_config_id"], 2)
    (user,) = await stage.db.fetch("SELECT user_id FROM users WHERE username = 'ada@example.org'")
    await stage.db.write(
        "UPDATE sessions SET user_id = %s, assigned = now() WHERE session_id = %s", (user["user_id"], successor)
    )
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', set_aside_for = %s, set_aside_reason = '`assign` ended with 3: ada',"
        " superseded_by = %s WHERE session_id = %s",
        (user["user_id"], successor, aside),
    )
    return Pair(stage, ada, aside, successor)


async def test_its_user_and_others_are_led_to_what_took_its_place_or_to_nothing(pair: Pair, with_user: Make):
    path = f"/api/v1/sessions/{pair.aside}"
    assert (await pair.ada.get(path)).json()["session_id"] == pair.next
    bob = await with_user("bob@example.org")
    for user, query, status in ((bob, {}, 404), (bob, {"follow": "false"}, 404), (pair.ada, {"follow": "false"}, 404)):
        assert (await user.get(path, params=query)).status_code == status
        if query:
            assert (await user.delete(path, params=query | {"force": "true"})).status_code == status
    assert (await pair.ada.get("/api/v1/sessions", params={"set_aside": "true"})).json() == []


async def test_who_may_see_all_sees_it_and_only_who_may_delete_destroys_it(pair: Pair, with_key: Make):
    seeing, deleting = await with_key("sessions_view"), await with_key("sessions_delete")
    (listed,) = (await seeing.get("/api/v1/sessions", params={"set_aside": "true"})).json()
    assert (listed["session_id"], listed["superseded_by"], listed["user_id"]) == (pair.aside, pair.next, None)
    path, exactly = f"/api/v1/sessions/{pair.aside}", {"follow": "false"}
    assert (await seeing.delete(path, params=exactly)).status_code == 403
    assert await pair.status_of(pair.aside) == "failed"
    for _ in range(2):
        gone = await deleting.delete(path, params=exactly)
        assert (gone.status_code, gone.json()["status"]) == (202, "deleting")
    assert (await pair.status_of(pair.aside), await pair.status_of(pair.next)) == ("deleting", "running")


async def test_by_force_it_ends_at_once_and_gives_its_reservation_back(pair: Pair):
    """Its Agent may never report again."""
    before = await pair.cores()
    path = f"/api/v1/sessions/{pair.aside}?follow=false&force=true"
    for _ in range(2):
        gone = await pair.stage.admin.delete(path)
        assert (gone.status_code, gone.json()["status"]) == (202, "deleted")
    assert (await pair.status_of(pair.aside), await pair.status_of(pair.next)) == ("deleted", "running")
    assert await pair.cores() < before
