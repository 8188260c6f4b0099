"""The launcher displays the nearer zone, and the user decides. The second zone exists only in the answers that the
page reads; the browser measures the real gateway, on one port unchanged, on the other with a delay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Route, expect
from tests.acceptance.instance import Instance, wait_for
from tests.browser.console import Person, violations

FAR_S = 0.12
OTHER = "00000000-0000-4000-8000-00000000005a"


@pytest.fixture(scope="module")
def direct(instance: Instance) -> Iterator[str]:
    """The address of the streams, which are direct during the block; consoles opened from now on may connect to it."""
    (zone,) = instance.call("GET", "/zones")
    path, address = f"/zones/{zone['zone_id']}", instance.found["stream_url"]

    def may_be_measured() -> bool:
        console = httpx2.get(instance.url, verify=instance.ca(), trust_env=False)
        return address in console.headers["Content-Security-Policy"].partition("connect-src")[2].partition(";")[0]

    instance.call("PATCH", path, json={"proxy_connections": False})
    try:
        wait_for(may_be_measured, "the console may connect to where the streams are")
        yield address
    finally:
        instance.call("PATCH", path, json={"proxy_connections": True})


def test_the_nearer_zone_is_suggested_and_one_switch_launches_there(direct: str, user: Person, instance: Instance):
    (zone,) = instance.call("GET", "/zones")
    targets = [
        {"zone_id": zone["zone_id"], "zone_name": "here", "current": True, "addresses": [""]},
        {"zone_id": OTHER, "zone_name": "there", "current": False, "addresses": [direct]},
    ]
    launched: list[dict[str, Any]] = []

    def options(route: Route) -> None:
        answer = route.fetch()
        zones = [{"zone_id": t["zone_id"], "zone_name": t["zone_name"]} for t in targets]
        nearest = {"mode": "suggest", "nearer_by_ms": 5, "targets": targets}
        route.fulfill(response=answer, json={**answer.json(), "zones": zones, "nearest": nearest})

    def far(route: Route) -> None:
        time.sleep(FAR_S)
        route.continue_()

    def launch(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        launched.append(json.loads(route.request.post_data or "{}"))
        route.abort()

    user.page.route("**/api/v1/me/launch-options", options)
    user.page.route(f"{instance.url}/round_trip", far)
    user.page.route("**/api/v1/sessions", launch)
    user.open("/")
    expect(user.page.get_by_text("Zone there is nearer to you than zone here")).to_be_visible(timeout=20_000)
    assert violations(user.page) == []
    user.page.get_by_label("Launch in zone there").check()
    user.page.get_by_test_id("launch-Desktop").click()
    expect(user.page.get_by_role("alert")).to_be_visible(timeout=20_000)
    assert launched[0]["zone_id"] == OTHER
    round_trips = launched[0]["round_trips_ms"]  # for the trace
    assert round_trips[OTHER] < round_trips[zone["zone_id"]]
    user.page.unroute_all(behavior="wait")  # the page polls for changes until it is closed
