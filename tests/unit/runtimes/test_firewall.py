"""The rules for the network access of sessions."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.web_filter import PRIVATE_IPV4
from greenroom.runtimes.docker import firewall
from greenroom.runtimes.docker.firewall import Rules, chains, jumps, limit_chain, resolvers, ruleset
from greenroom.runtimes.docker.spec import ContainerOwner

IDENTITY = ContainerOwner(installation_id="0a1b2c3d-0000-4000-8000-000000000000", agent_id="agent")
addresses = st.ip_addresses(v=4).map(str)


def verdict(text: str, chain: str, address: str, port: int) -> str:
    """The verdict of the rules of `chain` on a new connection within the connection limit, as iptables would
    evaluate them."""
    for line in text.splitlines():
        words = line.split()
        if words[:2] != ["-A", chain] or "conntrack" in words or limit_chain(IDENTITY) in words:
            continue
        options = dict(pairwise(words))
        if "-d" in options and ipaddress.ip_address(address) not in ipaddress.ip_network(options["-d"]):
            continue
        if "--dport" in options and port != int(options["--dport"]):
            continue
        return options["-j"]
    return "RETURN"


@given(address=addresses, port=st.integers(1, 65535), resolver=addresses)
def test_new_connections_leave_only_for_public_addresses_and_resolvers(address: str, port: int, resolver: str):
    text = ruleset(IDENTITY, [resolver])
    private = any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in PRIVATE_IPV4)
    read_only = address == resolver and port == 53
    forward, host = chains(IDENTITY)
    assert verdict(text, forward, address, port) == ("REJECT" if private and not read_only else "RETURN")
    assert verdict(text, host, address, port) == ("RETURN" if read_only else "REJECT")


@given(address=addresses.filter(lambda a: ipaddress.ip_address(a).is_private))
def test_what_python_calls_private_is_refused(address: str):
    special = ["192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"]
    if not any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in special):
        assert verdict(ruleset(IDENTITY, []), chains(IDENTITY)[0], address, 80) == "REJECT"


def test_only_packets_from_the_sessions_bridge_are_looked_at():
    assert all(jump[1:3] == ["-i", IDENTITY.bridge] for jump in jumps(IDENTITY))
    assert all(len(chain) <= 28 for chain in chains(IDENTITY))


def test_resolvers_are_read_from_resolv_conf():
    text = "# comment\nnameserver 10.0.0.2\nsearch x\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver none\n"
    assert resolvers([text, "nameserver 10.0.0.2\nnameserver 9.9.9.9\n"]) == ["10.0.0.2", "9.9.9.9"]


async def test_sessions_are_isolated_even_if_connections_cannot_be_counted(
    monkeypatch: pytest.MonkeyPatch,
):
    restored: list[str] = []

    async def run(command: list[str], text: str = "") -> str:
        if "connlimit" in (*command, *text.split()):
            raise firewall.FirewallError("Extension connlimit is not supported, missing kernel module?")
        restored.append(text)
        return ""

    monkeypatch.setattr(firewall, "_run", run)
    assert "missing kernel module" in await firewall.install(IDENTITY, connections_max=7)
    assert f"*filter\n:{limit_chain(IDENTITY)} - [0:0]\nCOMMIT\n" in restored
    assert any(f":{chains(IDENTITY)[0]} " in text for text in restored)


@pytest.mark.parametrize("do", [firewall.apply_rules, firewall.remove_rules])
async def test_a_rule_that_cannot_be_asked_for_is_not_taken_for_absent(
    do: Callable[[Rules], Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / "iptables"
    program.write_text("#!/bin/sh\necho 'Another app is currently holding the xtables lock' >&2; exit 4\n")
    program.chmod(0o755)
    monkeypatch.setattr(firewall, "_path_of", lambda _: str(program))
    with pytest.raises(firewall.FirewallError, match="xtables lock"):
        await do(Rules(jumps=(("INPUT", "-i", "gr-1", "-j", "GREENROOM-1"),)))
