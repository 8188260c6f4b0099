"""The permitted addresses of webhooks."""

from __future__ import annotations

import ipaddress

import pytest

from greenroom.core.errors import Invalid
from greenroom.core.outgoing import (
    is_trusted,
    trusted_hosts,
    webhook_address_problem,
    webhook_url_problem,
    without_path,
)

TRUSTED = trusted_hosts("hooks.internal, 10.0.0.7:8080, [fd00::1], ")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook?a=b",
        "https://10.1.2.3/",
        "http://hooks.internal:9000/x",
        "http://HOOKS.internal/",
        "http://10.0.0.7:8080/",
        "http://[fd00::1]/",
    ],
)
def test_https_and_http_of_named_hosts_can_be_addresses(url: str):
    assert webhook_url_problem(url, TRUSTED) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://example.org/", "must begin with http"),
        ("http://example.org/", "must begin with https://; only hosts of the setting `webhook_hosts`"),
        ("http://10.0.0.7/", "must begin with https://"),
        ("https://user@example.org/", "names? a host|user name"),
        ("https://example.org/#part", "a fragment"),
        ("https:///path", "must name a host"),
        ("https://example.org/" + "a" * 2000, "at most 2000 characters"),
    ],
)
def test_what_cannot_be_one_has_a_reason(url: str, words: str):
    problem = webhook_url_problem(url, TRUSTED)
    assert problem is not None
    with pytest.raises(Invalid, match=words):
        raise Invalid(problem)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
        *("192.0.0.192", "192.88.99.1", "198.18.0.1", "203.0.113.1", "240.0.0.1", "100.100.100.200"),
        *("::127.0.0.1", "64:ff9b:1::1", "2001::1", "2001:db8::1", "3fff::1", "5f00::1", "fec0::1", "fd00:ec2::254"),
        "64:ff9b::192.0.0.192",
    ],
)
def test_addresses_that_are_not_of_the_internet_are_refused(address: str):
    problem = webhook_address_problem(ipaddress.ip_address(address))
    assert problem is not None
    assert problem.endswith("is not a public address; the setting `webhook_hosts` can allow the host")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_addresses_of_the_internet_may_be_asked(address: str):
    assert webhook_address_problem(ipaddress.ip_address(address)) is None


def test_an_address_within_another_is_named():
    assert "64:ff9b::a00:1 (10.0.0.1)" in (webhook_address_problem(ipaddress.ip_address("64:ff9b::10.0.0.1")) or "")


def test_a_host_is_trusted_with_its_port_if_one_is_named():
    assert is_trusted("https://hooks.internal:1/", TRUSTED)
    assert not is_trusted("https://10.0.0.7/", TRUSTED)
    assert not is_trusted("https://hooks.internal.example.org/", TRUSTED)
    assert is_trusted("https://b/", trusted_hosts("b:443"))


def test_a_setting_that_is_no_list_of_hosts_is_refused():
    assert trusted_hosts("") == ()
    with pytest.raises(Invalid, match="'https://a' is neither a host nor host:port"):
        trusted_hosts("b, https://a")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hooks.example/services/T0/secret", "https://hooks.example/…"),
        ("https://hooks.example:8443/?token=secret", "https://hooks.example:8443/…"),
        ("https://hooks.example/", "https://hooks.example/"),
        ("https://hooks.example", "https://hooks.example/"),
    ],
)
def test_the_path_of_a_webhook_is_not_logged(address: str, shown: str):
    assert without_path(address) == shown
