"""The first screen of Today answers eight questions, in the demo without problems and with an incident."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from script.pictures import Theme, end_demo, read_demo
from tests.support.scratch import keep_in_memory, remove_from_memory


@pytest.fixture(scope="module", params=[False, True], ids=["healthy", "incident"])
def demo(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The description of a small demo, with or without the incident."""
    folder = Path(tempfile.mkdtemp(prefix="gr-glance-", dir="/tmp"))  # the accounts of the roles read it
    keep_in_memory(folder)
    data = str(folder / "demo")
    yield read_demo(data, small=True, incident=request.param) | {"incident": request.param}
    end_demo(data)
    remove_from_memory(folder)


def open_today(browser: Browser, demo: dict[str, Any], theme: Theme) -> tuple[Page, dict[str, Any]]:
    """Return the page Today of the administrator in a window of 1440 by 900, and what the api answers for it."""
    context = browser.new_context(
        ignore_https_errors=True, color_scheme=theme, locale="en-GB", viewport={"width": 1440, "height": 900}
    )
    username = next(name for name in demo["usernames"] if name.startswith("lena.hoffmann@"))
    body = {"username": username, "password": demo["password"]}
    assert context.request.post(f"{demo['url']}/api/v1/login", data=body).ok
    today = context.request.get(f"{demo['url']}/api/v1/today").json()
    page = context.new_page()
    page.goto(f"{demo['url']}/admin")
    return page, today


def sees(place: Locator, *texts: str) -> None:
    """Check that each text is in the first screen, in a part of the page."""
    for text in texts:
        expect(place.get_by_text(text).first).to_be_in_viewport(ratio=1)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_screen_of_today_answers_eight_questions(browser: Browser, demo: dict[str, Any], theme: Theme):
    page, today = open_today(browser, demo, theme)
    facts = page.get_by_role("region", name="Now and in the last 24 hours")

    def fact(title: str) -> Locator:
        return facts.get_by_role("group", name=title)

    primaries = [each["instance_id"] for each in today["primaries"]]
    assert all(primaries)
    sees(fact("Primary Managers"), *primaries)
    if demo["incident"]:
        short = [each for each in today["attention"] if each["code"] in ("pool", "image")]
        assert short, "the incident has a pool that is short"
        sees(page.locator("li[data-code=pool], li[data-code=image]"), short[0]["parts"][1]["text"])
    else:
        sees(fact("Staged sessions ready"), "no pool is short")
    sees(fact("Free capacity"), "cores", "memory")
    sees(fact("Sessions of users"), today["sessions"]["oldest"]["username"])
    sees(fact("Slowest launch"), today["launches"]["slowest"]["username"])
    refused = [user["username"] for user in today["launches"]["refused_users"]]
    sees(fact("Refused users"), *(refused[:3] or ["each launch got a session"]))
    assert bool(refused) or not demo["incident"]
    sees(fact("Next expiry"), today["sessions"]["next_expiry"]["username"])
    changes = fact("Changes of the last hour")
    expect(changes.locator("p").first).to_be_in_viewport(ratio=1)
    expect(changes).to_contain_text(today["changes"]["newest"][0]["actor_name"])
    page.context.close()
