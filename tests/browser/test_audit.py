"""The audit at the console: events are filtered, shown with their values, and exported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person

NAME = "Audited group"


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Instance:
    """An instance whose sessions have no containers."""
    return simulated_instance


@pytest.fixture
def changed_group(instance: Instance) -> Iterator[str]:
    """A group whose priority was changed."""
    group_id: str = instance.call("POST", "/groups", json={"name": NAME})["group_id"]
    instance.call("PATCH", f"/groups/{group_id}", json={"priority": 7})
    yield group_id
    instance.call("DELETE", f"/groups/{group_id}")


@pytest.mark.usefixtures("changed_group")
def test_an_event_is_found_and_shown_with_its_values(admin: Person):
    admin.open("/admin/diagnostics/audit")
    page = admin.page
    page.get_by_label("Filter Audit").fill("code:group-changed audited")
    row = page.get_by_role("row").filter(has_text=f"changed group {NAME}").first
    expect(row).to_contain_text("done")
    row.get_by_role("button", name="Details of this event").click()
    sheet = page.get_by_role("dialog")
    expect(sheet.get_by_role("row").filter(has_text="priority")).to_contain_text("7")
    expect(sheet).to_contain_text("PATCH /api/v1/groups/{group_id}")


@pytest.mark.usefixtures("changed_group")
def test_the_export_has_the_filtered_events_and_the_head(admin: Person, tmp_path: Path):
    admin.open("/admin/diagnostics/audit?result=done")
    with admin.page.expect_download() as download:
        admin.page.get_by_role("link", name="Export").click()
    download.value.save_as(tmp_path / "audit.jsonl")
    *events, end = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert {event["result"] for event in events} == {"done"}
    assert [event["code"] for event in events if event["object_name"] == NAME][-2:] == [
        "group-created",
        "group-changed",
    ]
    assert end["head"]
