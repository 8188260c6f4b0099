"""Staging configs through the published interface."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

Client = httpx.AsyncClient

KEYS = {"api_key": "abcdefghijkl", "api_key_secret": "the secret half"}


async def call(client: Client, name: str, target: dict[str, Any] | None = None) -> dict:
    body = KEYS | ({"target_staging_config": target} if target is not None else {})
    answer = await client.post(f"/api/public/{name}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def wanted(app: FastAPI, anonymous: Client) -> dict[str, Any]:
    """What a new config needs, with ids as this interface gives them."""
    (image,) = (await call(anonymous, "get_images"))["images"]
    (zone,) = (await call(anonymous, "get_zones"))["zones"]
    return {"zone_id": zone["zone_id"], "image_id": image["image_id"], "num_sessions": 2, "expiration": 4.5}


async def test_a_staging_config_lives(anonymous: Client, wanted: dict[str, Any]):
    made = (await call(anonymous, "create_staging_config", wanted | {"allow_kasm_audio": False, "other": 1}))[
        "staging_config"
    ]
    assert re.fullmatch("[0-9a-f]{32}", made["image_id"])
    assert (made["zone_name"], made["image_friendly_name"]) == ("default", "Desktop")
    assert (made["num_sessions"], made["num_current_sessions"], made["expiration"]) == (2, 0, 4.5)
    assert (made["allow_kasm_audio"], made["allow_kasm_uploads"]) == (False, True), "the others as in All Users"
    target = {"staging_config_id": made["staging_config_id"].replace("-", "")}
    assert "permissions must match" in made["warning"], "who would get a session is said where it was saved"
    listed = made | {"warning": None}
    assert (await call(anonymous, "get_staging_configs"))["staging_configs"] == [listed]
    changed = (await call(anonymous, "update_staging_config", target | {"num_sessions": 0, "expiration": None}))[
        "staging_config"
    ]
    assert (changed["num_sessions"], changed["expiration"]) == (0, 4.5)
    assert (await call(anonymous, "get_staging_config", target))["staging_config"]["num_sessions"] == 0
    assert await call(anonymous, "delete_staging_config", target) == {}
    assert (await call(anonymous, "get_staging_configs")) == {"staging_configs": []}
    assert set(await call(anonymous, "get_staging_config", target)) == {"error_message"}


async def test_configs_that_cannot_be(anonymous: Client, wanted: dict[str, Any]):
    for change, words in (
        ({"num_sessions": -1}, "num_sessions"),
        ({"num_sessions": 1.5}, "num_sessions"),
        ({"expiration": 0}, "expiration"),
        ({"image_id": "00000000000000000000000000000001"}, "no workspace"),
        ({"zone_id": "x"}, "zone_id"),
        ({"zone_id": None}, "zone_id"),
    ):
        refused = await call(anonymous, "create_staging_config", wanted | change)
        assert words in refused["error_message"], change


async def test_the_same_pool_twice_is_refused(anonymous: Client, wanted: dict[str, Any]):
    await call(anonymous, "create_staging_config", wanted)
    assert "exists already" in (await call(anonymous, "create_staging_config", wanted))["error_message"]
