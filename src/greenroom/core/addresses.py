"""Addresses that no session may reach: private networks, this host, and what is no single machine on the internet."""

from __future__ import annotations

import ipaddress
from typing import Final

PRIVATE: Final = (
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
"""The same of IPv6, and the forms that carry an IPv4 address inside (NAT64, 6to4)."""

_NETWORKS: Final = tuple(ipaddress.ip_network(network) for network in (*PRIVATE, *PRIVATE_IPV6))


def is_private(address: str) -> bool:
    """Whether an IP address is one of these; an IPv4 address inside an IPv6 one counts as itself.

    Raises:
        ValueError: it is no IP address.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in _NETWORKS)
