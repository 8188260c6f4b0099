"""The network access of real containers: the internet, but no private network, no host, no other session."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiodocker
import pytest
from aiodocker.networks import DockerNetworks
from tests.support.runtime_hosts import Host, new_id, run, shell, spec, usable
from tests.support.waiting import eventually

from greenroom.core.web_filter import FILTER_PORT
from greenroom.runtimes.contract import FilterAccount, HostRuntime, StartError
from greenroom.runtimes.docker import firewall, networks
from greenroom.runtimes.docker.spec import ContainerOwner, container_name

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]

FILTERS = FilterAccount(uid=64_999)


async def connects(runtime: HostRuntime, session_id: str, address: str, port: int) -> bool:
    exit_code, _ = await shell(runtime, session_id, f"timeout 5 bash -c '</dev/tcp/{address}/{port}'")
    return exit_code == 0


def succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def short(host: Host) -> str:
    return ContainerOwner(installation_id=host.installation_id, agent_id="").short


async def test_the_page_is_published_on_loopback_alone(host: Host, runtime: HostRuntime, docker: aiodocker.Docker):
    session_id, _, _ = await host.started(runtime)
    facts = await docker.containers.container(container_name(session_id)).show()
    bindings = [b for group in facts["NetworkSettings"]["Ports"].values() for b in group or []]
    assert [b["HostIp"] for b in bindings] == ["127.0.0.1"]


async def test_sessions_start_after_their_network_was_removed(
    host: Host, runtime: HostRuntime, docker: aiodocker.Docker
):
    name = ContainerOwner(installation_id=host.installation_id, agent_id="").network
    await (await docker.networks.get(name)).delete()
    sessions = [new_id() for _ in range(3)]
    await asyncio.gather(*(runtime.create(session_id, spec()) for session_id in sessions))
    for session_id in sessions:
        assert (await runtime.start(session_id)).address is not None


@contextmanager
def internet(address: str) -> Iterator[None]:
    """A public address, simulated by a network namespace of this host, with a server on port 80."""
    name = f"gr{os.getpid()}"
    ip = ["ip", "-n", name]
    run("ip", "netns", "add", name)
    server = None
    try:
        run("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        run("ip", "addr", "add", "198.51.100.1/30", "dev", f"{name}a")
        run("ip", "link", "set", f"{name}a", "up")
        run(*ip, "addr", "add", "198.51.100.2/30", "dev", f"{name}b")
        run(*ip, "link", "set", f"{name}b", "up")
        run(*ip, "link", "set", "lo", "up")
        run(*ip, "addr", "add", f"{address}/32", "dev", "lo")
        run(*ip, "route", "add", "default", "via", "198.51.100.1")
        run("ip", "route", "add", f"{address}/32", "via", "198.51.100.2")
        server = subprocess.Popen(
            ["ip", "netns", "exec", name, "python3", "-m", "http.server", "80"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        yield
    finally:
        if server:
            server.kill()
            server.wait()
        # At once: otherwise the kernel removes it some time after its namespace.
        subprocess.run(["ip", "link", "del", f"{name}a"], check=False, capture_output=True)
        run("ip", "netns", "del", name)


@pytest.mark.skipif(os.getuid() != 0, reason="network namespaces need root")
@pytest.mark.parametrize(
    ("address", "reachable"), [("203.0.113.7", True), ("10.99.0.7", False), ("169.254.169.254", False)]
)
async def test_the_internet_but_no_private_network(host: Host, runtime: HostRuntime, address: str, reachable: bool):
    session_id, _, _ = await host.started(runtime)
    with internet(address):

        async def served() -> bool:
            return succeeds("timeout", "1", "bash", "-c", f"</dev/tcp/{address}/80")

        await eventually(served)
        assert await connects(runtime, session_id, address, 80) is reachable


@pytest.mark.skipif(os.getuid() != 0, reason="network namespaces need root")
async def test_private_networks_stay_closed_while_docker_replaces_its_rules(host: Host, runtime: HostRuntime):
    session_id, _, _ = await host.started(runtime)
    with internet("10.99.0.7"):

        async def served() -> bool:
            return succeeds("timeout", "1", "bash", "-c", "</dev/tcp/10.99.0.7/80")

        await eventually(served)
        # Docker removes it itself for a moment when another test creates a network.
        await eventually(lambda: succeeds("iptables", "-w", "5", "-D", "FORWARD", "-j", "DOCKER-USER"))
        try:
            assert not await connects(runtime, session_id, "10.99.0.7", 80)
        finally:
            run("iptables", "-w", "5", "-I", "FORWARD", "-j", "DOCKER-USER")


OPEN_FIVE = (
    'for fd in {10..14}; do eval "exec $fd<>/dev/tcp/203.0.113.7/80" || exit 1; done; sleep 600 >/dev/null 2>&1 &'
)


@pytest.mark.skipif(os.getuid() != 0, reason="network namespaces need root")
async def test_a_session_has_so_many_connections_open_and_no_more(host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(networks, "RULES_INTERVAL_S", 3600.0)
    runtime = await host.open(connections=5)
    greedy, _, _ = await host.started(runtime)
    other, _, _ = await host.started(runtime)
    chain = f"GREENROOM-{short(host)}-MAX"
    with internet("203.0.113.7"):

        async def served() -> bool:
            return await connects(runtime, other, "203.0.113.7", 80)

        async def refused() -> bool:
            return not await connects(runtime, greedy, "203.0.113.7", 80)

        async def five_and_no_more() -> bool:
            """Docker removes its jump for a moment when another test creates a network. A connection that is opened at
            that moment is never counted."""
            await shell(runtime, greedy, "pkill -f '^sleep 600'")
            opened, _ = await shell(runtime, greedy, OPEN_FIVE)
            return opened == 0 and await refused()

        await eventually(served)
        await eventually(five_and_no_more)
        assert await connects(runtime, other, "203.0.113.7", 80)

        await host.open(connections=5)  # the rules are set again, and the counters do not change
        await eventually(refused)
        await host.open(connections=0)  # takes the place of the limit before
        assert run("iptables", "-w", "5", "-S", chain) == f"-N {chain}\n"
        assert await connects(runtime, greedy, "203.0.113.7", 80)


async def test_sessions_reach_neither_each_other_nor_the_host(
    host: Host, runtime: HostRuntime, docker: aiodocker.Docker
):
    one, _, _ = await host.started(runtime)
    two, wanted, started = await host.started(runtime)
    await usable(runtime, started.address, wanted)
    facts = await docker.containers.container(container_name(two)).show()
    network = facts["NetworkSettings"]["Networks"][f"greenroom-{short(host)}"]
    assert await connects(runtime, two, "127.0.0.1", 6901)
    assert not await connects(runtime, one, network["IPAddress"], 6901)

    server = await asyncio.start_server(lambda _r, w: w.close(), "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    addresses = [line.split()[3].split("/")[0] for line in run("ip", "-4", "-o", "addr", "show").splitlines()]
    own = [address for address in addresses if not address.startswith("127.")]
    async with server:
        assert network["Gateway"] in own
        for address in own:
            assert not await connects(runtime, one, address, port), address


async def test_names_are_resolved(host: Host, runtime: HostRuntime):
    if not succeeds("getent", "hosts", "example.com"):
        pytest.skip("this host does not resolve the name either")
    session_id, _, _ = await host.started(runtime)

    async def resolved() -> bool:
        return (await shell(runtime, session_id, "getent hosts example.com"))[0] == 0

    await eventually(resolved)


async def test_rules_are_set_once_and_removed(host: Host, runtime: HostRuntime):
    await host.open()
    rules = run("iptables", "-w", "5", "-S")
    assert rules.count(f"-A DOCKER-USER -i gr-{short(host)} -j GREENROOM-{short(host)}\n") == 1
    assert rules.count(f"-A INPUT -i gr-{short(host)} -j GREENROOM-{short(host)}-IN\n") == 1
    await runtime.remove_all()
    assert short(host) not in run("iptables", "-w", "5", "-S")
    assert short(host) not in run("docker", "network", "ls")


async def test_rules_that_something_else_removes_come_back(host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(networks, "RULES_INTERVAL_S", 0.2)
    await host.open()
    jump = ["DOCKER-USER", "-i", f"gr-{short(host)}", "-j", f"GREENROOM-{short(host)}"]
    run("iptables", "-w", "5", "-D", *jump)
    run("iptables", "-w", "5", "-F", f"GREENROOM-{short(host)}")

    async def back() -> bool:
        private = ["-d", "10.0.0.0/8", "-j", "REJECT", "--reject-with", "icmp-admin-prohibited"]
        return all(
            succeeds("iptables", "-w", "5", "-C", *rule) for rule in (jump, [f"GREENROOM-{short(host)}", *private])
        )

    await eventually(back)


async def test_a_session_that_was_made_before_is_not_started_without_rules(
    host: Host, runtime: HostRuntime, monkeypatch: pytest.MonkeyPatch
):
    session_id = new_id()
    await runtime.create(session_id, spec())
    with monkeypatch.context() as without:
        without.setattr(firewall, "_path_of", lambda program: None)
        again = await host.open()
        with pytest.raises(StartError, match="could reach private networks"):
            await again.start(session_id)
    assert (await again.start(session_id)).address is not None


async def test_agents_that_start_together_share_one_network(host: Host):
    await asyncio.gather(*(host.open() for _ in range(4)))
    names = run("docker", "network", "ls", "--format", "{{.Name}}").split()
    assert names.count(f"greenroom-{short(host)}") == 1


async def test_each_agent_has_filter_networks_of_its_own(tmp_path: Path):
    host, policy_id = Host("docker", tmp_path), new_id()
    try:
        first, second = await host.open(), await host.open()
        one, two = [await runtime.open_filter_network(policy_id, FILTERS) for runtime in (first, second)]
        assert one.address != two.address
        assert await first.filter_networks() == [one]
        session, _, _ = await host.started(first, filter_policy=policy_id)
        exit_code, _ = await shell(first, session, f"curl -sS --noproxy '*' -m 3 http://{two.address}:{FILTER_PORT}/")
        assert exit_code != 0
    finally:
        await host.close()
    assert host.installation_id[:8] not in run("iptables", "-w", "5", "-S")


async def test_a_docker_without_addresses_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    host = Host("docker", tmp_path)
    try:
        runtime = await host.open()

        async def refuses(*_: object, **__: object) -> None:
            raise aiodocker.DockerError(404, "could not find an available, non-overlapping IPv4 address pool")

        monkeypatch.setattr(DockerNetworks, "create", refuses)
        with pytest.raises(StartError, match="default-address-pools"):
            await runtime.open_filter_network(new_id(), FILTERS)
    finally:
        await host.close()
