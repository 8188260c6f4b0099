"""Diagnostics: the filters of lists, and the api's metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from tests.database.api.client import KEY, Client, MakeClient
from tests.support import rows

from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogRow, LogWriter
from greenroom.db.diagnostics.views import RequestRow, add_gateway_requests
from greenroom.db.installation import installation_id

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = "00000000-0000-4000-8000-00000000000{}".format


@pytest.fixture
async def logged(app: FastAPI) -> None:
    """Four rows, one per minute, the last one at NOW."""
    logs: LogWriter = app.state.logs
    fields: list[dict[str, Any]] = [
        {"level": "DEBUG", "component": "agent", "zone_name": "eu", "user_id": ID(1)},
        {"level": "INFO", "component": "manager", "zone_name": "us", "session_id": ID(2)},
        {"level": "WARNING", "component": "api", "staging_config_id": ID(3)},
        {"level": "ERROR", "component": "api", "zone_name": "eu", "user_id": ID(1)},
    ]
    for number, values in enumerate(fields):
        time = NOW - timedelta(minutes=3 - number)
        logs.add(LogRow(code=f"test-{number}", message=f"Row NUMBER {number}", time=time, **values))
    await logs.flush()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"level": "WARNING"}, [3, 2]),
        ({"level": "DEBUG"}, [3, 2, 1, 0]),
        ({"component": "api"}, [3, 2]),
        ({"code": "test-1"}, [1]),
        ({"q": "number 2"}, [2]),
        ({"q": "%"}, []),
        ({"since": "2026-01-01T11:59:00Z"}, [3, 2]),
        ({"until": "2026-01-01T11:59:00Z"}, [1, 0]),
        ({"since": "2026-01-01T13:58:00+02:00", "until": "2026-01-01T11:59:00Z"}, [1]),
        ({"zone_name": "eu"}, [3, 0]),
        ({"user_id": ID(1), "level": "INFO"}, [3]),
        ({"session_id": ID(2)}, [1]),
        ({"staging_config_id": ID(3)}, [2]),
    ],
)
async def test_filters(admin: Client, logged: None, query: dict[str, str], found: list[int]):
    answer = await admin.get("/api/v1/logs", params=query)
    assert answer.status_code == 200, answer.text
    assert [int(row["code"][-1]) for row in answer.json()] == found


@pytest.mark.parametrize(
    "query", [{"level": "TRACE"}, {"since": "yesterday"}, {"until": "2026-01-01"}, {"user_id": "x"}]
)
async def test_a_filter_that_cannot_be_used_is_said(admin: Client, query: dict[str, str]):
    assert (await admin.get("/api/v1/logs", params=query)).status_code == 422


async def test_rows_have_the_names_of_api_keys_in_place_of_their_ids(admin: Client, app: FastAPI, db: Database):
    key, unnamed, deleted = KEY[0], "unnamedunnam", "deleteddelet"
    await db.write("INSERT INTO api_keys (key_id, secret_hash, permissions) VALUES (%s, '', '{}')", (unnamed,))
    await db.write("UPDATE api_keys SET name = 'First key' WHERE key_id = %s", (key,))
    logs: LogWriter = app.state.logs
    for number, key_id in enumerate((key, unnamed, deleted)):
        fields: dict[str, Any] = {"level": "INFO", "component": "api", "code": f"test-{number}"}
        logs.add(LogRow(message=f"API key {key_id} did it", username=f"API key {key_id}", **fields))
    await logs.flush()
    rows_by_code = {row["code"]: row for row in await admin.read("/api/v1/logs")}
    found = [(rows_by_code[f"test-{n}"]["message"], rows_by_code[f"test-{n}"]["username"]) for n in range(3)]
    names = ("API key First key", f"API key {unnamed}", f"API key {deleted}")
    assert found == [(f"{name} did it", name) for name in names]


async def test_pages_of_a_filtered_list(admin: Client, logged: None):
    first = await admin.get("/api/v1/logs", params={"limit": 1, "zone_name": "eu"})
    second = await admin.get(first.links["next"]["url"])
    assert [row["code"] for answer in (first, second) for row in answer.json()] == ["test-3", "test-0"]
    assert "next" not in second.links


async def test_the_histogram_counts_the_rows_of_the_list_over_time(admin: Client, logged: None):
    period = {"since": "2026-01-01T11:00:00Z", "until": "2026-01-01T12:00:00.5Z"}
    answer = await admin.read("/api/v1/logs/histogram", **period)
    assert (answer["step_s"], answer["begin"], answer["is_part"]) == (300, "2026-01-01T11:00:00Z", False)
    assert {len(numbers) for numbers in answer["counts"].values()} == {13}
    assert sum(map(sum, answer["counts"].values())) == 4
    assert sum(numbers[-1] for numbers in answer["counts"].values()) == 1  # the row at 12:00
    filtered = await admin.read("/api/v1/logs/histogram", **period, level="WARNING", q="number 2")
    assert {level: sum(numbers) for level, numbers in filtered["counts"].items() if sum(numbers)} == {"WARNING": 1}


async def test_a_histogram_without_a_period_begins_with_the_oldest_row(admin: Client, logged: None):
    answer = await admin.read("/api/v1/logs/histogram", code="test-0")
    assert sum(map(sum, answer["counts"].values())) == answer["counts"]["DEBUG"][0] == 1
    nothing = await admin.read("/api/v1/logs/histogram", code="no-such-code")
    assert sum(map(sum, nothing["counts"].values())) == 0


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
async def test_a_histogram_of_any_period_has_at_most_60_points(admin: Client, logged: None, since: str):
    answer = await admin.read("/api/v1/logs/histogram", since=since)
    assert {len(counts) <= 60 for counts in answer["counts"].values()} == {True}


async def test_a_histogram_reads_a_limited_number_of_rows(admin: Client, logged: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("greenroom.db.diagnostics.log_histogram.MAX_ROWS", 2)
    answer = await admin.read("/api/v1/logs/histogram", since="2026-01-01T11:00:00Z", until="2026-01-01T12:00:00.5Z")
    assert answer["is_part"]
    assert sum(map(sum, answer["counts"].values())) == 2


@pytest.fixture
async def asked(app: FastAPI) -> None:
    """Four requests of two Agents at two Managers, one per minute, the last one at NOW."""
    db: Database = app.state.db
    answers = [
        (ID(1), "manager-1", 200),
        (ID(1), "manager-1", 503),
        (ID(2), "manager-2", 200),
        (None, "manager-1", 401),
    ]
    await add_gateway_requests(
        db,
        [
            RequestRow(
                time=NOW - timedelta(minutes=3 - number),
                agent_id=agent_id,
                manager_instance_id=manager,
                method="POST",
                path=f"/manager_api/{number}",
                status=status,
                duration_ms=1.0,
            )
            for number, (agent_id, manager, status) in enumerate(answers)
        ],
    )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"status": "503"}, [1]),
        ({"refused": "true"}, [3, 1]),
        ({"refused": "false"}, [2, 0]),
        ({"manager_instance_id": "manager-1"}, [3, 1, 0]),
        ({"manager_instance_id": "manager-1", "refused": "true", "agent_id": ID(1)}, [1]),
        ({"agent_id": ID(2)}, [2]),
        ({"since": "2026-01-01T11:59:00Z"}, [3, 2]),
        ({"until": "2026-01-01T11:59:00Z"}, [1, 0]),
    ],
)
async def test_requests_of_agents_are_narrowed(admin: Client, asked: None, query: dict[str, str], found: list[int]):
    answer = await admin.get("/api/v1/diagnostics/manager-requests", params=query)
    assert answer.status_code == 200, answer.text
    assert [int(row["path"][-1]) for row in answer.json()] == found


async def values(client: Client, path: str = "/metrics") -> dict[tuple[str, ...], float]:
    """(name, values of the labels in their alphabetical order) → value."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [s for family in text_string_to_metric_families(answer.text) for s in family.samples]
    return {(s.name, *(s.labels[name] for name in sorted(s.labels))): s.value for s in samples}


async def test_metrics_are_open_beside_the_api_and_need_permission_elsewhere(anonymous: Client, with_key: MakeClient):
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
    admin: Client, anonymous: Client, db: Database, ada: Client
):
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


async def test_what_is_left_over_is_said_to_who_found_it(app: FastAPI, db: Database, admin: Client):
    del app
    gone, over = ID(1), ID(2)
    things = [
        {"kind": "claim", "name": "home", "ref": "h", "age_s": 99, "home": {"user_id": "x", "image_id": "y"}},
        {"kind": "Pod", "name": "over", "ref": "o", "age_s": 99, "agent_id": gone, "session_id": over},
        {"kind": "Pod", "name": "young", "ref": "y", "age_s": 9, "agent_id": gone, "session_id": over},
        {"kind": "Secret", "name": "filter", "ref": "f", "age_s": 99, "agent_id": gone},
        {"kind": "Secret", "name": "without a label", "ref": "w", "age_s": 99},
    ]
    answer = await admin.post("/api/v1/diagnostics/leftovers", json={"things": things})
    assert [(one["name"], one["removed"], one["reason"]) for one in answer.json()["leftovers"]] == [
        ("over", True, f"session {over} has ended or never existed"),
        ("filter", True, f"its Agent {gone} was deleted"),
        ("home", True, "its user x was deleted, and no Agent keeps it"),
        ("young", False, f"session {over} has ended or never existed; it is younger than 60 s"),
        ("without a label", False, "its label with the id of an Agent is missing"),
    ]
    assert "things: must have at most 1000 entries" in await admin.refused(
        422, "POST /api/v1/diagnostics/leftovers", {"things": [things[0]] * 1001}
    )


async def test_the_installation_is_the_one_whose_id_containers_have(app: FastAPI, db: Database, admin: Client):
    del app
    assert (await admin.read("/api/v1/diagnostics/installation"))["installation_id"] == await installation_id(db)
