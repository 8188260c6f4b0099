"""The published interface: the formats that existing clients depend on."""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi import FastAPI
from tests.database.api.client import KEYS, Client, MakeClient
from tests.database.api.staging import bare_session

from greenroom.api.security import access_of
from greenroom.db.database import Database
from greenroom.interfaces.public.calls import RequiresKey

DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


async def test_the_body_is_read_as_json_with_any_content_type(anonymous: Client):
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {}):
        answer = await anonymous.post("/api/public/get_zones", content=json.dumps(KEYS), headers=headers)
        assert answer.status_code == 200
        assert answer.json()["zones"][0]["zone_name"] == "default"


async def test_basic_authentication_works_too(admin: Client):
    assert (await admin.post("/api/public/get_zones")).json()["zones"]
    assert (await admin.post("/api/public/get_zones", content=b"[1]")).json().keys() == {"error_message"}


async def test_a_cookie_does_not_count_and_does_not_disturb(logged_in: MakeClient):
    browser = await logged_in()
    del browser.headers["Sec-Fetch-Site"]
    assert (await browser.post("/api/public/get_zones")).status_code == 401
    assert await browser.published("get_zones")
    cross_site = {"Sec-Fetch-Site": "cross-site"}
    assert (await browser.post("/api/public/get_zones", json=KEYS, headers=cross_site)).status_code == 403


async def test_unknown_keys_are_ignored(anonymous: Client):
    assert await anonymous.published("get_zones", nonsense={"a": 1})


async def test_a_wrong_key_is_401_everywhere(app: FastAPI, anonymous: Client):
    bodies: list[dict[str, Any]] = [
        {},
        {"api_key": "abcdefghijkl"},
        KEYS | {"api_key_secret": "x"},
        KEYS | {"api_key": 1},
        KEYS | {"api_key": "\0"},
    ]
    for route in access_of(app):
        for body in bodies if isinstance(route.declared, RequiresKey) else []:
            answer = await anonymous.post(route.path, json=body)
            assert answer.status_code == 401, (route.path, body)
            assert set(answer.json()) == {"error_message"}


async def test_a_missing_permission_is_403_everywhere(app: FastAPI, admin: Client, anonymous: Client):
    made = await admin.make("/api/v1/api-keys", name="none")
    keys = {"api_key": made["api_key"], "api_key_secret": made["api_key_secret"]}
    checked = 0
    for route in access_of(app):
        if isinstance(route.declared, RequiresKey):
            answer = await anonymous.post(route.path, json=keys)
            assert answer.status_code == 403, route.path
            assert set(answer.json()) == {"error_message"}
            checked += 1
    assert checked >= 9


async def test_text_that_is_no_text_is_refused_without_a_defect(anonymous: Client):
    for body in (
        r'{"api_key": "\ud800", "api_key_secret": "x"}',
        r'{"api_key": "abcdefghijkl", "api_key_secret": "\ud8"}',
    ):
        answer = await anonymous.post("/api/public/get_kasms", content=body)
        assert (answer.status_code, set(answer.json())) == (200, {"error_message"})


async def test_what_is_not_there_is_json_too(anonymous: Client):
    answer = await anonymous.post("/api/public/no_such_call", json=KEYS)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error_message"}
    answer = await anonymous.get("/api/public/get_zones")
    assert answer.status_code == 405
    assert set(answer.json()) == {"error_message"}


async def test_images_are_there_with_hex_ids(anonymous: Client):
    (image,) = (await anonymous.published("get_images"))["images"]
    assert re.fullmatch("[0-9a-f]{32}", image["image_id"])
    assert (image["friendly_name"], image["name"], image["enabled"]) == ("Desktop", "greenroom/desktop:xfce", True)
    assert isinstance(image["memory"], int)
    assert isinstance(image["run_config"], dict)
    assert isinstance(image["categories"], list)


async def test_zones_full_and_brief(anonymous: Client):
    (zone,) = (await anonymous.published("get_zones"))["zones"]
    assert zone["allow_origin_domain"] == "$request_host$"
    assert zone["load_balancing_strategy"] == "Least Load"
    (brief,) = (await anonymous.published("get_zones", brief=True))["zones"]
    assert set(brief) == {"zone_id", "zone_name"}


async def test_a_user_lives(anonymous: Client, db: Database):
    target = {
        "username": "ada",
        "password": "analytical engine",
        "first_name": "Ada",
        "locked": False,
        "disabled": False,
    }
    user = (await anonymous.published("create_user", target_user=target))["user"]
    assert user["groups"] == [{"name": "All Users", "group_id": "68d557ac4cac42cca9f31c7c853de0f3"}]
    assert (user["realm"], user["last_session"], user["notes"], user["kasms"]) == ("local", None, None, [])
    assert "-" in user["user_id"]
    assert DATE.fullmatch(user["created"])
    hex_id = user["user_id"].replace("-", "")
    for target in ({"user_id": hex_id}, {"user_id": user["user_id"]}, {"username": "ADA"}):
        assert (await anonymous.published("get_user", target_user=target))["user"]["user_id"] == user["user_id"]
    change = {"user_id": hex_id, "last_name": "Lovelace", "password": "", "authorized_images": None, "first_name": None}
    before = await db.fetch_one("SELECT password_hash FROM users WHERE username = 'ada'")
    changed = (await anonymous.published("update_user", target_user=change))["user"]
    assert (changed["first_name"], changed["last_name"]) == ("Ada", "Lovelace")
    assert await db.fetch_one("SELECT password_hash FROM users WHERE username = 'ada'") == before
    assert {u["username"] for u in (await anonymous.published("get_users"))["users"]} == {
        "ada",
        "admin@greenroom.local",
    }
    assert await anonymous.published("logout_user", target_user={"user_id": hex_id}) == {}
    assert await anonymous.published("delete_user", target_user={"user_id": hex_id}, force=False) == {}
    assert "no user" in await anonymous.published_refusal("get_user", target_user={"user_id": hex_id})


async def test_a_refusal_is_a_sentence(anonymous: Client, app: FastAPI):
    for name, body, words in (
        ("create_user", {}, "username"),
        ("create_user", {"target_user": {"username": "a", "password": "short"}}, "at least 12"),
        ("create_user", {"target_user": {"username": "ADMIN@greenroom.local"}}, "already exists"),
        ("create_user", {"target_user": {"username": 5}}, "username"),
        ("create_user", {"target_user": []}, "target_user"),
        ("get_user", {"target_user": {"user_id": "xyz"}}, "user_id is not an id"),
        ("get_user", {"target_user": {"username": "unknown"}}, "no user unknown"),
        ("delete_user", {"target_user": {}}, "user_id is missing"),
        ("get_zones", {"brief": "perhaps"}, "true or false"),
    ):
        assert words in await anonymous.published_refusal(name, **body)


async def test_a_user_with_sessions_stays_without_force(anonymous: Client, db: Database):
    user = (await anonymous.published("create_user", target_user={"username": "busy"}))["user"]
    await bare_session(db, user["user_id"])
    target = {"user_id": user["user_id"]}
    (kasm,) = (await anonymous.published("get_user", target_user=target))["user"]["kasms"]
    assert kasm["user"]["username"] == "busy"
    assert "still has 1 session." in await anonymous.published_refusal("delete_user", target_user=target)
    assert await anonymous.published("delete_user", target_user=target, force=True) == {}
