"""The addresses that a session may open on request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.fleet.addresses import web_address_problem


@pytest.mark.parametrize(
    "text",
    [
        "https://www.example.org",
        "http://127.0.0.1:8080/a?b=c&d=(e)#f",
        "HTTPS://[2001:db8::1]/",
        "https://münchen.example/straße?q=%20",
        "https://ann@example.org/~ann/",
    ],
)
def test_usual_addresses_are_accepted(text: str):
    assert web_address_problem(text) is None


BEGIN = "an address must begin with http:// or https://"
SIGNS = "an address must not contain spaces, quotes, control characters or any of ` < > \\ ^ { | }"
HOST = "an address must name a host, like https://www.example.org/"
NONE = "the address has an invalid host or port"


@pytest.mark.parametrize(
    ("problem", "texts"),
    [
        (BEGIN, ("", "javascript:alert(1)", "file:///etc/passwd", "-x")),
        (HOST, ("https://", "https:///path", "https://$(id)/", "https://:80/")),
        (
            SIGNS,
            ("https://a b.example/", 'https://x.example/"onload=', "https://x.example/'", "https://x.example/`id`"),
        ),
        (SIGNS, ("https://x.example/\n", "https://x.example/\u2028", "https://x.example/\u202e")),
        (SIGNS, ("https://x.example\\@evil.example/", "https://x.example/{a}", "https://x.example/\x7f")),
        (NONE, ("https://x.example:99999/", "https://x.example:port/", "https://[::1/")),
    ],
)
def test_others_are_refused_with_the_reason(problem: str, texts: tuple[str, ...]):
    assert {web_address_problem(text) for text in texts} == {problem}


@for_all(
    st.text(max_size=30),
    subject=web_address_problem,
    mutants=[lambda address: None, lambda address: None if address.split() == [address] else "It has a space."],
)
def test_an_accepted_address_is_always_one_word(subject: Any, text: str):
    address = f"https://example.org/{text}"
    if subject(address) is None:
        assert address.split() == [address]
        assert not set(address) & set("\"'`<>\\\0")
