"""The reasons for failures, found only with Diagnostics; and a real scrape of every role."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.acceptance.instance import Instance, wait_for
from tests.database.test_metrics import documented


def workspace(instance: Instance, **fields: Any) -> str:
    body = {"name": "greenroom/desktop:openbox", "cores": 0.1, "memory": 300_000_000, **fields}
    return instance.call("POST", "/images", json={"friendly_name": f"W {uuid.uuid4().hex[:8]}", **body})["image_id"]


def refused(instance: Instance, image_id: str, user_id: str) -> str:
    """The message that the user sees."""
    with instance.http() as client:
        answer = client.post("/api/v1/sessions", json={"image_id": image_id, "user_id": user_id})
    assert answer.status_code == 409, answer.text
    return answer.json()["detail"]


def rows_about(instance: Instance, user_id: str, code: str) -> list[dict[str, Any]]:
    """The log rows of a code about a user."""
    return instance.call("GET", "/logs", params={"user_id": user_id, "code": code})


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"name": f"greenroom/nothing:{uuid.uuid4().hex[:8]}"}, "image_unavailable", "greenroom/nothing"),
        ({"cores": 4000}, "no_capacity", "4000"),
    ],
    ids=["image missing", "no capacity"],
)
def test_a_launch_that_is_refused(instance: Instance, fields: dict[str, Any], code: str, words: str):
    image_id, user_id = workspace(instance, **fields), instance.new_user()
    refused(instance, image_id, user_id)
    agent = instance.call("GET", "/agents")[0]["hostname"]
    (row,) = wait_for(lambda: rows_about(instance, user_id, "launch-failed"), "the row is there")
    assert row["level"] == "WARNING"
    assert words in row["message"], "what is missing"
    assert agent in row["message"], "where"
    (launch,) = instance.call("GET", "/launches", params={"user_id": user_id})
    assert (launch["outcome"], launch["launch_id"]) == ("failed", row["details"]["launch_id"])
    (step,) = [step for step in launch["steps"] if step["step"] == "on_demand_here"]
    assert (step["code"], step["used"]) == (code, False)
    instance.call("DELETE", f"/images/{image_id}")


def test_a_session_that_does_not_start(instance: Instance):
    image_id = workspace(instance, exec_config={"first_launch": {"cmd": "bash -c 'echo no licence left; exit 3'"}})
    user_id = instance.new_user()
    session_id = instance.call("POST", "/sessions", json={"image_id": image_id, "user_id": user_id})["session_id"]
    wait_for(lambda: instance.session(session_id)["status"] == "failed", "it failed", within_s=60)

    def found() -> list[dict[str, Any]]:
        rows = instance.call("GET", "/logs", params={"session_id": session_id, "level": "WARNING"})
        return [row for row in rows if "no licence left" in row["message"]]

    rows = wait_for(found, "a row has what the command said")
    assert {row["session_id"] for row in rows} == {session_id}
    assert "no licence left" in instance.session(session_id)["error"]
    instance.call("DELETE", f"/sessions/{session_id}")
    wait_for(lambda: instance.has_status(session_id, "deleted"), "it is gone")
    instance.call("DELETE", f"/images/{image_id}")


def scrape(address: str, **options: Any) -> dict[str, Any]:
    """The families of a page, counters with their `_total`."""
    answer = httpx2.get(address, timeout=10, trust_env=False, **options)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {f"{f.name}_total" if f.type == "counter" else f.name: f for f in families}


def value(family: Any, **labels: str) -> float:
    return next(sample.value for sample in family.samples if sample.labels == labels)


def test_every_role_can_be_scraped(instance: Instance):
    ports = json.loads((instance.data / "ports.json").read_text())
    roles = {
        "api": ports["api"],
        "manager": instance.found["managers"][0]["port"],
        "agent": instance.found["agents"][0]["port"],
        "gateway": ports["gateway-metrics"],
    }
    manager = f"http://127.0.0.1:{roles['manager']}/metrics"
    wait_for(lambda: value(scrape(manager)["greenroom_manager_primary"]) == 1, "the Manager is Primary")
    found: dict[str, Any] = {}
    for role, port in roles.items():
        page = scrape(f"http://127.0.0.1:{port}/metrics")
        assert all(name.startswith(f"greenroom_{role}_") for name in page)
        assert value(page[f"greenroom_{role}_process_resident_memory_bytes"]) > 10e6
        found |= page
    assert {name for name in found if "_process_" not in name} <= set(documented())
    zone = instance.found["zones"][0]["zone_name"]
    assert value(found["greenroom_api_agents"], zone=zone, status="running") == 1
    assert value(found["greenroom_api_managers"], zone=zone, status="running") == 1
    assert value(found["greenroom_api_zone_has_primary"], zone=zone) == 1
    assert value(found["greenroom_manager_primary"]) == 1
    assert value(found["greenroom_manager_primary_term"]) == value(found["greenroom_api_zone_term"], zone=zone)
    assert value(found["greenroom_manager_healthy"]) == 1
    assert value(found["greenroom_agent_check_ins_total"], outcome="fresh") > 0
    assert value(found["greenroom_gateway_nginx_up"]) == 1
    assert value(found["greenroom_gateway_nginx_connections"], state="active") >= 1
    assert value(found["greenroom_gateway_nginx_requests_total"]) > 0


def test_from_outside_metrics_need_a_key_that_may_look(instance: Instance):
    key = instance.call("POST", "/api-keys", json={"name": "prometheus", "permissions": ["system_view"]})
    page = scrape(f"{instance.url}/api/v1/metrics", verify=instance.ca(), auth=(key["api_key"], key["api_key_secret"]))
    assert value(page["greenroom_api_database_up"]) == 1
    with httpx2.Client(base_url=instance.url, verify=instance.ca(), timeout=15, trust_env=False) as client:
        assert client.get("/api/v1/metrics").status_code == 401
        for path in ("/metrics", "/manager_api/metrics", "/gateway_metrics"):
            assert "greenroom_" not in client.get(path).text
    instance.call("DELETE", f"/api-keys/{key['api_key']}")
