"""Allow Origin Domain: only https, whole hosts, and a port only if it is specified."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.fleet.addresses import (
    foreign_hosts,
    host_problem,
    parse_entry,
    parse_origin,
    picture_problem,
    refusal_of_origin,
    stream_origin,
)

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.lists(label, min_size=1, max_size=3).map(".".join),
    st.sampled_from(["127.0.0.1", "[::1]", "localhost"]),
)
ports = st.one_of(st.none(), st.integers(1, 65535))


def text_of(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def _host_of(origin: str | None) -> str:
    return (origin or "").removeprefix("https://")


def suffix(origin: str | None, allowed: Iterable[str], *, websocket: bool) -> str | None:
    return None if any(_host_of(origin).endswith(a) for a in allowed) else "no"


def any_port(origin: str | None, allowed: Iterable[str], *, websocket: bool) -> str | None:
    return refusal_of_origin(origin, [a.rpartition(":")[0] or a for a in allowed], websocket=websocket)


def any_scheme(origin: str | None, allowed: Iterable[str], *, websocket: bool) -> str | None:
    return refusal_of_origin((origin or "").replace("http://", "https://"), allowed, websocket=websocket)


def trusts_silence(origin: str | None, allowed: Iterable[str], *, websocket: bool) -> str | None:
    return refusal_of_origin(origin, allowed, websocket=False)


@for_all(
    allowed=st.lists(st.tuples(hosts, ports), max_size=4),
    host=hosts,
    port=ports,
    upper=st.booleans(),
    subject=refusal_of_origin,
    mutants=[suffix, any_port],
)
def test_exactly_the_listed_hosts_may_open_a_stream(
    subject: Any, allowed: list[tuple[str, int | None]], host: str, port: int | None, upper: bool
):
    entries = [text_of(*one) for one in allowed]
    origin = f"https://{text_of(host, port)}"
    expected = any(h == host and p in (None, port or 443) for h, p in allowed)
    assert (
        subject(origin.upper().replace("HTTPS", "https") if upper else origin, entries, websocket=True) is None
    ) == (expected)


@for_all(host=hosts, prefix=label, port=ports, subject=refusal_of_origin, mutants=[suffix, any_scheme])
def test_look_alikes_of_a_listed_host_are_refused(subject: Any, host: str, prefix: str, port: int | None):
    for origin in (
        f"https://{prefix}.{host}",
        f"https://{prefix}{host}",
        f"https://{host}.{prefix}",
        f"http://{text_of(host, port)}",
        f"https://{host}/",
        f"https://user@{host}",
        f"https://{host}, https://{host}",
        f"https://{host}:",
    ):
        assert subject(origin, [host], websocket=True) is not None, origin


@for_all(
    allowed=st.lists(hosts),
    origin=st.sampled_from([None, "", "null", "file://", "https://"]),
    subject=refusal_of_origin,
    mutants=[trusts_silence],
)
def test_a_websocket_without_a_page_is_refused(subject: Any, allowed: list[str], origin: str | None):
    assert subject(origin, [*allowed, "null"], websocket=True) is not None


def test_a_page_of_the_stream_itself_sends_no_origin_and_passes():
    assert refusal_of_origin(None, ["example.com"], websocket=False) is None
    assert refusal_of_origin(None, ["example.com"], websocket=True) == "A websocket must come with an Origin header."
    assert refusal_of_origin("null", ["example.com"], websocket=False) == "The Origin null is not an https origin."


def test_a_foreign_origin_is_refused_without_a_websocket_too():
    assert refusal_of_origin("https://evil.example", ["example.com"], websocket=False) == (
        "The Origin https://evil.example is not in the Allow Origin Domain of this session."
    )


@pytest.mark.parametrize("text", ["", "*", "*.example.com", "https://a", "a/b", "a:0", "a:70000", "a b", "a:", ":1"])
def test_entries_that_are_no_host_match_nothing(text: str):
    assert parse_entry(text) is None


@pytest.mark.parametrize(
    "text", ["https://a:0", "https://a:99999", "https://a#b", "https://a?b", "https://ä", "wss://a"]
)
def test_what_is_no_https_origin_is_none(text: str):
    assert parse_origin(text) is None


@pytest.mark.parametrize(
    ("stream_url", "asked", "origin"),
    [
        ("https://127.0.0.1:8445", "127.0.0.1:8443", "https://127.0.0.1:8445"),
        ("https://127.0.0.1:8445", "localhost:8443", "https://localhost:8445"),
        ("https://127.0.0.1:8445", "[::1]:8443", "https://[::1]:8445"),
        ("https://127.0.0.1:8445", "localhost", "https://localhost:8445"),
        ("https://127.0.0.1", "localhost:8443", "https://localhost:443"),
        ("https://streams.example:8445", "localhost:8443", "https://streams.example:8445"),
    ],
)
def test_streams_are_framed_under_the_name_the_console_was_opened_with(stream_url: str, asked: str, origin: str):
    assert stream_origin(stream_url, "https://127.0.0.1:8443", asked) == origin


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a.example",
        "A-1.b_c.example",
        "127.0.0.1",
        "[::1]",
        "a.example:443",
        "[fe80::1]:8443",
        "a.example:1",
        "a.example:65535",
        "x" * 63 + ".example",
    ],
)
def test_an_address_that_can_be_saved(text: str):
    assert host_problem(text) is None


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (
            (
                "",
                " a",
                "a\n",
                "a..b",
                "-a.example",
                "*.example",
                "1.2.3",
                "300.1.1.1",
                "[127.0.0.1]",
                "[:::]",
                "[::1]x",
            ),
            "is neither a host name nor an IP address",
        ),
        (("x" * 64, ".".join(["x" * 50] * 5)), "is neither a host name nor an IP address"),
        (("a/b", "https://a.example"), "contains a slash; write the host, or host:port, like desk.example.org:8443"),
        (("a:b:c", "a:", "a:0", "a:65536", "a:٤"), "has no port from 1 to 65535 after the colon"),
    ],
)
def test_an_address_that_cannot_be_saved_is_refused_with_the_reason(texts: tuple[str, ...], problem: str):
    assert {host_problem(text) for text in texts} == {problem}


def test_a_picture_is_at_a_web_address_or_a_path_of_the_console():
    for address in (
        "",
        "/api/v1/pictures/1",
        "img/firefox.png",
        "https://example.org/a.png",
        "http://example.org/a.png",
    ):
        assert picture_problem(address) is None, address
    for address in (
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "//evil.example/x",
        "/\\evil.example",
        "https://[::1",
    ):
        assert picture_problem(address) is not None, address


def test_a_port_is_refused_where_it_is_a_field_of_its_own():
    assert host_problem("a.example:443", with_port=False) == "has a port; the port is a separate field"
    assert host_problem("a/b", with_port=False) == "contains a slash; write the host alone, like desk.example.org"
    assert host_problem("a.example", with_port=False) is None


@for_all(
    hosts.filter(lambda host: not host.split(".")[-1].isdecimal() or host == "127.0.0.1"),
    ports,
    subject=parse_entry,
    mutants=[lambda text: parse_entry(text.partition(":")[0])],
)
def test_what_can_be_saved_is_understood_later(subject: Any, host: str, port: int | None):
    text = text_of(host, port)
    assert host_problem(text) is None
    assert subject(text) is not None


@pytest.mark.parametrize(("port", "is_one"), [(0, False), (1, True), (65535, True), (65536, False)])
def test_ports_go_from_1_to_65535(port: int, *, is_one: bool):
    assert (parse_entry(f"a.example:{port}") is not None) is is_one
    assert (parse_origin(f"https://a.example:{port}") is not None) is is_one


@pytest.mark.parametrize(
    ("given", "foreign"),
    [
        ({"proxy_hostname": "evil.example"}, {"proxy_hostname": "evil.example"}),
        ({"proxy_hostname": "Desk.Example"}, {}),
        ({"proxy_hostname": "desk.example.evil.example"}, {"proxy_hostname": "desk.example.evil.example"}),
        ({"upstream": "desk.example:8443"}, {}),
        ({"upstream": "desk.example:9000"}, {"upstream": "desk.example:9000"}),
        ({"upstream": "edge.example:9000"}, {}),
        ({"upstream": "[::1]:443"}, {}),
        ({"upstream": "[::1]:22"}, {"upstream": "[::1]:22"}),
        ({"origins": "old.example:1, desk.example:8443,new.example"}, {"origins": "new.example"}),
        ({"origins": "old.example, old.example:2"}, {"origins": "old.example, old.example:2"}),
        ({"proxy_hostname": "old.example:1"}, {"proxy_hostname": "old.example:1"}),
        ({"proxy_hostname": "$request_host$:443"}, {}),
        ({"proxy_hostname": "$request_host$:22"}, {"proxy_hostname": "$request_host$:22"}),
    ],
)
def test_a_host_and_port_of_a_zone_must_be_served_or_already_in_the_field(
    given: dict[str, str], foreign: dict[str, str]
):
    known = ["$request_host$", "desk.example,[::1]", "edge.example:9000", ""]
    assert foreign_hosts(given, {"origins": "old.example:1"}, known, {443, 8443}) == foreign
