"""Only users who may see and delete all sessions can do so with quarantined ones; the replacement continues."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage


@dataclass(frozen=True)
class Pair:
    """`aside` was Ada's, `next` has replaced it."""

    stage: Stage
    ada: Client
    aside: str
    next: str

    async def statuses(self) -> list[str]:
        """The statuses of both."""
        return [(await self.stage.row(session_id))["status"] for session_id in (self.aside, self.next)]

    async def cores(self) -> float:
        (row,) = await self.stage.db.fetch("SELECT cores_allocated FROM agent_capacity")
        return row["cores_allocated"]


@pytest.fixture
async def pair(stage: Stage, ada: Client) -> Pair:
    aside, successor = await stage.staged(await stage.config(), 2)
    ada_id = await ada.own_id()
    await stage.db.write(
        "UPDATE sessions SET user_id = %s, assigned = now() WHERE session_id = %s", (ada_id, successor)
    )
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', set_aside_for = %s, set_aside_reason = '`assign` ended with 3: ada',"
        " superseded_by = %s WHERE session_id = %s",
        (ada_id, successor, aside),
    )
    return Pair(stage, ada, aside, successor)


async def test_its_user_is_led_to_the_successor_and_others_to_nothing(pair: Pair, with_user: MakeClient):
    path = f"/api/v1/sessions/{pair.aside}"
    assert (await pair.ada.read(path))["session_id"] == pair.next
    bob = await with_user("bob@example.org")
    for user, query, status in ((bob, {}, 404), (bob, {"follow": "false"}, 404), (pair.ada, {"follow": "false"}, 404)):
        assert (await user.get(path, params=query)).status_code == status
        if query:
            assert (await user.delete(path, params=query | {"force": "true"})).status_code == status
    assert await pair.ada.read("/api/v1/sessions", set_aside="true") == []


async def test_who_may_see_all_sees_it_and_only_who_may_delete_destroys_it(pair: Pair, with_key: MakeClient):
    seeing, deleting = await with_key("sessions_view"), await with_key("sessions_delete")
    (listed,) = await seeing.read("/api/v1/sessions", set_aside="true")
    assert (listed["session_id"], listed["superseded_by"], listed["user_id"]) == (pair.aside, pair.next, None)
    path, exactly = f"/api/v1/sessions/{pair.aside}", {"follow": "false"}
    assert (await seeing.delete(path, params=exactly)).status_code == 403
    assert (await pair.statuses())[0] == "failed"
    for _ in range(2):
        gone = await deleting.delete(path, params=exactly)
        assert (gone.status_code, gone.json()["status"]) == (202, "deleting")
    assert await pair.statuses() == ["deleting", "running"]


async def test_by_force_it_ends_at_once_and_gives_its_reservation_back(pair: Pair):
    """Its Agent may never report again."""
    before = await pair.cores()
    path = f"/api/v1/sessions/{pair.aside}?follow=false&force=true"
    for _ in range(2):
        gone = await pair.stage.admin.delete(path)
        assert (gone.status_code, gone.json()["status"]) == (202, "deleted")
    assert await pair.statuses() == ["deleted", "running"]
    assert await pair.cores() < before
