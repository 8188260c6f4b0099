"""Connect addresses open one session without a log-in; what may be chosen at a launch follows the groups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from greenroom.db.database import Database
from greenroom.testing import rows

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]
Address = dict[str, str]

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"


@pytest.fixture
async def address(db: Database, user: Client) -> Address:
    """The connect address of a running session of an ordinary user, in its parts."""
    zone = (await db.fetch("SELECT zone_id::text FROM zones"))[0]["zone_id"]
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    await rows.agent(db, zone, hostname="agent-1", image=image["name"])
    launched = await user.post("/api/v1/sessions", json={"image_id": image["image_id"]})
    assert launched.status_code == 202, launched.text
    found = launched.json()
    await db.write(
        "UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE session_id = %s",
        (found["session_id"],),
    )
    return {name: found[name] for name in ("session_id", "user_id", "session_token")}


async def test_the_connect_address_gives_the_stream_and_keeps_the_session_alive(
    anonymous: Client, address: Address, db: Database
):
    answer = await anonymous.post("/api/v1/connect", json=address)
    assert answer.status_code == 200, answer.text
    assert answer.json()["frame_url"].endswith(f"/{address['session_id']}/?token={address['session_token']}")
    await db.write("UPDATE sessions SET keepalive = NULL, expires = clock_timestamp() + interval '1 s'")
    kept = await anonymous.post("/api/v1/connect/keepalives", json=address)
    assert kept.status_code == 200, kept.text
    row = await db.fetch_one("SELECT expires > clock_timestamp() + interval '1 min' AS later FROM sessions")
    assert row is not None
    assert row["later"]


@pytest.mark.parametrize("part", ["session_id", "user_id", "session_token"])
async def test_an_address_with_a_wrong_part_opens_nothing(anonymous: Client, address: Address, part: str):
    wrong = address | {part: "00000000-0000-0000-0000-000000000000"}
    for path in ("/api/v1/connect", "/api/v1/connect/keepalives"):
        answer = await anonymous.post(path, json=wrong)
        assert answer.status_code == 404
        assert "opens no session" in answer.json()["detail"]


async def test_guessing_does_not_fill_the_log(app: FastAPI, anonymous: Client, address: Address, db: Database):
    wrong = address | {"session_token": "guessed"}
    for _ in range(3):
        assert (await anonymous.post("/api/v1/connect", json=wrong)).status_code == 404
    for _ in range(8):
        await anonymous.post("/api/v1/login", json={"username": "user@greenroom.local", "password": "guessed!"})
    await app.state.logs.flush()
    written = await db.fetch("SELECT code FROM logs WHERE code IN ('stream-refused', 'login-throttled') ORDER BY code")
    assert [row["code"] for row in written] == ["login-throttled", "stream-refused"]


async def test_an_address_ends_with_the_access_of_its_user(anonymous: Client, admin: Client, address: Address):
    changed = await admin.patch(f"/api/v1/users/{address['user_id']}", json={"disabled": True})
    assert changed.status_code == 200, changed.text
    assert (await anonymous.post("/api/v1/connect", json=address)).status_code == 404


async def test_zones_and_profiles_are_offered_as_the_groups_allow(user: Client, admin: Client, db: Database):
    assert (await user.get("/api/v1/me/launch-options")).json() == {"zones": [], "images_with_profile": []}
    await db.write("UPDATE images SET persistent_profile_path = '/srv/profiles/{user_id}'")
    settings = {"allow_zone_selection": True, "allow_persistent_profile": True}
    await admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": settings})
    offered = (await user.get("/api/v1/me/launch-options")).json()
    assert [zone["zone_name"] for zone in offered["zones"]] == ["default"]
    assert len(offered["images_with_profile"]) == 1
