"""The page of a staging config: its pool, the users it served or did not serve, those it would serve, its log rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import Person, use_colours, violations

FILL_MS = 60_000


@pytest.fixture
def failing_assign(instance: Instance) -> Iterator[None]:
    """The workspace has an `assign` command that fails while the test runs."""
    image = f"/images/{instance.desktop()}"
    before = instance.call("GET", image)["exec_config"]
    instance.call("PATCH", image, json={"exec_config": {**before, "assign": {"cmd": "false"}}})
    yield
    instance.call("PATCH", image, json={"exec_config": before})


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_hits_and_misses_have_their_reasons_and_lead_to_the_launches(admin: Person, user: Person, instance: Instance):
    page = admin.page
    config_id = instance.stage(1)
    wait_for(lambda: instance.staged(config_id) == 1, "the pool is full", within_s=60)
    found = next(each for each in instance.call("GET", "/users") if each["username"] == user.username)
    launch = {"image_id": instance.desktop(), "user_id": found["user_id"]}
    hit = instance.call("POST", "/sessions", json=launch)["session_id"]
    wait_for(lambda: instance.has_status(hit, "running"), "it was handed over")
    missed = instance.call("POST", "/sessions", json={**launch, "environment": {"A": "1"}})["session_id"]

    # The list has the number of served launches
    admin.open("/admin/staging")
    expect(admin.row("Desktop")).to_contain_text("50 %")
    expect(admin.row("Desktop").locator("[data-tone]")).to_have_attribute("data-tone", "warning")
    admin.row("Desktop").get_by_role("link", name="Why? hit rate of Desktop in default").click()

    # The page has the reason why the others were not, and leads to each
    expect(page.get_by_test_id("hit-rate-24")).to_have_text("50 %")
    expect(page.get_by_role("img", name="1 hit and 1 miss")).to_be_visible()
    reason = page.get_by_role("region", name="Reasons of misses").get_by_role("row").filter(has_text="launch_options")
    expect(reason).to_contain_text("Options of the launch")
    expect(reason).to_contain_text("environment")
    miss = page.get_by_role("region", name="Last misses").get_by_role("row").filter(has_text=user.username)
    expect(miss).to_contain_text("on demand")
    expect(miss.get_by_role("button", name="Why?")).to_be_visible()
    assert violations(page) == []
    use_colours(page, "dark")
    assert violations(page, "color-contrast") == []
    use_colours(page, "light")

    # One click to the violations, with user, setting and config in separate columns
    page.get_by_role("link", name="Incompatible settings in the logs").click()
    violation = page.get_by_role("region", name="Logs").get_by_role("row").filter(has_text=user.username)
    expect(violation).to_have_count(1)
    for column, value in (("Setting", "launch_options"), ("Staging Config", "Desktop in default")):
        expect(page.get_by_role("columnheader", name=column)).to_be_visible()
        expect(violation.get_by_role("cell", name=value, exact=True)).to_be_visible()
    assert violations(page) == []

    # And from each to the session the user got instead, and back
    admin.open_page(violation.get_by_role("link", name=missed[:8]))
    page.get_by_role("link", name="Incompatible settings in the logs").click()
    expect(page.get_by_role("region", name="Logs").get_by_role("row").filter(has_text=user.username)).to_have_count(1)
    admin.open(f"/admin/staging/{config_id}?tab=history")

    # The steps of the launch
    admin.open_page(miss.get_by_role("link", name=missed[:8]))
    expect(page.get_by_role("tab", name="Placement")).to_have_attribute("aria-selected", "true")
    steps = page.get_by_role("region", name="Placement").get_by_role("row")
    expect(steps.filter(has_text="Staged session in the current zone")).to_contain_text("Options of the launch")
    expect(steps.filter(has_text="New session in the current zone")).to_contain_text("used")

    # The same in the list of launches: filters of its rows do not apply to the steps
    admin.open(f"/admin/diagnostics/launches?q={user.username}")
    admin.row("on demand").get_by_role("button", name="Steps of this launch").click()
    steps = page.get_by_role("dialog").get_by_role("row")
    expect(steps.filter(has_text="New session in the current zone")).to_contain_text("used")


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("clean")
def test_the_answer_whether_a_user_would_get_one_follows_changes(admin: Person, user: Person, instance: Instance):
    config_id = instance.stage(1)
    wait_for(lambda: instance.staged(config_id) == 1, "the pool is full", within_s=60)
    admin.open(f"/admin/staging/{config_id}?tab=explain")
    answer = admin.page.get_by_role("main").get_by_role("status")
    admin.page.get_by_role("combobox", name="User").fill("unknown@example.org")
    admin.page.get_by_role("button", name="Check").click()
    expect(answer).to_contain_text("no user")
    admin.page.get_by_role("combobox", name="User").fill(user.username[:3])
    admin.page.get_by_role("option", name=user.username).click()
    expect(answer).to_contain_text(f"Yes: {user.username} would get a session")
    assert violations(admin.page) == []

    everybody = next(each for each in instance.call("GET", "/groups") if each["name"] == "All Users")
    group = f"/groups/{everybody['group_id']}"
    try:
        instance.call("PATCH", group, json={"settings": {"expose_user_environment_vars": True}})
        expect(answer).to_contain_text(f"No: {user.username} would not get a session")
        expect(answer).to_contain_text("Environment variables of the user")
        expect(answer).to_contain_text("group All Users")
        assert violations(admin.page) == []
    finally:
        instance.call("PATCH", group, json={"settings": {"expose_user_environment_vars": None}})
    expect(answer).to_contain_text(f"Yes: {user.username}")


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean", "failing_assign")
def test_a_quarantined_session_shows_its_reason_and_can_be_deleted(admin: Person, user: Person, instance: Instance):
    config_id = instance.stage(1)
    wait_for(lambda: instance.staged(config_id) == 1, "the pool is full", within_s=60)
    found = next(each for each in instance.call("GET", "/users") if each["username"] == user.username)
    admin.open(f"/admin/staging/{config_id}")
    staged = admin.page.get_by_role("region", name="Staged sessions").get_by_role("row")
    expect(staged.filter(has_text="ready")).to_have_count(1)

    session_id = instance.launch(found["user_id"])["session_id"]
    quarantined = staged.filter(has_text=session_id[:8])
    expect(quarantined).to_contain_text("quarantined", timeout=FILL_MS)
    expect(quarantined).to_contain_text("assign")
    assert violations(admin.page) == []

    # All quarantined sessions, with the reason; they do not change by themselves
    admin.open("/admin/sessions?kind=quarantined")
    listed = admin.row(session_id[:8])
    expect(listed.locator("[data-hint*=assign]")).to_be_visible()
    expect(listed.get_by_text(re.compile(r"^in \d"))).to_have_count(0)
    admin.open(f"/admin/staging/{config_id}")
    quarantined.get_by_role("button", name=f"Delete {session_id}").click()
    admin.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(quarantined).to_have_count(0, timeout=FILL_MS)


@pytest.mark.usefixtures("clean")
def test_a_deletion_repeated_after_a_lost_answer_succeeds(admin: Person, instance: Instance):
    page = admin.page
    config_id = instance.stage(0)
    answers: list[int] = []

    def lose_the_first(route: Route) -> None:
        if route.request.method != "DELETE":
            return route.fallback()
        answer = route.fetch()
        answers.append(answer.status)
        return route.abort() if len(answers) == 1 else route.fulfill(response=answer)

    page.route("**/api/v1/staging-configs/*", lose_the_first)
    admin.open(f"/admin/staging/{config_id}")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No staging configs yet")).to_be_visible()
    assert answers == [204, 404]


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("clean")
def test_a_pool_is_recycled_and_its_config_deleted_on_its_page(admin: Person, instance: Instance):
    page = admin.page
    config_id = instance.stage(1)
    admin.open(f"/admin/staging/{config_id}")
    staged = page.get_by_role("region", name="Staged sessions").get_by_role("row")
    ready = staged.filter(has_text="ready")
    expect(ready).to_have_count(1, timeout=FILL_MS)
    before = ready.get_attribute("data-row")
    page.get_by_role("button", name="Recycle").click()
    page.get_by_role("dialog").get_by_role("button", name="Recycle").click()
    expect(staged.and_(page.locator(f"[data-row='{before}']"))).to_have_count(0, timeout=FILL_MS)
    expect(ready).to_have_count(1, timeout=FILL_MS)
    expect(ready).not_to_contain_text("Will replace")
    expect(ready).to_contain_text(re.compile(r"in 7h 5\dm"))
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No staging configs yet")).to_be_visible()
