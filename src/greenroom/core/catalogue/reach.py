"""From where lists of workspaces and their pictures are read: the internet, and what the settings allow.

A publisher can redirect a list at any time, so each address is checked, not only that of the list.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from greenroom.core.webhooks.addresses import Address, is_of_internet, within


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where lists may be besides the internet."""

    this_host: bool = False
    private_networks: bool = False


INTERNET: Final = Reach()
_PRIVATE: Final = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_METADATA: Final = ipaddress.ip_address("fd00:ec2::254")
"""Gives credentials of the machine; the metadata services of other clouds are at link-local or shared addresses."""


def refusal(address: Address, reach: Reach, *, is_own: bool) -> str | None:
    """Why an address is not asked, as the end of a sentence; None = it may be. `is_own`: an interface of this host has
    it.
    """
    real = within(address)
    if real.is_multicast or real.is_link_local:
        return f"{address} is no address of a server"
    if is_own or real.is_loopback or real.is_unspecified:
        allowed = reach.this_host and not real.is_unspecified
        return None if allowed else f"{address} is this host itself; the setting catalogues_on_this_host allows that"
    if is_of_internet(address):
        return None
    if address == _METADATA or not any(real.version == net.version and real in net for net in _PRIVATE):
        return f"{address} is no address of a server"
    if reach.private_networks:
        return None
    return f"{address} is in a private network; the setting catalogues_on_private_networks allows that"
