"""Rules for the destinations of the requests that Greenroom sends to webhooks and to publishers of workspace lists.

Users who may create webhooks must not reach hosts that only this host's network can reach. The publisher of a list can
redirect requests at any time, so the address of each redirect is checked too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import AllowedHost, parse_entry, web_address_problem

WEBHOOK_HOSTS: Final = "webhook_hosts"
MAX_URL: Final = 2000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_SPECIAL: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32", "2002::/16"),
        *("2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
"""Special-purpose addresses (RFC 6890), multicast and deprecated ranges. Python 3.11 treats some of them as global."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses with the address of an IPv4 host in their last 32 bits."""
_PORTS: Final = {"https": 443, "http": 80}


def trusted_hosts(setting: str) -> tuple[AllowedHost, ...]:
    """Return the hosts of the setting `webhook_hosts`. Raises Invalid: an entry is not a host."""
    texts = [text.strip() for text in setting.split(",") if text.strip()]
    entries = {text: parse_entry(text) for text in texts}
    if invalid_texts := [text for text, entry in entries.items() if entry is None]:
        raise Invalid(f"`{WEBHOOK_HOSTS}`: {invalid_texts[0]!r} is neither a host nor host:port.")
    return tuple(entry for entry in entries.values() if entry is not None)


def is_trusted(url: str, trusted: Sequence[AllowedHost]) -> bool:
    """True if `trusted` contains the host of this URL, with its port or without a port."""
    parts = urlsplit(url)
    host = _host(parts)
    return any(entry.host == host and entry.port in (None, _port(parts)) for entry in trusted)


def webhook_url_problem(url: str, trusted: Sequence[AllowedHost]) -> str | None:
    """Return the reason why a webhook cannot have this address, as a sentence; None if it can."""
    if len(url) > MAX_URL:
        return f"The address of a webhook has at most {MAX_URL} characters."
    if problem := web_address_problem(url):
        return f"{url} cannot be the address of a webhook: {problem}."
    parts = urlsplit(url)
    if parts.username is not None or parts.fragment:
        return f"{url} cannot be the address of a webhook: it has a user name or a fragment (#)."
    if parts.scheme.lower() != "https" and not is_trusted(url, trusted):
        return f"{url} must begin with https://; only hosts of the setting `{WEBHOOK_HOSTS}` may use http."
    return None


def without_path(url: str) -> str:
    """Return the address of a webhook for log rows, such as https://hooks.example/…: anyone who knows the path of a
    chat service can post there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/" + ("…" if parts.path.strip("/") or parts.query else "")


def webhook_address_problem(address: Address) -> str | None:
    """Return the reason why an address needs the setting `webhook_hosts`, as a clause without a period; None if it
    is public.
    """
    if is_public(address):
        return None
    effective = effective_address(address)
    text = f"{address}" if effective == address else f"{address} ({effective})"
    return f"{text} is not a public address; the setting `{WEBHOOK_HOSTS}` can allow the host"


def is_public(address: Address) -> bool:
    """True if an address, or the IPv4 address that it contains, is part of the public internet."""
    effective = effective_address(address)
    return effective.is_global and not any(effective.version == net.version and effective in net for net in _SPECIAL)


def effective_address(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address contains, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    return f"[{host}]" if ":" in host else host


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS.get(parts.scheme.lower(), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedNetworks:
    """The networks, in addition to the internet, from which lists of workspaces may be read: this host, and private
    networks."""

    this_host: bool = False
    private_networks: bool = False


INTERNET: Final = AllowedNetworks()
_PRIVATE: Final = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_METADATA: Final = ipaddress.ip_address("fd00:ec2::254")
"""The metadata service of AWS, which returns credentials of the machine. The metadata services of other clouds have
link-local or shared addresses.
"""


def catalogue_address_problem(address: Address, networks: AllowedNetworks, *, is_this_host: bool) -> str | None:
    """Return the reason why a workspace list may not be read from an address, as the end of a sentence; None if it may.
    `is_this_host` is True for an address of this host.
    """
    effective = effective_address(address)
    if effective.is_multicast or effective.is_link_local:
        return f"{address} is not the address of a server"
    if is_this_host or effective.is_loopback or effective.is_unspecified:
        allowed = networks.this_host and not effective.is_unspecified
        return None if allowed else f"{address} is this host; the setting catalogues_on_this_host can allow it"
    if is_public(address):
        return None
    if address == _METADATA or not any(effective.version == net.version and effective in net for net in _PRIVATE):
        return f"{address} is not the address of a server"
    if networks.private_networks:
        return None
    return f"{address} is in a private network; the setting catalogues_on_private_networks can allow it"
