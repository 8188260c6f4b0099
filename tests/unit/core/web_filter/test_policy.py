"""The decisions of web filter policies about hosts, and the permitted content of policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, for_all, holds

from greenroom.core.errors import Invalid
from greenroom.core.web_filter import (
    MAX_DOMAINS,
    Action,
    FilterPolicy,
    HostDecision,
    decision,
    is_private,
    lease_policy,
    lists_of_lease,
    name_servers,
    normal_domain,
    normal_domains,
    policy_in_force,
    require_disjoint,
)

LABELS = st.sampled_from(["a", "b", "c", "xn--bcher-kva"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@st.composite
def policies(draw: st.DrawFn) -> FilterPolicy:
    allow = draw(st.frozensets(NAMES, max_size=5))
    deny = draw(st.frozensets(NAMES, max_size=5)) - allow
    return FilterPolicy(
        filter_policy_id="p",
        name="test",
        default_action=draw(st.sampled_from(["allow", "deny"])),
        allow=tuple(sorted(allow)),
        deny=tuple(sorted(deny)),
    )


def policy(default_action: Action = "deny", *, allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()) -> FilterPolicy:
    return FilterPolicy(filter_policy_id="p", name="test", default_action=default_action, allow=allow, deny=deny)


@st.composite
def near_a_listed_domain(draw: st.DrawFn, joint: str) -> tuple[FilterPolicy, str]:
    """A policy, and a host that ends with one of its domains, with `joint` before it."""
    subject = draw(policies().filter(lambda each: each.allow or each.deny))
    return subject, draw(LABELS) + joint + draw(st.sampled_from(subject.allow + subject.deny))


def the_longest_decides(decide: Callable[..., HostDecision], value: tuple[FilterPolicy, str]) -> None:
    subject, host = value
    above = [d for d in (*subject.allow, *subject.deny) if host == d or host.endswith("." + d)]
    by_list = "deny" if max(above, key=len, default="") in subject.deny else "allow"
    assert decide(subject, host).action == (by_list if above else subject.default_action)


def first_in_the_lists(subject: FilterPolicy, host: str) -> HostDecision:
    """Wrong: a denied parent wins over an allowed child."""
    if any(host == d or host.endswith("." + d) for d in subject.deny):
        return HostDecision("deny", "")
    if any(host == d or host.endswith("." + d) for d in subject.allow):
        return HostDecision("allow", "")
    return HostDecision(subject.default_action, "")


def by_suffix(subject: FilterPolicy, host: str) -> HostDecision:
    """Wrong: notexample.com counts as example.com."""
    above = [d for d in (*subject.allow, *subject.deny) if host.endswith(d)]
    if not above:
        return HostDecision(subject.default_action, "")
    return HostDecision("deny" if max(above, key=len) in subject.deny else "allow", "")


def test_of_all_domains_a_host_belongs_to_the_longest_decides():
    holds(the_longest_decides, decision, st.tuples(policies(), NAMES))
    catches(the_longest_decides, first_in_the_lists, near_a_listed_domain("."))
    catches(the_longest_decides, by_suffix, near_a_listed_domain(""))


@pytest.mark.parametrize(
    ("host", "action", "reason"),
    [
        ("example.com", "allow", "example.com is in the allow list."),
        ("WWW.Example.com.", "allow", "example.com is in the allow list."),
        ("ads.example.com", "deny", "ads.example.com is in the deny list."),
        ("a.ads.example.com", "deny", "ads.example.com is in the deny list."),
        ("notexample.com", "deny", "notexample.com is in no list, and the default action is to deny."),
        ("example.com.evil.net", "deny", "example.com.evil.net is in no list, and the default action is to deny."),
        ("198.51.100.7", "deny", "198.51.100.7 is in no list, and the default action is to deny."),
    ],
)
def test_a_decision_says_why(host: str, action: Action, reason: str):
    subject = policy("deny", allow=("example.com",), deny=("ads.example.com",))
    assert decision(subject, host) == HostDecision(action, reason)


@pytest.mark.parametrize(
    "host",
    [
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "172.17.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "[::1]",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "[64:ff9b::a00:1]",
    ],
)
def test_a_private_address_is_denied_with_any_default(host: str):
    assert decision(policy("allow"), host) == HostDecision(
        "deny", f"{host} is a private address, which sessions must not reach."
    )


def test_an_address_of_the_internet_meets_the_default_action():
    assert decision(policy("allow"), "198.51.100.7") == HostDecision(
        "allow", "198.51.100.7 is in no list, and the default action is to allow."
    )
    assert decision(policy("allow"), "2001:4860::8888").action == "allow"


@pytest.mark.parametrize(
    ("default_action", "port", "problem"),
    [
        ("deny", 80, None),
        ("deny", 443, None),
        ("deny", 1024, "Port 1024 is closed: the default action is deny, so only 80 and 443 are open."),
        ("deny", 25, "Port 25 is not a web port; allowed ports are 80 and 443."),
        ("allow", 80, None),
        ("allow", 1024, None),
        ("allow", 1023, "Port 1023 is not a web port; allowed ports are 80 and 443."),
    ],
)
def test_ports_beside_those_of_the_web(default_action: Action, port: int, problem: str | None):
    allowed = HostDecision("allow", "example.com is in the allow list.")
    verdict = decision(policy(default_action, allow=("example.com",)), "example.com", port)
    assert verdict == (HostDecision("deny", problem) if problem else allowed)


@for_all(st.ip_addresses(), subject=is_private, mutants=[lambda host: host.startswith(("10.", "127.", "192.168."))])
def test_what_python_calls_not_global_is_mostly_private_here(subject: Any, address: object):
    """Conversely nothing is missed: loopback, link-local, private networks and multicast."""
    text = str(address)
    if any(getattr(address, f"is_{kind}") for kind in ("loopback", "link_local", "multicast", "unspecified")):
        assert subject(text)


# Valid values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("example.com", "example.com"),
        (" Example.COM. ", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
        ("my_host.example.com", "my_host.example.com"),
        ("com", "com"),
    ],
)
def test_a_domain_as_it_is_stored(text: str, stored: str):
    assert normal_domain(text) == stored


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("https://example.com", "'https://example.com' is an address; write only the domain, like example.com."),
        ("example.com/path", "write only the domain"),
        ("ann@example.com", "write only the domain"),
        ("x" * 80 + "/", "'" + "x" * 77 + "…' is an address"),
        ("x" * 79 + "/", "'" + "x" * 79 + "/' is an address"),
        ("example.com:8080", "write only the domain"),
        ("*.example.com", "wildcard"),
        (".example.com", "wildcard"),
        ("198.51.100.7", "IP address"),
        ("0x7f.1", "IP address"),
        ("1.0x7f", "IP address"),
        ("example com", "not a domain"),
        ("example.com\nhttp_access allow all", "not a domain"),
        ("example.com\x00", "not a domain"),
        ("a..b", "not a domain"),
        ("-a.example", "not a domain"),
        ("", "not a domain"),
        ("a" * 64 + ".example", "'" + "a" * 64 + ".example' is not a domain; write one like example.com."),
        ("a." * 130 + "example", "not a domain"),
        ("(a|b)+.example", "not a domain"),
        ("bü cher.example", "not a domain"),
    ],
)
def test_what_is_no_domain_is_refused_with_what_to_write(text: str, says: str):
    with pytest.raises(Invalid, match=says):
        normal_domain(text)


@for_all(st.text(max_size=60), subject=normal_domain, mutants=[str.strip, lambda text: text.lower()])
def test_what_is_accepted_is_harmless_in_a_configuration(subject: Any, text: str):
    try:
        stored = subject(text)
    except Invalid:
        return
    assert stored
    assert set(stored) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert subject(stored) == stored


def test_lists_are_sorted_and_have_each_domain_once():
    assert normal_domains(["b.example", "a.example", "B.example."]) == ("a.example", "b.example")


def test_a_domain_is_not_in_both_lists():
    with pytest.raises(Invalid, match=r"b\.example cannot be both allowed and denied"):
        require_disjoint(["a.example", "b.example"], ["b.example"])
    many = [f"{letter}.example" for letter in "fedcba"]
    with pytest.raises(Invalid, match=r"^a\.example, b\.example, c\.example, d\.example, e\.example cannot"):
        require_disjoint(many, many)


@pytest.mark.parametrize(
    ("image", "group", "force_disabled", "expected"),
    [
        ("i", "g", False, "g"),
        ("i", None, False, "i"),
        (None, "g", False, "g"),
        (None, None, False, None),
        ("i", "g", True, None),
        (None, "g", True, None),
    ],
)
def test_whose_policy_a_session_is_under(
    image: str | None, group: str | None, force_disabled: bool, expected: str | None
):
    assert policy_in_force(image, group, force_disabled=force_disabled) == expected


def test_a_list_has_an_end():
    with pytest.raises(Invalid, match=f"the maximum is {MAX_DOMAINS}"):
        normal_domains([f"d{number}.example" for number in range(MAX_DOMAINS + 1)])
    assert len(normal_domains([f"d{number}.example" for number in range(MAX_DOMAINS)])) == MAX_DOMAINS
    require_disjoint(["a.example"], ["b.example"])


def test_name_servers_are_read_once_each():
    texts = ("# of the host\nnameserver 192.0.2.53\nnameserver\nsearch 192.0.2.1\n", "nameserver fe80::1%eth0")
    more = "nameserver  2001:DB8::53 # ours\nnameserver none\nnameserver 192.0.2.53"
    assert name_servers([*texts, more]) == ["192.0.2.53", "2001:db8::53"]


def test_what_a_lease_may_reach_is_the_same_policy_for_the_same_domains():
    one, other = lease_policy(None, ["b.example", "A.example"]), lease_policy(None, ["a.example", "b.example"])
    assert one == other
    assert one.name.startswith("Leases that reach a.example, b.example (")
    assert (decision(one, "www.a.example").action, decision(one, "c.example").action) == ("allow", "deny")
    nothing = lease_policy(None, [])
    assert nothing.name.startswith("Leases that reach nothing (")
    assert decision(nothing, "a.example").action == "deny"


def test_a_lease_keeps_what_the_policy_in_force_denies_below_its_domains():
    open_one = FilterPolicy(filter_policy_id="p", name="p", default_action="allow", deny=("x.a.example",))
    own = lease_policy(open_one, ["a.example"])
    assert decision(own, "x.a.example").action == "deny"


def reaches_no_more(lists: Callable[..., Any], case: tuple[FilterPolicy, list[str], str]) -> None:
    """This also holds if the policy allowed more when the lease requested these domains."""
    in_force, asked, host = case
    allow, deny = lists(in_force, normal_domains(asked))
    own = FilterPolicy(filter_policy_id="own", name="own", allow=allow, deny=deny)
    if decision(own, host).action == "allow":
        assert decision(in_force, host).action == "allow"


def as_it_was_asked(in_force: FilterPolicy, wanted: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return wanted, in_force.deny


def test_a_lease_reaches_no_more_than_a_policy_that_changed_allows():
    cases = st.tuples(policies(), st.lists(NAMES, max_size=4), NAMES)
    holds(reaches_no_more, lists_of_lease, cases)
    catches(reaches_no_more, as_it_was_asked, cases)


def test_a_lease_cannot_open_what_the_policy_in_force_denies():
    with pytest.raises(Invalid, match=r"The web filter Exam denies b\.example; a lease cannot allow it\."):
        lease_policy(FilterPolicy(filter_policy_id="p", name="Exam", allow=("a.example",)), ["a.example", "b.example"])


def as_asked(policy: FilterPolicy, asked: list[str]) -> FilterPolicy:
    return FilterPolicy(filter_policy_id="p", name="Lease", default_action="deny", allow=tuple(asked))


@for_all(policies(), st.lists(NAMES, max_size=4), NAMES, subject=lease_policy, mutants=[as_asked])
def test_a_lease_reaches_no_more_than_the_policy_in_force_allows(
    subject: Any, policy: FilterPolicy, asked: list[str], host: str
):
    try:
        own = subject(policy, asked)
    except Invalid:
        return
    if decision(own, host).action == "allow":
        assert decision(policy, host).action == "allow"
