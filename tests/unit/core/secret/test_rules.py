"""Secrets that a web filter adds: the possible hosts and headers, the users who may use one, and its destination."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core import named_secrets
from greenroom.core.errors import Invalid
from greenroom.core.named_secrets import FilterSecret, SecretUsers
from greenroom.core.web_filter import FilterPolicy

LABELS = st.sampled_from(["a", "b", "api", "x-1"])
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
HOSTS = st.one_of(NAMES, NAMES.map(lambda name: f".{name}"))
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


def brokered(name: str, header: str, *hosts: str) -> FilterSecret:
    return FilterSecret(name=name, hosts=hosts, header=header, value="v")


def test_hosts_are_stored_unique_in_lower_case_and_sorted():
    assert named_secrets.validated_hosts([" API.Example.com. ", ".example.org", "api.example.com"]) == (
        ".example.org",
        "api.example.com",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*.example.com", "'*.example.com' has a wildcard; write .example.com for each host directly below"),
        ("*", "has a wildcard; write .example.com"),
        ("*.*.com", "has a wildcard; write .example.com"),
        ("203.0.113.7", "'203.0.113.7' is an IP address; a secret goes only to hosts with names."),
        ("[2001:db8::1]", "is an IP address"),
        ("https://api.example.com", "write only the host"),
        ("api.example.com:8443", "write only the host"),
        ("localhost", "has no dot"),
        ("co.uk", "'co.uk' is a public suffix"),
        (".github.io", "'.github.io' is a public suffix"),
        (".com", "has no dot"),
        ("a b.example", "is not a domain"),
        ("x" * 90 + ".*", "…' has a wildcard"),
    ],
)
def test_what_is_no_host_is_refused_with_a_sentence(text: str, words: str):
    with pytest.raises(Invalid, match=re.escape(words)):
        named_secrets.validated_host(text)


@pytest.mark.parametrize("number", [0, named_secrets.MAX_HOSTS + 1])
def test_a_secret_goes_to_some_hosts_and_not_to_many(number: int):
    with pytest.raises(Invalid, match=f"1 to {named_secrets.MAX_HOSTS} hosts, not {number}"):
        named_secrets.validated_hosts([f"h{n}.example.com" for n in range(number)])


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Proxy-Authorization", "TE", "Transfer-Encoding", "Upgrade"]
)
def test_headers_of_the_connection_are_the_filters(name: str):
    with pytest.raises(Invalid, match=f"{name} controls the connection"):
        named_secrets.validated_header(name)


@pytest.mark.parametrize("name", ["", "two words", "a:b", "line\n", "_x", "ümlaut"])
def test_what_is_no_header_is_refused(name: str):
    with pytest.raises(Invalid, match="is not the name of a header"):
        named_secrets.validated_header(name)


@pytest.mark.parametrize("name", ["All", "other"])
def test_names_that_mean_several_headers_to_squid_are_refused(name: str):
    with pytest.raises(Invalid, match="this word for a group of headers"):
        named_secrets.validated_header(name)


def test_usual_headers_are_possible():
    assert [named_secrets.validated_header(name) for name in ("Authorization", "x-api-key")] == [
        "Authorization",
        "x-api-key",
    ]


@pytest.mark.parametrize("name", ["Cookie", "accept-encoding", "Max-Forwards", "RANGE", "Referer"])
def test_headers_that_are_sent_on_or_change_the_answer_are_refused(name: str):
    with pytest.raises(Invalid, match=f"{name} is not a header for a secret"):
        named_secrets.validated_header(name)


@pytest.mark.parametrize("text", ["Bearer", "{secret}{secret}"])
def test_a_template_has_the_place_once(text: str):
    with pytest.raises(Invalid, match=r"contain \{secret\} once"):
        named_secrets.validated_template(text)


def test_the_header_has_the_secret_in_its_place():
    assert (
        named_secrets.header_value(named_secrets.validated_template("Bearer {secret}!"), "s3cret") == "Bearer s3cret!"
    )


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "gehört", "a\x7fb"])
def test_a_secret_that_no_header_can_have_is_refused_without_showing_it(value: str):
    with pytest.raises(Invalid, match="control character or a character outside of ASCII") as refused:
        named_secrets.header_value("{secret}", value)
    assert value not in refused.value.message
    with pytest.raises(Invalid, match="The template has a control character"):
        named_secrets.validated_template("x\r\n{secret}")


@pytest.mark.parametrize("value", ["", " a", "a\n"])
def test_a_secret_is_neither_empty_nor_has_an_end_of_line(value: str):
    with pytest.raises(Invalid, match="begins or ends with a space"):
        named_secrets.header_value("{secret}", value)


def test_a_secret_is_no_longer_than_squid_reads():
    longest = "x" * (named_secrets.MAX_HEADER - 2)
    assert named_secrets.header_value("{secret}", longest) == longest
    for longer in (longest + "x", "%" * (named_secrets.MAX_HEADER // 2)):
        with pytest.raises(Invalid, match="too long"):
            named_secrets.header_value("{secret}", longer)


@for_all(PRINTABLE, subject=named_secrets.quoted, mutants=[lambda value: f'"{value}"'])
@example('a"b\\c%d')
def test_squid_reads_from_its_configuration_what_was_written(subject: Any, value: str):
    text = subject(value)
    assert (text[0], text[-1]) == ('"', '"')
    read, at = "", 1
    while at < len(text) - 1:
        if text[at] in "\\%":
            at += 1
        else:
            assert text[at] != '"'
        read += text[at]
        at += 1
    assert read == value


@for_all(
    HOSTS,
    NAMES,
    subject=named_secrets.applies_to,
    mutants=[lambda hosts, name: any(name.endswith(host) for host in hosts), lambda hosts, name: name in hosts],
)
@example(".a.b", "api.a.b")
@example(".a.b", "x.api.a.b")
@example("a.b", "a.b")
def test_a_suffix_stands_for_hosts_directly_below_it(subject: Any, secret_host: str, name: str):
    labels, parts = secret_host.removeprefix(".").split("."), name.split(".")
    expected = parts[1:] == labels if secret_host.startswith(".") else parts == labels
    assert subject((secret_host,), name) is expected
    assert subject((secret_host,), name.upper()) is expected


def test_the_certificate_of_a_filter_names_the_hosts_and_nothing_else():
    secrets = [brokered("one", "a", ".example.com", "api.test.org"), brokered("two", "b", "api.test.org")]
    assert named_secrets.names_of_certificate(secrets) == ["*.example.com", "api.test.org"]


def test_a_secret_does_not_show_its_value():
    assert "s3cret" not in repr(FilterSecret(name="n", hosts=(), header="h", value="s3cret"))


@pytest.mark.parametrize(("one", "other"), [("api.a.b", ".a.b"), (".a.b", "api.a.b"), ("a.b", "a.b"), (".a.b", ".a.b")])
def test_two_secrets_are_not_in_one_header_of_a_host(one: str, other: str):
    with pytest.raises(Invalid, match="first and second use the same header Authorization"):
        named_secrets.require_distinct(
            [brokered("first", "Authorization", one), brokered("second", "authorization", other)]
        )


def test_secrets_in_other_headers_or_of_other_hosts_go_together():
    named_secrets.require_distinct(
        [brokered("1", "x", "a.b"), brokered("2", "y", "a.b"), brokered("3", "x", ".a.b"), brokered("4", "x", "c.a.c")]
    )


@pytest.mark.parametrize(
    ("users", "may"),
    [
        (SecretUsers(), False),
        (SecretUsers(owner_id="ada"), True),
        (SecretUsers(owner_id="bob"), False),
        (SecretUsers(users=("ada",)), True),
        (SecretUsers(groups=("staff",)), True),
        (SecretUsers(groups=("others",)), False),
        (SecretUsers(keys=("key",)), True),
    ],
)
def test_only_who_is_named_may_use_a_secret(users: SecretUsers, may: bool):
    assert users.include(user_id="ada", key_id="key", groups=["staff"]) is may


def test_a_key_without_an_owner_is_not_the_owner_of_what_no_one_owns():
    assert not SecretUsers().include(user_id=None, key_id=None, groups=[])


def test_a_lease_reaches_the_hosts_of_its_secrets():
    policy = FilterPolicy(filter_policy_id="p", name="p", allow=("example.com", "api.test.org"))
    named_secrets.require_reachable_hosts(policy, "github", ["api.test.org", ".example.com", "api.example.com"])
    with pytest.raises(Invalid, match=r"github goes to \.test\.org, which the lease cannot reach"):
        named_secrets.require_reachable_hosts(policy, "github", [".test.org"])
