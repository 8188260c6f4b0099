"""Two zones: a launch begins in the nearer one, which the browser measures, and a join token needs a chosen zone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.browser.console import Person

FAR_S = 0.12


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """The zones here, at the main port, and there, whose streams are direct."""
    settings = {"nearest_zone": "on", "allow_zone_selection": True}
    with running_instance("--zones", "here,there", GREENROOM_RUNTIME="simulated") as instance:
        there = next(zone for zone in instance.call("GET", "/zones") if zone["zone_name"] == "there")
        instance.call("PATCH", f"/zones/{there['zone_id']}", json={"proxy_connections": False})
        (group,) = (group for group in instance.call("GET", "/groups") if group["name"] == "All Users")
        instance.call("PATCH", f"/groups/{group['group_id']}", json={"settings": settings})
        wait_for(lambda: may_be_measured(instance), "the console may connect to where the streams are")
        yield instance


def may_be_measured(instance: Instance) -> bool:
    with instance.http() as http:
        policy = http.get("/").headers["Content-Security-Policy"]
    return instance.found["stream_url"] in policy.partition("connect-src")[2].partition(";")[0]


@pytest.mark.parametrize(("far", "nearer"), [("here", "there"), ("there", "here")])
def test_a_launch_begins_in_the_zone_that_the_browser_found_nearer(
    instance: Instance, user: Person, far: str, nearer: str
):
    """The path to one of them is delayed; the answers come from the gateway of each."""

    def slowly(route: Route) -> None:
        time.sleep(FAR_S)
        route.continue_()

    ways = {"here": instance.url, "there": instance.found["stream_url"]}
    user.page.route(f"{ways[far]}/round_trip", slowly)
    user.open("/")
    user.page.get_by_role("button", name="Launch Desktop with options").click()
    dialog = user.page.get_by_role("dialog")
    user.field("Zone").click()
    for zone in ways:
        option = user.page.get_by_role("option", name=re.compile(rf"^{zone} · \d+ ms away"))
        expect(option).to_be_visible(timeout=20_000)
    user.page.get_by_role("option", name="Auto").click()
    dialog.get_by_role("button", name="Launch", exact=True).click()
    user.page.wait_for_url(re.compile(r"/session/[0-9a-f-]{36}"))
    session_id = user.page.url.rsplit("/", 1)[1]
    assert instance.session(session_id)["zone_name"] == nearer
    last = instance.call("GET", f"/sessions/{session_id}/placement")["steps"][-1]
    says_so = f"began in zone {nearer}, which is nearer to the user's browser than zone {far}" in last["reason"]
    assert says_so == (nearer == "there"), "launches begin here anyway"


def test_a_join_token_needs_a_zone_that_the_user_chose(admin: Person):
    admin.open("/admin/infrastructure/agents?create=1")
    dialog = admin.page.get_by_role("dialog")
    expect(dialog.get_by_text("Choose a zone.", exact=True)).to_be_visible()
    create = dialog.get_by_role("button", name="Create join token")
    expect(create).to_be_disabled()
    admin.field("Zone").click()
    admin.page.get_by_role("option", name="there").click()
    create.click()
    expect(dialog.get_by_test_id("join-command")).to_be_visible()
