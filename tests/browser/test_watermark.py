"""The watermark over the desktop: the name of the viewer, the text of the group, and the time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, second_of, violations

from greenroom.db.access.users import ALL_USERS

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240), pytest.mark.usefixtures("clean")]

SETTINGS = {"watermark": True, "watermark_text": "Exam room 3", "allow_kasm_sharing": True, "allow_guest_links": True}
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
ON_TOP = """() => {
  const { clientWidth: width, clientHeight: height } = document.documentElement;
  const mark = document.querySelector('svg.watermark');
  const { left, top, right, bottom } = mark.getBoundingClientRect();
  const covers = left <= 0 && top <= 0 && right >= width && bottom >= height;
  mark.style.pointerEvents = 'auto';
  const isOnTop = document.elementFromPoint(width / 2, height / 2).closest('svg') === mark;
  return covers && isOnTop;
}"""
"""Whether the watermark covers the window and nothing is above it."""


@pytest.fixture
def marked(instance: Instance) -> Iterator[None]:
    """The group of all users requires a watermark."""
    change(instance, **SETTINGS)
    yield
    change(instance, **dict.fromkeys(SETTINGS))


def change(instance: Instance, **settings: Any) -> None:
    instance.call("PATCH", f"/groups/{ALL_USERS}", json={"settings": settings})


def shows(page: Page, viewer: str) -> None:
    """Expect the watermark of this viewer."""
    mark = page.locator("svg.watermark")
    expect(mark).to_be_visible()
    expect(mark.locator("text")).to_have_text([re.compile(f"^{viewer} · Exam room 3$"), re.compile(f"^{TIME}$")])


@pytest.mark.usefixtures("marked")
def test_a_member_sees_a_watermark_that_returns_after_its_removal(user: Person):
    user.launch("Desktop")
    user.desktop()
    page, name = user.page, re.escape(user.username)
    shows(page, name)
    assert page.evaluate(ON_TOP)
    assert violations(page) == []
    page.evaluate("document.querySelector('svg.watermark').remove()")
    shows(page, name)
    page.evaluate("document.querySelector('svg.watermark text').textContent = 'someone else'")
    shows(page, name)
    page.evaluate("document.querySelector('svg.watermark').style.opacity = 0")
    expect(page.locator("svg.watermark[style]")).to_have_count(0)
    user.tool("Full screen")
    page.wait_for_function("() => document.fullscreenElement !== null")
    assert page.evaluate(ON_TOP)
    assert "fullscreen 'none'" in (page.locator("iframe").get_attribute("allow") or "")


@pytest.mark.usefixtures("marked")
def test_a_guest_sees_the_own_name_and_address(
    user: Person, new_context: Callable[..., BrowserContext], instance: Instance
):
    session_id = user.launch("Desktop")
    user.desktop()
    address, body = f"{instance.url}/api/v1/sessions/{session_id}/shares", {"access": "view", "guest": True}
    share = user.page.request.post(address, data=body, headers={"Origin": instance.url})
    expect(share).to_be_ok()
    window = new_context().new_page()
    window.goto(instance.url + share.json()["connect_url"])
    window.get_by_label("Your name").fill("Gus")
    window.get_by_role("button", name="Join").click()
    Person(window, instance.url, "Gus").desktop()
    shows(window, r"Gus \(guest\) · [0-9a-f.:]+")


@pytest.mark.usefixtures("marked")
def test_a_second_screen_has_the_watermark_too(user: Person, xfce: str):
    user.launch(xfce)
    user.desktop()
    window, _ = second_of(user)
    shows(window, re.escape(user.username))


def test_without_the_setting_there_is_no_watermark(user: Person):
    user.launch("Desktop")
    user.desktop()
    expect(user.page.locator("svg.watermark")).to_have_count(0)
