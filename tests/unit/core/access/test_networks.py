"""The networks from which API keys may be used, for IPv4, IPv6 and IPv4 addresses in IPv6 notation."""

from __future__ import annotations

import pytest

from greenroom.core.access.networks import are_within, is_inside, normal_network


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("192.0.2.7", [], True),
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.3.7", ["192.0.2.0/24"], False),
        ("192.0.3.7", ["192.0.2.0/24", "192.0.3.7/32"], True),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("::ffff:192.0.3.7", ["192.0.2.0/24"], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("2001:db9::1", ["2001:db8::/32"], False),
        ("2001:db8::1", ["0.0.0.0/0"], False),
        ("192.0.2.7", ["::/0"], False),
        ("an unknown address", ["0.0.0.0/0", "::/0"], False),
    ],
)
def test_an_address_is_inside_if_one_network_contains_it(address: str, networks: list[str], expected: bool):
    assert is_inside(address, networks) is expected


@pytest.mark.parametrize(
    ("networks", "limits", "expected"),
    [
        ([], [], True),
        (["10.0.0.0/8"], [], True),
        ([], ["10.0.0.0/8"], False),
        (["10.1.0.0/16", "2001:db8:1::/48"], ["10.0.0.0/8", "2001:db8::/32"], True),
        (["10.0.0.0/8"], ["10.1.0.0/16"], False),
        (["10.1.0.0/16", "192.0.2.0/24"], ["10.0.0.0/8"], False),
        (["10.0.0.0/7"], ["10.0.0.0/8", "11.0.0.0/8"], False),
        (["::/0"], ["0.0.0.0/0"], False),
    ],
)
def test_networks_are_within_others_if_each_is_inside_one(networks: list[str], limits: list[str], expected: bool):
    assert are_within(networks, limits) is expected


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" 10.1.0.0/16 ", "10.1.0.0/16"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
        ("::/0", "::/0"),
        ("example.org", None),
        ("", None),
    ],
)
def test_a_network_is_stored_in_its_normal_form(text: str, normal: str | None):
    if normal is None:
        with pytest.raises(ValueError, match="is neither an address nor a network"):
            normal_network(text)
    else:
        assert normal_network(text) == normal


@pytest.mark.parametrize(
    ("text", "network"),
    [("10.1.2.3/16", "10.1.0.0/16"), ("::ffff:10.1.2.3/112", "10.1.0.0/16"), ("::ffff:0.0.0.0/95", "::fffe:0:0/95")],
)
def test_a_network_with_address_bits_is_refused_with_the_network(text: str, network: str):
    with pytest.raises(ValueError, match=f"for the whole network, write {network}$"):
        normal_network(text)
