"""The video of a session: its announcement, its recording in a real container, its player, and its verification."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Frame, Page, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import Person, inside, violations

from greenroom.db.access.users import ALL_USERS

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

ANNOUNCEMENT = "This session is recorded"
COLOR_AT = """async ([video, position]) => {
  const seeked = new Promise((resolve) => video.addEventListener('seeked', resolve, { once: true }));
  video.currentTime = position;
  await seeked;
  const pixel = new OffscreenCanvas(1, 1).getContext('2d');
  pixel.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 8, 8, 0, 0, 1, 1);
  const [red, green] = pixel.getImageData(0, 0, 1, 1).data;
  return red > 150 && green < 100 ? 'red' : green > 100 && red < 100 ? 'green' : 'other';
}"""
"""The color in the middle of the picture at a position of the video."""

SHOWS = """(color) => {
  const canvas = document.querySelector('canvas');
  const [red, green] = canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
  return color === (red > 150 && green < 100 ? 'red' : green > 100 && red < 100 ? 'green' : 'other');
}"""
"""Whether the middle of the user's screen has this color."""


@pytest.fixture
def recorded(instance: Instance) -> Iterator[None]:
    """The group of all users requires a recording."""
    change(instance, record_sessions=True, allow_kasm_sharing=True, allow_guest_links=True)
    yield
    change(instance, record_sessions=None, allow_kasm_sharing=None, allow_guest_links=None)


def change(instance: Instance, **settings: Any) -> None:
    instance.call("PATCH", f"/groups/{ALL_USERS}", json={"settings": settings})


def fill(desktop: Frame, session_id: str, color: str) -> None:
    """Fill the screen with a color inside the session, and let the recorder see it."""
    look = f"-fa 'DejaVu Sans Mono' -fs 10 -geometry 200x80+0+0 -bg {color}"
    inside(session_id, "sh", "-c", f"setsid xterm {look} -e sleep 1000 >/dev/null 2>&1 &")
    desktop.wait_for_function(SHOWS, arg=color)
    time.sleep(10)  # the recorder takes a picture of a changed screen every 2 s at least, later on a busy machine


def videos(instance: Instance, session_id: str) -> list[dict[str, Any]]:
    found = instance.call("GET", "/session-videos")
    return [video for video in found if video["session_id"] == session_id and video["ended"]]


def is_below_the_desktop(page: Page) -> bool:
    """Whether the announcement covers no part of the desktop, and is whole in the window."""
    announcement = page.get_by_text(ANNOUNCEMENT)
    expect(announcement).to_be_visible()
    box, desktop = announcement.bounding_box(), page.locator("iframe").bounding_box()
    assert box is not None
    assert desktop is not None
    height = page.evaluate("innerHeight")
    return desktop["y"] + desktop["height"] <= box["y"] and box["y"] + box["height"] <= height


def color_at(page: Page, position: str) -> str:
    return page.locator("video").evaluate(f"(video) => ({COLOR_AT})([video, {position}])")


@pytest.mark.usefixtures("recorded")
def test_a_recorded_session_is_announced_played_and_verified(user: Person, admin: Person, instance: Instance):
    session_id = user.launch("Desktop")
    desktop = user.desktop()
    assert is_below_the_desktop(user.page)
    assert violations(user.page) == []
    fill(desktop, session_id, "red")
    fill(desktop, session_id, "green")
    instance.call("DELETE", f"/sessions/{session_id}")
    (video,) = wait_for(lambda: videos(instance, session_id), "the end of the video", 60)
    assert video["username"] == user.username

    page = admin.page
    admin.open("/admin/session-videos")
    admin.row(user.username).get_by_role("link", name=user.username).click()
    page.get_by_role("button", name="View the video").click()
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
    positions = [*(f"video.duration * {part} / 20" for part in range(1, 20)), "video.duration - 0.1"]
    colors = [color for color, _ in groupby(color_at(page, position) for position in positions)]
    assert [color for color in colors if color != "other"] == ["red", "green"]
    expect(page.get_by_test_id("clock")).not_to_have_text("")
    assert violations(page) == []
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("The video is unchanged")).to_be_visible()
    viewed = instance.sql("SELECT message FROM audit_events WHERE code = 'session-video-viewed'")
    assert [session_id in row["message"] for row in viewed] == [True]

    instance.sql(
        "UPDATE session_video_segments SET data = data || '\\x00' WHERE session_id = %s RETURNING 1", session_id
    )
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("Segment 1 was changed")).to_be_visible()
    page.get_by_role("link", name="Session", exact=True).click()
    page.get_by_role("link", name="Video", exact=True).click()
    expect(page.get_by_role("button", name="View the video")).to_be_visible()


@pytest.mark.usefixtures("recorded")
def test_a_guest_sees_that_the_session_is_recorded(
    user: Person, new_context: Callable[..., BrowserContext], instance: Instance
):
    session_id = user.launch("Desktop")
    user.desktop()
    address, body = f"{instance.url}/api/v1/sessions/{session_id}/shares", {"access": "view", "guest": True}
    share = user.page.request.post(address, data=body, headers={"Origin": instance.url})
    window = new_context().new_page()
    window.goto(instance.url + share.json()["connect_url"])
    window.get_by_label("Your name").fill("Gus")
    window.get_by_role("button", name="Join").click()
    desktop = window.frame_locator("iframe")
    expect(desktop.locator("canvas").first).to_be_visible()
    assert is_below_the_desktop(window)
    expect(window.get_by_text("View only", exact=True)).to_be_visible()
    expect(desktop.get_by_text("View only", exact=True)).to_be_hidden()


@pytest.mark.usefixtures("recorded")
def test_a_session_whose_recorder_is_killed_again_and_again_is_ended(user: Person, instance: Instance):
    session_id = user.launch("Desktop")
    user.desktop()

    def ended() -> bool:
        inside(session_id, "pkill", "-f", "greenroom/[r]ecorder.py")
        return instance.session(session_id)["status"] == "failed"

    wait_for(ended, "the end of the session", 60)
    error = instance.session(session_id)["error"]
    assert error == "The session was ended because it must be recorded: its recorder ended 4 times within 300 s."
    query = "SELECT level FROM logs WHERE code = 'session-not-recorded' AND session_id = %s"
    (row,) = wait_for(lambda: instance.sql(query, session_id), "the log row of the Agent", 20)
    assert row["level"] == "ERROR"
