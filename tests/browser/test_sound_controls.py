"""Sound and microphone in the bar of a session: on and off, volume, meters, and the settings that the browser
stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, expect, sync_playwright
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import Person, inside, violations
from tests.browser.fake_sound import LISTEN, MEASURE, with_beeps
from tests.support.sound import Recorded, recorded, tone


@pytest.fixture(scope="module")
def browser(chromium: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One whose microphone beeps."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**with_beeps(chromium, tmp_path_factory.mktemp("microphone")))
        yield browser
        browser.close()


@pytest.fixture
def without_microphone(user: Person, instance: Instance) -> Iterator[Person]:
    """Ada, whose group may not use the microphone."""
    user_id = instance.sql("SELECT user_id FROM users WHERE username = %s", user.username)[0]["user_id"]
    settings = {"allow_kasm_microphone": False}
    group = instance.call("POST", "/groups", json={"name": "Listeners", "priority": 1, "settings": settings})
    instance.call("PUT", f"/groups/{group['group_id']}/users/{user_id}")
    yield user
    instance.call("DELETE", f"/groups/{group['group_id']}")


def play(session_id: str, hz: float, seconds: float) -> None:
    inside(session_id, "sh", "-c", f"({tone(hz, seconds)}) >/dev/null 2>&1 &")


def comes_out(frame: Frame, hz: float) -> None:
    def as_played() -> bool:
        out = frame.evaluate(MEASURE)
        return 0.33 < out["rms"] < 0.37 and abs(out["hz"] - hz) < 10

    wait_for(as_played, f"{hz} Hz come out of the browser")


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("clean")
def test_sound_and_microphone_of_a_session(user: Person):
    page = user.page
    page.add_init_script(LISTEN)
    session_id = user.launch("Desktop")
    frame = user.desktop()
    user.tool("Sound")
    expect(page.get_by_role("button", name="Sound", exact=True)).to_have_attribute("aria-pressed", "true")
    play(session_id, 1000, 120)
    comes_out(frame, 1000)

    user.tool("Volume and devices")
    expect(page.get_by_label("Level of the sound")).not_to_have_attribute("data-rms", "0")
    assert violations(page) == []
    page.get_by_role("slider", name="Volume").press("Home")
    wait_for(lambda: frame.evaluate(MEASURE)["rms"] < 0.01, "the volume is 0")
    page.get_by_role("slider", name="Volume").press("End")
    page.get_by_role("button", name="Mute").click()
    wait_for(lambda: frame.evaluate(MEASURE)["rms"] < 0.01, "it is muted")
    page.get_by_role("button", name="Mute").click()
    comes_out(frame, 1000)
    inside(session_id, "pkill", "pacat")

    # The microphone displays that it is on, also in the page while the pill is hidden
    user.tool("Microphone")
    user.tool("Volume and devices")
    sign = page.get_by_role("button", name="Microphone on")
    expect(sign).to_be_visible()
    expect(page.get_by_label("Level of the microphone")).not_to_have_attribute("data-rms", "0")
    assert violations(page) == []
    wait_for(lambda: Recorded.of(inside(session_id, "sh", "-c", recorded(2))).rms > 0.05, "the beeps are inside")
    sign.click()
    expect(sign).to_have_count(0)

    # This browser stores that the sound is on, but not the microphone
    page.reload()
    frame = user.desktop()
    page.mouse.click(640, 500)
    play(session_id, 700, 60)
    comes_out(frame, 700)
    expect(sign).to_have_count(0)


@pytest.mark.usefixtures("clean")
def test_a_microphone_that_is_not_allowed_is_not_offered_and_says_why(without_microphone: Person):
    page = without_microphone.page
    without_microphone.launch("Desktop")
    without_microphone.desktop()
    refused = without_microphone.tools().get_by_role(
        "button", name="Microphone: The microphone is not allowed for your group."
    )
    expect(refused).to_have_attribute("aria-disabled", "true")
    refused.click(force=True)
    expect(page.get_by_role("button", name="Microphone on")).to_have_count(0)
    assert violations(page) == []
