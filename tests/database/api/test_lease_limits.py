"""How many leases a user and an API key have at a time, separate from the desktops that people open."""

from __future__ import annotations

import asyncio

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage

LEASES, SESSIONS = "/api/v1/leases", "/api/v1/sessions"


@pytest.fixture
async def body(stage: Stage, ada: Client) -> dict[str, object]:
    """A request for a lease of ada's."""
    image = await stage.admin.only("/api/v1/images")
    return {"workspace": image["friendly_name"], "seconds": 600, "user_id": await ada.own_id()}


async def test_leases_and_desktops_have_separate_limits(stage: Stage, ada: Client, body: dict[str, object]):
    await stage.everybody(max_kasms_per_user=1, max_leases_per_user=2)
    desktop = {"image_id": stage.image_id}
    for _ in range(2):
        await ada.make(LEASES, **body)
    refusal = "lease-limit: 2 leases are allowed for this user (max_leases_per_user); release one first."
    assert await ada.refused(409, f"POST {LEASES}", body) == refusal
    assert (await ada.post(SESSIONS, json=desktop)).status_code == 202
    assert (await ada.refused(409, f"POST {SESSIONS}", desktop)).startswith("session-limit: 1 session is allowed")


async def test_no_desktop_is_open_to_a_lease_that_the_user_may_not_have(
    stage: Stage, ada: Client, body: dict[str, object]
):
    await stage.everybody(max_kasms_per_user=5, max_leases_per_user=0)
    await stage.staged(await stage.config(), 1)
    assert (await ada.refused(409, f"POST {LEASES}", body)).startswith("lease-limit: 0 leases are allowed")


async def test_the_limit_of_a_key_only_narrows(stage: Stage, with_key: MakeClient, body: dict[str, object]):
    await stage.everybody(max_leases_per_user=2)
    wide, narrow = (
        await with_key("users_auth_session", max_leases=9),
        await with_key("users_auth_session", max_leases=1),
    )
    await narrow.make(LEASES, **body)
    assert "(max_leases)" in await narrow.refused(409, f"POST {LEASES}", body)
    await wide.make(LEASES, **body)
    assert "(max_leases_per_user)" in await wide.refused(409, f"POST {LEASES}", body)


@pytest.mark.parametrize("staged", [0, 3])
async def test_leases_at_the_same_time_do_not_exceed_the_limit_of_their_user(
    stage: Stage, with_key: MakeClient, body: dict[str, object], staged: int
):
    await stage.everybody(max_leases_per_user=2)
    await stage.staged(await stage.config(), staged)
    program = await with_key("users_auth_session")
    answers = await asyncio.gather(*(program.post(LEASES, json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
