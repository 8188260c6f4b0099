"""Sessions stopped, paused and resumed, launched with choices, opened by a connect address, ended in bulk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Response, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, goto, inside, violations

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def allow(instance: Instance) -> Iterator[Callable[..., None]]:
    """Set settings of All Users for this test."""
    given: dict[str, Any] = {}

    def patch(settings: dict[str, Any]) -> None:
        with instance.http() as http:
            answer = http.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": settings})
            assert answer.status_code == 200, answer.text

    def allow(**settings: Any) -> None:
        given.update(settings)
        patch(settings)

    yield allow
    patch(dict.fromkeys(given))


@pytest.mark.timeout(180)
def test_a_session_is_paused_and_stopped_and_goes_on_where_it_was(user: Person):
    session_id = user.launch("Desktop")
    user.desktop()
    inside(session_id, "touch", "/home/kasm-user/kept")
    page = user.page
    user.tool("Pause")
    expect(page.get_by_role("heading", name="The session is paused")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Resume").click()
    user.desktop()
    user.tool("Stop")
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="The session is stopped")).to_be_visible(timeout=40_000)
    page.get_by_role("link", name="Back to the workspaces").click()
    card = page.locator(f"[data-session='{session_id}']")
    expect(card).to_contain_text("stopped")
    card.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("all its files are lost")
    assert violations(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    card.get_by_role("button", name="Resume Desktop").click()
    user.desktop()
    assert inside(session_id, "ls", "/home/kasm-user/kept") != ""


def test_a_file_over_the_upload_limit_is_refused_with_a_sentence(
    user: Person, allow: Callable[..., None], tmp_path: Path
):
    allow(max_upload_mb=1)
    for name, size_mb in ("large.bin", 30), ("small.bin", 1):
        (tmp_path / name).write_bytes(bytes(size_mb * 1_000_000))
    session_id = user.launch("Desktop")
    files = user.desktop()
    user.tool("Files")
    expect(files.get_by_text("Up to 1 MB a file.")).to_be_visible()
    for name, sentence in {
        "large.bin": "too large: up to 1 MB may be uploaded",
        "small.bin": "small.bin is in Uploads.",
    }.items():
        files.locator("#chooser").set_input_files(tmp_path / name)
        expect(files.locator("#message").get_by_text(sentence)).to_be_visible()
    assert violations(files) == []
    assert violations(user.page) == []
    assert inside(session_id, "ls", "/home/kasm-user/Uploads") == "small.bin\n"
    files.get_by_role("button", name="Close the files").click()
    expect(files.get_by_role("heading", name="Files")).to_have_count(0)


@pytest.mark.timeout(180)
def test_what_the_groups_do_not_allow_is_not_offered(user: Person, allow: Callable[..., None]):
    allow(allow_kasm_delete=False, allow_kasm_stop=False, allow_kasm_pause=False)
    session_id = user.launch("Desktop")
    user.desktop()
    tools = user.tools()
    expect(tools.get_by_role("button", name="Leave")).to_be_visible()
    for name in ("Pause", "Stop", "Delete"):
        expect(tools.get_by_role("button", name=name)).to_have_count(0)
    user.tool("Leave")
    card = user.page.locator(f"[data-session='{session_id}']")
    expect(card).to_contain_text(re.compile(r"Ends in \d+m unless in use"))
    # Taken again each minute, also if there is none
    expect(card.get_by_role("img", name="Screen of Desktop")).to_be_visible(timeout=75_000)
    for name in ("Stop", "More"):
        expect(card.get_by_role("button", name=name)).to_have_count(0)
    assert violations(user.page) == []


def test_zone_and_profile_are_chosen_at_the_launch(user: Person, instance: Instance, allow: Callable[..., None]):
    allow(allow_zone_selection=True, allow_persistent_profile=True)
    with instance.http() as http:
        zone = (
            http.post("/api/v1/zones", json={"zone_name": "far", "search_alternate_zones": False})
            .raise_for_status()
            .json()
        )
        image = next(each for each in http.get("/api/v1/images").json() if each["friendly_name"] == "Desktop")
        try:
            user.open("/")
            user.page.get_by_role("button", name="Launch Desktop with options").click()
            form = user.page.get_by_role("dialog")
            user.field("Zone").click()
            user.page.get_by_role("option", name="far").click()
            assert violations(user.page) == []
            form.get_by_role("button", name="Launch").click()
            expect(form.get_by_role("alert")).to_contain_text("Not saved")
            user.field("Zone").click()
            user.page.get_by_role("option", name="default").click()
            form.get_by_role("button", name="Launch").click()
            user.page.wait_for_url(re.compile(r"/session/[0-9a-f-]{36}"))
        finally:
            http.delete(f"/api/v1/zones/{zone['zone_id']}")
        session = http.get("/api/v1/sessions", params={"image_id": image["image_id"]}).json()[0]
        assert session["zone_name"] == "default"


def test_a_connect_address_opens_the_desktop_without_a_log_in(
    instance: Instance, new_context: Callable[..., BrowserContext]
):
    key = {"api_key": instance.found["api_key"], "api_key_secret": instance.found["api_key_secret"]}
    with instance.http() as http:
        image = next(each for each in http.get("/api/v1/images").json() if each["friendly_name"] == "Desktop")
        launched = http.post("/api/public/request_kasm", json=key | {"image_id": image["image_id"].replace("-", "")})
        address = launched.json()["kasm_url"]
    page = new_context().new_page()
    goto(page, f"{instance.url}{address}")
    guest = Person(page, instance.url, "unknown")
    guest.desktop()
    assert violations(page) == []
    expect(guest.tools().get_by_role("button", name="Delete")).to_have_count(0)
    goto(page, f"{instance.url}{address[:-4]}AAAA")
    page.reload()
    expect(page.get_by_text("This address is not valid")).to_be_visible()


def test_a_link_logs_a_person_in_once(instance: Instance, user: Person, new_context: Callable[..., BrowserContext]):
    key = {"api_key": instance.found["api_key"], "api_key_secret": instance.found["api_key_secret"]}
    with instance.http() as http:
        found = next(each for each in http.get("/api/v1/users").json() if each["username"] == user.username)
        link = http.post("/api/public/get_login", json=key | {"target_user": {"user_id": found["user_id"]}}).json()
    page = new_context().new_page()
    goto(page, link["url"])
    expect(page.get_by_role("heading", name="Workspaces")).to_be_visible()
    again = new_context().new_page()
    goto(again, link["url"])
    expect(again.get_by_text("used before")).to_be_visible()


@pytest.mark.timeout(120)
def test_several_sessions_end_at_once_after_a_confirmation_naming_them(admin: Person, user: Person, instance: Instance):
    with instance.http() as http:
        found = next(each for each in http.get("/api/v1/users").json() if each["username"] == user.username)
        image = next(each for each in http.get("/api/v1/images").json() if each["friendly_name"] == "Desktop")
        for _ in range(2):
            body = {"image_id": image["image_id"], "user_id": found["user_id"]}
            http.post("/api/v1/sessions", json=body).raise_for_status()
    page = admin.page
    admin.open("/admin/sessions")
    rows = admin.row(user.username)
    expect(rows).to_have_count(2)
    page.get_by_role("checkbox", name="Select all rows").click()
    expect(page.get_by_text("2 selected")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Delete", exact=True).click()
    dialogue = page.get_by_role("dialog")
    expect(dialogue).to_contain_text("Delete 2 sessions?")
    expect(dialogue).to_contain_text(f"{user.username}\u2019s Desktop")
    dialogue.get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(0, timeout=40_000)


@pytest.mark.timeout(120)
def test_a_sessions_page_has_placement_screen_command_and_log_rows(admin: Person, user: Person, instance: Instance):
    session_id = user.launch("Desktop")
    user.desktop()
    page = admin.page
    admin.open(f"/admin/sessions/{session_id}")
    expect(page.get_by_role("heading", level=1, name=f"{user.username}\u2019s Desktop")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("tab", name="Placement").click()
    expect(page.get_by_role("row").filter(has_text="used").first).to_contain_text("default")
    notice = user.page.get_by_role("status").filter(has_text="An administrator took a screenshot of this session at")
    expect(notice).to_have_count(0)
    page.get_by_role("tab", name="Details").click()
    page.get_by_role("button", name="Show the screen").click()
    expect(page.get_by_role("img", name="Screen of")).to_be_visible(timeout=30_000)
    expect(notice).to_be_visible()
    user.page.reload()
    expect(notice).to_be_visible(timeout=30_000)
    assert violations(user.page) == []
    notice.get_by_role("button", name="Close this notice").click()
    expect(notice).to_have_count(0)
    page.get_by_role("tab", name="Command").click()
    page.get_by_role("textbox", name="Command").fill("echo greetings; echo failure >&2; exit 3")
    page.get_by_role("button", name="Run").click()
    output = page.get_by_role("log", name="Output")
    expect(output.get_by_text("Exit code 3")).to_be_visible(timeout=30_000)
    expect(output.get_by_text("greetings", exact=True)).to_be_visible()
    expect(output.get_by_role("group", name="Error output")).to_have_text("failure\n")
    page.get_by_role("textbox", name="Command").press("ArrowUp")
    expect(page.get_by_role("textbox", name="Command")).to_have_value("echo greetings; echo failure >&2; exit 3")
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_role("row").filter(has_text="session-launched")).to_be_visible()
    assert violations(page) == []


def test_an_open_page_keeps_its_session_alive(user: Person):
    session_id = user.launch("Desktop")
    user.desktop()

    def beat(response: Response) -> bool:
        return response.url.endswith(f"/sessions/{session_id}/keepalives") and response.status == 200

    with user.page.expect_response(beat):
        user.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
