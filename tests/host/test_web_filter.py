"""The web filter of an Agent: Squid follows the policy; if it cannot be enforced, sessions fail with a message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.real_agents import agent_inside, manager_of, session_id
from tests.support.runtime_hosts import OPENBOX, Host, new_id, run
from tests.support.scripted_manager import ScriptedManager, World
from tests.support.scripted_manager import spec as wire_spec
from tests.support.waiting import eventually

from greenroom.agent.app import AgentHealth
from greenroom.agent.session.inventory import Inventory
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.web_filter import squid as agent_squid
from greenroom.agent.web_filter.filters import WebFilters
from greenroom.agent.web_filter.policy_squid import filter_owner
from greenroom.agent.web_filter.squid import Owner, Squid
from greenroom.core.web_filter import FILTER_PORT, FilterPolicy, decision
from greenroom.runtimes.docker import firewall
from greenroom.runtimes.docker.spec import container_name
from greenroom.wire.messages import Answer, Desired

LABELS = st.sampled_from(["a", "b", "xn--bcher-kva"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
HOSTS = st.one_of(NAMES, NAMES.map(lambda name: name.upper() + "."), st.sampled_from(["198.18.255.9", "10.1.2.3"]))
PORTS = st.sampled_from([80, 443, 25, 1023, 8080])


@st.composite
def policies(draw: st.DrawFn) -> FilterPolicy:
    allow = draw(st.frozensets(NAMES, max_size=4))
    deny = draw(st.frozensets(NAMES, max_size=4)) - allow
    return FilterPolicy(
        filter_policy_id="p",
        name="generated",
        default_action=draw(st.sampled_from(["allow", "deny"])),
        allow=tuple(sorted(allow)),
        deny=tuple(sorted(deny)),
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the filter's account can access; pytest's folders are closed to it. No Squid of it remains."""
    with tempfile.TemporaryDirectory(prefix="gr-filter Räume (1) 部屋-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
        for process in squids_of(Path(folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(process.read_text())["pid"], signal.SIGKILL)


def squids_of(folder: Path) -> list[Path]:
    """The notes of running Squids in the folder of an Agent's filters."""
    return list(folder.glob("*/process"))


# Squid and the policy agree -------------------------------------------------------------------------------------------


@contextmanager
def name_server(address: str) -> Iterator[None]:
    """Answers at once that there is no such name, so that permitted requests fail quickly and with another error."""
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind((sys.argv[1], 53))\nprint('ready', flush=True)\n"
        "while True:\n    q, c = s.recvfrom(4096)\n    s.sendto(q[:2] + b'\\x81\\x83' + q[4:], c)\n"
    )
    command = ["python3", "-c", code, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


def status_of(address: str, method: str, url: str) -> int:
    """The status of Squid's answer."""
    with socket.create_connection((address, FILTER_PORT), timeout=30) as connection:
        connection.sendall(f"{method} {url} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
        return int(connection.recv(4096).split()[1])


def squid_says(address: str, host: str, port: int) -> str:
    """`deny` if Squid itself refuses a tunnel to `host`, regardless of its reachability."""
    with socket.create_connection((address, FILTER_PORT), timeout=30) as connection:
        connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        status = connection.recv(4096).split()[1]
    return "deny" if status == b"403" else "allow"


def unrestricted() -> Owner:
    """Not the account of the filters: while another test's Agent runs a filter, this host's firewall permits that
    account only that Agent's name server, and Squid would wait for an answer until its timeout."""
    account = pwd.getpwnam("daemon")
    return Owner(account.pw_uid, account.pw_gid)


HEALTH_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
"""Hypothesis' health checks: their findings are no defects."""


@pytest.mark.parametrize("method", ["TRACE", "TRACK"])
async def test_a_method_whose_answer_repeats_the_request_is_refused(open_folder: Path, method: str):
    address = "127.0.0.119"
    policy = FilterPolicy(filter_policy_id="p", name="open", default_action="allow")
    squid = Squid(open_folder / "policy", unrestricted(), lambda: None)
    with name_server("127.0.0.118"):
        await squid.apply(policy, address, "127.0.0.0/8", ("127.0.0.118",))
        try:
            assert status_of(address, "GET", "http://a.test/") == 502  # allowed; the host does not exist
            assert status_of(address, method, "http://a.test/") == 403
        finally:
            await squid.stop()


@pytest.mark.timeout(400)
async def test_squid_decides_as_the_policy_says(open_folder: Path):
    """The same generated policies and hosts, tested with `decision` and with a real Squid."""
    address = "127.0.0.117"
    squid = Squid(open_folder / "policy", unrestricted(), lambda: None)
    cases: list[tuple[FilterPolicy, list[tuple[str, int]]]] = []

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=HEALTH_CHECKS)
    @given(policies(), st.lists(st.tuples(HOSTS, PORTS), min_size=12, max_size=20))
    def collect(policy: FilterPolicy, hosts: list[tuple[str, int]]) -> None:
        cases.append((policy, hosts))

    collect()
    judged = 0
    with name_server("127.0.0.118"):
        try:
            for policy, hosts in cases:
                await squid.stop()
                await squid.apply(policy, address, "127.0.0.0/8", ("127.0.0.118",))
                for host, port in hosts:
                    if host == "198.18.255.9" and decision(policy, host, port).action == "allow":
                        continue  # otherwise it would be waited for until the connection times out
                    said = squid_says(address, host, port)
                    assert said == decision(policy, host, port).action, (policy, host, port)
                    judged += 1
        finally:
            await squid.stop()
    assert judged >= len(cases)


# One Squid ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def squid(open_folder: Path) -> AsyncIterator[Squid]:
    squid = Squid(open_folder / "policy", filter_owner(), lambda: None)
    yield squid
    await squid.stop()


STRICT = FilterPolicy(filter_policy_id="p", name="strict", allow=("a.test",))


async def test_a_squid_is_taken_over_by_the_next_process(squid: Squid, open_folder: Path):
    await squid.apply(STRICT, "127.0.0.119", "127.0.0.0/8", ())
    squid.stop_watching()
    successor = Squid(open_folder / "policy", filter_owner(), lambda: None)
    await successor.apply(STRICT, "127.0.0.119", "127.0.0.0/8", ())
    assert successor.pid == squid.pid
    await successor.stop()
    assert not (open_folder / "policy").exists()


async def test_the_pid_of_another_process_is_not_taken_over(squid: Squid, open_folder: Path):
    (open_folder / "policy").mkdir()
    (open_folder / "policy" / "process").write_text(f'{{"pid": {os.getpid()}, "started": 1}}')
    await squid.apply(STRICT, "127.0.0.119", "127.0.0.0/8", ())
    assert squid.pid != os.getpid()


async def test_a_squid_that_cannot_start_says_why(squid: Squid):
    with socket.create_server(("127.0.0.119", FILTER_PORT)) as taken:
        taken.listen()
        with pytest.raises(agent_squid.FilterError, match="does not start on this host"):
            await squid.apply(STRICT, "127.0.0.119", "127.0.0.0/8", ())
    assert squid.pid is None


async def test_a_squid_process_of_another_account_is_ignored(squid: Squid, open_folder: Path):
    (open_folder / "own").mkdir(mode=0o711)
    hosts_own = Squid(open_folder / "own" / "policy", unrestricted(), lambda: None)
    await hosts_own.apply(STRICT, "127.0.0.117", "127.0.0.0/8", ())
    try:
        await squid.apply(STRICT, "127.0.0.119", "127.0.0.0/8", ())
        assert squid.pid is not None
    finally:
        await hosts_own.stop()


async def test_an_unexpected_end_is_reported(open_folder: Path):
    ended: list[bool] = []
    squid = Squid(open_folder / "policy", filter_owner(), lambda: ended.append(True))
    await squid.apply(STRICT, "127.0.0.119", "127.0.0.0/8", ())
    assert squid.pid is not None
    os.kill(squid.pid, signal.SIGKILL)

    async def reported() -> bool:
        return ended == [True]

    await eventually(reported)
    assert squid.pid is None
    await squid.stop()
    assert ended == [True]


def bridge_of(session: str) -> str:
    """The interface of this host in the network of a session."""
    networks = "{{range $name, $facts := .NetworkSettings.Networks}}{{$name}}{{end}}"
    name = run("docker", "inspect", "--format", networks, container_name(session)).strip()
    option = '{{index .Options "com.docker.network.bridge.name"}}'
    return run("docker", "network", "inspect", "--format", option, name).strip()


# Where it cannot be enforced ------------------------------------------------------------------------------------------


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World()
    world.filter_policies = [FilterPolicy(filter_policy_id=new_id(), name="Strict", allow=("a.test",))]
    yield world
    host = Host("docker", tmp_path, installation_id=world.installation_id)
    await host.open()
    await host.close()


@pytest.fixture
async def manager(world: World) -> AsyncIterator[ScriptedManager]:
    async with manager_of(world) as manager:
        yield manager


async def failure(
    world: World, manager: ScriptedManager, folder: Path, web_filter: Path, *, filtered: bool = True
) -> str:
    """The reason why a session, with or without the world's policy, fails on this Agent."""
    session = session_id()
    policy_id = world.filter_policies[0].filter_policy_id if filtered else None
    wanted = wire_spec(image=OPENBOX, filter_policy=policy_id)
    async with agent_inside(folder, manager, runtime="docker", web_filter_dir=web_filter):
        await world.want(session, spec=msgspec.to_builtins(wanted))
        await world.until(lambda: world.state(session) == "failed")
    assert run("docker", "ps", "--all", "--quiet", "--filter", f"label=greenroom.session={session}") == ""
    return world.observed[session].error


@pytest.mark.docker
@pytest.mark.usefixtures("openbox_image")
async def test_without_squid_a_session_fails_and_says_what_to_install(
    world: World, manager: ScriptedManager, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(agent_squid, "_SEARCH_PATH", "/nonexistent")
    assert "which installs squid-openssl" in await failure(world, manager, tmp_path, open_folder)


@pytest.mark.docker
@pytest.mark.usefixtures("openbox_image")
async def test_without_firewall_rules_a_session_fails_and_says_so(
    world: World, manager: ScriptedManager, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(firewall, "_path_of", lambda program: None)
    error = await failure(world, manager, tmp_path, open_folder)
    assert "cannot be enforced on this host" in error
    assert "iptables-restore is not installed" in error


@pytest.mark.docker
@pytest.mark.usefixtures("openbox_image")
async def test_without_firewall_rules_no_other_session_starts_either(
    world: World, manager: ScriptedManager, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(firewall, "_path_of", lambda program: None)
    error = await failure(world, manager, tmp_path, open_folder, filtered=False)
    assert "could reach private networks and this host" in error


@pytest.mark.docker
@pytest.mark.usefixtures("openbox_image")
async def test_rules_that_something_else_removes_come_back(
    world: World, manager: ScriptedManager, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("greenroom.agent.web_filter.filters.RULES_INTERVAL_S", 0.2)
    session = session_id()
    wanted = wire_spec(image=OPENBOX, filter_policy=world.filter_policies[0].filter_policy_id)
    async with agent_inside(tmp_path, manager, runtime="docker", web_filter_dir=open_folder):
        await world.want(session, spec=msgspec.to_builtins(wanted))
        await world.until(lambda: world.is_usable(session))
        rules = run("iptables", "-w", "5", "-S", "INPUT").splitlines()
        mine = f"-i {bridge_of(session)} "  # other interfaces of this machine have theirs
        jumps = [line.split()[1:] for line in rules if mine in f"{line} "]
        assert jumps
        for jump in jumps:
            run("iptables", "-w", "5", "-D", *jump)

        async def back() -> bool:
            rules = run("iptables", "-w", "5", "-S", "INPUT").splitlines()
            return all(" ".join(["-A", *jump]) in rules for jump in jumps)

        await eventually(back)


@pytest.mark.docker
@pytest.mark.usefixtures("openbox_image")
async def test_a_squid_whose_network_is_gone_is_ended_by_the_next_process(
    world: World, manager: ScriptedManager, tmp_path: Path, open_folder: Path
):
    left = Squid(open_folder / world.filter_policies[0].filter_policy_id, filter_owner(), lambda: None)
    await left.apply(world.filter_policies[0], "127.0.0.119", "127.0.0.0/8", ())
    left.stop_watching()
    async with agent_inside(tmp_path, manager, runtime="docker", web_filter_dir=open_folder):

        async def ended() -> bool:
            return not squids_of(open_folder)

        await eventually(ended)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.119", FILTER_PORT))


async def test_policies_are_read_from_disk_after_a_restart_of_the_agent(tmp_path: Path):
    """With the simulated host, the next process of the Agent uses the files on the disk."""
    policy = FilterPolicy(filter_policy_id=new_id(), name="Strict", allow=("a.test",), default_action="deny")
    host = Host("simulated", tmp_path)
    runtime = await host.open()
    sessions = Sessions(Journal(tmp_path / "journal"))
    WebFilters(runtime, sessions, tmp_path / "filters").set_policies([policy])
    successor = WebFilters(runtime, sessions, tmp_path / "filters")
    successor.load()
    await successor.wait_until_ready(policy.filter_policy_id)
    assert [network.policy_id for network in await runtime.filter_networks()] == [policy.filter_policy_id]


async def test_a_running_session_whose_policy_no_manager_sends_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("greenroom.agent.web_filter.filters.POLICY_TIMEOUT_S", 0.0)
    journal, unknown, session = Journal(tmp_path / "journal"), new_id(), session_id()
    journal.open()
    sessions = Sessions(journal)
    filtered = msgspec.to_builtins(wire_spec(filter_policy=unknown))
    desired = Desired(session_id=session, generation=1, want="running", spec=filtered)
    assert sessions.accept(
        Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=[desired])
    )
    runtime = await Host("simulated", tmp_path).open()
    await Inventory(runtime, sessions, "agent-1", AgentHealth()).take()
    filters = WebFilters(runtime, sessions, tmp_path / "filters")
    running = asyncio.create_task(filters.run())
    try:
        (line,) = await eventually(sessions.outbox.take_log_lines)
    finally:
        running.cancel()
        journal.close()
    assert (line.code, line.level, line.details) == ("web-filter-down", "ERROR", {"policy_id": unknown})
    assert f"No Manager sent the web filter policy {unknown}" in line.message


@pytest.mark.docker
@pytest.mark.usefixtures("openbox_image")
async def test_a_policy_no_manager_knows_fails_the_session(
    world: World, manager: ScriptedManager, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("greenroom.agent.web_filter.filters.POLICY_TIMEOUT_S", 0.5)
    unknown = new_id()
    world.filter_policies[0] = FilterPolicy(filter_policy_id=unknown, name="Strict")
    policies, world.filter_policies = world.filter_policies, []

    def answer_without(answer: Any) -> Any:
        return msgspec.structs.replace(answer, filter_policies=[])

    manager.change_answer = answer_without
    world.filter_policies = policies
    assert f"No Manager sent the web filter policy {unknown}" in await failure(world, manager, tmp_path, open_folder)
