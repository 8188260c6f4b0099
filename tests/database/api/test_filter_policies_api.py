"""Web filter policies through /api/v1."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

import httpx
from fastapi import FastAPI

from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"
STRICT = {"name": "Strict", "allow": ["Example.com", "bücher.example"], "deny": ["ads.example.com"]}


async def new_policy(admin: Client, **fields: object) -> dict:
    answer = await admin.post("/api/v1/filter-policies", json={**STRICT, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_policy_lives(admin: Client):
    made = await new_policy(admin)
    assert made["default_action"] == "deny"
    assert made["allow"] == ["example.com", "xn--bcher-kva.example"]
    assert (made["num_images"], made["num_groups"], made["num_sessions"]) == (0, 0, 0)
    address = f"/api/v1/filter-policies/{made['filter_policy_id']}"
    changed = (await admin.patch(address, json={"default_action": "allow", "deny": []})).json()
    assert (changed["default_action"], changed["deny"], changed["allow"]) == ("allow", [], made["allow"])
    assert (await admin.get(address)).json() == changed
    assert (await admin.get("/api/v1/filter-policies")).json() == [changed]
    assert (await admin.delete(address)).status_code == 204
    assert (await admin.get(address)).status_code == 404


async def test_policies_that_cannot_be(admin: Client):
    made = await new_policy(admin)
    address = f"/api/v1/filter-policies/{made['filter_policy_id']}"
    for change, says in (
        ({"allow": ["https://example.com"]}, "write the domain alone"),
        ({"deny": ["*.example.com"]}, "wildcard"),
        ({"deny": ["a b"]}, "not a domain"),
        ({"deny": ["example.com"]}, "both allowed and denied"),
        ({"default_action": "maybe"}, "default_action"),
        ({"name": "two\nlines"}, "name"),
        ({"name": ""}, "name"),
        ({"categories": []}, "categories"),
    ):
        answer = await admin.patch(address, json=change)
        assert answer.status_code == 422, change
        assert says in answer.json()["detail"]
    assert (await admin.get(address)).json() == made
    again = await admin.post("/api/v1/filter-policies", json=STRICT)
    assert (again.status_code, again.json()["code"]) == (409, "duplicate")


async def test_a_policy_explains_itself(admin: Client):
    made = await new_policy(admin)
    address = f"/api/v1/filter-policies/{made['filter_policy_id']}/decision"
    asked = (await admin.get(address, params={"host": "www.example.com"})).json()
    assert (asked["action"], asked["reason"]) == ("allow", "example.com is in the allow list.")
    asked = (await admin.get(address, params={"host": "www.example.com", "port": 25})).json()
    assert (asked["action"], "Port 25" in asked["reason"]) == ("deny", True)


async def test_a_policy_in_use_stays_and_its_users_are_named(admin: Client, db: Database):
    made = await new_policy(admin)
    policy_id = made["filter_policy_id"]
    address = f"/api/v1/filter-policies/{policy_id}"
    (image,) = (await admin.get("/api/v1/images")).json()
    image_address = f"/api/v1/images/{image['image_id']}"
    changed = await admin.patch(image_address, json={"filter_policy_id": policy_id})
    assert (changed.json()["filter_policy_id"], changed.json()["filter_policy_name"]) == (policy_id, "Strict")
    group = f"/api/v1/groups/{ALL_USERS}"
    changed = await admin.patch(group, json={"settings": {"web_filter_policy": "Strict"}})
    assert changed.json()["settings"]["web_filter_policy"] == policy_id

    refused = await admin.delete(address)
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert f"workspace {image['friendly_name']}; group All Users" in refused.json()["detail"]
    seen = (await admin.get(address)).json()
    assert (seen["num_images"], seen["num_groups"]) == (1, 1)

    await admin.patch(image_address, json={"filter_policy_id": None})
    await admin.patch(group, json={"settings": {"web_filter_policy": None}})
    assert (await admin.delete(address)).status_code == 204


async def test_a_policy_that_is_not_there_cannot_be_used(admin: Client):
    (image,) = (await admin.get("/api/v1/images")).json()
    unknown = str(uuid.uuid4())
    answer = await admin.patch(f"/api/v1/images/{image['image_id']}", json={"filter_policy_id": unknown})
    assert (answer.status_code, answer.json()["detail"]) == (422, "There is no such web filter policy.")
    answer = await admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": {"web_filter_policy": unknown}})
    assert (answer.status_code, unknown in answer.json()["detail"]) == (422, True)
    answer = await admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": {"web_filter_policy": ""}})
    assert (answer.status_code, answer.json()["settings"]["web_filter_policy"]) == (200, "")


async def test_each_verb_needs_its_permission(admin: Client, with_key: Make):
    made = await new_policy(admin)
    address = f"/api/v1/filter-policies/{made['filter_policy_id']}"
    viewer = await with_key("webfilters_view")
    assert (await viewer.get(address)).status_code == 200
    assert (await viewer.get(f"{address}/decision", params={"host": "a.example"})).status_code == 200
    assert (await viewer.patch(address, json={"allow": []})).status_code == 403
    assert (await viewer.delete(address)).status_code == 403
    assert (await viewer.post("/api/v1/filter-policies", json={"name": "x"})).status_code == 403
    other = await with_key("images_view", "images_modify")
    assert (await other.get(address)).status_code == 403


async def test_changes_are_written_down_with_before_and_after(admin: Client, app: FastAPI, db: Database):
    made = await new_policy(admin)
    address = f"/api/v1/filter-policies/{made['filter_policy_id']}"
    await admin.patch(address, json={"default_action": "allow"})
    await admin.delete(address)
    logs: LogWriter = app.state.logs
    await logs.flush()
    rows = await db.fetch("SELECT code, message, details FROM logs WHERE code LIKE 'web-filter-policy-%' ORDER BY time")
    assert [row["code"].rpartition("-")[2] for row in rows] == ["created", "changed", "deleted"]
    assert "default_action deny → allow" in rows[1]["message"]
    assert rows[1]["details"]["before"] == {"default_action": "deny"}
