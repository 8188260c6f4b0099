"""With any value in a field, a request succeeds or is refused with a reason; none causes an internal error."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from tests.database.api.client import KEY, Client
from tests.support import rows

from greenroom.db.database import Database

ODD: Final[tuple[Any, ...]] = (
    "a\0b",
    "\ud800",
    ["\ud800"],
    {"\ud800": "a\0"},
    10**30,
    float("inf"),
    "",
    "9999-12-31T23:59:59-23:59",
)
"""NUL and half of a surrogate pair, which PostgreSQL cannot store; numbers outside every range; a time without an
equivalent in UTC."""
UNTRIED: Final = {
    "/api/v1/sessions/{session_id}/commands",  # would wait for its Agent
    "/api/v1/sessions/{session_id}/go",
    "/api/v1/settings",  # any name; see below
}


UNREAD: Final = {
    "/api/v1/events",  # never ends
    "/api/v1/sessions/{session_id}/screenshot",  # would wait for its Agent
}


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "properties" not in schema:  # a reference, or one of several kinds
        reference = schema.get("$ref") or schema["anyOf"][0]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    return schema


def bodies(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, schema of the body) of every route with a body."""
    return [
        (method, path, resolved(document, operation["requestBody"]["content"]["application/json"]["schema"]))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {}) and path not in UNTRIED
    ]


async def send_request(client: Client, method: str, path: str, body: object) -> httpx2.Response:
    content = json.dumps(body)
    return await client.request(method, path, content=content, headers={"Content-Type": "application/json"})


PLAIN: Final = {"name": "x/y:z", "friendly_name": "Y", "zone_name": "y", "username": "y@x", "num_sessions": 0}
LONGEST: Final = 4096
"""The length of texts whose schema has no limit."""


MAX_ITEMS: Final = 20


async def existing_objects(db: Database, admin: Client) -> dict[str, str]:
    """The ids of objects, by the names of the parameters of paths. Some of the objects do not exist."""
    zone_id, image_id, user_id = (
        await rows.zone(db),
        await rows.image(db, friendly_name="Odd"),
        await rows.user(db, "ann@x"),
    )
    agent_id = await rows.agent(db, zone_id)
    config_id = await rows.staging_config(db, zone_id, image_id)
    (session_id,) = await rows.staged_sessions(db, config_id, agent_id, 1, user_id=user_id)
    pool = {"name": "odd", "zone_id": zone_id, "provider": "simulated", "cores": 1, "memory": 1}
    hook = {"name": "odd", "url": "https://example.org/", "events": ["pool.full"]}
    return {
        "lease_id": await rows.lease(db, session_id),
        "machine_pool_id": (await admin.make("/api/v1/machine-pools", **pool))["machine_pool_id"],
        "zone_id": zone_id,
        "image_id": image_id,
        "user_id": user_id,
        "agent_id": agent_id,
        "staging_config_id": config_id,
        "session_id": session_id,
        "group_id": (await admin.make("/api/v1/groups", name="odd"))["group_id"],
        "key_id": (await admin.make("/api/v1/api-keys", name="odd"))["key_id"],
        "filter_policy_id": (await admin.make("/api/v1/filter-policies", name="odd"))["filter_policy_id"],
        "webhook_id": (await admin.make("/api/v1/webhooks", **hook))["webhook_id"],
        "secret_id": (await admin.make("/api/v1/secrets", name="odd", hosts=["odd.example"], value="x"))["secret_id"],
        "delivery_id": str(uuid.uuid4()),
        "manager_id": str(uuid.uuid4()),
        "share_id": "00000000",
        "provider_id": str(uuid.uuid4()),
        "client_id": str(uuid.uuid4()),
        "directory_id": str(uuid.uuid4()),
        "service_account_id": str(uuid.uuid4()),
        "identity_id": str(uuid.uuid4()),
        "provider_name": "campus",
        "name": "firefox",  # of an entry of the catalogue
    }


def longest(document: dict[str, Any], schema: dict[str, Any]) -> list[Any]:
    """The longest and largest values of a schema: one with texts of emoji, and one with texts of letters."""
    if "$ref" in schema:
        return longest(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if options := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        return [value for option in options for value in longest(document, option)]
    kind, length = schema.get("type"), schema.get("maxLength", LONGEST)
    number = [schema.get("maximum", 2**53), schema.get("minimum", 0)]
    if kind == "array":
        items = longest(document, schema.get("items", {}))
        return [[value] * min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS) for value in items]
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return [{"A": value} for value in longest(document, inner)]
    if schema.get("format") == "date-time":
        return ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
    is_text = kind == "string" and "enum" not in schema and schema.get("format") != "uuid"
    texts = ["\U0001f600" * length, "a" * length] if is_text else []
    return number if kind in ("integer", "number") else texts


async def require_readable(document: dict[str, Any], admin: Client, there: dict[str, str]) -> None:
    """Read all lists, one row at a time, and all objects that need no Agent."""
    read = 0
    for path, operations in document["paths"].items():
        if "get" not in operations or "/me" in path or path in UNREAD or path.startswith("/api/v1/leases/{"):
            continue
        parameters = operations["get"].get("parameters", ())
        required = {each["name"] for each in parameters if each.get("required")}
        if not required <= there.keys() or any(each.get("required") and each["in"] == "query" for each in parameters):
            continue
        is_list = any(parameter["name"] == "cursor" for parameter in parameters)
        answer = await admin.get(path.format(**there), params={"limit": 1} if is_list else None)
        while True:
            read += 1
            assert answer.status_code < 500, f"{path} can no longer be read: {answer.text}"
            assert len(answer.headers.get("Link", "")) < 3000, path
            if "next" not in answer.links:
                break
            answer = await admin.get(answer.links["next"]["url"])
    assert read > 100


@pytest.mark.timeout(600)  # its 4000 requests take more than a minute
async def test_no_value_of_any_field_causes_an_internal_error(app: FastAPI, db: Database, admin: Client):
    document, there = app.openapi(), await existing_objects(db, admin)
    for method, path, schema in bodies(document):
        whole = {name: (there | PLAIN).get(name, 1) for name in schema.get("required", ())}
        for field in schema["properties"]:
            for value in ODD:
                answer = await send_request(admin, method, path.format(**there), whole | {field: value})
                assert answer.status_code < 500, (method, path, field, value, answer.text)
    await require_readable(document, admin, there)


@pytest.mark.timeout(600)
async def test_the_longest_values_leave_every_list_readable(app: FastAPI, db: Database, admin: Client):
    document, there = app.openapi(), await existing_objects(db, admin)
    accepted = 0
    for method, path, schema in bodies(document):
        whole = {name: (there | PLAIN).get(name, 1) for name in schema.get("required", ())}
        for field, of_field in schema["properties"].items():
            for value in longest(document, of_field):
                answer = await send_request(admin, method, path.format(**there), whole | {field: value})
                assert answer.status_code < 500, (method, path, field, answer.text)
                accepted += answer.status_code < 300
    assert accepted > 100
    await require_readable(document, admin, there)


@pytest.mark.parametrize(
    "body", [{"\ud800": 1}, {"session_idle_s": 10**30}, {"default_cpu_allocation_method": "\ud800"}]
)
async def test_an_odd_setting_is_refused(admin: Client, body: dict[str, Any]):
    answer = await send_request(admin, "PATCH", "/api/v1/settings", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("key", [[True], ["a"], [1e300], [None], [[1]], {}])
@pytest.mark.parametrize("path", ["/logs", "/diagnostics/manager-requests"])
async def test_a_cursor_of_something_else_is_refused(admin: Client, path: str, key: object):
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
    assert (await admin.refused(422, f"GET /api/v1{path}", cursor=cursor)).startswith("invalid: ")


@pytest.mark.parametrize("value", ["a\0b", '{"a": "\\u0000"}', '{"a": "\\ud800"}', "[" * 100_000, "9" * 5000])
@pytest.mark.parametrize("name", ["default_image", "run_config", "max_kasms_per_user"])
async def test_an_odd_setting_of_a_group_is_refused_in_the_published_shape(
    anonymous: Client, admin: Client, name: str, value: str
):
    group_id = (await admin.make("/api/v1/groups", name="odd"))["group_id"]
    body = {
        "api_key": KEY[0],
        "api_key_secret": KEY[1],
        "target_group": {"group_id": group_id},
        "target_setting": {"name": name, "value": value},
    }
    answer = await anonymous.post("/api/public/set_settings_group", json=body)
    assert (answer.status_code, "error_message" in answer.json()) == (200, True)
