"""Squid's configuration for a policy, and its log."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest

from greenroom.agent.web_filter.squid import PAGES, SquidLocation, configuration, pages
from greenroom.core.web_filter import FILTER_PORT, Denial, FilterPolicy, Level, levels, parse_denial

PLACE = SquidLocation(
    listen_addresses=(f"172.20.0.1:{FILTER_PORT}",),
    subnet="172.20.0.0/16",
    pages="/f/pages",
    folder="/f/log",
    log="/f/log/denials.log",
)


def policy(**fields: Any) -> FilterPolicy:
    named: dict[str, Any] = {"filter_policy_id": "p", "name": "Test"}
    return FilterPolicy(**named | fields)


def access(subject: FilterPolicy) -> list[str]:
    return [line for line in configuration(subject, PLACE).splitlines() if line.startswith("http_access")]


def test_deeper_domains_are_asked_first_and_the_default_last():
    subject = policy(allow=("example.com", "docs.ads.example.com"), deny=("ads.example.com",))
    assert access(subject)[5:] == [
        "http_access deny allow_4 private",
        "http_access allow allow_4",
        "http_access deny deny_3",
        "http_access deny allow_2 private",
        "http_access allow allow_2",
        "http_access deny anything",
    ]


def test_all_that_is_allowed_was_checked_for_private_addresses():
    for default_action, number in (("allow", 3), ("deny", 2)):
        lines = access(policy(default_action=default_action, allow=("a.test", "b.c.test"), deny=("d.test",)))
        checks = [before for before, line in pairwise(lines) if line.startswith("http_access allow")]
        assert len(checks) == number
        assert all(one.startswith("http_access deny") and one.endswith("private") for one in checks)


def test_it_listens_on_the_networks_address_for_its_sessions_only():
    text = configuration(policy(), PLACE)
    assert re.findall(r"^http_port .*", text, re.MULTILINE) == [f"http_port 172.20.0.1:{FILTER_PORT}"]
    assert access(policy())[0] == "http_access deny !sessions"
    assert "acl sessions src 172.20.0.0/16\n" in text


def test_the_lists_are_grouped_by_depth_with_the_deepest_first():
    subject = policy(allow=("a.test", "b.c.test"), deny=("d.test", "x.d.test"))
    assert levels(subject) == [
        Level(depth=3, deny=("x.d.test",), allow=("b.c.test",)),
        Level(depth=2, deny=("d.test",), allow=("a.test",)),
    ]


@pytest.mark.parametrize(("default_action", "ports"), [("deny", "80 443"), ("allow", "80 443 1024-65535")])
def test_open_ports(default_action: str, ports: str):
    assert f"acl open_port port {ports}\n" in configuration(policy(default_action=default_action), PLACE)


def test_an_address_is_never_looked_up_backwards():
    """Otherwise the owner of the address could give it an allowed name."""
    lines = configuration(policy(allow=("a.test",), deny=("b.a.test",)), PLACE).splitlines()
    assert {line.split()[3] for line in lines if "dstdomain" in line} == {"-n"}


def test_the_page_names_host_policy_and_reason_without_markup():
    made = pages(policy(name='<script>alert("100%h")</script>'))
    assert made.keys() == PAGES.keys()
    for page in made.values():
        assert "%H is blocked" in page
        assert "&lt;script&gt;alert(&quot;100%%h&quot;)&lt;/script&gt;" in page
        assert "<script>" not in page


def test_each_page_is_shown_for_something():
    for default_action in ("allow", "deny"):
        text = configuration(policy(default_action=default_action, deny=("a.test",)), PLACE)
        assert set(re.findall(r"^deny_info (\w+)", text, re.MULTILINE)) == PAGES.keys()


def test_a_refusal_in_the_log():
    assert parse_denial("1700000000 172.20.0.2 TCP_DENIED CONNECT ads.test 443") == Denial(
        at=1700000000.0, source="172.20.0.2", method="CONNECT", host="ads.test", port=443
    )
    ipv6 = parse_denial("1700000000 172.20.0.2 TCP_DENIED GET %5Bfd00::1%5D 80")
    assert ipv6 is not None
    assert ipv6.host == "fd00::1"


def test_what_a_session_puts_into_a_host_stays_escaped():
    denial = parse_denial("1700000000 172.20.0.2 TCP_DENIED GET a%0Ab%1B[31m.test 80")
    assert denial is not None
    assert denial.host == "a%0Ab%1B[31m.test"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "1700000000 172.20.0.2 TCP_MISS GET open.test 80",
        "x 172.20.0.2 TCP_DENIED GET a.test 80",
        "1700000000 172.20.0.2 TCP_DENIED GET a.test 80 more",
    ],
)
def test_other_lines_are_no_refusals(line: str):
    assert parse_denial(line) is None


def test_a_refusal_has_bounds_for_any_request():
    denial = parse_denial(f"1 172.20.0.2 TCP_DENIED {'M' * 99} {'h' * 999} -")
    assert denial is not None
    assert (len(denial.method), len(denial.host), denial.port) == (16, 253, 0)
