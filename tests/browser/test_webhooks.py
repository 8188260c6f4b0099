"""Webhooks at the console: created with a secret that is displayed once, tested, changed, replayed and deleted."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect
from tests.acceptance.instance import Instance
from tests.browser.console import Person, goto, is_change, logged_in, use_colours, violations

PAGE = "/admin/webhooks"


@dataclass
class Receiver:
    """A server on this host that answers with `status`."""

    status: int = 204
    types: list[str] = field(default_factory=list[str])
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.types.append(json.loads(body)["type"])
            self.send_response(made.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None: ...  # noqa: A002 -- of the library

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def instance(simulated_instance: Instance) -> Iterator[Instance]:
    """An instance whose sessions have no containers, and whose messages may be sent to this host during the test."""
    simulated_instance.call("PATCH", "/settings", json={"webhook_hosts": "127.0.0.1"})
    yield simulated_instance
    simulated_instance.call("PATCH", "/settings", json={"webhook_hosts": None})


@pytest.fixture
def admin(new_context: Callable[..., BrowserContext], instance: Instance) -> Iterator[Person]:
    found = instance.found["admin"]
    yield logged_in(new_context(), instance.url, found["username"], found["password"])
    for webhook in instance.call("GET", "/webhooks"):
        instance.call("DELETE", f"/webhooks/{webhook['webhook_id']}")


def test_a_webhook_is_made_tried_changed_and_deleted(admin: Person, instance: Instance, receiver: Receiver):
    page = admin.page
    admin.open("/admin")
    page.get_by_role("link", name="Infrastructure").click()
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_role("button", name="Create Webhook").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("ci")
    dialog.get_by_label("Address").fill("http://192.168.1.10/")
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_text("Choose at least one event")).to_be_visible()
    dialog.get_by_role("checkbox", name="launch.failed").check()
    assert violations(page) == []
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("must begin with https://")
    dialog.get_by_label("Address").fill(receiver.url)
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_text("The secret is shown only once")).to_be_visible()
    first = dialog.locator("pre").inner_text()
    assert first.startswith("whsec_")
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_text("whsec_")).to_have_count(0)

    page.get_by_role("button", name="Test ci").click()
    expect(page.get_by_text("A test message was sent to ci. The answer was 204")).to_be_visible()
    assert receiver.types == ["webhook.test"]
    admin.open_page(page.get_by_role("link", name="ci"))
    expect(admin.row("webhook.test")).to_contain_text("delivered")

    page.get_by_role("button", name="Edit").click()
    dialog.get_by_role("checkbox", name="pool.full").check()
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(dialog).to_have_count(0)
    (made,) = instance.call("GET", "/webhooks")
    assert made["events"] == ["pool.full", "launch.failed"]

    page.get_by_role("button", name="Renew Secret").click()
    dialog.get_by_role("button", name="Renew").click()
    expect(dialog.get_by_text("Secret of ci")).to_be_visible()
    assert dialog.locator("pre").inner_text() != first
    dialog.get_by_role("button", name="Done").click()

    with page.expect_response(is_change):
        page.get_by_role("switch", name="Enabled: webhook ci").click(force=True)
    expect(page.get_by_role("switch", name="Enabled: webhook ci")).not_to_be_checked()
    assert not instance.call("GET", f"/webhooks/{made['webhook_id']}")["enabled"]
    page.reload()  # without the notices, which cover the button
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No webhooks yet")).to_be_visible()
    assert instance.call("GET", "/webhooks") == []


def test_what_was_given_up_is_replayed(admin: Person, instance: Instance, receiver: Receiver):
    page, receiver.status = admin.page, 410
    body = {"name": "ci", "url": receiver.url, "events": ["session.ended"]}
    webhook_id = instance.call("POST", "/webhooks", json=body)["webhook_id"]
    for _ in range(3):
        instance.sql("SELECT send_webhooks('session.ended', '{\"session_id\": \"s\"}')")
    admin.open(f"{PAGE}/{webhook_id}")
    rows = admin.row("Session ended")
    expect(rows.filter(has_text="Given up after 1 attempt: the answer was 410.")).to_have_count(3)
    page.get_by_role("button", name="Show session.ended").first.click()
    expect(page.get_by_role("dialog").get_by_text('"session_id": "s"')).to_be_visible()
    assert violations(page) == []
    use_colours(page, "dark")
    assert violations(page, "color-contrast") == []
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert violations(page, "color-contrast") == []

    receiver.status = 200
    page.get_by_role("button", name="Replay session.ended").first.click()
    expect(rows.filter(has_text="The answer was 200")).to_have_count(1)
    page.get_by_role("button", name="Replay Given-Up Messages").click()
    page.get_by_role("button", name="Replay All", exact=True).click()
    expect(page.get_by_text("2 messages will be sent again.")).to_be_visible()
    expect(rows.filter(has_text="The answer was 200")).to_have_count(3)
    page.get_by_text("Given up", exact=True).click()
    expect(page.get_by_text("No matching messages")).to_be_visible()


def test_in_a_middle_window_columns_leave_and_several_webhooks_are_disabled(
    admin: Person, instance: Instance, receiver: Receiver
):
    for name in ("ci", "tickets"):
        instance.call("POST", "/webhooks", json={"name": name, "url": receiver.url, "events": ["session.ended"]})
    page = admin.page
    page.set_viewport_size({"width": 1024, "height": 780})
    admin.open(PAGE)
    expect(admin.row("tickets").get_by_role("switch")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Last Delivered")).to_have_count(0)
    table = page.get_by_role("region", name="Webhooks")
    assert table.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.set_viewport_size({"width": 1360, "height": 780})
    expect(page.get_by_role("columnheader", name="Last Delivered")).to_be_visible()

    page.get_by_role("checkbox", name="Select all rows").check()
    page.get_by_role("button", name="Disable", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Disable 2 webhooks?")
    dialog.get_by_role("button", name="Disable 2 webhooks").click()
    expect(dialog.get_by_role("status")).to_have_text("2 of 2 done")
    assert [each["enabled"] for each in instance.call("GET", "/webhooks")] == [False, False]


def test_who_may_only_look_is_offered_no_change(
    new_context: Callable[..., BrowserContext], admin: Person, instance: Instance, receiver: Receiver
):
    body = {"name": "ci", "url": receiver.url, "events": ["session.ended"]}
    instance.call("POST", "/webhooks", json=body)
    user = {"username": "eve@example.org", "password": "correct horse battery"}
    user_id = instance.call("POST", "/users", json=user)["user_id"]
    group = {"name": "Watchers", "permissions": ["webhooks_view"]}
    group_id = instance.call("POST", "/groups", json=group)["group_id"]
    instance.call("PUT", f"/groups/{group_id}/users/{user_id}")
    eve = logged_in(new_context(), instance.url, user["username"], user["password"])
    goto(eve.page, f"{instance.url}{PAGE}")
    expect(eve.page.get_by_role("link", name="ci")).to_be_visible()
    for word in ("Create Webhook", "Test ci", "Delete ci"):
        expect(eve.page.get_by_role("button", name=word)).to_have_count(0)
    expect(eve.page.get_by_role("switch", name="Enabled: webhook ci")).to_be_disabled()
    eve.open_page(eve.page.get_by_role("link", name="ci"))
    expect(eve.page.get_by_text("No messages yet")).to_be_visible()
    for word in ("Send Test", "Edit", "Renew Secret", "Delete"):
        expect(eve.page.get_by_role("button", name=word)).to_have_count(0)
