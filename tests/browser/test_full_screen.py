"""Keys that browsers normally reserve are captured in full screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browser.console import Person, are_separate

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240), pytest.mark.usefixtures("clean")]

WATCH = """() => {
  window.locks = [];
  const lock = navigator.keyboard.lock.bind(navigator.keyboard);
  navigator.keyboard.lock = async () => {
    if (window.refuses) throw new Error('refused');
    await lock();
    window.locks.push(document.fullscreenElement !== null);
  };
}"""


def test_in_full_screen_all_keys_are_asked_for_and_a_refusal_is_said(user: Person):
    user.launch("Desktop")
    user.desktop()
    page = user.page
    page.evaluate(WATCH)
    user.tool("Full screen")
    page.wait_for_function("() => window.locks.length === 1 && window.locks[0]")
    expect(page.get_by_text("This browser does not forward some keys")).to_have_count(0)
    user.tool("Leave full screen")
    page.evaluate("window.refuses = true")
    user.tool("Full screen")
    warning = page.get_by_role("alert").filter(has_text="This browser does not forward some keys")
    expect(warning).to_be_visible()
    user.tools()
    expect(page.get_by_role("region", name="Session menu")).to_be_visible()
    assert are_separate(warning, page.get_by_role("region", name="Session menu"))
