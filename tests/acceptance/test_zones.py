"""Two zones in a deployment, with real desktops in both: the placement of a launch, the address and access of its
stream."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.acceptance.open_desktop import open_desktop
from websockets.exceptions import InvalidStatus

AS_A_FRAME = {"Sec-Fetch-Dest": "iframe", "Accept": "text/html"}


@pytest.fixture(scope="module")
def zones(openbox_image: str) -> Iterator[Instance]:
    """A running instance with the zones eu, the current one of the main port, and us."""
    with running_instance("--zones", "eu,us", GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield instance


def zone_of(instance: Instance, name: str) -> dict[str, Any]:
    return next(zone for zone in instance.call("GET", "/zones") if zone["zone_name"] == name)


@contextmanager
def changed(instance: Instance, path: str, **fields: Any) -> Generator[None]:
    """Change fields of a zone or workspace for the duration of the block."""
    before = {name: value for name, value in instance.call("GET", path).items() if name in fields}
    if (settings := fields.get("settings")) is not None:
        before["settings"] = {name: before["settings"].get(name) for name in settings}
    instance.call("PATCH", path, json=fields)
    try:
        yield
    finally:
        instance.call("PATCH", path, json=before)


def launched(instance: Instance, *, gateway_of: str | None = None, **body: Any) -> dict[str, Any]:
    """A session of a new user, launched through a zone's gateway or the main port."""
    address = next((z["gateway_url"] for z in instance.found["zones"] if z["zone_name"] == gateway_of), instance.url)
    auth = (instance.found["api_key"], instance.found["api_key_secret"])
    body = {"image_id": instance.desktop(), "user_id": instance.new_user(), **body}
    answer = httpx2.post(
        f"{address}/api/v1/sessions", json=body, auth=auth, verify=instance.ca(), timeout=15, trust_env=False
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


def steps(instance: Instance, session_id: str) -> list[tuple[str, str, str | None]]:
    trace = instance.call("GET", f"/sessions/{session_id}/placement")["steps"]
    return [(step["step"], step["zone_name"], step["code"]) for step in trace]


def frame_of(instance: Instance, session_id: str) -> str:
    """The address of its stream, once it may be opened."""
    path = f"/sessions/{session_id}/connection"
    return wait_for(lambda: instance.call("GET", path)["frame_url"], "the stream may be opened")


def opened(instance: Instance, url: str) -> httpx2.Response:
    return httpx2.get(url, verify=instance.ca(), headers=AS_A_FRAME, timeout=15, trust_env=False)


def test_each_agent_has_the_zone_of_its_manager(zones: Instance):
    managers = {m["manager_id"]: m["zone_name"] for m in zones.call("GET", "/managers")}
    agents = zones.call("GET", "/agents")
    assert sorted(agent["zone_name"] for agent in agents) == ["eu", "us"]
    assert all(agent["zone_name"] == managers[agent["manager_id"]] for agent in agents)


def test_a_launch_begins_in_its_gateways_zone_and_streams_from_there(zones: Instance):
    for gateway, expected in ((None, "eu"), ("eu", "eu"), ("us", "us")):
        session_id = launched(zones, gateway_of=gateway)["session_id"]
        assert zones.session(session_id)["zone_name"] == expected
        assert steps(zones, session_id)[-1][:2] == ("on_demand_here", expected)
    for zone in ("eu", "us"):
        with open_desktop(zones, launched(zones, gateway_of=zone)["session_id"]) as desktop:
            assert desktop.goes_on()


def test_a_zone_may_be_chosen_where_the_groups_allow_it(zones: Instance):
    us = zone_of(zones, "us")["zone_id"]
    assert zones.session(launched(zones, zone_id=us)["session_id"])["zone_name"] == "eu"
    (group,) = (g for g in zones.call("GET", "/groups") if g["name"] == "All Users")
    zones.call("PATCH", f"/groups/{group['group_id']}", json={"settings": {"allow_zone_selection": True}})
    try:
        assert zones.session(launched(zones, zone_id=us)["session_id"])["zone_name"] == "us"
    finally:
        zones.call("PATCH", f"/groups/{group['group_id']}", json={"settings": {"allow_zone_selection": None}})


def test_a_launch_begins_in_the_zone_nearest_to_the_browser_where_the_groups_say_so(zones: Instance):
    eu, us = zone_of(zones, "eu"), zone_of(zones, "us")
    (group,) = (g for g in zones.call("GET", "/groups") if g["name"] == "All Users")
    round_trips = {eu["zone_id"]: 80, us["zone_id"]: 12.4}
    with (
        changed(zones, f"/zones/{us['zone_id']}", proxy_connections=False),
        changed(zones, f"/groups/{group['group_id']}", settings={"nearest_zone": "on"}),
    ):
        answer = httpx2.get(f"{zones.found['stream_url']}/round_trip", verify=zones.ca(), trust_env=False)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
        session_id = launched(zones, round_trips_ms=round_trips)["session_id"]
        assert zones.session(session_id)["zone_name"] == "us"
        last = zones.call("GET", f"/sessions/{session_id}/placement")["steps"][-1]
        assert (last["step"], last["zone_name"]) == ("on_demand_here", "us")
        assert "a round trip of 12 ms rather than 80 ms" in last["reason"]
        far = {eu["zone_id"]: 12, us["zone_id"]: 80}
        assert zones.session(launched(zones, round_trips_ms=far)["session_id"])["zone_name"] == "eu"
    assert zones.session(launched(zones, round_trips_ms=round_trips)["session_id"])["zone_name"] == "eu"


def test_a_restricted_workspace_starts_in_its_zone_or_is_refused(zones: Instance):
    eu, us = zone_of(zones, "eu"), zone_of(zones, "us")
    image = f"/images/{zones.desktop()}"
    with changed(zones, image, restrict_to_zone=True, zone_id=us["zone_id"]):
        session_id = launched(zones)["session_id"]
        assert zones.session(session_id)["zone_name"] == "us"
        assert steps(zones, session_id) == [
            ("staged_here", "eu", "restricted"),
            ("staged_elsewhere", "us", "pool_empty"),
            ("on_demand_here", "eu", "restricted"),
            ("on_demand_elsewhere", "us", None),
        ]
        with changed(zones, f"/zones/{eu['zone_id']}", search_alternate_zones=False), zones.http() as client:
            body = {"image_id": zones.desktop(), "user_id": zones.new_user()}
            answer = client.post("/api/v1/sessions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "no-resources")
    assert answer.json()["detail"] == (
        "No resources are available to create the requested session. Zone eu: Workspace Desktop is "
        "restricted to zone us. Zone us: Search Alternate Zones is off in zone eu. Change the "
        "restriction of the workspace, or check that Agent or zone. Enable Search Alternate Zones, or "
        "launch in another zone."
    )


def test_a_workspace_restricted_to_an_agent_runs_there_in_any_zone(zones: Instance):
    (agent,) = (a for a in zones.call("GET", "/agents") if a["zone_name"] == "us")
    with changed(zones, f"/images/{zones.desktop()}", restrict_to_server=True, server_id=agent["agent_id"]):
        session_id = launched(zones)["session_id"]
    assert zones.session(session_id)["agent_id"] == agent["agent_id"]
    assert ("on_demand_here", "eu", "restricted") in steps(zones, session_id)


def test_a_wrong_upstream_auth_address_refuses_streams_and_is_named(zones: Instance):
    before = launched(zones, gateway_of="us")["session_id"]
    with changed(zones, f"/zones/{zone_of(zones, 'us')['zone_id']}", upstream_auth_address="127.0.0.1:9"):
        session_id = launched(zones, gateway_of="us")["session_id"]
    page = opened(zones, frame_of(zones, session_id))
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5"), "the api could not be asked: it is not final"
    assert "text/html" in page.headers["Content-Type"]
    assert "The request to the Upstream Auth Address 127.0.0.1:9 failed" in page.text
    with pytest.raises((InvalidStatus, KeyError)), open_desktop(zones, session_id):
        pass

    def logged() -> bool:
        rows = zones.call("GET", "/logs?code=stream-refused&q=127.0.0.1:9")
        return any(row["session_id"] == session_id and row["zone_name"] == "us" for row in rows)

    assert wait_for(logged, "the log names the address")
    with open_desktop(zones, before) as desktop:
        assert desktop.goes_on(), "sessions keep the address they were created with"


def test_without_proxying_streams_are_at_proxy_hostname_and_port(zones: Instance):
    streams: str = zones.found["stream_url"]
    stream_port = urlsplit(streams).port
    address = f"/zones/{zone_of(zones, 'us')['zone_id']}"
    assert zones.call("GET", address)["proxy_port"] == stream_port, "so that one switch is enough on one machine"
    reply = launched(zones, gateway_of="us")
    session_id = reply["session_id"]
    assert reply["stream_url"].startswith(f"{streams}/desktop/")
    with changed(zones, address, proxy_connections=False, proxy_path="screens"):
        frame = frame_of(zones, session_id)
        assert frame.startswith(f"https://127.0.0.1:{stream_port}/screens/")
        with open_desktop(zones, session_id) as desktop:
            assert desktop.goes_on()
        zones.call("PATCH", address, json={"proxy_hostname": "streams.localhost"})
        assert zones.session(session_id)["stream_url"].startswith(f"https://streams.localhost:{stream_port}/screens/")

        def may_be_framed() -> bool:
            console = httpx2.get(zones.url, verify=zones.ca(), timeout=15, trust_env=False)
            return f"https://streams.localhost:{stream_port}" in console.headers["Content-Security-Policy"]

        assert wait_for(may_be_framed, "the gateway knows where the streams are")

        def is_served_there() -> bool:
            there = {"Host": f"streams.localhost:{stream_port}"}
            other = frame.replace(session_id, session_id[::-1])
            return httpx2.get(other, verify=zones.ca(), headers=there, timeout=15, trust_env=False).status_code != 421

        assert wait_for(is_served_there, "also where the nginx of before has no signal to end yet")
        zones.call("PATCH", address, json={"proxy_hostname": "$request_host$"})
    assert urlsplit(frame_of(zones, session_id)).path.startswith("/desktop/")


def test_a_renamed_zone_goes_on_and_its_gateway_counts_as_it(zones: Instance):
    with changed(zones, f"/zones/{zone_of(zones, 'us')['zone_id']}", zone_name="america"):
        its_manager_has_looked(zones, "us")
        session_id = launched(zones, gateway_of="us")["session_id"]
        assert zones.session(session_id)["zone_name"] == "america"
        assert [zone["zone_name"] for zone in zones.status()["zones"]] == ["eu", "america"]

        def its_manager_calls_it_so() -> bool:
            rows = zones.call("GET", f"/logs?session_id={session_id}&component=manager")
            return any(row["zone_name"] == "america" for row in rows)

        assert wait_for(its_manager_calls_it_so, "the Manager's log has the new name")


def its_manager_has_looked(instance: Instance, zone: str) -> None:
    """Wait until the Manager of a zone has read the zone's name again; twice, as one read may have been in progress."""
    (manager,) = (m["manager_id"] for m in instance.found["managers"] if m["zone_name"] == zone)
    for _ in range(2):
        before = instance.call("GET", f"/managers/{manager}")["last_reported"]
        wait_for(
            lambda before=before: instance.call("GET", f"/managers/{manager}")["last_reported"] > before,
            "the Manager has looked at its record",
        )


def test_overrides_drain_and_disable_affect_new_sessions_at_once(zones: Instance):
    (agent,) = (a for a in zones.call("GET", "/agents") if a["zone_name"] == "us")
    path = f"/agents/{agent['agent_id']}"
    for change, code in (
        ({"enabled": False}, "agent_disabled"),
        ({"draining": True}, "agent_disabled"),
        ({"cores_override": 0.001}, "no_capacity"),
        ({"memory_override": 1}, "no_capacity"),
    ):
        with changed(zones, path, **change):
            session_id = launched(zones, gateway_of="us")["session_id"]
            assert zones.session(session_id)["zone_name"] == "eu"
            assert ("on_demand_here", "us", code) in steps(zones, session_id)

    def offers_all_again() -> bool:
        now = zones.call("GET", path)
        return (now["cores"], now["memory"]) == (agent["cores"], agent["memory"])

    assert wait_for(offers_all_again, "without an override it offers what it has")
    assert zones.session(launched(zones, gateway_of="us")["session_id"])["zone_name"] == "us"
    assert not zones.broken()


@pytest.fixture
def pools(zones: Instance) -> Iterator[dict[str, str]]:
    """A pool of one session in each zone: name of the zone → config."""
    made = {zone["zone_name"]: staged_in(zones, zone["zone_id"]) for zone in zones.call("GET", "/zones")}
    yield made
    for config in made.values():
        zones.unstage(config)


def staged_in(instance: Instance, zone_id: str, **fields: Any) -> str:
    body = {"zone_id": zone_id, "image_id": instance.desktop(), "num_sessions": 1, "expiration": 8, **fields}
    return instance.call("POST", "/staging-configs", json=body)["staging_config_id"]


def made_before(instance: Instance) -> list[str]:
    """The fingerprints of the configurations of all staged sessions so far."""
    return [row["config_hash"] for row in instance.sql("SELECT DISTINCT config_hash FROM sessions")]


def came_from(
    instance: Instance, pools: dict[str, str], outdated: Sequence[str] = (), **launch: Any
) -> list[tuple[str, str, str | None]]:
    """The steps of a launch that begins when these pools have current sessions; the last step gave the session."""
    query = "SELECT 1 FROM sessions WHERE staging_config_id = %s AND claimable AND config_hash <> ALL(%s)"
    for name, config in pools.items():
        wait_for(lambda config=config: instance.sql(query, config, list(outdated)), f"the pool of {name} is full", 60)
    return steps(instance, launched(instance, **launch)["session_id"])


def test_staged_sessions_of_all_zones_precede_new_ones_in_order(zones: Instance, pools: dict[str, str]):
    eu, us = zone_of(zones, "eu"), zone_of(zones, "us")
    assert came_from(zones, pools) == [("staged_here", "eu", None)]
    assert came_from(zones, pools, gateway_of="us") == [("staged_here", "us", None)]
    with changed(zones, f"/staging-configs/{pools['eu']}", paused=True):
        searched = [("staged_here", "eu", "pool_empty"), ("staged_elsewhere", "us", None)]
        assert came_from(zones, {"us": pools["us"]}) == searched
        with changed(zones, f"/zones/{eu['zone_id']}", search_alternate_zones=False):
            assert came_from(zones, {"us": pools["us"]}) == [
                ("staged_here", "eu", "pool_empty"),
                ("staged_elsewhere", "us", "zone_not_searched"),
                ("on_demand_here", "eu", None),
            ]
    outdated = made_before(zones)
    with changed(zones, f"/images/{zones.desktop()}", restrict_to_zone=True, zone_id=us["zone_id"]):
        restricted = [("staged_here", "eu", "restricted"), ("staged_elsewhere", "us", None)]
        assert came_from(zones, {"us": pools["us"]}, outdated) == restricted


def test_of_several_configs_the_one_with_the_users_permissions_serves(zones: Instance, pools: dict[str, str]):
    webcam = not zones.call("GET", f"/staging-configs/{pools['eu']}")["allow_kasm_webcam"]
    other = staged_in(zones, zone_of(zones, "eu")["zone_id"], allow_kasm_webcam=webcam)
    group = zones.call("POST", "/groups", json={"name": "Film", "priority": 1})["group_id"]
    try:
        zones.call("PATCH", f"/groups/{group}", json={"settings": {"allow_kasm_webcam": webcam}})
        user = zones.new_user()
        zones.call("PUT", f"/groups/{group}/users/{user}")
        assert came_from(zones, {"eu": other}, user_id=user) == [("staged_here", "eu", None)]
        (row,) = zones.call("GET", f"/sessions?user_id={user}")
        assert row["staging_config_id"] == other
    finally:
        zones.call("DELETE", f"/groups/{group}")
        zones.unstage(other)


def test_a_pool_without_an_answering_manager_is_still_claimed_from(zones: Instance, pools: dict[str, str]):
    wait_for(lambda: zones.staged(pools["us"]) == 1, "the pool is full")
    (manager,) = (m for m in zones.found["managers"] if m["zone_name"] == "us")
    os.kill(manager["pid"], signal.SIGSTOP)
    try:
        session_id = launched(zones, gateway_of="us")["session_id"]
        assert steps(zones, session_id) == [("staged_here", "us", None)]
        assert zones.session(session_id)["status"] == "assigning"
    finally:
        os.kill(manager["pid"], signal.SIGCONT)
    wait_for(lambda: zones.session(session_id)["status"] == "running", "it is handed over once it answers")


def test_a_renamed_zone_is_the_same_after_a_restart(zones: Instance):
    us = zone_of(zones, "us")
    with changed(zones, f"/zones/{us['zone_id']}", zone_name="america"):
        assert zones.down().returncode == 0
        found = zones.up()
        assert [(zone["zone_id"], zone["zone_name"]) for zone in found["zones"]] == [
            (zone_of(zones, "eu")["zone_id"], "eu"),
            (us["zone_id"], "america"),
        ]
        assert len(zones.call("GET", "/zones")) == 2
        sized = "SELECT 1 FROM agent_capacity JOIN agents USING (agent_id) WHERE zone_id = %s AND cores > 0"
        wait_for(lambda: zones.sql(sized, us["zone_id"]), "the Agent has reported its capacity")
        assert zones.session(launched(zones, gateway_of="america")["session_id"])["zone_name"] == "america"
    zones.found = zones.status()
