"""The page Trends: charts of recorded series, with the mouse, the keyboard and a screen reader."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from tests.browser.console import Person, violations

PAGE = "/admin/trends"


@pytest.mark.timeout(240)  # with the start of the instance, if this file is the first one
def test_a_chart_is_a_slider_and_a_table_and_the_address_has_its_period(admin: Person):
    page = admin.page
    admin.open(PAGE)
    cores = page.get_by_role("slider", name="Cores")
    expect(cores).to_be_visible(timeout=75_000)  # the first minute is recorded, and read within 30 s
    cores.focus()
    page.keyboard.press("End")
    expect(cores).to_have_attribute("aria-valuetext", re.compile(r"Reserved [\d.,]+, .*Offered [\d.,]+"))
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile(r"since=.+&until=.+"))
    page.go_back()
    expect(page).to_have_url(re.compile(f"{PAGE}$"))
    page.get_by_role("button", name="Show as table: Cores").click()
    table = page.get_by_role("region", name="Cores, as a table")
    expect(table.get_by_role("columnheader")).to_have_text(["Time", "Reserved", "Fewest free", "Offered"])
    assert table.get_by_role("row").count() > 1
    page.get_by_text("7 d", exact=True).click()
    expect(page).to_have_url(re.compile(r"range=7d"))
    assert violations(page) == []
