"""`greenroom up` from its users' view: its output, its listeners, and its remaining files."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.acceptance.instance import (
    GREENROOM,
    Instance,
    containers,
    networks_left,
    processes_of,
    run,
    running_instance,
    wait_for,
)

from greenroom.kit.program import EXIT_INTERRUPTED
from greenroom.up import tls
from greenroom.up.account import DATABASE_ACCOUNT, GATEWAY_ACCOUNT, SERVICE_ACCOUNT, Account, Accounts
from greenroom.up.doctor import CONTAINER_INVARIANTS, OTHER_INVARIANTS
from greenroom.up.invariants import INVARIANTS
from greenroom.up.layout import Layout
from greenroom.up.main import NICE
from greenroom.up.site import site_of

ROLES = {"up", "postgres", "api", "manager", "agent", "gateway", "nginx"}


def test_the_object_of_json_has_what_the_contract_names(instance: Instance):
    found = instance.status()
    assert instance.found.keys() <= found.keys()
    assert found["url"] == f"https://127.0.0.1:{instance.port}"
    assert found["stream_url"].startswith("https://127.0.0.1:")
    assert found["admin"]["username"] == "admin@greenroom.local"
    assert found["admin"]["password"]
    assert found["api_key"]
    assert found["api_key_secret"]
    (zone,) = found["zones"]
    (manager,) = found["managers"]
    (agent,) = found["agents"]
    assert zone["zone_name"] == manager["zone_name"] == agent["zone_name"] == "default"
    assert zone["gateway_url"] == manager["gateway_url"]
    assert zone["zone_id"]
    assert manager["manager_id"]
    assert Path(manager["sentinel_file"]) == (
        instance.data / "tmp/manager" / manager["instance_id"] / "kasm_manager_draining"
    )
    assert set(found["pids"]) == ROLES
    assert all(found["pids"].values()), found["pids"]

    def all_exist() -> bool:
        """A worker of nginx ends when it has a new configuration."""
        return all(Path(f"/proc/{pid}").exists() for pids in instance.status()["pids"].values() for pid in pids)

    wait_for(all_exist, "each process exists")


def test_every_health_address_answers_as_in_the_contract(instance: Instance):
    (manager,), (agent,) = instance.found["managers"], instance.found["agents"]
    with httpx2.Client(verify=instance.ca(), timeout=15, trust_env=False) as http:
        assert http.get(f"http://127.0.0.1:{manager['port']}/__healthcheck").status_code == 200
        assert http.get(f"http://127.0.0.1:{manager['port']}/health").status_code == 200
        assert http.get(f"{manager['gateway_url']}/health").status_code == 200
        assert http.get(f"{instance.url}/health").status_code == 200
        assert http.get(f"{instance.url}/api/__healthcheck").json()["ok"] is True
        assert http.get(f"http://127.0.0.1:{agent['port']}/__healthcheck").json()["ok"] is True


def test_data_is_closed_to_others(instance: Instance):
    assert stat.S_IMODE(instance.data.stat().st_mode) == 0o711
    passed_through = {"tmp", "web-filter", "runtime"}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in instance.data.iterdir() if path.is_dir()}
    assert {name for name, mode in modes.items() if mode != 0o700} <= passed_through
    assert {"postgres", "keys", "tls", "logs", "gateway", "manager", "agent"} <= modes.keys()
    assert stat.S_IMODE((instance.data / "tmp/manager").stat().st_mode) == 0o755
    assert stat.S_IMODE((instance.data / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((instance.data / "lock").stat().st_mode) == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="only root may have more of the processor")
def test_every_process_has_more_of_the_processor_than_a_session(instance: Instance):
    for role in instance.found["pids"]:
        seen: set[int] = set()
        for pid in instance.pids(role):
            with suppress(ProcessLookupError):  # a worker of nginx ends when it has a new configuration
                seen.add(os.getpriority(os.PRIO_PROCESS, pid))
        assert seen == {NICE}, role


def test_no_role_and_no_program_of_a_role_gets_new_privileges(instance: Instance):
    for role in ("postgres", "api", "manager", "agent", "gateway", "nginx"):
        for pid in instance.pids(role):
            with suppress(FileNotFoundError):  # a worker of nginx ends when it has a new configuration
                assert "NoNewPrivs:\t1\n" in Path(f"/proc/{pid}/status").read_text(), role


@pytest.mark.skipif(os.getuid() != 0, reason="the account is made by root")
def test_only_agent_and_supervisor_are_root(instance: Instance):
    for role in ("postgres", "api", "manager", "gateway", "nginx"):
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in instance.pids(role)} != {0}, role


@pytest.mark.skipif(os.getuid() != 0, reason="the accounts are made by root")
def test_the_public_server_reads_no_key_and_cannot_reach_the_database(instance: Instance):
    owners = {
        role: {Path(f"/proc/{pid}").stat().st_uid for pid in instance.pids(role)}
        for role in ("nginx", "gateway", "api", "manager", "postgres")
    }
    assert owners["nginx"] == owners["gateway"] == {pwd.getpwnam(GATEWAY_ACCOUNT).pw_uid}
    assert owners["api"] == owners["manager"] == {pwd.getpwnam(SERVICE_ACCOUNT).pw_uid}
    assert owners["postgres"] == {pwd.getpwnam(DATABASE_ACCOUNT).pw_uid}
    site = site_of(Layout(instance.data))
    key = site.layout.key_file
    assert as_account(SERVICE_ACCOUNT, f"open({str(key)!r})") == "done"
    assert "Permission denied" in as_account(GATEWAY_ACCOUNT, f"open({str(key)!r})")
    for dsn in (site.dsn, site.service_dsn):
        assert "Peer authentication failed" in as_account(GATEWAY_ACCOUNT, f"psycopg.connect({dsn!r})")
    assert "Peer authentication failed" in as_account(SERVICE_ACCOUNT, f"psycopg.connect({site.dsn!r})")
    may = f"psycopg.connect({site.service_dsn!r}).execute"
    assert as_account(SERVICE_ACCOUNT, f"{may}('DELETE FROM sessions WHERE false')") == "done"
    for statement in ("CREATE TABLE mine (a int)", "UPDATE logs SET message = ''", "COPY logs TO PROGRAM 'true'"):
        assert "permission denied" in as_account(SERVICE_ACCOUNT, f"{may}({statement!r})"), statement
    assert instance.sql("SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin") == [{"rolname": "postgres"}]


def as_account(account: str, expression: str) -> str:
    """Evaluate an expression in a process of the account; returns `done`, or the error."""
    packages = os.pathsep.join(path for path in sys.path if path)
    uid, gid = pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid
    script = (
        f"import os, psycopg\nos.setgroups([]); os.setgid({gid}); os.setuid({uid})\n"
        f"try: {expression}; print('done')\nexcept Exception as error: print(error)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": packages})
    return done.stdout.strip()


def listening(table: str, port: int) -> set[str]:
    """The addresses in this table of the kernel on which a port is listened on, in hexadecimal form."""
    lines = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    addresses = [columns[1].split(":") for columns in lines if columns[3] == "0A"]
    return {host for host, number in addresses if int(number, 16) == port}


def test_it_listens_on_the_loopback_alone_with_ipv6_where_people_and_agents_connect(instance: Instance):
    ports = json.loads((instance.data / "ports.json").read_text())
    outside = {name for name in ports if name in ("main", "stream") or name.endswith("-gateway")}
    assert len(outside) == 3
    for name, port in ports.items():
        assert listening("tcp", port) == {"0100007F"}, name
        assert listening("tcp6", port) == ({24 * "0" + "01000000"} if name in outside else set()), name


@pytest.mark.parametrize("host", ["[::1]", "localhost"])
def test_the_console_and_the_api_are_served_by_ipv6(instance: Instance, host: str):
    with httpx2.Client(verify=instance.ca(), trust_env=False) as client:
        for path in ("/", "/api/__healthcheck", "/health"):
            assert client.get(f"https://{host}:{instance.port}{path}").status_code == httpx2.codes.OK


def test_zones_of_up_can_be_staged_at_once(instance: Instance):
    (zone,) = instance.sql("SELECT * FROM zones")
    assert zone["allow_origin_domain"] == "127.0.0.1,localhost,[::1]"
    assert zone["upstream_auth_address"] == f"127.0.0.1:{instance.port}"


def test_doctor_names_what_is_broken(instance: Instance):
    lost = str(uuid.uuid4())
    instance.sql(
        "INSERT INTO launches (launch_id, session_id, image_id, zone_id, outcome, steps)"
        " SELECT %s, %s, image_id, zones.zone_id, 'on_demand', '[]' FROM images, zones LIMIT 1",
        lost,
        lost,
    )
    try:
        done = run("doctor", "--data", str(instance.data))
    finally:
        instance.sql("DELETE FROM launches WHERE launch_id = %s", lost)
    assert done.returncode == 1
    assert lost in done.stdout


def running_session(instance: Instance) -> str:
    """The id of a session that was launched and runs."""
    session_id = instance.launch(instance.new_user())["session_id"]
    wait_for(lambda: instance.has_status(session_id, "running"), "the session runs", 60)
    return session_id


def left(instance: Instance, label: str, said: str) -> tuple[list[str], list[str], list[str]]:
    """Processes, containers and networks that an instance left behind after `down` with the output `said`."""
    return processes_of(instance.data), containers(label), networks_left(instance, label, said)


@pytest.mark.alone
def test_down_leaves_nothing_and_up_continues_with_the_same_data(new_instance: Instance):
    first = new_instance.up()
    session, label = running_session(new_instance), new_instance.label()
    done = new_instance.down()
    assert done.returncode == 0, done.stderr
    assert left(new_instance, label, done.stderr) == ([], [], [])
    again = run("down", "--data", str(new_instance.data), "--json")
    assert json.loads(again.stdout.splitlines()[-1])["stopped"] is False

    second = new_instance.up()
    same = ("url", "stream_url", "admin", "api_key", "api_key_secret", "zones", "agents")
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert [m["manager_id"] for m in second["managers"]] == [m["manager_id"] for m in first["managers"]]
    ended = new_instance.sql("SELECT status, ended_reason FROM sessions WHERE session_id = %s", session)
    assert ended == [{"status": "deleted", "ended_reason": "instance stopped"}]
    assert run("doctor", "--data", str(new_instance.data)).returncode == 0


def test_down_ends_the_sessions_that_a_killed_up_left(new_instance: Instance):
    new_instance.up()
    session, label = running_session(new_instance), new_instance.label()
    new_instance.kill("up")
    assert len(new_instance.containers_of(session)) == 1
    done = new_instance.down()
    assert done.returncode == 0, done.stderr
    assert left(new_instance, label, done.stderr) == ([], [], [])


@pytest.fixture(scope="module")
def second(openbox_image: str) -> Iterator[Instance]:
    """Another instance with two zones and four Managers; the last test that uses it ends it."""
    with running_instance("--zones", "a,b", "--managers", "2", GREENROOM_DESKTOP_IMAGE=openbox_image) as second:
        yield second


def test_two_instances_run_side_by_side(instance: Instance, second: Instance):
    assert [zone["zone_name"] for zone in second.found["zones"]] == ["a", "b"]
    assert len(second.found["managers"]) == 4
    ports = [set(json.loads((i.data / "ports.json").read_text()).values()) for i in (instance, second)]
    assert not ports[0] & ports[1]
    wait_for(instance.healthy, "every part works")
    wait_for(second.healthy, "every part works")


def test_doctor_finds_nothing_broken(second: Instance):
    """In an instance of this file: tests of other files kill parts of the shared one, which is crash-looping then."""
    done = run("doctor", "--json", "--data", str(second.data))
    findings = json.loads(done.stdout)
    assert [finding for finding in findings if finding["broken"]] == []
    assert done.returncode == 0, done.stderr
    codes = {one.code for one in INVARIANTS} | CONTAINER_INVARIANTS.keys() | OTHER_INVARIANTS.keys()
    assert [finding["code"] for finding in findings] == sorted(codes, key=lambda code: int(code[1:]))


def test_the_password_is_null_once_it_was_changed(second: Instance):
    done = run("users", "reset-password", "--data", str(second.data))
    assert done.returncode == 0, done.stderr
    assert second.status()["admin"]["password"] is None
    answer = httpx2.post(
        f"{second.url}/api/v1/login",
        json={"username": "admin@greenroom.local", "password": done.stdout.strip()},
        headers={"Origin": second.url, "Sec-Fetch-Site": "same-origin"},
        verify=second.ca(),
        timeout=15,
    )
    assert answer.status_code == 200, answer.text


def test_sigterm_ends_it_like_down(second: Instance):
    os.kill(second.pids("up")[0], signal.SIGTERM)
    wait_for(lambda: not processes_of(second.data), "all processes are gone")
    assert not (second.data / "run/state.json").exists()


def test_down_without_docker_leaves_containers_to_the_next_down(new_instance: Instance):
    there = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    docker = new_instance.folder / "docker.sock"
    docker.symlink_to(there)
    new_instance.environment["DOCKER_HOST"] = f"unix://{docker}"
    new_instance.up()
    session_id = new_instance.launch(new_instance.new_user())["session_id"]
    wait_for(lambda: new_instance.session(session_id)["status"] == "running", "it runs", 60)
    docker.unlink()
    doctor = run("doctor", "--json", "--data", str(new_instance.data), **new_instance.environment)
    skipped = {finding["code"] for finding in json.loads(doctor.stdout) if finding["skipped"]}
    assert (doctor.returncode, skipped) == (0, {"I3", "I6", "I7"}), doctor.stderr
    done = new_instance.down()
    assert (done.returncode, "the objects that they share remain in Docker" in done.stderr) == (1, True), done.stderr
    assert processes_of(new_instance.data) == []
    ended = Layout(new_instance.data).log("postgres").read_text().rstrip().splitlines()[-1]
    assert "database system is shut down" in ended
    assert len(new_instance.containers_of(session_id)) == 1
    docker.symlink_to(there)
    assert new_instance.down().returncode == 0
    assert new_instance.containers_of(session_id) == []


def test_a_certificate_of_ones_own_is_shown_under_its_host_name(new_instance: Instance):
    brought = new_instance.folder / "brought"
    other = Layout(brought)
    other.create(Accounts(Account(None), Account(None), Account(None)))
    tls.ensure_authority(other)
    certificate, key = tls.ensure_certificate(other, Account(None), ["rooms.example"], datetime.now(UTC))
    new_instance.up("--hostname", "rooms.example", "--tls-cert", str(certificate), "--tls-key", str(key))
    assert new_instance.url == f"https://rooms.example:{new_instance.port}"

    def shown(asked_for: str | None) -> bytes | None:
        context = ssl.create_default_context(cafile=str(other.ca_file))
        context.load_verify_locations(new_instance.found["ca_file"])
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", new_instance.port)) as plain,
            context.wrap_socket(plain, server_hostname=asked_for) as secured,
        ):
            return secured.getpeercert(binary_form=True)

    the_brought_one = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    assert shown("rooms.example") == the_brought_one
    assert shown(None) != the_brought_one
    wait_for(new_instance.healthy, "every part works")


def test_an_interrupted_start_leaves_no_process(new_instance: Instance):
    where = ["--data", str(new_instance.data), "--port", str(new_instance.port)]
    starting = subprocess.Popen([*GREENROOM, "up", *where, "--detach"], env={**os.environ, **new_instance.environment})
    wait_for((new_instance.data / "run/state.json").exists, "PostgreSQL is started", 120)
    starting.send_signal(signal.SIGINT)
    assert starting.wait(60) == EXIT_INTERRUPTED
    assert processes_of(new_instance.data) == []
    new_instance.up()
    wait_for(new_instance.healthy, "every part works")


@pytest.mark.parametrize("step", ["Checking this machine", "Creating the database", "Starting api"])
def test_ctrl_c_in_any_step_ends_with_one_line(new_instance: Instance, step: str):
    where = ["--data", str(new_instance.data), "--port", str(new_instance.port)]
    environment = {**os.environ, **new_instance.environment}
    command = [*GREENROOM, "up", *where]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as up:
        assert up.stderr is not None
        said = [next(line for line in up.stderr if step in line)]
        os.killpg(up.pid, signal.SIGINT)
        said += list(up.stderr)
    assert up.returncode == EXIT_INTERRUPTED
    assert said[-1] == "Stopped.\n"
    assert [line for line in said if "failed" in line or "Traceback" in line] == []
    assert processes_of(new_instance.data) == []


def test_a_folder_without_room_is_refused_before_anything_is_made(new_instance: Instance):
    data, environment = new_instance.data, {**os.environ, **new_instance.environment}
    data.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(data)], check=True)
    try:
        where = ["--data", str(data), "--port", str(new_instance.port)]
        command = [*GREENROOM, "up", *where]
        refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert list(data.iterdir()) == []
    finally:
        subprocess.run(["umount", str(data)], check=True)
    assert refused.returncode == 1
    assert re.search(rf"DATA needs about \d+ MB free, and {data} has 6\d MB\. Free some space", refused.stderr)
