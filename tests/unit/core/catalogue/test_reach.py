"""The permitted sources of lists of workspaces."""

from __future__ import annotations

import ipaddress

import pytest

from greenroom.core.outgoing import INTERNET, AllowedNetworks, catalogue_address_problem

HERE = AllowedNetworks(this_host=True)
PRIVATE = AllowedNetworks(private_networks=True)


@pytest.mark.parametrize(
    ("text", "networks", "words"),
    [
        ("93.184.216.34", INTERNET, None),
        ("2606:2800:220:1::1", INTERNET, None),
        ("127.0.0.1", INTERNET, "is this host"),
        ("127.0.0.1", PRIVATE, "is this host"),
        ("127.0.0.1", HERE, None),
        ("::ffff:127.0.0.1", INTERNET, "is this host"),
        ("2002:7f00:1::", INTERNET, "is this host"),
        ("0.0.0.0", HERE, "is this host"),
        ("172.17.0.1", INTERNET, "in a private network"),
        ("172.17.0.1", HERE, "in a private network"),
        ("172.17.0.1", PRIVATE, None),
        ("fd12::1", PRIVATE, None),
        ("fd00:ec2::254", PRIVATE, "not the address of a server"),
        ("169.254.169.254", PRIVATE, "not the address of a server"),
        ("100.100.100.200", PRIVATE, "not the address of a server"),
        ("192.0.0.192", PRIVATE, "not the address of a server"),
        ("224.0.0.1", PRIVATE, "not the address of a server"),
    ],
)
def test_lists_are_on_the_internet_or_where_a_setting_allows(text: str, networks: AllowedNetworks, words: str | None):
    problem = catalogue_address_problem(ipaddress.ip_address(text), networks, is_this_host=False)
    assert problem is None if words is None else words in str(problem)


def test_an_address_of_an_interface_is_this_host():
    address = ipaddress.ip_address("93.184.216.34")
    assert "is this host" in str(catalogue_address_problem(address, PRIVATE, is_this_host=True))
    assert catalogue_address_problem(address, HERE, is_this_host=True) is None
    assert "not the address of a server" in str(
        catalogue_address_problem(ipaddress.ip_address("224.0.0.1"), HERE, is_this_host=True)
    )
