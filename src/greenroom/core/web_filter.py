"""Web filter policies: the hosts that a session may reach, with reasons; the addresses that no session may reach; and
data for the configuration of Squid.

A domain includes all names below it. Of all listed domains that include a host, the longest domain decides, so a policy
may deny `example.com` and allow `docs.example.com`. A host in no list, such as an IP address, gets the default action.
The configuration of Squid (`agent/web_filter/templates`) must agree with `decision`.

Rules are sorted by depth, deepest first, because in Squid the first match decides. A name is resolved only after a list
or the default action has allowed it, because a query for a name can transfer data. A name is still refused if one of
its addresses is private.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import idna

from greenroom.core.errors import Invalid

PRIVATE_IPV4: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
"""Private, shared (carrier), loopback, link-local (metadata services of clouds), multicast and reserved addresses."""

PRIVATE_IPV6: Final = (
    "::/127",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
"""The corresponding ranges of IPv6, and the ranges whose addresses contain an IPv4 address (NAT64, 6to4)."""

_NETWORKS: Final = tuple(ipaddress.ip_network(network) for network in (*PRIVATE_IPV4, *PRIVATE_IPV6))


def is_private(address: str) -> bool:
    """True if an address, or the IPv4 address that it contains, is in `PRIVATE_IPV4` or `PRIVATE_IPV6`. Raises
    ValueError: `address` is not an IP address.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in _NETWORKS)


Action = Literal["allow", "deny"]

WEB_PORTS: Final = (80, 443)
FIRST_FREE_PORT: Final = 1024
"""With the default action `allow`, this port and all higher ports are open too. Lower ports (mail, ssh) are closed."""

MAX_DOMAINS: Final = 10_000
MAX_DOMAIN_CHARACTERS: Final = 253

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterPolicy:
    """A web filter policy. The domains have the form of `normal_domain`, and none is in both lists."""

    filter_policy_id: str
    name: str
    default_action: Action = "deny"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostDecision:
    """The decision of a policy about a host, with the reason as a sentence."""

    action: Action
    reason: str


def decision(policy: FilterPolicy, host: str, port: int = 443) -> HostDecision:
    """Return whether a session with `policy` may open `host` (a name or an IP address) at `port`, and the reason. The
    filter still refuses an allowed name if it resolves to a private address.
    """
    if problem := port_problem(policy, port):
        return HostDecision("deny", problem)
    host = host.lower().rstrip(".")
    if (address := address_in(host)) and is_private(address):
        return HostDecision("deny", f"{host} is a private address, which sessions must not reach.")
    listed = [name for name in _name_and_parents(host) if name in policy.deny or name in policy.allow]
    if not listed:
        default = policy.default_action
        return HostDecision(default, f"{host} is in no list, and the default action is to {default}.")
    action: Action = "deny" if listed[0] in policy.deny else "allow"
    return HostDecision(action, f"{listed[0]} is in the {action} list.")


def port_problem(policy: FilterPolicy, port: int) -> str:
    """Return the reason why a port may not be used for any host, as a sentence; empty if the decision depends on the
    host.
    """
    if port in WEB_PORTS:
        return ""
    if port < FIRST_FREE_PORT:
        return f"Port {port} is not a web port; allowed ports are 80 and 443."
    if policy.default_action == "deny":
        return f"Port {port} is closed: the default action is deny, so only 80 and 443 are open."
    return ""


def _name_and_parents(host: str) -> Iterator[str]:
    """Yield `a.b.c`, `b.c`, `c`: the longest first."""
    labels = host.split(".")
    for position in range(len(labels)):
        yield ".".join(labels[position:])


def address_in(host: str) -> str | None:
    """Return the IP address that a host consists of, with or without brackets; None if it is a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


def depth(name: str) -> int:
    """Return the number of labels of a domain. Of two domains that include a host, the deeper one decides."""
    return name.count(".") + 1


def normal_domain(text: str) -> str:
    """Return a domain as it is stored: lower case, without the final dot, other alphabets in their ASCII form (IDNA
    2008). Raises Invalid: it is not a domain; the message has the correct form.
    """
    name = text.strip().rstrip(".")
    if any(character in name for character in "/:@"):
        raise Invalid(f"{quoted_excerpt(text)} is an address; write only the domain, like example.com.")
    if "*" in name or name.startswith("."):
        raise Invalid(f"{quoted_excerpt(text)} has a wildcard; write example.com, which includes everything below it.")
    name = name.lower() if name.isascii() else _ascii(name, text)
    labels = name.split(".")
    if len(name) > MAX_DOMAIN_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise Invalid(f"{quoted_excerpt(text)} is not a domain; write one like example.com.")
    if _NUMBER.fullmatch(labels[-1]):
        raise Invalid(f"{quoted_excerpt(text)} is an IP address; the default action applies to IP addresses.")
    return name


def _ascii(name: str, text: str) -> str:
    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError as error:
        raise Invalid(f"{quoted_excerpt(text)} is not a domain: {error}.") from error


def quoted_excerpt(text: str) -> str:
    """Return a text of an administrator for an error, in quotes, with at most 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "…")


def normal_domains(texts: Sequence[str]) -> tuple[str, ...]:
    """Return domains as they are stored: unique and sorted. Raises Invalid: one is not a domain, or too many."""
    if len(texts) > MAX_DOMAINS:
        raise Invalid(f"The list has {len(texts)} domains; the maximum is {MAX_DOMAINS}.")
    return tuple(sorted({normal_domain(text) for text in texts}))


def require_disjoint(allow: Sequence[str], deny: Sequence[str]) -> None:
    """Refuse contradictory lists. Raises Invalid: a domain is in both lists."""
    if domains_in_both := sorted(set(allow) & set(deny)):
        raise Invalid(
            f"{', '.join(domains_in_both[:5])} cannot be both allowed and denied; remove it from one of the lists."
        )


def lease_policy(in_force: FilterPolicy | None, allow: Sequence[str]) -> FilterPolicy:
    """Return the policy of a leased session. It allows the domains `allow` and the names below them, but no name that
    the policy in force denies. The result is always a separate policy, because the policy in force may allow more
    later. The same domains and the same policy in force always give the same id and name. Raises Invalid: a name in
    `allow` is not a domain, or the policy in force denies it.
    """
    requested = normal_domains(allow)
    if in_force is not None and (denied := [name for name in requested if decision(in_force, name).action == "deny"]):
        raise Invalid(f"The web filter {in_force.name} denies {', '.join(denied[:5])}; a lease cannot allow it.")
    policy_id = uuid.uuid5(_LEASE_POLICIES, f"{in_force.filter_policy_id if in_force else ''};{','.join(requested)}")
    allowed, denied_domains = lists_of_lease(in_force, requested)
    names_text = ", ".join(requested[:3]) + (", …" if len(requested) > 3 else "") if requested else "nothing"
    return FilterPolicy(
        filter_policy_id=str(policy_id),
        name=f"Leases that reach {names_text[:_NAME_CHARACTERS]} ({policy_id.hex[:8]})",
        allow=allowed,
        deny=denied_domains,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEgress:
    """The domains that a lease requests (`wanted`), and the id of the policy in force, which restricts them; None = no
    policy is in force.
    """

    wanted: tuple[str, ...]
    restricting_policy_id: str | None


def lists_of_lease(in_force: FilterPolicy | None, requested: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the allowed and the denied domains of a lease that requests the domains `requested`."""
    if in_force is None:
        return tuple(requested), ()
    return tuple(name for name in requested if decision(in_force, name).action == "allow"), in_force.deny


_LEASE_POLICIES: Final = uuid.UUID("3f0a3a55-8f5d-4d0c-9c5f-6d2a1d3b7c10")
_NAME_CHARACTERS: Final = 80


def policy_in_force(image_policy: str | None, group_policy: str | None, *, force_disabled: bool) -> str | None:
    """Return the policy of a session: that of the groups, otherwise that of the workspace; None if the workspace
    disables filters.
    """
    return None if force_disabled else group_policy or image_policy


def name_servers(texts: Iterable[str]) -> list[str]:
    """Return the addresses of name servers in texts in the format of resolv.conf, without duplicates and without
    addresses with the name of a network interface (`fe80::1%eth0`).
    """
    addresses: dict[str, None] = {}
    for line in "\n".join(texts).splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver" or "%" in words[1]:
            continue
        try:
            addresses[str(ipaddress.ip_address(words[1]))] = None
        except ValueError:
            continue  # the system's resolver ignores such a line too
    return list(addresses)


FILTER_PORT: Final = 13128
"""The port of Squid, at the address of the policy's network. It differs from the usual port 3128, which another Squid
on the host may use.
"""
CLOSED_PORT: Final = 13129
"""A second port of Squid for runtimes in which another program enforces the rules of the network of sessions. The rules
do not let sessions reach this port, so a session that reaches it knows that the rules are not enforced yet.
"""
UNFILTERED_HOSTS: Final = "localhost,127.0.0.1,::1"
"""The hosts that programs in a session reach without the filter: the session itself."""


def proxy_variables(address: str) -> dict[str, str]:
    """Return the environment variables that make programs send requests through the filter at this address."""
    proxy = f"http://{f'[{address}]' if ':' in address else address}:{FILTER_PORT}"
    variables = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": UNFILTERED_HOSTS}
    return variables | {name.upper(): value for name, value in variables.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The names in both lists with the same number of labels."""

    depth: int
    deny: tuple[str, ...]
    allow: tuple[str, ...]


def levels(policy: FilterPolicy) -> list[Level]:
    """Return the lists of a policy, deepest names first."""
    return [
        Level(
            depth=level,
            deny=tuple(name for name in policy.deny if depth(name) == level),
            allow=tuple(name for name in policy.allow if depth(name) == level),
        )
        for level in sorted({depth(name) for name in (*policy.deny, *policy.allow)}, reverse=True)
    ]


def open_ports(policy: FilterPolicy) -> list[str]:
    """Return the allowed ports in Squid's notation."""
    return [*map(str, WEB_PORTS), *([f"{FIRST_FREE_PORT}-65535"] if policy.default_action == "allow" else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A refused request. `at` is seconds since the epoch, `source` the address of the session."""

    at: float
    source: str
    method: str
    host: str
    port: int


def parse_denial(line: str) -> Denial | None:
    """Parse a line of the log of refusals. Return None for other lines, such as a response 403 of a site."""
    words = line.split()
    if len(words) != 6 or not words[2].startswith("TCP_DENIED") or not words[0].isdigit():
        return None
    at, source, _, method, host, port = words
    return Denial(
        at=float(at),
        source=source,
        method=method[:16],
        host=host.replace("%5B", "").replace("%5D", "")[:253],
        port=int(port) if port.isdigit() else 0,
    )
