"""Calls of the SDKs of hosted browser services: their conversion, the visible leases, and the refusals."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx2
import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage
from tests.support.waiting import eventually

from greenroom.core.errors import SetupError
from greenroom.core.events import ChangeEvent
from greenroom.db.database import Database
from greenroom.interfaces.sdk import browserbase, kernel, steel
from greenroom.kit.config import ApiConfig

BROWSERS, STEEL, BROWSERBASE = (
    "/adapters/kernel/browsers",
    "/adapters/steel/v1/sessions",
    "/adapters/browserbase/v1/sessions",
)


@pytest.fixture
async def sdk(stage: Stage, connect: MakeClient, logged_in: MakeClient) -> Client:
    """An SDK with a key of the administrator, at an api with all adapters and a workspace with DevTools."""
    for one in (kernel, steel, browserbase):
        stage.app.include_router(one.router)
    stage.app.state.config = stage.app.state.config.model_copy(update={"sdk_workspace": "Browser"})
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", friendly_name="Browser", port_map={"cdp": "cdp"})
    return await with_key_of(await logged_in(), await connect())


async def with_key_of(person: Client, program: Client) -> Client:
    """`program` with a new key of `person`, in the headers of all three SDKs."""
    made = await person.make("/api/v1/api-keys", name="sdk", permissions=["user"])
    key = f"{made['api_key']}:{made['api_key_secret']}"
    program.headers.update({"Authorization": f"Bearer {key}", "steel-api-key": key, "x-bb-api-key": key})
    return program


async def created(stage: Stage, sdk: Client, path: str = BROWSERS, **body: Any) -> httpx2.Response:
    """The answer to a new browser, whose session runs during the wait."""
    hub = stage.app.state.hub
    asking = asyncio.create_task(sdk.post(path, json=body))
    await eventually(lambda: hub.has_subscribers or asking.done())
    for row in await stage.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'requested'"):
        await stage.becomes(row["session_id"], "running")
        hub.publish(ChangeEvent.session(row["session_id"]))
    return await asking


async def test_each_sdk_creates_finds_and_ends_its_lease(stage: Stage, sdk: Client):
    browser = (await created(stage, sdk, timeout_seconds=300, tags={"job": "1"})).json()
    assert (browser["timeout_seconds"], browser["tags"]) == (300, {"job": "1"})
    assert browser["cdp_ws_url"].startswith("wss://127.0.0.1:8445/")
    assert browser["cdp_ws_url"].endswith("/cdp")
    assert await sdk.read(f"{BROWSERS}/{browser['session_id']}") == browser
    assert await sdk.read(BROWSERS) == [browser]
    (session,) = (await sdk.read(STEEL, status="live"))["sessions"]
    assert (session["id"], session["websocketUrl"]) == (browser["session_id"], browser["cdp_ws_url"])
    assert (await sdk.read(STEEL, status="live", cursorId=session["id"]))["sessions"] == [], "the last page"
    (session,) = await sdk.read(BROWSERBASE, status="RUNNING")
    assert (session["connectUrl"], session["userMetadata"]) == (browser["cdp_ws_url"], {"job": "1"})
    assert (await sdk.delete(f"{BROWSERS}/{browser['session_id']}")).status_code == 204
    assert await sdk.read(BROWSERS) == []
    assert (await sdk.read(f"{BROWSERBASE}/{browser['session_id']}"))["status"] == "COMPLETED"


async def test_an_address_of_a_lease_is_shown_to_its_holder_alone(
    stage: Stage, sdk: Client, logged_in: MakeClient, connect: MakeClient
):
    browser = (await created(stage, sdk)).json()
    other = await with_key_of(await logged_in(), await connect())
    refused = await other.get(f"{BROWSERS}/{browser['session_id']}")
    assert refused.status_code == 404
    assert (await other.post(f"{STEEL}/release", json={})).json()["message"] == "0 sessions were released."
    assert (await sdk.post(f"{STEEL}/release", json={})).json()["message"] == "1 sessions were released."


@pytest.mark.parametrize(
    ("asked", "body", "status", "words"),
    [
        (f"POST {BROWSERS}", {"stealth": True}, 501, "no counterpart of stealth"),
        (f"POST {STEEL}", {"useProxy": True}, 501, "no counterpart of useProxy"),
        (f"POST {BROWSERBASE}", {"browserSettings": {"solveCaptchas": True}}, 501, "no counterpart of solveCaptchas"),
        ("GET /adapters/kernel/deployments", None, 501, "no counterpart of GET /deployments"),
        (f"GET {BROWSERS}/none", None, 404, "There is no browser 'none'"),
        (f"POST {BROWSERS}", {"timeout_seconds": 100_000}, 422, "seconds"),
        (f"POST {BROWSERS}/none/computer/batch", {"actions": [{"type": "dance"}]}, 501, "the action 'dance'"),
        (f"POST {STEEL}/none/computer", {"action": "type_text", "hold_keys": ["a"]}, 501, "with these fields"),
    ],
)
async def test_a_refusal_has_a_sentence_and_is_not_repeated(
    sdk: Client, asked: str, body: object, status: int, words: str
):
    answer = await sdk.request(*asked.split(" ", 1), json=body)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (status, "false")
    assert words in answer.json()["message"] == answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (BROWSERS, '{"timeout_seconds": NaN}'),
        (STEEL, '{"timeout": Infinity}'),
        (f"{BROWSERS}/none/computer/press_key", '{"keys": ["a"], "duration": NaN}'),
    ],
)
async def test_a_number_that_is_none_is_refused(sdk: Client, path: str, body: str):
    answer = await sdk.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "finite" in answer.text) == (422, True)


async def test_a_workspace_without_devtools_is_refused_and_its_lease_released(stage: Stage, sdk: Client):
    await stage.admin.change(f"/api/v1/images/{stage.image_id}", port_map={})
    answer = await created(stage, sdk)
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-state")
    assert "GREENROOM_SDK_WORKSPACE" in answer.json()["message"]
    assert await sdk.read(BROWSERS) == []


async def test_a_key_is_checked_in_the_form_of_each_sdk(sdk: Client):
    name, secret = sdk.headers["steel-api-key"].split(":")
    for headers in (
        {"Authorization": f"Bearer {name}"},
        {"Authorization": f"Bearer {name}:{secret}x"},
        {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"},
    ):
        assert (await sdk.get(BROWSERS, headers=headers)).status_code == 401
    assert (await sdk.get(STEEL, headers={"steel-api-key": f"{name}:"})).status_code == 401
    assert (await sdk.get(BROWSERBASE, headers={"x-bb-api-key": ""})).status_code == 401


def test_an_adapter_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GREENROOM_DATABASE_URL", "host=none")
    monkeypatch.setenv("GREENROOM_SECRET_KEY_FILE", "none")
    monkeypatch.setenv("GREENROOM_SDK_ADAPTERS", "kernel,selenium")
    with pytest.raises((ValueError, SetupError), match="there is no adapter selenium"):
        ApiConfig()  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("path", [BROWSERS, STEEL, BROWSERBASE])
async def test_a_list_asks_the_database_as_often_for_many_browsers_as_for_one(
    stage: Stage, sdk: Client, monkeypatch: pytest.MonkeyPatch, path: str
):
    asked: list[object] = []
    fetch = Database.fetch

    async def counted(self: Database, *query: Any, **options: Any) -> list[dict[str, Any]]:
        asked.append(query)
        return await fetch(self, *query, **options)

    monkeypatch.setattr(Database, "fetch", counted)

    async def queries() -> int:
        before = len(asked)
        await sdk.read(path)
        return len(asked) - before

    await created(stage, sdk)
    await queries()
    of_one = await queries()
    for _ in range(2):
        await created(stage, sdk)
    assert await queries() == of_one
