"""The reasons for refused launches, and the data of the request and its user that is stored with the session."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import msgspec
import pytest
from tests.database.launches import Launches
from tests.support.system import SECRETS

from greenroom.core.errors import (
    Forbidden,
    GreenroomError,
    IdempotencyMismatch,
    Invalid,
    NoResources,
    NotFound,
    ProfileInUse,
    Refused,
    SessionLimit,
)
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.db.database import Database
from greenroom.manager.checkin.answers import spec_with_secrets


@pytest.fixture
async def stage(db: Database) -> Launches:
    return await Launches.populate(db, cores=10.0)


async def test_the_limit_comes_first(stage: Launches):
    await stage.setting(max_kasms_per_user=1)
    await stage.pool(2)
    await stage.launch()
    await stage.db.write("UPDATE agents SET status = 'missing'")
    with pytest.raises(SessionLimit):
        await stage.launch()


async def test_an_idempotency_key_gives_the_same_session_and_token(stage: Launches):
    results = await asyncio.gather(*(stage.launch(idempotency_key="k") for _ in range(6)))
    assert len({(result.session_id, result.token) for result in results}) == 1
    assert sum(not result.repeated for result in results) == 1
    with pytest.raises(IdempotencyMismatch):
        await stage.launch(idempotency_key="k", kasm_url="https://other.example")
    assert (await stage.launch()).session_id != results[0].session_id


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE users SET disabled = true", Forbidden),
        ("UPDATE users SET locked = true", Forbidden),
        ("DELETE FROM group_images", Forbidden),
        ("UPDATE images SET enabled = false", Refused),
        ("UPDATE agents SET enabled = false", NoResources),
    ],
)
async def test_refusals(stage: Launches, change: LiteralString, error: type[GreenroomError]):
    await stage.db.write(change)
    with pytest.raises(error):
        await stage.launch()
    assert await stage.db.fetch("SELECT 1 FROM sessions") == []


async def test_an_unknown_workspace(stage: Launches):
    with pytest.raises(NotFound):
        await stage.launch(image_id=stage.zone_id)


@pytest.mark.parametrize("name", ["KASM_USER", "KASM_SVC_UPLOADS", "VNC_PW"])
async def test_a_launch_cannot_set_our_variables(stage: Launches, name: str):
    with pytest.raises(Invalid, match=name):
        await stage.launch(environment={name: "1"})


async def test_ssh_keys_travel_encrypted_to_the_agent_alone(stage: Launches):
    private = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n"
    await stage.setting(inject_ssh_keys=True)
    await stage.db.write(
        "INSERT INTO user_attributes (user_id, ssh_public_key, ssh_private_key_encrypted) VALUES (%s, %s, %s)",
        (stage.user_id, "ssh-ed25519 AAAA", SECRETS.encrypt(private)),
    )
    await stage.pool()
    assert not (await stage.launch()).staged
    (row,) = await stage.db.fetch("SELECT s.*, to_jsonb(s)::text AS seen FROM sessions s WHERE user_id IS NOT NULL")
    assert "PRIVATE KEY" not in row["seen"]
    assert "files" not in row["spec"]
    spec = msgspec.convert(
        spec_with_secrets(row["spec"], row["credential_encrypted"], row["files_encrypted"], SECRETS), SessionSpec
    )
    assert {file.path.rpartition("/")[2]: file.content for file in spec.files} == {
        "id_ed25519": private,
        "id_ed25519.pub": "ssh-ed25519 AAAA\n",
        "authorized_keys": "ssh-ed25519 AAAA\n",
    }
    assert spec.hash() == row["spec_hash"]
    assert await stage.db.fetch("SELECT 1 FROM logs WHERE message || details::text LIKE '%%PRIVATE%%'") == []


async def test_without_the_setting_no_key_leaves_the_attributes(stage: Launches):
    await stage.db.write(
        "INSERT INTO user_attributes (user_id, ssh_public_key) VALUES (%s, 'ssh-rsa AAAA')", (stage.user_id,)
    )
    await stage.launch()
    row = await stage.db.fetch_one("SELECT files_encrypted FROM sessions")
    assert row == {"files_encrypted": None}


@pytest.mark.parametrize("staged", [False, True])
async def test_a_launched_or_claimed_session_stores_the_settings_of_its_viewers(stage: Launches, staged: bool):
    limits = {"idle_disconnect": 1.5, "max_upload_mb": 7, "watermark": True, "watermark_text": "Exam"}
    await stage.setting(keepalive_interval=200, keepalive_expiration=100, **limits)
    if staged:
        await stage.pool()
    session_id = (await stage.launch()).session_id
    (row,) = await stage.db.fetch("SELECT client_settings FROM sessions WHERE session_id = %s", (session_id,))
    settings = row["client_settings"]
    assert {"keepalive_interval": 50, **limits}.items() <= settings.items()


async def test_a_profile_is_one_sessions_at_a_time(stage: Launches):
    await stage.db.write("UPDATE images SET persistent_profile_path = '/profiles/{user_id}'")
    await stage.setting(allow_persistent_profile=True, max_kasms_per_user=9)
    first = await stage.launch()
    results = await asyncio.gather(*(stage.launch() for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ProfileInUse] * 3
    assert len(await stage.log("launch-refused")) == 1, "the same refusal of the same user is logged once a minute"
    rows = await stage.db.fetch("SELECT profile_path, persistent_profile_mode, status FROM sessions")
    assert rows == [
        {"profile_path": f"/profiles/{stage.user_id}", "persistent_profile_mode": "Enabled", "status": "requested"}
    ]
    without = await stage.launch(persistent_profile_mode="Disabled")
    rows = await stage.db.fetch("SELECT profile_path FROM sessions WHERE session_id = %s", (without.session_id,))
    assert rows == [{"profile_path": None}]
    await stage.db.write("UPDATE sessions SET status = 'deleting' WHERE session_id = %s", (first.session_id,))
    again = await stage.launch(persistent_profile_mode="Reset")
    rows = await stage.db.fetch(
        "SELECT persistent_profile_mode FROM sessions WHERE session_id = %s", (again.session_id,)
    )
    assert rows == [{"persistent_profile_mode": "Reset"}]


async def test_the_folder_of_a_former_user_reaches_no_later_user_of_the_name(stage: Launches):
    async def folder() -> str:
        result = await stage.launch()
        row = await stage.db.fetch_one("SELECT spec FROM sessions WHERE session_id = %s", (result.session_id,))
        assert row is not None
        return row["spec"]["mounts"][0]["source"]

    async def call(user_id: str, name: str) -> None:
        await stage.db.write("UPDATE users SET username = %s WHERE user_id = %s", (name, user_id))

    await stage.db.write("""UPDATE images SET volume_mappings = '{"/srv/{username}": {"bind": "/data"}}'""")
    (other,) = await stage.db.write("INSERT INTO users (username) VALUES ('other') RETURNING user_id::text")
    await call(stage.user_id, "ada")
    assert await folder() == "/srv/ada"
    await call(stage.user_id, "ada.lovelace")
    assert await folder() == "/srv/ada.lovelace"
    await call(other["user_id"], "ada")
    await stage.db.write("DELETE FROM users WHERE user_id = %s", (other["user_id"],))
    await call(stage.user_id, "ada")
    assert await folder() == "/srv/ada", "it was the first user with this name"
    await call(stage.user_id, "other")
    assert (await folder()).startswith("/srv/other-"), "another user had this name"
