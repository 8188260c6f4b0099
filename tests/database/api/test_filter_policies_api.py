"""Web filter policies through /api/v1."""

from __future__ import annotations

from tests.database.api.client import Client

from greenroom.db.access.users import ALL_USERS

STRICT = {"name": "Strict", "allow": ["Example.com", "bücher.example"], "deny": ["ads.example.com"]}


async def test_a_policy_explains_itself(admin: Client):
    made = await admin.make("/api/v1/filter-policies", **STRICT)
    address = f"/api/v1/filter-policies/{made['filter_policy_id']}/decision"
    asked = await admin.read(address, host="www.example.com")
    assert (asked["action"], asked["reason"]) == ("allow", "example.com is in the allow list.")
    asked = await admin.read(address, host="www.example.com", port=25)
    assert (asked["action"], "Port 25" in asked["reason"]) == ("deny", True)


async def test_a_policy_in_use_stays_and_its_users_are_named(admin: Client):
    policy_id = (await admin.make("/api/v1/filter-policies", **STRICT))["filter_policy_id"]
    address, group = f"/api/v1/filter-policies/{policy_id}", f"/api/v1/groups/{ALL_USERS}"
    image = f"/api/v1/images/{(await admin.only('/api/v1/images'))['image_id']}"
    changed = await admin.change(image, filter_policy_id=policy_id)
    assert (changed["filter_policy_id"], changed["filter_policy_name"]) == (policy_id, "Strict")
    changed = await admin.change(group, settings={"web_filter_policy": "Strict"})
    assert changed["settings"]["web_filter_policy"] == policy_id

    refusal = await admin.refused(409, f"DELETE {address}")
    assert refusal.startswith("refused: ")
    assert "workspace Desktop; group All Users" in refusal
    seen = await admin.read(address)
    assert (seen["num_images"], seen["num_groups"]) == (1, 1)

    await admin.change(image, filter_policy_id=None)
    assert (await admin.change(group, settings={"web_filter_policy": ""}))["settings"]["web_filter_policy"] == ""
    assert (await admin.delete(address)).status_code == 204
