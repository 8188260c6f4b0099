"""Firewall rules for sessions. A session can reach the internet and this host's resolvers, but neither private networks
nor the host.

An installation has its own bridge and chains. DOCKER-USER and FORWARD jump to these chains with forwarded packets of
its sessions, INPUT with packets of its sessions to the host. The jump in FORWARD is needed because dockerd removes the
jump to DOCKER-USER for a moment when a network is created. A connection that is opened at this moment would stay open.
Replies to connections that the host opened are allowed, because the gateway connects to the page of a session. Sessions
cannot reach each other, because their network has `enable_icc=false` and the addresses of the bridge are private.

From the network of a web filter policy only the filter's port on the host is reachable. The filter itself can reach the
internet and the name servers, but neither this host nor private networks. The rules check the address of each
connection, so the answers of name servers cannot change this.
"""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from greenroom.core.web_filter import PRIVATE_IPV4, PRIVATE_IPV6, name_servers
from greenroom.runtimes.contract import FilterAccount
from greenroom.runtimes.docker.spec import ContainerOwner

RESOLV_CONF: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class FirewallError(Exception):
    """The rules could not be set or removed. The message is the error of iptables."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


RESOURCE_ERROR: Final = 4
"""The exit code of iptables for a temporary failure, for example if another process holds its lock for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Chains of Greenroom and the jumps into them. `text` is the input of `PROGRAM-restore --noflush` that sets the
    content of the chains. A jump is a rule without its command: the chain, the match and the target.
    """

    program: Literal["iptables", "ip6tables"] = "iptables"
    chains: tuple[str, ...] = ()
    text: str = ""
    jumps: tuple[tuple[str, ...], ...] = ()


def chains(owner: ContainerOwner) -> tuple[str, str]:
    """Return the names of the chains for forwarded packets and for packets to the host (at most 28 characters)."""
    return f"GREENROOM-{owner.short}", f"GREENROOM-{owner.short}-IN"


def limit_chain(owner: ContainerOwner) -> str:
    """Return the name of the chain that limits the open connections of a session."""
    return f"GREENROOM-{owner.short}-MAX"


def limit_rule(owner: ContainerOwner, connections_max: int) -> list[str]:
    """Return the rule in `limit_chain`. It counts connections by source address, which is different for each
    session."""
    match = ["-m", "connlimit", "--connlimit-above", str(connections_max), "--connlimit-mask", "32"]
    return [limit_chain(owner), *match, "--connlimit-saddr", "-j", "REJECT", "--reject-with", _ICMP_REJECTION]


_ICMP_REJECTION: Final = "icmp-admin-prohibited"


def private_chain(owner: ContainerOwner) -> str:
    """Return the name of the chain that refuses private networks. This chain does not limit connections, because the
    chain for forwarded packets limits them.
    """
    return f"GREENROOM-{owner.short}-NET"


def jumps(owner: ContainerOwner) -> list[list[str]]:
    """Return the jumps into the chains, each as the arguments of iptables after the command."""
    forward, host = chains(owner)
    return [
        ["DOCKER-USER", "-i", owner.bridge, "-j", forward],
        ["FORWARD", "-i", owner.bridge, "-j", private_chain(owner)],
        ["INPUT", "-i", owner.bridge, "-j", host],
    ]


def ruleset(owner: ContainerOwner, resolvers: Iterable[str]) -> str:
    """Return the input of `iptables-restore --noflush` that replaces the rules of the chains in one step."""
    forward, host = chains(owner)
    private = private_chain(owner)
    lines = ["*filter", f":{forward} - [0:0]", f":{private} - [0:0]", f":{host} - [0:0]"]
    for chain in (forward, private, host):
        lines.append(f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN")
        if chain != private:
            lines.append(f"-A {chain} -j {limit_chain(owner)}")
        lines += [
            f"-A {chain} -d {address} -p {protocol} --dport 53 -j RETURN"
            for address in resolvers
            for protocol in ("udp", "tcp")
        ]
    for chain in (forward, private):
        lines += [f"-A {chain} -d {network} -j REJECT --reject-with {_ICMP_REJECTION}" for network in PRIVATE_IPV4]
        lines.append(f"-A {chain} -j RETURN")
    lines += [f"-A {host} -j REJECT --reject-with {_ICMP_REJECTION}", "COMMIT"]
    return "\n".join(lines) + "\n"


def resolvers(texts: Iterable[str]) -> list[str]:
    """Return the IPv4 name servers in texts with the format of resolv.conf, without loopback addresses."""
    addresses = [ipaddress.ip_address(name) for name in name_servers(texts)]
    return [str(address) for address in addresses if address.version == 4 and not address.is_loopback]


async def install(owner: ContainerOwner, connections_max: int = 0) -> str:
    """Set the rules of the sessions' network again, with at most `connections_max` open connections per session (0 =
    unlimited). Return the reason why this host cannot limit connections; empty if it can.

    Raises:
        FirewallError: the rules cannot be set.
    """
    limit_problem = await _limit_connections(owner, connections_max)
    texts = [path.read_text(errors="replace") for path in RESOLV_CONF if path.is_file()]
    await apply_rules(_session_rules(owner, resolvers(texts)))
    return limit_problem


async def _limit_connections(owner: ContainerOwner, connections_max: int) -> str:
    rule = limit_rule(owner, connections_max)
    if connections_max and await _rule_exists("iptables", "-C", *rule):
        return ""
    chain_text = f"*filter\n:{limit_chain(owner)} - [0:0]\n"
    if connections_max:
        try:
            await apply_rules(Rules(text=f"{chain_text}-A {' '.join(rule)}\nCOMMIT\n"))
        except FirewallError as error:
            await apply_rules(Rules(text=f"{chain_text}COMMIT\n"))
            return str(error)
    else:
        await apply_rules(Rules(text=f"{chain_text}COMMIT\n"))
    return ""


async def remove(owner: ContainerOwner) -> None:
    """Remove the rules of the sessions' network. Missing rules are no error."""
    await remove_rules(_session_rules(owner, []))


def _session_rules(owner: ContainerOwner, resolvers: list[str]) -> Rules:
    return Rules(
        chains=(*chains(owner), private_chain(owner), limit_chain(owner)),
        text=ruleset(owner, resolvers),
        jumps=tuple(tuple(jump) for jump in jumps(owner)),
    )


async def apply_rules(rules: Rules) -> None:
    """Create the chains and the jumps into them, or replace their content. Other rules do not change.

    Raises:
        FirewallError: the rules cannot be set.
    """
    if rules.text:
        await _run([f"{rules.program}-restore", "--noflush", "-w", "5"], rules.text)
    for jump in rules.jumps:
        if not await _rule_exists(rules.program, "-C", *jump):
            await _run([rules.program, "-w", "5", "-I", *jump])


async def remove_rules(rules: Rules) -> None:
    """Remove the chains and the jumps into them. Missing chains and jumps are no error.

    Raises:
        FirewallError: a chain or a jump cannot be removed.
    """
    if _path_of(rules.program) is None:
        return
    for jump in rules.jumps:
        while await _rule_exists(rules.program, "-C", *jump):
            await _run([rules.program, "-w", "5", "-D", *jump])
    for chain in rules.chains:
        await _remove_chain(rules.program, chain)


async def _remove_chain(program: str, chain: str) -> None:
    listed = (await _run([program, "-w", "5", "-S"])).splitlines()
    for arguments in (line.split() for line in listed):
        if arguments[0] == "-A" and arguments[-2:] == ["-j", chain]:
            await _run([program, "-w", "5", "-D", *arguments[1:]])
    if f"-N {chain}" in listed:
        await _run([program, "-w", "5", "-F", chain])
        await _run([program, "-w", "5", "-X", chain])


async def _rule_exists(program: str, *rule: str) -> bool:
    try:
        await _run([program, "-w", "5", *rule])
    except FirewallError as error:
        if error.exit_code == RESOURCE_ERROR:
            raise
        return False
    return True


def _path_of(program: str) -> str | None:
    return shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")


async def _run(command: list[str], text: str = "") -> str:
    program = _path_of(command[0])
    if program is None:
        raise FirewallError(f"{command[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, error = await process.communicate(text.encode())
    if process.returncode != 0:
        error_text = error.decode(errors="replace").strip()
        raise FirewallError(error_text or f"{command[0]} ended with exit code {process.returncode}", process.returncode)
    return output.decode(errors="replace")


_REJECT: Final = ("-j", "REJECT")


def network_rules(owner: ContainerOwner, bridge: str, address: str, port: int) -> list[Rules]:
    """Return the rules for packets from the interface `bridge`. The filter listens at `address` and `port`."""
    chain = f"GREENROOM-{bridge}"
    lines = [
        "*filter",
        f":{chain} - [0:0]",
        f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
        f"-A {chain} -j {limit_chain(owner)}",
        f"-A {chain} -d {address} -p tcp --dport {port} -j ACCEPT",
        f"-A {chain} -j REJECT --reject-with {_ICMP_REJECTION}",
        "COMMIT",
    ]
    ipv4 = Rules(
        chains=(chain,),
        text="\n".join(lines) + "\n",
        jumps=(
            ("DOCKER-USER", "-i", bridge, *_REJECT),
            ("FORWARD", "-i", bridge, *_REJECT),
            ("INPUT", "-i", bridge, "-j", chain),
        ),
    )
    ipv6 = Rules(program="ip6tables", jumps=(("FORWARD", "-i", bridge, *_REJECT), ("INPUT", "-i", bridge, *_REJECT)))
    return [ipv4, *_if_host_has_ipv6(ipv6)]


def account_rules(owner: ContainerOwner, account: FilterAccount | None = None) -> list[Rules]:
    """Return the rules for packets from processes of the filter's account. Without an account, the rules have no jump
    and can only be passed to `remove_rules`.
    """
    chain = f"GREENROOM-{owner.short}-WEB"
    jumps = (("OUTPUT", "-m", "owner", "--uid-owner", str(account.uid), "-j", chain),) if account else ()
    servers = [ipaddress.ip_address(server) for server in account.name_servers] if account else []
    ipv4 = _account_chain_text(chain, [str(s) for s in servers if s.version == 4], PRIVATE_IPV4)
    ipv6 = _account_chain_text(chain, [str(s) for s in servers if s.version == 6], PRIVATE_IPV6)
    return [
        Rules(chains=(chain,), text=ipv4, jumps=jumps),
        *_if_host_has_ipv6(Rules(program="ip6tables", chains=(chain,), text=ipv6, jumps=jumps)),
    ]


def _account_chain_text(chain: str, name_servers: Iterable[str], private: Iterable[str]) -> str:
    lines = [
        "*filter",
        f":{chain} - [0:0]",
        f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
        *(f"-A {chain} -d {s} -p {p} --dport 53 -j RETURN" for s in name_servers for p in ("udp", "tcp")),
        f"-A {chain} -m addrtype --dst-type LOCAL -j REJECT",
        *(f"-A {chain} -d {network} -j REJECT" for network in private),
        f"-A {chain} -j RETURN",
        "COMMIT",
    ]
    return "\n".join(lines) + "\n"


def _if_host_has_ipv6(rules: Rules) -> list[Rules]:
    return [rules] if Path("/proc/net/if_inet6").exists() else []
