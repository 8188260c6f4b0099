"""Names in shares: the users that a user finds to share with, names of guests, and guessed links."""

from __future__ import annotations

from typing import Any

import pytest
from tests.database.api.client import USER, Client, MakeClient
from tests.database.api.sharing import Shared, secret_of


async def test_users_to_share_with_are_of_the_owners_groups(shared: Shared, user: Client):
    await shared.admin.change("/api/v1/settings", share_outside_groups=False)
    path, user_id = f"{shared.path}/share-candidates", await user.own_id()

    async def refused(**body: Any) -> str:
        return await shared.ada.refused(404, f"POST {shared.path}/shares", {"access": "view", **body})

    assert await shared.ada.read(path, q=USER) == [], "all users are in All Users"
    assert (await refused(username=USER)).replace(USER, "x") == (await refused(username="ghost")).replace("ghost", "x")
    await shared.share(user_id=user_id)
    await shared.in_one_group(user_id)
    assert [one["username"] for one in await shared.ada.read(path, q="USE")] == [USER]
    await shared.share(username=USER)
    assert len(await shared.admin.read(path, q="@")) == 2, "all that a caller may see, but the owner"


async def test_a_setting_lets_users_share_with_all_others(shared: Shared, user: Client):
    del user
    await shared.admin.change("/api/v1/settings", share_outside_groups=True)
    assert [one["username"] for one in await shared.ada.read(f"{shared.path}/share-candidates", q="use")] == [USER]
    await shared.share(username=USER)


@pytest.mark.parametrize("name", ["Greenroom Support\u202e", "a\u200bb", "a\nb", "a/b"])
async def test_the_name_of_a_guest_follows_the_rule_of_user_names(shared: Shared, name: str):
    share = await shared.share(guest=True)
    body = {"token": secret_of(share), "name": name}
    await shared.anonymous.refused(422, f"POST /api/v1/shares/{share['share_id']}/viewers", body)


async def test_rows_of_the_log_say_that_a_guest_is_one(shared: Shared):
    joined = await shared.join(shared.anonymous, await shared.share(guest=True), name="Greenroom Support")
    (row,) = await shared.logged("viewer-joined")
    assert row.startswith("Greenroom Support (guest) joined session")
    await shared.ada.delete(f"{shared.path}/viewers/{joined['viewer_id']}")
    (row,) = await shared.logged("viewer-left")
    assert "removed Greenroom Support (guest) from session" in row


async def test_wrong_links_of_shares_are_throttled_by_address(shared: Shared, connect: MakeClient):
    await shared.admin.change("/api/v1/settings", max_login_attempts_per_address=10)
    share, attacker = await shared.share(guest=True), await connect(address="203.0.113.9")
    for what, body in (("invitation", {"token": "wrong"}), ("viewers", {"token": "wrong", "name": "x"})):
        path = f"/api/v1/shares/{share['share_id']}/{what}"
        answers = [(await attacker.post(path, json=body)).status_code for _ in range(6)]
        assert answers == ([404] * 6 if what == "invitation" else [404] * 4 + [429] * 2)
    await shared.join(shared.anonymous, share, name="guest")
