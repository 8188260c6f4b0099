"""The api's metrics: where they are served, who gets them, and that they count what happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from greenroom.db.database import Database
from greenroom.testing import rows

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]


async def values(client: Client, path: str = "/metrics") -> dict[tuple[str, ...], float]:
    """(name, values of the labels in their alphabetical order) → value."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [s for family in text_string_to_metric_families(answer.text) for s in family.samples]
    return {(s.name, *(s.labels[name] for name in sorted(s.labels))): s.value for s in samples}


async def test_beside_the_api_without_a_credential_and_elsewhere_with_permission(anonymous: Client, with_key: Make):
    answer = await anonymous.get("http://metrics.internal:8080/metrics")
    assert answer.status_code == 200, "a Prometheus names the api as it reaches it"
    assert (await anonymous.get("/api/v1/metrics")).status_code == 401
    assert (await (await with_key("sessions_view")).get("/api/v1/metrics")).status_code == 403
    found = await values(await with_key("system_view"), "/api/v1/metrics")
    assert found["greenroom_api_database_up",] == 1


async def test_requests_are_counted_by_template(admin: Client, anonymous: Client):
    await admin.get("/api/v1/zones/00000000-0000-4000-8000-000000000000")
    await anonymous.get("/api/v1/zones")
    await anonymous.get("/nowhere")
    found = await values(anonymous)
    assert found["greenroom_api_requests_total", "GET", "/api/v1/zones/{zone_id}", "404"] == 1
    assert found["greenroom_api_requests_total", "GET", "/api/v1/zones", "401"] == 1
    assert found["greenroom_api_requests_total", "GET", "none", "404"] == 1
    assert found["greenroom_api_request_seconds_count", "/api/v1/zones"] == 1


async def test_launches_are_counted_by_what_served_them_and_what_they_met(
    admin: Client, anonymous: Client, db: Database, with_user: Make
):
    ada = await with_user("ada@example.org")
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    zone_id = (await db.fetch("SELECT zone_id::text FROM zones"))[0]["zone_id"]
    assert (await ada.post("/api/v1/sessions", json={"image_id": image["image_id"]})).status_code == 409
    await rows.agent(db, zone_id, image=image["name"])
    assert (await ada.post("/api/v1/sessions", json={"image_id": image["image_id"]})).status_code == 202
    found = await values(anonymous)
    assert found["greenroom_api_launches_total", "failed"] == 1
    assert found["greenroom_api_launches_total", "on_demand"] == 1
    assert found["greenroom_api_launch_misses_total", "no_capacity"] == 1
    assert found["greenroom_api_launch_seconds_count", "on_demand"] == 1
    assert found["greenroom_api_sessions", "requested", "default"] == 1
