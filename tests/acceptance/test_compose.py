"""The deployment in containers, as docs/howto/containers.md describes it: two hosts of one zone.

The tests build on each other in this order, because a Manager is disabled for a minute meanwhile. The commands are
copied from the section "Verifying Manager State" of the page about Managers.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.acceptance.compose_hosts import ComposeHost, saved
from tests.acceptance.instance import UNHEALTHY_S, wait_for
from tests.acceptance.machines import Network
from tests.acceptance.open_desktop import open_desktop

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

DISABLED_S: Final = 60.0
"""The time for which a disabled Manager must stay healthy for Docker, which needs 20 s to report a container with
failing health checks as unhealthy: three in a row, one every 5 s. Those in the first 30 s of a container do not
count."""
CHECK_IN_S: Final = 5.0 + 5.0
"""A check-in interval, and the time until its effect is visible on a busy machine."""
SOON_S: Final = 20.0
"""The time limit on such a machine for actions that take a second, including the programs that check them."""

HEALTHCHECK: Final = "docker exec -it kasm_manager curl -i http://localhost:8181/__healthcheck"
DOCKER_STATUS: Final = "docker inspect --format='{{.State.Health.Status}}' kasm_manager"


@pytest.fixture(scope="module")
def images(role_images: list[str], openbox_image: str) -> Iterator[Path]:
    """The images of the roles and the light desktop, in one file."""
    with saved(*role_images, openbox_image) as file:
        yield file


class Deployments:
    """The host with everything and a second one without a database; the host whose Manager is disabled, and since
    when."""

    def __init__(self, first: ComposeHost, second: ComposeHost) -> None:
        self.first = first
        self.second = second
        self.disabled = self.enabled = first
        self.disabled_at = 0.0

    @property
    def both(self) -> list[ComposeHost]:
        """The hosts."""
        return [self.first, self.second]

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to /api/v1 that must succeed."""
        return self.first.call(method, path, **options)

    def manager(self, host: ComposeHost) -> dict[str, Any]:
        """The record of a host's Manager."""
        mine = (host.current / "manager/instance_id").read_text().strip()
        return next(one for one in self.call("GET", "/managers") if one["instance_id"] == mine)

    def agent(self, host: ComposeHost) -> dict[str, Any]:
        """The record of a host's Agent."""
        mine = (host.current / "agent/agent_id").read_text().strip()
        return next(one for one in self.call("GET", "/agents") if one["agent_id"] == mine)


@pytest.fixture(scope="module")
def deployments(images: Path, openbox_image: str) -> Iterator[Deployments]:
    """Both hosts in operation."""
    network = Network()
    try:
        one, other = network.machine("first"), network.machine("second")
        first = ComposeHost(
            one,
            GREENROOM_DATABASE_LISTEN="0.0.0.0",
            GREENROOM_FURTHER_HOSTS=other.address,
            GREENROOM_DESKTOP_IMAGE=openbox_image,
        )
        second = ComposeHost(
            other,
            COMPOSE_FILE="compose.manager.yaml",
            GREENROOM_DATABASE=f"{one.address}:5432",
            GREENROOM_FURTHER_HOSTS=one.address,
        )
        for host in (first, second):
            host.start()
            host.load(images)
        first.compose("up", "-d")
        first.compose("run", "--rm", "migrate", "greenroom", "setup", "host", second.machine.address)
        shutil.copytree(first.current / "hosts" / second.machine.address, second.current / "installation")
        second.compose("up", "-d")
        found = Deployments(first, second)
        try:
            wait_for(lambda: statuses(found) == ["running", "running"], "both Agents run", 120)
        except AssertionError:
            pytest.fail(
                "not both Agents run" + "".join(host.logs(name) for host in (first, second) for name in host.names())
            )
        yield found
    finally:
        network.close()


def statuses(deployments: Deployments) -> list[str]:
    """The statuses of the Agents."""
    return [one["status"] for one in deployments.call("GET", "/agents")]


def test_each_container_is_healthy_and_has_no_more_than_it_needs(deployments: Deployments):
    for host in deployments.both:
        for name in host.names():
            wait_for(lambda name=name, host=host: host.health(name) == "healthy", f"{name} is healthy", 60)
            assert host.inspect(name, "{{.HostConfig.ReadonlyRootfs}}") == "true"
            assert host.inspect(name, "{{.HostConfig.CapDrop}}") == "[ALL]"
            assert "no-new-privileges:true" in host.inspect(name, "{{.HostConfig.SecurityOpt}}")
            assert host.inspect(name, "{{.HostConfig.RestartPolicy.Name}}") == "unless-stopped"
            assert host.inspect(name, "{{.State.Health.Status}}") == "healthy"
            assert host.inspect(name, "{{.Config.Healthcheck.StartPeriod}}") != "0s"
            root = name == "kasm_agent"
            assert (host.inspect(name, "{{.Config.User}}") == "") == root, name


def test_no_secret_is_in_what_docker_shows(deployments: Deployments):
    first = deployments.first
    files = ("installation.key", "database.password", "join_token", "ca.key", "server.key")
    secrets = [max((first.current / "installation" / name).read_text().split(), key=len) for name in files]
    credentials = json.loads((first.current / "installation/credentials.json").read_text())
    secrets += [credentials["admin_password"], credentials["api_key_secret"]]
    everything = first.run("sh", "-c", "docker inspect $(docker ps -aq); docker ps -aq | xargs -n1 docker logs 2>&1")
    assert not [secret for secret in secrets if secret in everything.stdout]
    assert (first.current / "installation").stat().st_mode & 0o777 == 0o700
    for file in (first.current / "installation").iterdir():
        assert file.name.endswith(".pem") or file.stat().st_mode & 0o777 == 0o600, file


def test_the_database_refuses_connections_without_tls(deployments: Deployments):
    password = (deployments.first.current / "installation/database.password").read_text()
    address = f"host={deployments.first.machine.address} user=greenroom dbname=greenroom"
    asked = f"import psycopg; psycopg.connect('{address} password={password} sslmode=disable')"
    done = deployments.second.run("docker", "exec", "kasm_api", "python3", "-c", asked, check=False)
    assert done.returncode != 0
    assert "no encryption" in done.stderr


AS_SERVICE: Final = """
import os, psycopg
with psycopg.connect(os.environ["GREENROOM_DATABASE_URL"], autocommit=True) as connection:
    print(connection.execute("SELECT rolname, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles"
                             " WHERE rolname = current_user").fetchone())
    for statement in ("DELETE FROM logs WHERE security", "UPDATE logs SET message = ''", "CREATE TABLE more (x int)",
                      "ALTER TABLE users ADD x int", "COPY users TO PROGRAM 'id'"):
        try:
            connection.execute(statement)
            print("done:", statement)
        except psycopg.errors.InsufficientPrivilege:
            print("refused")
"""


def test_api_and_managers_write_rows_and_do_not_own_the_database(deployments: Deployments):
    owners = (deployments.first.current / "installation/database.password").read_text()
    for host in deployments.both:
        for name in ("kasm_api", "kasm_manager"):
            said = host.run("docker", "exec", name, "python3", "-c", AS_SERVICE).stdout.splitlines()
            assert said == ["('greenroom_service', False, False, False)", *["refused"] * 5], name
            mounted = host.run("docker", "exec", name, "sh", "-c", "cat /run/secrets/greenroom/*").stdout
            assert owners not in mounted
    assert not (deployments.second.current / "installation/database.password").exists()


def test_clients_are_known_by_their_own_address(deployments: Deployments):
    first = deployments.first
    with first.http() as client:
        body = {"username": "unknown@example.org", "password": "a wrong one"}
        assert client.post("/api/v1/login", json=body, auth=httpx2.Auth()).status_code == 401

    def rows() -> list[str]:
        return [row["message"] for row in deployments.call("GET", "/logs?code=login-failed")]

    said = wait_for(rows, "the attempt is in the log")
    assert said == [f"A log-in as unknown@example.org from {first.machine.address} failed"]


def test_a_manager_is_not_restarted_while_the_database_is_away(deployments: Deployments):
    first = deployments.first
    first.run("docker", "stop", "kasm_db")
    try:
        for host in deployments.both:
            wait_for(lambda host=host: "500" in first_line(host), "the Manager answers 500", UNHEALTHY_S)
            wait_for(lambda host=host: host.health("kasm_manager") == "unhealthy", "Docker sees it", 60)
            assert host.restarts("kasm_manager") == 0
    finally:
        first.run("docker", "start", "kasm_db")
    for host in deployments.both:
        wait_for(lambda host=host: "200" in first_line(host), "the Manager answers 200", 40)
        wait_for(lambda host=host: host.health("kasm_manager") == "healthy", "Docker sees it", 60)
        assert host.restarts("kasm_manager") == 0


def first_line(host: ComposeHost) -> str:
    asked = ("curl", "-si", "http://localhost:8181/__healthcheck")
    return host.run("docker", "exec", "kasm_manager", *asked, check=False).stdout[:20]


def test_a_recreated_manager_is_the_same(deployments: Deployments):
    first = deployments.first
    before, container = deployments.manager(first), first.inspect("kasm_manager", "{{.Id}}")
    first.compose("up", "-d", "--no-deps", "--force-recreate", "kasm_manager")
    assert first.inspect("kasm_manager", "{{.Id}}") != container
    wait_for(lambda: first.health("kasm_manager") == "healthy", "the new container is healthy", 60)
    after = deployments.manager(first)
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert len(first.call("GET", "/managers")) == 2


KEPT: Final = ("manager_id", "instance_id", "first_reported", "enabled")


def test_an_enabled_manager_by_the_commands_of_the_page(deployments: Deployments):
    for host in deployments.both:
        assert host.on_terminal(HEALTHCHECK).startswith("HTTP/1.1 200 OK\n")
        assert host.on_terminal(DOCKER_STATUS) == "healthy\n"
        assert gateway(host, "/health")[0] == 200


def gateway(host: ComposeHost, path: str) -> tuple[int, str | None]:
    """Status and Retry-After of kasm_proxy's answer."""
    with host.http() as client:
        answer = client.get(path)
    return answer.status_code, answer.headers.get("Retry-After")


def test_a_disabled_manager_by_the_commands_of_the_page(deployments: Deployments):
    """The disabled Manager is the Primary, to which the Agents report."""
    deployments.disabled, deployments.enabled = wait_for(lambda: primary_first(deployments), "all Agents report to it")
    host = deployments.disabled
    started = host.inspect("kasm_manager", "{{.State.Pid}}"), host.inspect("kasm_proxy", "{{.State.Pid}}")
    deployments.call("PATCH", f"/managers/{deployments.manager(host)['manager_id']}", json={"enabled": False})
    deployments.disabled_at = time.monotonic()

    wait_for(lambda: "503" in first_line(host), "the Manager answers 503", SOON_S)
    said = host.on_terminal(HEALTHCHECK)
    assert said.startswith("HTTP/1.1 503 Service Unavailable\n")
    assert said.endswith('{"ok": false, "status": "disabled", "enabled": false}')
    assert host.run("ls", "/opt/kasm/current/tmp/manager/").stdout.split() == ["kasm_manager_draining"]
    inside = host.run("docker", "exec", "kasm_manager", "find", "/tmp", "-type", "f").stdout  # noqa: S108
    assert inside.split() == ["/tmp/kasm_manager_draining"]  # noqa: S108
    assert gateway(host, "/health") == (503, "30")
    assert gateway(host, "/manager_api/v1/check-in") == (503, "30")
    assert gateway(deployments.enabled, "/health")[0] == 200
    assert host.on_terminal(DOCKER_STATUS) == "healthy\n"
    assert started == (host.inspect("kasm_manager", "{{.State.Pid}}"), host.inspect("kasm_proxy", "{{.State.Pid}}"))


def primary_first(deployments: Deployments) -> tuple[ComposeHost, ComposeHost] | None:
    """The host of the Primary, once all Agents report to it, and the other host."""
    first, second = deployments.both
    host, other = (first, second) if deployments.manager(first)["is_primary"] else (second, first)
    mine = deployments.manager(host)
    reports = {one["manager_id"] for one in deployments.call("GET", "/agents")}
    return (host, other) if mine["is_primary"] and reports == {mine["manager_id"]} else None


def test_agents_leave_a_disabled_manager_within_one_check_in(deployments: Deployments):
    other = deployments.manager(deployments.enabled)
    left_s = deployments.disabled_at + CHECK_IN_S - time.monotonic()
    for host in deployments.both:
        wait_for(
            lambda host=host: deployments.agent(host)["manager_id"] == other["manager_id"],
            "the Agent goes to the other Manager",
            max(5.0, left_s),
        )
    wait_for(lambda: deployments.manager(deployments.enabled)["is_primary"], "the other Manager is Primary", SOON_S)
    assert deployments.manager(deployments.disabled)["status"] == "unknown"


def test_diagnostics_show_the_503s(deployments: Deployments):
    mine = deployments.manager(deployments.disabled)["instance_id"]

    def refused() -> set[str]:
        rows = deployments.call("GET", f"/diagnostics/manager-requests?status=503&manager_instance_id={mine}")
        return {row["agent_id"] for row in rows}

    both = {deployments.agent(host)["agent_id"] for host in deployments.both}
    wait_for(lambda: refused() >= both, "each Agent was refused once", 20)


def test_a_desktop_on_each_host_streams_through_the_first_ones_gateway(deployments: Deployments):
    first = deployments.first
    ran: set[str] = set()
    for host, other in ((first, deployments.second), (deployments.second, first)):
        agent_id = deployments.agent(other)["agent_id"]
        first.call("PATCH", f"/agents/{agent_id}", json={"enabled": False})
        try:
            session = first.session_of(f"{host.machine.name}@example.org")
            assert session["agent_id"] == deployments.agent(host)["agent_id"]
            with first.machine.entered(), open_desktop(first, session["session_id"]) as desktop:
                assert desktop.goes_on()
            first.call("DELETE", f"/sessions/{session['session_id']}")
            ran.add(session["agent_id"])
        finally:
            first.call("PATCH", f"/agents/{agent_id}", json={"enabled": True})
    assert len(ran) == 2


def test_a_disabled_manager_stays_healthy_and_is_not_restarted(deployments: Deployments):
    host = deployments.disabled
    while (left_s := deployments.disabled_at + DISABLED_S - time.monotonic()) > 0:
        assert host.health("kasm_manager") == "healthy"
        time.sleep(min(left_s, 5.0))
    assert host.on_terminal(DOCKER_STATUS) == "healthy\n"
    assert host.restarts("kasm_manager") == 0
    assert "503" in first_line(host)


def test_a_recreated_disabled_manager_stays_disabled_until_enabled(deployments: Deployments):
    host, before = deployments.disabled, deployments.manager(deployments.disabled)
    host.compose("up", "-d", "--no-deps", "--force-recreate", "kasm_manager")
    assert gateway(host, "/health")[0] == 503
    wait_for(lambda: host.health("kasm_manager") == "healthy", "the new container is healthy", 60)
    after = deployments.manager(host)
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert not after["enabled"]
    deployments.call("PATCH", f"/managers/{after['manager_id']}", json={"enabled": True})
    wait_for(lambda: gateway(host, "/health")[0] == 200, "kasm_proxy serves it again", SOON_S)
    assert not (host.current / "tmp/manager/kasm_manager_draining").exists()
    wait_for(lambda: deployments.manager(host)["status"] == "running", "it runs", SOON_S)
