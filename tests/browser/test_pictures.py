"""The pages of the demo look as recorded (`script/pictures --record`), and the first screen of Today answers eight
questions, without problems and with the incident."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from script.pictures import FINGERPRINTS, PICTURES, RESULTS, Camera, Picture, Theme, compare, end_demo, read_demo
from tests.support.scratch import keep_in_memory, remove_from_memory

RECORDED: dict[str, str] = json.loads(FINGERPRINTS.read_text())


@contextmanager
def running_demo(*, incident: bool) -> Generator[dict[str, Any]]:
    """Start a small demo, and return its description; it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gr-demo-", dir="/tmp"))  # the accounts of the roles read it
    keep_in_memory(folder)
    data = str(folder / "demo")
    yield read_demo(data, small=True, incident=incident)
    end_demo(data)
    remove_from_memory(folder)


@pytest.fixture(scope="module")
def healthy() -> Iterator[dict[str, Any]]:
    """A demo without problems."""
    with running_demo(incident=False) as demo:
        yield demo


@pytest.fixture(scope="module")
def incident() -> Iterator[dict[str, Any]]:
    """A demo with the incident."""
    with running_demo(incident=True) as demo:
        yield demo


@pytest.fixture(scope="module")
def camera(browser: Browser, healthy: dict[str, Any]) -> Camera:
    """A camera in front of the demo without problems."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return Camera(browser, healthy)


@pytest.mark.timeout(240)
def test_nothing_needs_attention_in_the_demo(camera: Camera):
    """An entry would move the lines of Today."""
    assert camera.attention() == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "picture", [each for each in PICTURES if each.compared and each.name in RECORDED], ids=lambda each: each.name
)
def test_a_page_looks_as_recorded(camera: Camera, picture: Picture):
    content = camera.take(picture)
    (RESULTS / picture.file).write_bytes(content)
    assert compare(picture.name, content, RECORDED) is None


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
@pytest.mark.parametrize("kind", ["healthy", "incident"])
def test_the_first_screen_of_today_answers_eight_questions(
    browser: Browser, request: pytest.FixtureRequest, kind: str, theme: Theme
):
    page, today = open_today(browser, request.getfixturevalue(kind), theme)
    facts = page.get_by_role("region", name="Now and in the last 24 hours")

    def fact(title: str) -> Locator:
        return facts.get_by_role("group", name=title)

    primaries = [each["instance_id"] for each in today["primaries"]]
    assert all(primaries)
    sees(fact("Primary Managers"), *primaries)
    if kind == "incident":
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
    assert bool(refused) or kind == "healthy"
    sees(fact("Next expiry"), today["sessions"]["next_expiry"]["username"])
    changes, newest = fact("Changes of the last hour"), today["changes"]["newest"][0]
    expect(changes.locator("p").first).to_be_in_viewport(ratio=1)
    expect(changes).to_contain_text(newest["key_name"] or newest["actor_name"])
    page.context.close()
