"""One host with two Managers, as docs/howto/containers.md describes it.

Every command of that page is run unchanged. The tests build on each other in this order; at the end the deployment
is removed.
"""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.acceptance.compose_hosts import ComposeHost, working_host
from tests.acceptance.instance import wait_for
from tests.commands_of_pages import ROOT, Block, blocks_of

from greenroom.kit.processes import children

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

PAGE: Final = ROOT / "docs/howto/containers.md"
BLOCKS: Final = [block for block in blocks_of(PAGE) if block.not_run is None]
EXAMPLE_MANAGER: Final = "manager-eu-1-c48827a3"
DISABLE_WITH_SQL: Final = next(
    block.commands
    for block in blocks_of(ROOT / "docs/howto/disable-a-manager.md")
    if block.commands.startswith("docker exec -i kasm_db ")
)
LAST: Final = "Uninstall"
"""The section whose commands remove the installation."""

SOON_S: Final = 20.0
HEALTHCHECK: Final = "docker exec -it kasm_manager curl -i http://localhost:8181/__healthcheck"
DOCKER_STATUS: Final = "docker inspect --format='{{.State.Health.Status}}' kasm_manager"
GATEWAYS: Final = {"manager": 8446, "manager_2": 8447}


@pytest.fixture(scope="module")
def host(role_images: list[str], openbox_image: str) -> Iterator[ComposeHost]:
    """The host in operation, with the line of the page in its .env."""
    line = next(line.strip() for line in PAGE.read_text().splitlines() if "compose.second-manager.yaml" in line)
    settings = {
        "COMPOSE_FILE": line.removeprefix("COMPOSE_FILE="),
        "GREENROOM_DESKTOP_IMAGE": openbox_image,
    }
    with working_host(partial(ComposeHost, **settings), *role_images, openbox_image) as host:
        yield host


def agent(host: ComposeHost) -> dict[str, Any]:
    (found,) = host.call("GET", "/agents")
    return found


def manager(host: ComposeHost, name: str) -> dict[str, Any]:
    """The record of the Manager of this folder."""
    mine = (host.current / name / "instance_id").read_text().strip()
    return next(one for one in host.call("GET", "/managers") if one["instance_id"] == mine)


def gateway(host: ComposeHost, name: str, path: str) -> int:
    """The answer of kasm_proxy for this Manager."""
    with host.machine.entered(), httpx2.Client(verify=host.ca(), timeout=15, trust_env=False) as client:
        return client.get(f"https://{host.machine.address}:{GATEWAYS[name]}{path}").status_code


def test_the_page_about_managers_is_true_word_for_word(host: ComposeHost):
    assert host.on_terminal(HEALTHCHECK).startswith("HTTP/1.1 200 OK\n")
    started = host.inspect("kasm_manager", "{{.State.StartedAt}}")
    host.call("PATCH", f"/managers/{manager(host, 'manager')['manager_id']}", json={"enabled": False})
    wait_for(lambda: "503" in host.on_terminal(HEALTHCHECK)[:20], "the Manager answers 503", SOON_S)
    said = host.on_terminal(HEALTHCHECK)
    assert said.startswith("HTTP/1.1 503 Service Unavailable\n")
    assert said.endswith('{"ok": false, "status": "disabled", "enabled": false}')
    assert host.run("docker", "exec", "kasm_manager", "ls", "/tmp/kasm_manager_draining").returncode == 0  # noqa: S108
    assert [gateway(host, name, "/health") for name in GATEWAYS] == [503, 200]
    other = manager(host, "manager_2")["manager_id"]
    wait_for(lambda: agent(host)["manager_id"] == other, "the Agent goes to the other Manager", SOON_S)
    wait_for(lambda: manager(host, "manager_2")["is_primary"], "it is Primary", SOON_S)
    assert host.on_terminal(DOCKER_STATUS) == "healthy\n"
    with host.http() as client:
        assert (
            client.patch(f"/api/v1/managers/{other}", json={"enabled": False}).json()["code"] == "last-enabled-manager"
        )
    host.call("PATCH", f"/managers/{manager(host, 'manager')['manager_id']}", json={"enabled": True})
    wait_for(lambda: "200" in host.on_terminal(HEALTHCHECK)[:20], "the Manager answers 200", SOON_S)
    wait_for(lambda: gateway(host, "manager", "/health") == 200, "its gateway serves it again", SOON_S)
    assert (host.inspect("kasm_manager", "{{.State.StartedAt}}"), host.restarts("kasm_manager")) == (started, 0)


def test_the_statement_of_the_page_disables_a_manager_in_its_container(host: ComposeHost):
    mine, other = manager(host, "manager"), manager(host, "manager_2")
    host.on_terminal(DISABLE_WITH_SQL.replace(EXAMPLE_MANAGER, mine["instance_id"]))
    wait_for(lambda: gateway(host, "manager", "/health") == 503, "its gateway refuses requests", SOON_S)
    assert not manager(host, "manager")["enabled"]
    with pytest.raises(AssertionError, match="would be left without an enabled Manager"):
        host.on_terminal(DISABLE_WITH_SQL.replace(EXAMPLE_MANAGER, other["instance_id"]))
    host.call("PATCH", f"/managers/{mine['manager_id']}", json={"enabled": True})
    wait_for(lambda: gateway(host, "manager", "/health") == 200, "its gateway serves it again", SOON_S)


def test_a_frozen_manager_answers_500_and_is_unhealthy_for_docker(host: ComposeHost):
    (process,) = (
        child.pid
        for child in children(int(host.inspect("kasm_manager", "{{.State.Pid}}")))
        if b"manager" in Path(f"/proc/{child.pid}/cmdline").read_bytes()
    )
    os.kill(process, signal.SIGSTOP)
    try:
        said = host.on_terminal(HEALTHCHECK)
        assert said.startswith("HTTP/1.1 500 Internal Server Error\n")
        assert '{"ok": false, "status": "unhealthy", "enabled": ' in said  # as it was up to a second before
        wait_for(lambda: host.health("kasm_manager") == "unhealthy", "Docker sees it", 60)
    finally:
        os.kill(process, signal.SIGCONT)
    wait_for(lambda: "200" in host.on_terminal(HEALTHCHECK)[:20], "the Manager answers 200", SOON_S)
    wait_for(lambda: host.health("kasm_manager") == "healthy", "Docker sees it", 60)
    assert host.restarts("kasm_manager") == 0


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.section != LAST], ids=lambda block: block.section)
def test_a_command_of_the_page_does_what_it_says(host: ComposeHost, block: Block):
    host.on_terminal(block.commands, host.checkout if block.first == "cd deploy/compose" else None)


def test_a_program_acts_in_a_session_that_it_leased(host: ComposeHost):
    user = host.call("POST", "/users", json={"username": "program@example.org"})["user_id"]
    wish = {"workspace": "Desktop", "seconds": 600, "user_id": user, "wait_s": 60}
    lease = host.call("POST", "/leases", json=wish, timeout=90)["lease_id"]
    acted = host.call("POST", f"/leases/{lease}/actions", json={"actions": [{"action": "screenshot"}]}, timeout=60)
    assert base64.b64decode(acted["results"][0]["screenshot"]).startswith(b"\x89PNG")
    host.call("DELETE", f"/leases/{lease}")


def test_a_removal_leaves_data_and_no_container_network_or_rule(host: ComposeHost):
    host.session_of("last@example.org")
    assert "GREENROOM" in host.run("iptables-save").stdout
    (commands,) = (block.commands for block in BLOCKS if block.section == LAST)
    host.on_terminal(commands)
    assert host.run("docker", "ps", "--all", "--quiet").stdout == ""
    networks = host.run("docker", "network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(networks) == ["bridge", "host", "none"]
    assert "GREENROOM" not in host.run("iptables-save").stdout
    assert (host.current / "installation/credentials.json").exists()
