"""The codes of authenticator apps, compared with the examples of RFC 6238, and recovery codes."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from greenroom.core.access.second_factors import (
    STEP_S,
    key_text,
    matching_step,
    normal_code,
    recovery_code,
    setup_uri,
    totp_code,
)

KEY = b"12345678901234567890"
EXAMPLES = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}
"""Seconds since 1970 → the code with eight digits (RFC 6238, appendix B, SHA-1)."""


@pytest.mark.parametrize(("time_s", "code"), EXAMPLES.items())
def test_codes_are_those_of_the_standard(time_s: int, code: str):
    assert totp_code(KEY, time_s // STEP_S, digits=8) == code
    assert matching_step(KEY, code[-6:], time_s, None) == time_s // STEP_S


@pytest.mark.parametrize(("steps", "found"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_differ_by_one_step(steps: int, found: bool):
    code = totp_code(KEY, 1000 + steps)
    assert (matching_step(KEY, code, 1000 * STEP_S, None) is not None) is found


@pytest.mark.parametrize(("used", "found"), [(998, 999), (999, None), (1001, None), (None, 999)])
def test_a_code_is_later_than_the_last_used_one(used: int | None, found: int | None):
    assert matching_step(KEY, totp_code(KEY, 999), 1000 * STEP_S, used) == found


@pytest.mark.parametrize("code", ["", "28708", "942870820", "९४२८७०", "abcdef", "\ud800"[:0]])
def test_other_texts_are_no_codes(code: str):
    assert matching_step(KEY, code, 59, None) is None


def test_the_first_steps_have_codes_too():
    assert matching_step(KEY, totp_code(KEY, 0), 0, None) == 0


def test_the_address_for_the_app_has_the_key_and_the_names():
    address = urlsplit(setup_uri(KEY, "ann@example.org", "Greenroom a:b"))
    assert (address.scheme, address.netloc) == ("otpauth", "totp")
    assert unquote(address.path) == "/Greenroom a:b:ann@example.org"
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert query == {"secret": key_text(KEY), "issuer": "Greenroom a:b", "digits": "6", "period": "30"}
    assert base64.b32decode(query["secret"]) == KEY


def test_a_recovery_code_is_read_in_each_form_that_people_type():
    code = recovery_code(bytes(range(15)))
    assert code == "aaaq-eaye-auda-ocaj-bifq-ydio"
    assert normal_code(f" {code.upper()} ") == normal_code(code.replace("-", " ")) == code.replace("-", "")
