"""Web filter policies on real desktops of a whole instance: permitted and blocked addresses, and attempts to bypass
them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, networks, networks_left, running_instance, wait_for
from tests.acceptance.open_desktop import open_desktop
from tests.small_internet import SmallInternet, small_internet
from tests.support.goes_around import GOES_AROUND

from greenroom.core.web_filter import FILTER_PORT

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"
POLICY = {"name": "Strict & <tight>", "default_action": "deny", "allow": ["open.test"], "deny": ["ads.open.test"]}
NOTHING = {"default_action": "deny", "allow": [], "deny": []}


@pytest.fixture(scope="module")
def internet() -> Iterator[SmallInternet]:
    with small_internet() as internet:
        yield internet


@pytest.fixture(scope="module")
def filtering(openbox_image: str, internet: SmallInternet) -> Iterator[Instance]:
    """An instance whose filters resolve names in the small internet."""
    with running_instance(
        GREENROOM_DESKTOP_IMAGE=openbox_image, GREENROOM_WEB_FILTER_RESOLVERS=internet.address
    ) as instance:
        yield instance


@pytest.fixture(scope="module")
def policy_id(filtering: Instance) -> str:
    """The id of the policy of the workspace `Desktop`."""
    policy_id = filtering.call("POST", "/filter-policies", json=POLICY)["filter_policy_id"]
    filtering.call("PATCH", f"/images/{filtering.desktop()}", json={"filter_policy_id": policy_id})
    return policy_id


@pytest.fixture(scope="module")
def desktop(filtering: Instance, policy_id: str) -> str:
    """A running session under the policy."""
    return running(filtering, filtering.new_user())


def running(instance: Instance, user_id: str) -> str:
    session_id = instance.launch(user_id)["session_id"]
    wait_for(lambda: instance.has_status(session_id, "running"), "the session runs", 60)
    return session_id


def end(instance: Instance, session_id: str) -> None:
    instance.call("DELETE", f"/sessions/{session_id}")
    wait_for(lambda: instance.has_status(session_id, "deleted"), "the session is gone")


def inside(session_id: str, *command: str) -> str:
    """The output of a command in the session's container."""
    done = subprocess.run(["docker", "exec", f"gr-{session_id}", *command], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def fetch(session_id: str, url: str, *options: str) -> str:
    """`status of the page / status of CONNECT` followed by the body, according to curl in the session."""
    return inside(session_id, "curl", "-sk", "-m", "10", "-w", "\n%{http_code}/%{http_connect}", *options, url)


def attempts(session_id: str, *lines: list[Any]) -> dict[str, str]:
    return json.loads(inside(session_id, "python3", "-c", GOES_AROUND, json.dumps(lines)))


def shown(session_id: str) -> dict[str, Any]:
    listing = ["docker", "inspect", f"gr-{session_id}"]
    return json.loads(subprocess.run(listing, check=True, capture_output=True, text=True).stdout)[0]


def attached(session_id: str) -> dict[str, Any]:
    """The container's only network."""
    (network,) = shown(session_id)["NetworkSettings"]["Networks"].values()
    return network


def squids(instance: Instance) -> list[int]:
    """Pids of the instance's filters."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_bytes() == b"squid\n":
                line = (entry / "cmdline").read_bytes()
                found += [int(entry.name)] if str(instance.data).encode() in line else []
        except OSError:
            continue
    return found


def denials(instance: Instance, session_id: str) -> list[dict[str, Any]]:
    return instance.sql(
        "SELECT level, component, code, message, user_id::text, username, details FROM logs"
        " WHERE session_id = %s AND code = 'web-filter-denied' ORDER BY time",
        session_id,
    )


def test_allowed_sites_open_by_http_and_https(desktop: str):
    assert "hello from www.open.test /a" in fetch(desktop, "http://www.open.test/a")
    assert "hello from open.test /b" in fetch(desktop, "https://open.test/b")


def test_a_page_that_answers_403_itself_is_shown_as_it_is(filtering: Instance, desktop: str):
    assert "hello from open.test /forbidden" in fetch(desktop, "http://open.test/forbidden")
    assert not [row for row in denials(filtering, desktop) if row["details"]["host"] == "open.test"]


def test_a_blocked_http_address_shows_a_page_that_says_so(desktop: str):
    page = fetch(desktop, "http://ads.open.test/x")
    assert page.endswith("403/000")
    assert "ads.open.test is blocked" in page
    assert "It is in the deny list of the policy." in page
    assert "Strict &amp; &lt;tight&gt;" in page
    assert "It is not in the allow list" in fetch(desktop, "http://elsewhere.test/")


def test_a_blocked_https_address_is_refused_and_written_down(filtering: Instance, desktop: str):
    assert fetch(desktop, "https://tracker.ads.open.test/secret?token=1").endswith("000/403")
    row = wait_for(
        lambda: next((r for r in denials(filtering, desktop) if r["details"]["host"] == "tracker.ads.open.test"), None),
        "the refusal is a row of Diagnostics",
    )
    assert (row["level"], row["component"]) == ("INFO", "agent")
    session = filtering.session(desktop)
    assert (row["user_id"], row["username"]) == (session["user_id"], session["username"])
    assert "CONNECT tracker.ads.open.test was refused: ads.open.test is in the deny list." in row["message"]
    assert "secret" not in json.dumps(row)
    assert row["details"]["policy"] == POLICY["name"]


def test_a_name_that_is_denied_is_never_resolved(internet: SmallInternet, desktop: str):
    """Otherwise the names themselves would carry data out."""
    fetch(desktop, "http://secret-data.elsewhere.test/")
    fetch(desktop, "https://more-data.elsewhere.test/")
    fetch(desktop, "http://resolved.open.test/")
    assert "resolved.open.test" in internet.asked
    assert not [name for name in internet.asked if "data" in name]


def test_programs_cannot_go_around_the_filter(filtering: Instance, internet: SmallInternet, desktop: str):
    neighbour = running(filtering, filtering.new_user())
    network = attached(desktop)
    host, other = network["Gateway"], attached(neighbour)["IPAddress"]
    port = int(filtering.url.rpartition(":")[2])
    tries: list[list[Any]] = [
        ["tcp", internet.address, 80],
        ["tcp", internet.address, 443],
        ["tcp", internet.address, 8080],
        ["tcp", internet.address, 25],
        ["udp", internet.address, 53],
        ["udp", host, 53],
        ["tcp", internet.host, FILTER_PORT],
        ["tcp", internet.host, port],
        ["tcp", host, port],
        ["tcp", host, 22],
        ["tcp", "169.254.169.254", 80],
        ["tcp", "172.17.0.1", FILTER_PORT],
        ["tcp", other, 6901],
        ["tcp6", "::1", 80],
        ["tcp6", "fe80::1%eth0", FILTER_PORT],
        ["tcp6", "2001:db8::1", 80],
        ["resolve", "open.test"],
        ["resolve", "example.com"],
        ["raw"],
    ]
    assert [line for line, result in attempts(desktop, *tries).items() if not result.startswith("failed")] == []
    assert attempts(desktop, ["tcp", host, FILTER_PORT]) == {str(["tcp", host, FILTER_PORT]): "connected"}
    end(filtering, neighbour)


def test_without_a_policy_the_same_programs_get_out(filtering: Instance, internet: SmallInternet, desktop: str):
    """Without the filter the attempts of the previous test succeed."""
    image = f"/images/{filtering.desktop()}"
    policy_id = filtering.call("GET", image)["filter_policy_id"]
    filtering.call("PATCH", image, json={"filter_policy_id": None})
    try:
        free = running(filtering, filtering.new_user())
    finally:
        filtering.call("PATCH", image, json={"filter_policy_id": policy_id})
    assert attempts(free, ["tcp", internet.address, 25]) == {str(["tcp", internet.address, 25]): "connected"}
    assert "http_proxy" not in inside(free, "env")
    end(filtering, free)


def test_the_filter_itself_leads_nowhere_private(
    filtering: Instance, internet: SmallInternet, desktop: str, policy_id: str
):
    """A default of `allow` opens the internet, but neither private networks nor this host nor other ports."""
    change(filtering, policy_id, default_action="allow")
    gateway = attached(desktop)["Gateway"]
    try:
        wait_for(lambda: "hello" in fetch(desktop, f"http://{internet.address}:8080/"), "the internet is open")
        private = [gateway, "10.1.2.3", "127.0.0.1", "127.1", "169.254.169.254", "[::1]", "host.private.test"]
        for host in (*private, "0x7f000001"):
            assert "leads to a private network" in fetch(desktop, f"http://{host}/", "--noproxy", ""), host
            assert fetch(desktop, f"https://{host}/", "--noproxy", "").endswith("000/403"), host
        port = int(filtering.url.rpartition(":")[2])
        for host in (internet.host, "me.test"):
            assert fetch(desktop, f"https://{host}:{port}/", "-m", "5").endswith(("000/503", "000/000")), host
        assert fetch(desktop, f"https://{internet.address}:25/").endswith("000/403")
        assert "The port or the kind of connection" in fetch(desktop, f"http://{internet.address}:25/")
    finally:
        change(filtering, policy_id, default_action="deny")


def test_a_changed_policy_holds_for_running_sessions(filtering: Instance, desktop: str, policy_id: str):
    before = shown(desktop)["Id"]
    wait_for(lambda: fetch(desktop, "http://new.test/").endswith("403/000"), "the default action is deny")
    change(filtering, policy_id, allow=["open.test", "new.test"])
    wait_for(lambda: "hello from new.test" in fetch(desktop, "http://new.test/"), "the site opens")
    change(filtering, policy_id, allow=["open.test"])
    wait_for(lambda: fetch(desktop, "http://new.test/").endswith("403/000"), "the site is blocked")
    assert shown(desktop)["Id"] == before


def test_the_stream_of_a_filtered_desktop_works(filtering: Instance, desktop: str):
    assert shown(desktop)["HostConfig"]["PortBindings"] == {}
    with open_desktop(filtering, desktop) as stream:
        assert stream.goes_on()


def test_programs_know_the_filter(desktop: str):
    proxy = f"http://{attached(desktop)['Gateway']}:{FILTER_PORT}"
    variables = dict(line.split("=", 1) for line in inside(desktop, "env").splitlines() if "=" in line)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        assert variables[name] == proxy
    assert "localhost" in variables["no_proxy"]
    started = Path(f"/proc/{shown(desktop)['State']['Pid']}/environ").read_bytes()
    assert f"http_proxy={proxy}".encode() in started


def test_a_killed_squid_comes_back_and_nothing_is_open_meanwhile(
    filtering: Instance, internet: SmallInternet, desktop: str
):
    (before,) = squids(filtering)
    os.kill(before, signal.SIGKILL)
    direct = attempts(desktop, ["tcp", internet.address, 80])
    assert next(iter(direct.values())).startswith("failed")
    wait_for(lambda: "hello" in fetch(desktop, "http://open.test/"), "the way out is back")
    (after,) = squids(filtering)
    assert after != before
    assert fetch(desktop, "http://ads.open.test/").endswith("403/000")


def test_an_agent_that_is_killed_leaves_the_filter_running(filtering: Instance, desktop: str, policy_id: str):
    (before,) = squids(filtering)
    agent = filtering.kill("agent")
    assert "hello" in fetch(desktop, "http://open.test/")
    wait_for(lambda: filtering.pids("agent") not in ([], [agent]) and filtering.healthy(), "the Agent is back", 60)
    change(filtering, policy_id, allow=["open.test", "later.test"])
    wait_for(lambda: "hello" in fetch(desktop, "http://later.test/"), "the new Agent changes the policy")
    assert squids(filtering) == [before]
    change(filtering, policy_id, allow=["open.test"])
    wait_for(lambda: fetch(desktop, "http://later.test/").endswith("403/000"), "the policy is what it was before")


def test_the_filter_runs_without_any_right(filtering: Instance, desktop: str):
    (pid,) = squids(filtering)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert "0" not in status["Uid"].split()
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    listening = subprocess.run(["ss", "-Hltnp"], check=True, capture_output=True, text=True).stdout
    mine = [line.split()[3] for line in listening.splitlines() if f"pid={pid}," in line]
    assert mine == [f"{attached(desktop)['Gateway']}:{FILTER_PORT}"]


def test_staged_sessions_are_filtered_from_the_beginning(filtering: Instance, desktop: str, policy_id: str):
    config = filtering.stage(1)
    wait_for(lambda: filtering.staged(config) == 1, "a session is staged")
    (staged,) = filtering.sql("SELECT session_id::text FROM sessions WHERE staging_config_id = %s", config)
    staged_id = staged["session_id"]
    assert attached(staged_id)["NetworkID"] == attached(desktop)["NetworkID"]
    change(filtering, policy_id, description="its content has no part in the container")
    user = filtering.new_user()
    got = filtering.launch(user)["session_id"]
    assert got == staged_id
    assert fetch(got, "http://elsewhere.test/").endswith("403/000")
    end(filtering, got)

    wait_for(lambda: filtering.staged(config) == 1, "the pool is full again")
    (old,) = filtering.sql("SELECT session_id::text FROM sessions WHERE staging_config_id = %s AND claimable", config)
    other = filtering.call("POST", "/filter-policies", json={**NOTHING, "name": uuid.uuid4().hex})["filter_policy_id"]
    filtering.call("PATCH", f"/images/{filtering.desktop()}", json={"filter_policy_id": other})
    query = "SELECT session_id::text, spec ->> 'filter_policy' AS policy FROM sessions"
    query += " WHERE staging_config_id = %s AND claimable"

    def rolled_over() -> bool:
        rows = filtering.sql(query, config)
        return bool(rows) and all(row["policy"] == other and row["session_id"] != old["session_id"] for row in rows)

    wait_for(rolled_over, "another policy is another container", 60)
    filtering.unstage(config)
    filtering.call("PATCH", f"/images/{filtering.desktop()}", json={"filter_policy_id": policy_id})
    wait_for(lambda: len(squids(filtering)) == 1, "the filter without sessions is gone")
    filtering.call("DELETE", f"/filter-policies/{other}")


def test_a_groups_policy_wins_unless_the_workspace_is_never_filtered(filtering: Instance, desktop: str):
    made = filtering.call("POST", "/filter-policies", json={"name": "Group", "allow": ["group.test"]})
    group, image = f"/groups/{ALL_USERS}", f"/images/{filtering.desktop()}"
    filtering.call("PATCH", group, json={"settings": {"web_filter_policy": "Group"}})
    try:
        session = running(filtering, filtering.new_user())
        assert "hello" in fetch(session, "http://group.test/")
        assert fetch(session, "http://open.test/").endswith("403/000")
        other = ["tcp", attached(desktop)["Gateway"], FILTER_PORT]
        assert attempts(session, other)[str(other)].startswith("failed"), "each policy's filter is for its own sessions"
        end(filtering, session)
        filtering.call("PATCH", image, json={"filter_policy_force_disabled": True})
        free = running(filtering, filtering.new_user())
        assert "http_proxy" not in inside(free, "env")
        end(filtering, free)
    finally:
        filtering.call("PATCH", image, json={"filter_policy_force_disabled": False})
        filtering.call("PATCH", group, json={"settings": {"web_filter_policy": None}})
    filtering.call("DELETE", f"/filter-policies/{made['filter_policy_id']}")


def test_a_stopped_session_comes_back_behind_the_filter(filtering: Instance, internet: SmallInternet):
    session = running(filtering, filtering.new_user())
    filtering.call("POST", f"/sessions/{session}/lifecycle-commands", json={"command": "stop"})
    wait_for(lambda: filtering.has_status(session, "stopped"), "the session is stopped")
    filtering.call("POST", f"/sessions/{session}/lifecycle-commands", json={"command": "resume"})
    wait_for(lambda: filtering.has_status(session, "running"), "the session runs again")
    assert "hello" in fetch(session, "http://open.test/")
    assert next(iter(attempts(session, ["tcp", internet.address, 80]).values())).startswith("failed")
    with open_desktop(filtering, session) as stream:
        assert stream.goes_on()
    end(filtering, session)


def test_down_leaves_neither_filter_nor_network_nor_rule(filtering: Instance, desktop: str):
    """The last of this module: it ends the instance."""
    label, options = filtering.label(), '{{index .Options "com.docker.network.bridge.name"}}'
    shown = ["docker", "network", "inspect", "--format", options, attached(desktop)["NetworkID"]]
    bridge = subprocess.run(shown, check=True, capture_output=True, text=True).stdout.strip()
    assert len(networks(label)) >= 2
    done = filtering.down()
    assert done.returncode == 0, done.stderr
    assert squids(filtering) == []
    assert networks_left(filtering, label, done.stderr) == []
    # Docker's own rules for a network that it keeps name its bridge
    for program in () if networks(label) else ("iptables", "ip6tables"):
        rules = subprocess.run([program, "-w", "-S"], check=True, capture_output=True, text=True).stdout
        assert label.rpartition("=")[2][:8] not in rules
        assert bridge not in rules


def change(instance: Instance, policy_id: str, **fields: object) -> None:
    instance.call("PATCH", f"/filter-policies/{policy_id}", json=fields)
