"""Sharing through the api: the permissions, the viewers who may join, the Agent's answers, and the log."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from psycopg.types.json import Jsonb
from tests.database.api.client import ADA, ADMIN, USER, Client, MakeClient
from tests.database.api.sharing import Shared, secret_of
from tests.support.system import primary_of

from greenroom.db.access.users import ALL_USERS
from greenroom.manager.tasks.deadlines import run_shares


async def test_a_user_with_the_link_joins_to_watch_and_is_cut_off_when_it_ends(shared: Shared, user: Client):
    share = await shared.share()
    assert (share["access"], share["audience"], share["made_by"]) == ("view", "users", ADA)
    invitation = {"token": secret_of(share)}
    answer = await user.post(f"/api/v1/shares/{share['share_id']}/invitation", json=invitation)
    assert answer.json() | {"expires": None} == {
        "share_id": share["share_id"],
        "owner": ADA,
        "image_friendly_name": "Desktop",
        "access": "view",
        "audience": "users",
        "expires": None,
        "needs_log_in": False,
        "reason": None,
    }
    joined = await shared.join(user, share)
    assert joined["frame_url"].endswith(f"/{shared.session_id}/?token={joined['session_token']}")
    verdict = await shared.verdict(joined["session_token"])
    assert (verdict["allow"], verdict["access"], verdict["viewer_id"]) == (True, "view", joined["viewer_id"])
    assert verdict["user_id"] == shared.ada_id
    assert await shared.guests() == {joined["viewer_id"]: "view"}
    assert (await shared.join(user, share))["viewer_id"] == joined["viewer_id"], "a user who comes back is the same"

    generation = (await shared.row())["generation"]
    assert (await shared.ada.delete(f"{shared.path}/shares/{share['share_id']}")).status_code == 204
    assert await shared.guests() == {}
    assert (await shared.row())["generation"] == generation + 1, "the Agent reads it anew"
    assert (await shared.verdict(joined["session_token"]))["reason"] == "The session is not shared with you any more."
    assert await shared.ada.read(f"{shared.path}/shares") == []
    path = f"POST /api/v1/shares/{share['share_id']}/viewers"
    assert "This link is not valid" in await user.refused(404, path, {"token": secret_of(share)})
    assert f"{ADA} ended the share {share['share_id']}" in (await shared.logged("share-ended"))[0]


async def test_a_share_has_the_name_that_its_owner_chose(shared: Shared):
    share = await shared.share(name="  Anna's class ")
    assert share["name"] == "Anna's class"
    assert [each["name"] for each in await shared.ada.read(f"{shared.path}/shares")] == ["Anna's class"]
    refused = {"access": "view", "name": "n" * 61}
    assert "name" in await shared.ada.refused(422, f"POST {shared.path}/shares", refused)
    assert (await shared.share())["name"] == ""


async def test_a_user_with_an_incomplete_log_in_is_a_guest(
    shared: Shared, admin: Client, with_user: MakeClient, user: Client
):
    share = await shared.share()
    path, link = f"/api/v1/shares/{share['share_id']}", {"token": secret_of(share)}
    await admin.change(f"/api/v1/groups/{ALL_USERS}", settings={"require_second_factor": True})
    newcomer = await with_user("new@example.org")
    assert (await newcomer.post(f"{path}/invitation", json=link)).json()["needs_log_in"] is True
    assert "Log in first" in await newcomer.refused(401, f"POST {path}/viewers", link)
    assert (await user.post(f"{path}/viewers", json=link)).status_code == 201


async def test_a_guest_needs_the_link_a_name_and_no_account(shared: Shared, anonymous: Client):
    share = await shared.share(guest=True)
    path = f"POST /api/v1/shares/{share['share_id']}/viewers"
    assert "Enter your name" in await anonymous.refused(422, path, {"token": secret_of(share), "name": "  "})
    assert "This link is not valid" in await anonymous.refused(404, path, {"token": "guessed", "name": "Gus"})
    joined = await shared.join(anonymous, share, name="Gus")
    assert (joined["owner"], joined["access"]) == (ADA, "view")
    assert (await shared.verdict(joined["session_token"]))["access"] == "view"
    assert not (await shared.verdict(joined["session_token"][:-2] + "xx")).get("allow")
    assert not (await shared.verdict(joined["viewer_id"] + ".")).get("allow")
    assert any("A link to a shared session was refused" in row for row in await shared.logged("stream-refused"))


async def test_who_joined_comes_back_by_their_own_token_until_the_share_ends(shared: Shared, anonymous: Client):
    share = await shared.share(guest=True)
    joined = await shared.join(anonymous, share, name="Gus")
    path, body = f"/api/v1/shares/{share['share_id']}/return", {"session_token": joined["session_token"]}
    answer = await anonymous.post(path, json=body)
    assert (answer.status_code, answer.json()) == (200, joined)
    other = await shared.share(guest=True)
    assert "This link is not valid" in await anonymous.refused(
        404, f"POST /api/v1/shares/{other['share_id']}/return", body
    )
    assert "This link is not valid" in await anonymous.refused(404, f"POST {path}", {"session_token": secret_of(share)})
    await shared.ada.delete(f"{shared.path}/shares")
    assert "not shared with you any more" in await anonymous.refused(404, f"POST {path}", body)


async def test_a_link_for_users_lets_no_one_in_without_an_account(shared: Shared, anonymous: Client, user: Client):
    share = await shared.share()
    path = f"POST /api/v1/shares/{share['share_id']}/viewers"
    assert "Log in first" in await anonymous.refused(401, path, {"token": secret_of(share), "name": "Gus"})
    user_id = await user.own_id()
    named = await shared.share(user_id=user_id, access="control")
    assert (named["audience"], named["username"]) == ("user", USER)
    assert [one["share_id"] for one in await user.read("/api/v1/me/shares")] == [named["share_id"]]
    assert "your own session" in await shared.ada.refused(403, path, {"token": secret_of(share)})
    joined = await shared.join(user, named)
    assert (await shared.verdict(joined["session_token"]))["access"] == "control"


async def test_who_is_not_named_cannot_use_a_named_share(shared: Shared, user: Client, with_user: MakeClient):
    eve = await with_user("eve@example.org")
    share = await shared.share(username=USER.upper())
    path = f"POST /api/v1/shares/{share['share_id']}/viewers"
    assert "This link is not valid" in await eve.refused(403, path, {"token": secret_of(share)})
    assert await eve.read("/api/v1/me/shares") == []
    del user


async def test_each_setting_of_the_owners_group_closes_what_it_is_about(shared: Shared, user: Client):
    path, user_id = f"POST {shared.path}/shares", await user.own_id()
    await shared.stage.everybody(allow_kasm_sharing=False)
    assert "`allow_kasm_sharing` = false" in await shared.ada.refused(403, path, {"access": "view"})
    assert (await shared.ada.read(f"{shared.path}/sharing"))["allowed"] is False
    await shared.stage.everybody(allow_kasm_sharing=True, allow_guest_links=False, allow_shared_control=False)
    assert "`allow_guest_links`" in await shared.ada.refused(403, path, {"access": "view", "guest": True})
    assert "`allow_shared_control`" in await shared.ada.refused(403, path, {"access": "control", "user_id": user_id})
    await shared.stage.everybody(max_share_seconds=60)
    assert "`max_share_seconds` = 60" in await shared.ada.refused(403, path, {"access": "view", "seconds": 61})
    assert await shared.ada.read(f"{shared.path}/shares") == []
    share = await shared.share()
    assert share["expires"] is not None, "without a wish it lasts as long as it may"


async def test_each_viewer_gets_a_watermark_if_the_group_of_the_user_requires_it(
    shared: Shared, user: Client, anonymous: Client
):
    share, for_guests = await shared.share(), await shared.share(guest=True)
    assert (await shared.ada.read(f"{shared.path}/connection"))["watermark"] is None
    assert (await shared.join(user, share))["watermark"] is None
    settings = {"watermark": True, "watermark_text": "Exam 3"}
    await shared.db.write("UPDATE sessions SET client_settings = client_settings || %s", (Jsonb(settings),))
    assert (await shared.ada.read(f"{shared.path}/connection"))["watermark"] == f"{ADA} · Exam 3"
    assert (await shared.join(user, share))["watermark"] == f"{USER} · Exam 3"
    guest = await shared.join(anonymous, for_guests, name="Gus")
    name, address, text = guest["watermark"].split(" · ")
    assert (name, bool(ip_address(address)), text) == ("Gus (guest)", True, "Exam 3")
    body = {"session_token": guest["session_token"]}
    answer = await anonymous.post(f"/api/v1/shares/{for_guests['share_id']}/return", json=body)
    assert answer.json()["watermark"] == guest["watermark"]


async def test_bad_wishes_are_refused_with_a_sentence(shared: Shared, user: Client):
    path, user_id = f"POST {shared.path}/shares", await user.own_id()
    assert "named user" in await shared.ada.refused(403, path, {"access": "control"})
    assert "exactly one" in await shared.ada.refused(422, path, {"access": "view", "guest": True, "user_id": user_id})
    assert "no user nothere" in await shared.ada.refused(404, path, {"access": "view", "username": "nothere"})
    assert "belongs to this user" in await shared.ada.refused(409, path, {"access": "view", "user_id": shared.ada_id})
    await shared.admin.change(f"/api/v1/users/{user_id}", disabled=True)
    assert "disabled" in await shared.ada.refused(409, path, {"access": "view", "user_id": user_id})
    await shared.db.write("DELETE FROM session_steps")
    assert "no view-only mode" in await shared.ada.refused(403, path, {"access": "view"})


async def test_another_user_sees_nothing_of_it(shared: Shared, user: Client):
    share = await shared.share()
    for what in (
        f"GET {shared.path}/shares",
        f"GET {shared.path}/shares/{share['share_id']}",
        f"GET {shared.path}/viewers",
        f"GET {shared.path}/sharing",
        f"DELETE {shared.path}/shares",
        f"DELETE {shared.path}/shares/{share['share_id']}",
        f"POST {shared.path}/take-control",
    ):
        assert "no session" in await user.refused(404, what)
    assert "no session" in await user.refused(404, f"POST {shared.path}/shares", {"access": "view"})
    assert "sessions_assist" in await user.refused(403, f"POST {shared.path}/assist", {})


async def test_taking_control_back_leaves_all_others_watching(shared: Shared, user: Client, anonymous: Client):
    joined = await shared.join(user, await shared.share(access="control", username=USER))
    guest = await shared.join(anonymous, await shared.share(access="control", guest=True), name="Gus")
    assert set((await shared.guests()).values()) == {"control"}
    assert (await shared.ada.post(f"{shared.path}/take-control")).status_code == 204
    assert await shared.guests() == {joined["viewer_id"]: "view", guest["viewer_id"]: "view"}
    assert (await shared.verdict(joined["session_token"]))["access"] == "view"
    assert await shared.logged("control-taken-back") == [
        f"{ADA} took control back in session {shared.session_id} of {ADA}"
    ]


async def test_where_no_one_can_be_kept_from_typing_taking_control_back_ends_the_share(shared: Shared, user: Client):
    await shared.db.write("DELETE FROM session_steps")
    joined = await shared.join(user, await shared.share(access="control", username=USER))
    assert (await shared.ada.post(f"{shared.path}/take-control")).status_code == 204
    assert await shared.guests() == {}
    assert not (await shared.verdict(joined["session_token"])).get("allow")


async def test_who_is_in_is_what_the_agent_says(shared: Shared, user: Client, anonymous: Client):
    joined = await shared.join(user, await shared.share())
    guest = await shared.join(anonymous, await shared.share(guest=True), name="Gus")
    assert await shared.ada.read(f"{shared.path}/viewers") == [], "who joined has not opened the stream yet"
    await shared.report(**{joined["viewer_id"]: "192.0.2.7", guest["viewer_id"]: "192.0.2.8"})
    there = await shared.ada.read(f"{shared.path}/viewers")
    assert {(one["name"], one["seen_from"], one["announcement"]) for one in there} == {
        (USER, "192.0.2.7", f"{USER} is watching"),
        ("Gus", "192.0.2.8", "Gus (guest) is watching"),
    }
    await shared.report(**{joined["viewer_id"]: "192.0.2.7"})
    assert [one["name"] for one in await shared.ada.read(f"{shared.path}/viewers")] == [USER]
    assert (await shared.logged("viewer-left"))[-1] == f"Gus (guest) is watching: left session {shared.session_id}"

    path = f"{shared.path}/viewers/{joined['viewer_id']}"
    assert (await shared.ada.delete(path)).status_code == 204
    assert list(await shared.guests()) == [guest["viewer_id"]], "the others stay"
    assert "there is no viewer" in (await shared.ada.refused(404, f"DELETE {path}")).lower()


async def test_a_viewer_leaves_with_their_log_in_and_the_share_with_their_account(shared: Shared, user: Client):
    user_id = await user.own_id()
    share = await shared.share(user_id=user_id)
    joined = await shared.join(user, share)
    await shared.admin.delete(f"/api/v1/users/{user_id}/logins")
    assert await shared.guests() == {}
    assert not (await shared.verdict(joined["session_token"])).get("allow")
    assert len(await shared.ada.read(f"{shared.path}/shares")) == 1, "they may log in and join again"
    await shared.admin.change(f"/api/v1/users/{user_id}", locked=True)
    assert await shared.ada.read(f"{shared.path}/shares") == []


async def test_what_a_user_shared_ends_with_their_account(shared: Shared, anonymous: Client):
    share = await shared.share(guest=True)
    joined = await shared.join(anonymous, share, name="Gus")
    await shared.admin.change(f"/api/v1/users/{shared.ada_id}", disabled=True)
    assert await shared.guests() == {}
    assert not (await shared.verdict(joined["session_token"])).get("allow")
    await shared.admin.change(f"/api/v1/users/{shared.ada_id}", disabled=False)
    assert not (await shared.verdict(joined["session_token"])).get("allow"), "nothing comes back by itself"


async def test_a_share_whose_time_is_over_is_ended_by_the_primary(shared: Shared, anonymous: Client):
    share = await shared.share(guest=True, seconds=60)
    joined = await shared.join(anonymous, share, name="Gus")
    await shared.db.write("UPDATE session_shares SET expires = now() - interval '1 second'")
    assert not (await shared.verdict(joined["session_token"])).get("allow"), "no one waits for the Primary"
    generation = (await shared.row())["generation"]
    primary = await primary_of(shared.db, shared.stage.zone_id)
    await run_shares(primary)
    assert await shared.guests() == {}
    assert (await shared.row())["generation"] == generation + 1
    await run_shares(primary)
    assert (await shared.row())["generation"] == generation + 1, "once"


async def test_an_administrator_helps_and_the_user_sees_it(shared: Shared, logged_in: MakeClient):
    ines = await logged_in()
    joined = await ines.make(f"{shared.path}/assist", access="control")
    assert await shared.guests() == {joined["viewer_id"]: "control"}
    await shared.report(**{joined["viewer_id"]: "192.0.2.9"})
    (there,) = await shared.ada.read(f"{shared.path}/viewers")
    assert there["announcement"] == f"{ADMIN} (administrator) can use keyboard and pointer"
    (share,) = await shared.ada.read(f"{shared.path}/shares")
    assert (share["audience"], share["made_by"]) == ("assistant", ADMIN)
    assert await shared.logged("session-assisted") == [
        f"{ADMIN} joins session {shared.session_id} of {ADA} to control, announced"
    ]
    again = await ines.make(f"{shared.path}/assist", access="view")
    assert await shared.guests() == {again["viewer_id"]: "view"}, "the time before is over"
    assert (await shared.ada.delete(f"{shared.path}/shares/{again['share_id']}")).status_code == 204
    assert await shared.guests() == {}


async def test_silent_help_takes_a_setting_and_a_permission_and_is_always_logged(
    shared: Shared, logged_in: MakeClient, with_user: MakeClient
):
    ines = await logged_in()
    path = f"POST {shared.path}/assist"
    assert "`allow_silent_assist` is off" in await ines.refused(403, path, {"silent": True})
    await shared.admin.change("/api/v1/settings", allow_silent_assist=True)
    joined = await ines.make(f"{shared.path}/assist", silent=True)
    await shared.report(**{joined["viewer_id"]: "192.0.2.9"})
    assert await shared.ada.read(f"{shared.path}/viewers") == []
    assert await shared.ada.read(f"{shared.path}/shares") == []
    assert "no share" in await shared.ada.refused(404, f"GET {shared.path}/shares/{joined['share_id']}")
    assert len(await ines.read(f"{shared.path}/viewers")) == 1
    assert await shared.logged("session-assisted") == [
        f"{ADMIN} joins session {shared.session_id} of {ADA} to watch, unannounced"
    ]
    helper = await with_user("helper@example.org")
    group = await shared.admin.make("/api/v1/groups", name="Helpers", permissions=["sessions_assist"])
    await shared.admin.put(f"/api/v1/groups/{group['group_id']}/users/{await helper.own_id()}")
    assert "sessions_assist_silent" in await helper.refused(403, path, {"silent": True})
    assert (await helper.post(f"{shared.path}/assist", json={})).status_code == 201


async def test_what_is_not_allowed_any_more_ends_with_the_change_of_a_group(
    shared: Shared, user: Client, with_user: MakeClient
):
    joined = await shared.join(user, await shared.share())
    guest = await shared.join(shared.anonymous, await shared.share(guest=True), name="Gus")
    generation = (await shared.row())["generation"]
    await shared.stage.everybody(allow_shared_control=False)
    assert (await shared.row())["generation"] == generation, "what is not concerned goes on"
    await shared.stage.everybody(allow_guest_links=False)
    assert await shared.guests() == {joined["viewer_id"]: "view"}
    assert not (await shared.verdict(guest["session_token"])).get("allow")
    await shared.stage.group(shared.ada)
    (team,) = [one for one in await shared.admin.read("/api/v1/groups") if one["name"] == "Students"]
    await shared.admin.change(f"/api/v1/groups/{team['group_id']}", settings={"allow_kasm_sharing": False})
    assert await shared.guests() == {}
    assert "`allow_kasm_sharing` = false" in (await shared.logged("share-ended"))[-1]


@pytest.mark.parametrize("how", ["permission", "membership", "group", "groups of the user", "setting"])
async def test_help_ends_with_the_permission_to_help(shared: Shared, with_user: MakeClient, how: str):
    await shared.admin.change("/api/v1/settings", allow_silent_assist=True)
    helper = await with_user("helper@example.org")
    user_id = await helper.own_id()
    codes = ["sessions_assist", "sessions_assist_silent"]
    group = await shared.admin.make("/api/v1/groups", name="Helpers", permissions=codes)
    path = f"/api/v1/groups/{group['group_id']}"
    await shared.admin.put(f"{path}/users/{user_id}")
    joined = (await helper.post(f"{shared.path}/assist", json={"silent": True})).json()
    assert await shared.guests() == {joined["viewer_id"]: "view"}
    if how == "permission":
        await shared.admin.change(path, permissions=[])
    elif how == "membership":
        await shared.admin.delete(f"{path}/users/{user_id}")
    elif how == "group":
        await shared.admin.delete(path)
    elif how == "groups of the user":
        await shared.admin.change(f"/api/v1/users/{user_id}", groups=[])
    else:
        await shared.admin.change("/api/v1/settings", allow_silent_assist=False)
    assert await shared.guests() == {}
    assert not (await shared.verdict(joined["session_token"])).get("allow")
    assert len(await shared.logged("share-ended")) == 1


async def test_the_published_interface_shares_and_joins(shared: Shared, user: Client):
    made = await shared.anonymous.published(
        "request_kasm", user_id=shared.ada_id, image_id=shared.stage.image_id, enable_sharing=True
    )
    assert len(made["share_id"]) == 8
    user_id = await user.own_id()
    asked = {"user_id": user_id, "share_id": made["share_id"]}
    assert "requested" in await shared.anonymous.published_refusal("join_kasm", **asked)
    await shared.stage.becomes(made["kasm_id"], "running")
    assert "no view-only mode" in await shared.anonymous.published_refusal("join_kasm", **asked)
    await shared.db.write("INSERT INTO session_steps (session_id, name) VALUES (%s, 'painted')", (made["kasm_id"],))
    joined = await shared.anonymous.published("join_kasm", **asked)
    assert joined["kasm"]["kasm_id"] == made["kasm_id"]
    assert joined["kasm"]["share_id"] == made["share_id"]
    assert joined["kasm"]["view_only_token"] == joined["session_token"]
    assert joined["kasm"]["client_settings"]["allow_kasm_sharing"] is True
    assert joined["kasm_url"] == f"/#/connect/join/{made['share_id']}/{user_id}/{joined['session_token']}"
    assert (await shared.anonymous.published("join_kasm", user_id=user_id, shared_id=made["share_id"]))["username"]
    assert "no share" in await shared.anonymous.published_refusal("join_kasm", user_id=user_id, share_id="00000000")
