"""The console's control of a session's two pictures."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from tests.browser.console import Person, violations


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_one_button_switches_the_picture_and_the_browser_remembers_it(user: Person):
    page = user.page
    user.launch("Desktop")
    frame = user.desktop()
    user.tool("Picture: sharp")
    frame.wait_for_selector("html[data-picture=video]", state="attached")
    bar = user.tools()
    expect(bar.get_by_role("button", name="Picture: smooth")).to_be_visible()
    expect(bar.get_by_text(re.compile(r"bit/s · \d+ fps"))).to_be_visible()
    assert violations(page) == []
    page.reload()
    user.desktop().wait_for_selector("html[data-picture=video]", state="attached")
    user.tool("Picture: smooth")
    page.locator("iframe").content_frame.locator("html[data-picture=light]").wait_for(state="attached")
