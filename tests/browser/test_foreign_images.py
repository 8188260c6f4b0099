"""Workspaces of foreign images in the console: added by their name, opened in the frame, their clients connected.

The images are stand-ins (tests/stand_ins).
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, violations


@pytest.mark.usefixtures("clean")
def test_images_of_known_makers_need_only_their_name(
    admin: Person, user: Person, instance: Instance, kasmweb_image: str, linuxserver_image: str
):
    page = admin.page
    for name, image, port, folder in (
        ("Chrome", kasmweb_image, "6901", "/"),
        ("Webtop", linuxserver_image, "3000", "/{path}/"),
    ):
        admin.open("/admin/workspaces")
        page.get_by_role("link", name="Add Workspace").click()
        page.get_by_label("Friendly Name").fill(name)
        page.get_by_label("Docker Image").fill(image)
        page.get_by_label("Cores").fill("0.1")
        page.get_by_role("textbox", name="Memory", exact=True).fill("0.2")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
        expect(page.get_by_role("textbox", name="Port", exact=True)).to_have_value(port)
        expect(page.get_by_label("Path of the page")).to_have_value(folder)
        expect(page.get_by_label("Port Map")).to_have_value(re.compile("downloads"))
        assert violations(page) == []

        user.launch(name)
        frame = user.page.frame_locator("iframe")
        expect(frame.get_by_text("A desktop of others.")).to_be_visible(timeout=60_000)
        handle = user.page.locator("iframe").element_handle()
        content = handle.content_frame() if handle else None
        assert content is not None
        content.wait_for_function("document.title === 'connected'")
        expect(user.page.get_by_text("Opening the desktop")).to_have_count(0)
        content.evaluate("document.title = 'in use'")
        user.page.wait_for_timeout(4000)  # a silent page is reloaded after 2.5 s if it is Greenroom's
        assert content.title() == "in use"
