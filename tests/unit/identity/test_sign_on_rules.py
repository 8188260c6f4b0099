"""Addresses of pages and providers, and what follows from the checks of log-ins."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.errors import Invalid
from greenroom.identity.attempts import local_path
from greenroom.identity.checks import LoginEnds, NextCheck, next_action
from greenroom.identity.provider import ProviderFailed, issuer_problem, parse_endpoints

ISSUER = "https://login.example"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}


@pytest.mark.parametrize("path", ["/", "/account", "/session/123?a=b#c", "/a//b", "/apis"])
def test_pages_of_the_console_are_permitted(path: str):
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "account",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:1",
        ),
        *("/\t/evil.example", "/\n", "/api/v1/me", "/é", "/a\u202eb"),
    ],
)
def test_addresses_of_other_sites_are_refused(path: str):
    with pytest.raises(Invalid):
        local_path(path)


@pytest.mark.parametrize(
    "issuer", [ISSUER, "https://login.example:8443/realms/a", "http://127.0.0.1:9000", "http://[::1]:1"]
)
def test_an_issuer_is_an_https_address_or_on_this_host(issuer: str):
    assert issuer_problem(issuer) is None


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example",
        "login.example",
        "ftp://x",
        "https://",
        "https://a/?q=1",
        "https://u@a",
        "https://a:x",
        "//a",
    ],
)
def test_other_issuers_have_a_reason(issuer: str):
    assert str(issuer_problem(issuer)).endswith(".")


def test_the_endpoints_of_a_document():
    endpoints = parse_endpoints(DOCUMENT | {"userinfo_endpoint": f"{ISSUER}/me"}, ISSUER)
    assert (endpoints.token, endpoints.userinfo, endpoints.end_session) == (f"{ISSUER}/token", f"{ISSUER}/me", None)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"issuer": "https://evil.example"}, "belongs to the issuer 'https://evil.example'"),
        ({"issuer": None}, "belongs to the issuer None"),
        ({"token_endpoint": None}, "has no token_endpoint"),
        ({"token_endpoint": "http://login.example/token"}, "is not an https address"),
        ({"jwks_uri": "http://127.0.0.1/keys"}, "is not an https address"),
        ({"userinfo_endpoint": "file:///etc/passwd"}, "is not an https address"),
        ({"code_challenge_methods_supported": ["plain"]}, "does not support PKCE with S256"),
    ],
)
def test_a_wrong_document_is_refused(change: dict[str, Any], cause: str):
    with pytest.raises(ProviderFailed, match=cause):
        parse_endpoints(DOCUMENT | change, ISSUER)


def after(failure: str | None, unchecked_s: float, *, ended: bool = False) -> NextCheck | LoginEnds:
    return next_action(failure, ended=ended, unchecked_s=unchecked_s, interval_s=300, grace_s=900)


def test_a_passed_check_is_repeated_after_the_interval():
    assert after(None, 10_000) == NextCheck(300)


def test_a_failed_check_is_repeated_within_a_minute():
    assert after("It hangs.", 300) == NextCheck(60)
    assert after("It hangs.", 1190) == NextCheck(10)


def test_failed_checks_end_the_log_in_after_the_time_of_grace():
    assert after("It hangs.", 1200) == LoginEnds("It hangs.")


def test_a_refusal_ends_the_log_in_immediately():
    assert after("Refused.", 1, ended=True) == LoginEnds("Refused.")
