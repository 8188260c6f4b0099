"""The networks from which the API keys of a service account may be used."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

MAX_NETWORKS: Final = 50

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def normal_network(text: str) -> str:
    """Return a network in its normal form: `10.1.0.0/16`, or `192.0.2.7/32` for an address. An IPv4 network in IPv6
    notation becomes an IPv4 network. Raises ValueError: it is no network, or the address has bits behind its prefix."""
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is neither an address nor a network such as 10.1.0.0/16 or 2001:db8::/32"
        ) from error
    if ipaddress.ip_address(text.strip().partition("/")[0]) != network.network_address:
        raise ValueError(
            f"{text!r} has address bits behind its prefix; for the whole network, write {_as_ipv4(network)}"
        )
    return str(_as_ipv4(network))


def is_inside(address: str, networks: Sequence[str]) -> bool:
    """True if one of the networks contains the address, or there are no networks. An IPv4 address in IPv6 notation
    counts as an IPv4 address. A text that is no address is in no network."""
    if not networks:
        return True
    try:
        host = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return any((mapped or host) in network for network in _parsed(networks))


def are_within(networks: Sequence[str], limits: Sequence[str]) -> bool:
    """True if each address from which `networks` permit a use is also in `limits`; each network must be inside one of
    them. No networks = anywhere."""
    if not limits:
        return True
    ends = [(network, limit) for network in _parsed(networks) for limit in limits]
    inside = {
        network
        for network, limit in ends
        if is_inside(str(network.network_address), [limit]) and is_inside(str(network.broadcast_address), [limit])
    }
    return bool(networks) and inside.issuperset(_parsed(networks))


def _parsed(networks: Iterable[str]) -> list[Network]:
    return [ipaddress.ip_network(text) for text in networks]


def _as_ipv4(network: Network) -> Network:
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return (
        network if mapped is None or network.prefixlen < 96 else ipaddress.ip_network((mapped, network.prefixlen - 96))
    )
