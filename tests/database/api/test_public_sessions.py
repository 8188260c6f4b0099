"""Sessions through the published interface."""

from __future__ import annotations

import asyncio
import re

import pytest
from tests.database.api.client import KEYS, Client
from tests.database.api.staging import Session, bare_session
from tests.support.waiting import eventually

from greenroom.core.events import ChangeEvent
from greenroom.db.database import Database
from greenroom.interfaces.public import sessions as published
from greenroom.kit.secrets import Secrets

DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


@pytest.fixture
async def ada_id(anonymous: Client, app: object) -> str:
    return (await anonymous.published("create_user", target_user={"username": "ada"}))["user"]["user_id"]


@pytest.fixture
async def image_id(anonymous: Client, app: object) -> str:
    return (await anonymous.published("get_images"))["images"][0]["image_id"]


async def test_a_session_from_request_to_end(anonymous: Client, db: Database, agent: str, ada_id: str, image_id: str):
    made = await anonymous.published("request_kasm", user_id=ada_id.replace("-", ""), image_id=image_id, zone_id="")
    assert set(made) == {"kasm_id", "username", "status", "share_id", "user_id", "session_token", "kasm_url"}
    assert (made["status"], made["username"], made["share_id"], made["user_id"]) == ("starting", "ada", None, ada_id)
    assert made["kasm_url"] == f"/#/connect/kasm/{made['kasm_id']}/{ada_id}/{made['session_token']}"
    asked = {"user_id": ada_id, "kasm_id": made["kasm_id"].replace("-", "")}

    starting = await anonymous.published("get_kasm_status", **asked)
    assert "error_message" not in starting
    assert starting["operational_status"] == starting["kasm"]["operational_status"] == "starting"
    assert isinstance(starting["operational_progress"], int)
    assert starting["operational_message"]
    assert DATE.fullmatch(starting["current_time"])

    await db.write("UPDATE sessions SET status = 'running', started = now()")
    running = await anonymous.published("get_kasm_status", **asked)
    kasm = running["kasm"]
    assert set(running) == {"current_time", "kasm_url", "kasm"}
    assert running["kasm_url"] == made["kasm_url"], "a token stays the same until it is revoked"
    assert kasm["operational_status"] == "running"
    assert kasm["image"]["name"] == "greenroom/desktop:xfce"
    assert kasm["image_id"] == kasm["image"]["image_id"] == image_id
    assert kasm["port_map"]["vnc"] == {"port": 8443, "path": f"desktop/{agent[:8]}/{made['kasm_id']}"}
    assert kasm["port"] == 8443
    assert (kasm["memory"], kasm["cores"]) == (256000000, 0.1)
    assert kasm["is_persistent_profile"] is False
    assert kasm["client_settings"]["allow_kasm_audio"] is True
    assert DATE.fullmatch(kasm["created_date"])

    assert await anonymous.published("keepalive", kasm_id=made["kasm_id"]) == {"usage_reached": False}
    (listed,) = (await anonymous.published("get_kasms"))["kasms"]
    assert (listed["user"]["username"], listed["user_id"], listed["server"]["zone_name"]) == ("ada", ada_id, "default")
    assert listed["token"] is None, "seeing a session does not open it"

    assert await anonymous.published("destroy_kasm", **asked) == {}
    assert await db.fetch_one("SELECT status, want FROM sessions") == {"status": "deleting", "want": "absent"}
    assert await anonymous.published("destroy_kasm", **asked) == {}, "repeating it is a success"
    await db.write("UPDATE sessions SET status = 'deleted'")
    assert set(await anonymous.published("get_kasm_status", **asked)) == {"error_message"}


async def test_a_failed_start_is_said(anonymous: Client, db: Database, agent: str, ada_id: str, image_id: str):
    made = await anonymous.published("request_kasm", user_id=ada_id, image_id=image_id)
    await db.write("UPDATE sessions SET status = 'failed', gave_up = true, error = 'The image has no shell.'")
    status = await anonymous.published("get_kasm_status", user_id=ada_id, kasm_id=made["kasm_id"])
    assert "The image has no shell." in status["error_message"]
    assert status["operational_status"] == "failed"


async def test_without_a_user_the_session_is_an_anonymous_one(anonymous: Client, agent: str, image_id: str):
    made = await anonymous.published("request_kasm", image_id=image_id)
    assert made["username"].startswith("anonymous-")
    status = await anonymous.published("get_kasm_status", user_id=made["user_id"], kasm_id=made["kasm_id"])
    assert "error_message" not in status


async def test_a_hand_over_under_way_is_waited_for(session: Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(published, "HAND_OVER_WAIT_S", 60.0)
    await session.becomes("assigning")
    unchanged = await session.published("get_kasm_status", skip_agent_check=True)
    assert unchanged["operational_status"] == "starting", "not waited for"
    asking = asyncio.create_task(session.published("get_kasm_status"))
    hub = session.stage.app.state.hub
    await eventually(lambda: hub.has_subscribers)
    await session.becomes("running")
    hub.publish(ChangeEvent.session(session.session_id))
    answer = await asking
    assert answer["kasm"]["operational_status"] == "running"
    assert "operational_status" not in answer


async def test_a_hand_over_that_takes_longer_is_answered_as_it_is(session: Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(published, "HAND_OVER_WAIT_S", 0.05)
    await session.becomes("assigning")
    assert (await session.published("get_kasm_status"))["operational_status"] == "starting"
    assert not session.stage.app.state.hub.has_subscribers


@pytest.mark.parametrize("mode", ["disabled", "None"])
async def test_a_profile_mode_that_does_not_exist_mounts_no_profile(
    anonymous: Client, agent: str, ada_id: str, image_id: str, mode: str
):
    body = {"user_id": ada_id, "image_id": image_id, "persistent_profile_mode": mode, "environment": {}}
    assert "persistent_profile_mode" in await anonymous.published_refusal("request_kasm", **body)
    assert (await anonymous.published("get_kasms"))["kasms"] == []


async def test_a_launch_that_fails_leaves_no_anonymous_user(anonymous: Client, db: Database, image_id: str):
    assert "No resources" in await anonymous.published_refusal("request_kasm", image_id=image_id)
    assert await db.fetch("SELECT 1 FROM users WHERE username LIKE 'anonymous%%'", {}) == []


async def test_refusals(anonymous: Client, db: Database, agent: str, ada_id: str, image_id: str):
    made = await anonymous.published("request_kasm", user_id=ada_id, image_id=image_id)
    for name, body, words in (
        ("request_kasm", {"user_id": ada_id}, "image_id is missing"),
        ("request_kasm", {"user_id": ada_id, "image_id": "x"}, "image_id is not an id"),
        ("request_kasm", {"user_id": image_id, "image_id": image_id}, "no user"),
        ("request_kasm", {"user_id": ada_id, "image_id": ada_id}, "no workspace"),
        ("request_kasm", {"user_id": ada_id, "image_id": image_id, "environment": "x"}, "environment"),
        ("request_kasm", {"user_id": ada_id, "image_id": image_id, "kasm_url": f"https://{'a' * 200_000}"}, "kasm_url"),
        ("request_kasm", {"user_id": ada_id, "image_id": image_id, "kasm_url": "--profile=x"}, "kasm_url"),
        ("request_kasm", {"user_id": ada_id, "image_id": image_id, "network_id": "x" * 5000}, "network_id"),
        ("get_kasm_status", {"user_id": image_id, "kasm_id": made["kasm_id"]}, "no session"),
        ("get_kasm_status", {"kasm_id": ada_id}, "no session"),
        ("get_kasm_status", {"user_id": ada_id}, "kasm_id is missing"),
        ("destroy_kasm", {"user_id": image_id, "kasm_id": made["kasm_id"]}, "no session"),
    ):
        assert words in await anonymous.published_refusal(name, **body)
    await db.write("DELETE FROM group_images")
    assert "may not use workspace Desktop" in await anonymous.published_refusal(
        "request_kasm", user_id=ada_id, image_id=image_id
    )


async def test_a_staged_session_is_listed_on_request(anonymous: Client, db: Database, agent: str):
    session_id = await bare_session(db)
    assert (await anonymous.published("get_kasms"))["kasms"] == []
    (listed,) = (await anonymous.published("get_kasms", include_staged=True))["kasms"]
    assert (listed["user_id"], listed["user"]["username"]) == (None, None)
    assert "error_message" in await anonymous.published("get_kasm_status", kasm_id=session_id)


async def test_a_session_that_is_being_deleted_is_listed_on_request(session: Session):
    await session.becomes("deleting")
    admin = session.stage.admin
    for name, asked in (("get_kasms", {}), ("get_user_kasms", {"user_id": session.ada_id})):
        assert (await admin.published(name, **asked))["kasms"] == []
        (listed,) = (await admin.published(name, include_deleting=True, **asked))["kasms"]
        assert listed["kasm_id"] == session.session_id
    user = (await admin.published("get_user", target_user={"user_id": session.ada_id}))["user"]
    assert user["kasms"] == []


async def test_the_list_of_sessions_is_limited_to_a_user(session: Session):
    admin = session.stage.admin
    (listed,) = (await admin.published("get_kasms", user_id=session.ada_id))["kasms"]
    assert listed["kasm_id"] == session.session_id
    other = await admin.published("create_user", target_user={"username": "grace"})
    assert (await admin.published("get_kasms", user_id=other["user"]["user_id"]))["kasms"] == []


async def test_a_session_that_may_not_be_shared_starts_with_a_warning(session: Session):
    await session.stage.everybody(allow_kasm_sharing=False)
    made = await session.stage.admin.published(
        "request_kasm", user_id=session.ada_id, image_id=session.stage.image_id, enable_sharing=True
    )
    assert (made["status"], made["share_id"]) == ("starting", None)
    assert made["warning"].startswith("The session is not shared. ")
    assert "`allow_kasm_sharing`" in made["warning"]


async def test_the_owner_who_joins_gets_the_address_of_the_session(session: Session):
    await session.stage.everybody(allow_kasm_sharing=True)
    made = await session.stage.admin.published(
        "request_kasm", user_id=session.ada_id, image_id=session.stage.image_id, enable_sharing=True
    )
    joined = await session.stage.admin.published("join_kasm", user_id=session.ada_id, share_id=made["share_id"])
    assert (joined["kasm_url"], joined["session_token"]) == (made["kasm_url"], made["session_token"])
    assert joined["kasm"]["view_only_token"] is None


async def test_a_variable_cannot_hide_in_the_name_of_another(
    anonymous: Client, db: Database, agent: str, ada_id: str, image_id: str
):
    asked = {"user_id": ada_id, "image_id": image_id}
    assert "environment" in await anonymous.published_refusal(
        "request_kasm", **asked, environment={"KASM_SVC_UPLOADS=1;": ""}
    )
    made = await anonymous.published("request_kasm", **asked, environment={"A": 1}, network_id="host")
    (row,) = await db.fetch("SELECT spec FROM sessions WHERE session_id = %s", (made["kasm_id"],))
    given = Secrets(bytes(32)).unseal(row["spec"]["environment"]["A"])
    assert (given, row["spec"]["network"]) == ("1", None)


async def test_a_key_of_any_length_is_answered(anonymous: Client, agent: str, ada_id: str, image_id: str):
    body = {**KEYS, "user_id": ada_id, "image_id": image_id}
    for key, refused in (("k" * 256, True), ("k" * 255, False), ("", False)):
        answer = await anonymous.post("/api/public/request_kasm", json=body, headers={"Idempotency-Key": key})
        assert (answer.status_code, "error_message" in answer.json()) == (200, refused), len(key)
