"""What holds the web filter tight: rules for the networks of its sessions, and for the account Squid runs as. Pure.

From a policy's network nothing goes anywhere but to the filter's port on the host. The filter itself, whatever a name
resolves to in the moment of the connection, cannot be led to this host or to a private network: only to the internet,
and to the name servers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from greenroom.core.addresses import PRIVATE, PRIVATE_IPV6
from greenroom.runtimes.base import FilterAccount
from greenroom.runtimes.docker_spec import Identity
from greenroom.runtimes.firewall import Rules, counting_chain

REJECT = ("-j", "REJECT")


def network_rules(identity: Identity, bridge: str, address: str, port: int) -> list[Rules]:
    """For packets from the interface `bridge`, on which the filter listens at `address` and `port`."""
    chain = f"GREENROOM-{bridge}"
    lines = [
        "*filter",
        f":{chain} - [0:0]",
        f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
        f"-A {chain} -j {counting_chain(identity)}",
        f"-A {chain} -d {address} -p tcp --dport {port} -j ACCEPT",
        f"-A {chain} -j REJECT --reject-with icmp-admin-prohibited",
        "COMMIT",
    ]
    ipv4 = Rules(
        chains=(chain,),
        text="\n".join(lines) + "\n",
        jumps=(("DOCKER-USER", "-i", bridge, *REJECT), ("INPUT", "-i", bridge, "-j", chain)),
    )
    ipv6 = Rules(program="ip6tables", jumps=(("FORWARD", "-i", bridge, *REJECT), ("INPUT", "-i", bridge, *REJECT)))
    return [ipv4, *_where_there_is_ipv6(ipv6)]


def account_rules(identity: Identity, account: FilterAccount | None = None) -> list[Rules]:
    """For packets that processes of the filter's account send; without an account only good for taking them away."""
    chain = f"GREENROOM-{identity.short}-WEB"
    jumps = (("OUTPUT", "-m", "owner", "--uid-owner", str(account.uid), "-j", chain),) if account else ()
    servers = [ipaddress.ip_address(server) for server in account.name_servers] if account else []
    ipv4 = _outgoing(chain, [str(s) for s in servers if s.version == 4], PRIVATE)
    ipv6 = _outgoing(chain, [str(s) for s in servers if s.version == 6], PRIVATE_IPV6)
    return [
        Rules(chains=(chain,), text=ipv4, jumps=jumps),
        *_where_there_is_ipv6(Rules(program="ip6tables", chains=(chain,), text=ipv6, jumps=jumps)),
    ]


def _outgoing(chain: str, name_servers: Iterable[str], private: Iterable[str]) -> str:
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


def _where_there_is_ipv6(rules: Rules) -> list[Rules]:
    return [rules] if Path("/proc/net/if_inet6").exists() else []
