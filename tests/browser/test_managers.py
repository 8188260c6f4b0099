"""Managers at the console: two per zone, disabled, killed and changed in SQL while pages display them."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, expect
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.browser.console import Person, logged_in, violations
from tests.support.processes import frozen

PAGE = "/admin/infrastructure/managers"


@pytest.fixture(scope="module")
def instance(openbox_image: str) -> Iterator[Instance]:
    """Two Managers in each of two zones."""
    with running_instance("--managers", "2", "--zones", "eu,us", GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield instance


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Person:
    """The administrator on the page Managers; every Manager is enabled and running."""
    for manager in instance.call("GET", "/managers"):
        instance.call("PATCH", f"/managers/{manager['manager_id']}", json={"enabled": True})
    wait_for(lambda: all(each["status"] == "running" for each in instance.call("GET", "/managers")), "all run")
    return administrator(new_context, instance)


def administrator(new_context: Callable[..., BrowserContext], instance: Instance) -> Person:
    """A window of the administrator in a separate browser, on the page Managers, with live changes."""
    found = instance.found["admin"]
    person = logged_in(new_context(), instance.url, found["username"], found["password"])
    person.open(PAGE)
    expect(person.page.get_by_test_id("live")).to_have_text("Live")
    return person


def managers_of(instance: Instance, zone: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Primary of a zone and the other Manager, according to the api."""

    def found() -> tuple[dict[str, Any], dict[str, Any]] | None:
        managers = [each for each in instance.call("GET", "/managers") if each["zone_name"] == zone]
        (primary, *_), (other, *_) = (
            [each for each in managers if each["is_primary"] is is_] or [None] for is_ in (True, False)
        )
        return (primary, other) if primary and other else None

    return wait_for(found, f"zone {zone} has a Primary")


def agent_of(instance: Instance, manager: dict[str, Any]) -> dict[str, Any]:
    """The Agent that reports to a Manager, once it does: an Agent that was refused elsewhere comes back after a
    while."""

    def found() -> dict[str, Any] | None:
        return next((a for a in instance.call("GET", "/agents") if a["manager_id"] == manager["manager_id"]), None)

    return wait_for(found, f"an Agent reports to {manager['instance_id']}", within_s=60)


def row_of(person: Person, manager: dict[str, Any]) -> Locator:
    """The row of a Manager."""
    return person.row(manager["instance_id"])


def press(switch: Locator) -> None:
    """Toggle with the keyboard."""
    switch.focus()
    switch.page.keyboard.press("Space")


@contextmanager
def unchanged(person: Person) -> Generator[None]:
    """The window is not reloaded during the block."""
    person.page.evaluate("window.before = 1")
    yield
    assert person.page.evaluate("window.before") == 1


def test_disabling_the_primary_asks_first_and_shows_in_other_windows(
    admin: Person, instance: Instance, new_context: Callable[..., BrowserContext]
):
    primary, other = managers_of(instance, "eu")
    watcher = administrator(new_context, instance)
    with unchanged(admin), unchanged(watcher):
        press(row_of(admin, primary).get_by_role("switch"))
        question = admin.page.get_by_role("dialog", name=f"Disable Manager {primary['instance_id']}?")
        expect(question).to_contain_text("It is the Primary of zone eu")
        expect(question).to_contain_text(f"{other['instance_id']} becomes Primary immediately")
        expect(question).to_contain_text("Running sessions continue")
        assert violations(admin.page) == []
        admin.page.keyboard.press("Escape")
        expect(question).to_have_count(0)
        expect(row_of(admin, primary).get_by_role("switch")).to_be_checked()

        press(row_of(admin, primary).get_by_role("switch"))
        expect(question.get_by_role("button", name="Cancel")).to_be_focused()
        admin.page.keyboard.press("Tab")
        admin.page.keyboard.press("Enter")
        for person in (admin, watcher):
            expect(row_of(person, primary).get_by_role("switch")).not_to_be_checked()
            expect(row_of(person, primary)).to_contain_text("unknown")
            expect(row_of(person, other).get_by_text(re.compile(r"^Primary$"))).to_be_visible()
            expect(row_of(person, primary).get_by_text(re.compile(r"^Primary$"))).to_have_count(0)

        press(row_of(admin, other).get_by_role("switch"))
        refusal = admin.page.get_by_role("alert").filter(has_text="was not changed")
        expect(refusal).to_contain_text("last enabled Manager of zone eu; enable another Manager of the zone first")
        expect(row_of(admin, other).get_by_role("switch")).to_be_checked()
        assert violations(admin.page) == []

        press(row_of(admin, primary).get_by_role("switch"))
        for person in (admin, watcher):
            expect(row_of(person, primary)).to_contain_text("running")
            expect(row_of(person, other).get_by_text(re.compile(r"^Primary$"))).to_be_visible()


def test_a_manager_has_a_page_with_its_events_and_what_it_refused(admin: Person, instance: Instance):
    primary, other = managers_of(instance, "eu")
    page = admin.page
    admin.open_page(row_of(admin, primary).get_by_role("link", name=primary["instance_id"]))
    expect(page.get_by_role("heading", level=1, name=primary["instance_id"])).to_be_visible()
    for fact in (primary["hostname"], primary["version"], primary["gateway_url"], "Primary", f"term {primary['term']}"):
        expect(page.get_by_role("main")).to_contain_text(fact)
    agent = agent_of(instance, primary)
    expect(
        page.get_by_role("main").get_by_role("link", name=re.compile(rf"^{re.escape(agent['hostname'])}\b"))
    ).to_be_visible()

    page.get_by_role("tab", name="Logs").click()
    with unchanged(admin):
        instance.call("PATCH", f"/managers/{primary['manager_id']}", json={"enabled": False})
        became = f"{other['instance_id']} became Primary of zone eu with term"
        expect(
            admin.row(became).filter(has_text=f"because {primary['instance_id']} was disabled").first
        ).to_be_visible()
        expect(page.get_by_role("switch", name=f"Enabled: Manager {primary['instance_id']}")).not_to_be_checked()
    assert violations(page) == []

    page.get_by_role("tab", name="Requests").click()
    page.get_by_role("radiogroup", name="Answers").get_by_text("Not in service (503)").click()
    refused = page.get_by_role("row").filter(has_text="Check-in")
    expect(refused.first.get_by_role("cell", name="503 not in service", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="200 served", exact=True)).to_have_count(0)
    assert violations(page) == []


def test_deleting_a_manager_that_runs_warns_that_it_comes_back(admin: Person, instance: Instance):
    _, other = managers_of(instance, "us")
    page = admin.page
    admin.open(f"{PAGE}/{other['manager_id']}")
    page.get_by_role("button", name="Delete", exact=True).click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("It registers again within seconds as a new, enabled Manager")
    assert violations(page) == []
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1, name="Managers")).to_be_visible()
    wait_for(lambda: managers_of(instance, "us")[1]["manager_id"] != other["manager_id"], "it is there as a new one")


def test_what_sql_changes_is_seen_without_reload(admin: Person, instance: Instance):
    primary, other = managers_of(instance, "us")
    row = row_of(admin, primary)
    with unchanged(admin):
        for enabled in (False, True):
            instance.sql("UPDATE managers SET enabled = %s WHERE manager_id = %s", enabled, primary["manager_id"])
            expect(row.get_by_role("switch")).to_be_checked(checked=enabled)
            expect(row).to_contain_text("running" if enabled else "unknown")
            expect(row_of(admin, other).get_by_text(re.compile(r"^Primary$"))).to_be_visible()
        expect(row.get_by_text(re.compile(r"^Primary$"))).to_have_count(0)


def test_the_mark_of_the_primary_moves_when_its_process_is_killed(admin: Person, instance: Instance):
    primary, other = managers_of(instance, "eu")
    expect(row_of(admin, primary).get_by_text(re.compile(r"^Primary$"))).to_be_visible()
    with unchanged(admin):
        os.kill(pid_of(instance, primary), signal.SIGKILL)
        expect(row_of(admin, other).get_by_text(re.compile(r"^Primary$"))).to_be_visible()
        expect(row_of(admin, primary).get_by_text(re.compile(r"^Primary$"))).to_have_count(0)
        expect(row_of(admin, primary).get_by_role("switch")).to_be_checked()


def test_that_the_other_manager_does_not_run_is_said_before_and_after(admin: Person, instance: Instance):
    primary, other = managers_of(instance, "us")
    page = admin.page
    with frozen(instance.pids("up")[0], pid_of(instance, other)):
        expect(row_of(admin, other)).to_contain_text("unknown", timeout=30_000)
        press(row_of(admin, primary).get_by_role("switch"))
        question = page.get_by_role("dialog")
        expect(question).to_contain_text(
            f"No other enabled Manager of zone us is running (status unknown: {other['instance_id']}"
        )
        question.get_by_role("button", name="Disable").click()
        expect(
            page.get_by_role("alert").filter(has_text="No other enabled Manager of zone us is running")
        ).to_be_visible()
        expect(page.get_by_role("status").filter(has_text="No enabled Manager of zone us is running")).to_be_visible()
        assert violations(page) == []
        press(row_of(admin, primary).get_by_role("switch"))
        expect(row_of(admin, primary)).to_contain_text("running")
        expect(page.get_by_role("status").filter(has_text="No enabled Manager of zone us is running")).to_have_count(0)


def pid_of(instance: Instance, manager: dict[str, Any]) -> int:
    """The current pid of its process."""
    pids = {each["instance_id"]: each["pid"] for each in instance.status()["managers"]}
    return pids[manager["instance_id"]]


def test_requests_of_agents_are_filtered_by_answer_agent_and_manager(admin: Person, instance: Instance):
    primary, _ = managers_of(instance, "eu")
    agent = agent_of(instance, primary)
    instance.call("PATCH", f"/managers/{primary['manager_id']}", json={"enabled": False})
    page = admin.page
    admin.open("/admin/diagnostics/manager-requests")
    answers = page.get_by_role("radiogroup", name="Answers")
    answers.get_by_text("Served", exact=True).click()
    expect(page.get_by_role("cell", name="503 not in service", exact=True)).to_have_count(0)
    answers.get_by_text("Not in service (503)").click()
    expect(page).to_have_url(re.compile("answers=503"))
    page.get_by_role("combobox", name="Manager").click()
    page.get_by_role("option", name=primary["instance_id"]).click()
    page.get_by_role("combobox", name="Agent").click()
    page.get_by_role("option", name=agent["agent_id"][:8]).click()
    refused = page.get_by_role("row").filter(has_text=primary["instance_id"]).first
    expect(refused).to_contain_text("503")
    expect(refused.get_by_role("link", name=agent["agent_id"][:8])).to_be_visible()
    assert violations(page) == []
    page.reload()
    expect(page.get_by_role("row").filter(has_text=primary["instance_id"]).first).to_contain_text("503")


def test_older_requests_are_reached_page_by_page(admin: Person, instance: Instance):
    instance.sql(
        "INSERT INTO manager_requests (manager_instance_id, method, path, status, duration_ms)"
        " SELECT 'manager-x', 'POST', '/number-' || n, 418, 1 FROM generate_series(1, 260) n"
    )
    page = admin.page
    admin.open("/admin/diagnostics/manager-requests?manager_instance_id=manager-x")
    newest, oldest = (page.get_by_role("cell", name=f"POST /number-{n}", exact=True) for n in (260, 10))
    expect(newest).to_be_visible()
    page.get_by_role("button", name="Show older rows").click()
    expect(oldest).to_be_visible()
    expect(newest).to_have_count(0)
    expect(page.get_by_role("button", name="Show older rows")).to_have_count(0)
    page.get_by_role("button", name="Back to the newest").click()
    expect(newest).to_be_visible()
