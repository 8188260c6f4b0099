"""Secrets in texts are masked; what support needs stays readable."""

from __future__ import annotations

import json
import string
from random import Random
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.masking import MASK
from greenroom.up.masked_text import MIN_KNOWN, TextMask, is_secret_name

SECRET = "Tr0ub4dor&3"

TEXTS = st.sampled_from(
    [
        "postgresql://greenroom:{}@db.example:5432/greenroom?sslmode=verify-full",
        "https://{}@registry.example/v2/",
        "robot:{}@tcp(db:3306)",
        "host=db password='{}' dbname=x",
        "PASSWORD={}",
        '{{"nested": "{{\\"api_key\\": \\"{}\\"}}"}}',
        "Authorization: Basic {}",
        "the header Bearer {} was refused",
        "set-cookie: session_token={}; Secure",
        "--key-secret {} --url x",
        "['--password', '{}']",
        "VNC_PW={}",
        "auth={}",
        '{{\\"auth\\": \\"{}\\"}}',
        "otp={}",
        "PIN: {}",
        "curl -u ann:{} https://x",
        "curl --user='ann:{}'",
        "mysql -h db -p{} shop",
        "client_secret => {}",
        "the passphrase is {}",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}",
    ]
)
SECRETS = st.text(string.ascii_letters + string.digits + "!$%&*+;=~", min_size=8, max_size=40)


def mask(text: str) -> str:
    return TextMask().mask_text(text)


def only_assignments(text: str) -> str:
    name, separator, _ = text.partition("=")
    return name + separator + MASK if separator else text


@for_all(TEXTS, SECRETS, subject=mask, mutants=[only_assignments])
def test_a_secret_with_a_name_or_a_known_form_is_masked(subject: Any, text: str, secret: str):
    assume(secret not in text)  # such as `password`: Hypothesis also chooses words of the code
    assert secret not in subject(text.format(secret))


@for_all(st.integers(0, 10_000), subject=mask, mutants=[only_assignments])
def test_a_random_text_is_masked_without_a_name(subject: Any, seed: int):
    alphabet = string.ascii_letters + string.digits + "-_"
    token = "".join(Random(seed).choices(alphabet, k=64))  # noqa: S311 -- the test must be repeatable
    assert token not in subject(f"a token {token} in a sentence")


@pytest.mark.parametrize(
    "text",
    [
        "Session 9756cb25-f886-495f-a612-4bb6080e87b9 runs in greenroom-9756cb25-f886-495f-a612-4bb6080e87b9",
        "manager-default-1-4d77061a is Primary of zone default; chain GREENROOM-4d77061a-MAX",
        f"image greenroom/desktop:xfce with digest sha256:{'ab12' * 16}",
        "request: GET /desktop/3f6a90c2/9756cb25-f886-495f-a612-4bb6080e87b9/ HTTP/1.1",
        "/usr/lib/python3.11/site-packages/greenroom/up/masked_text.py:12 RuntimeUnavailable",
        "2026-11-26T22:59:28.123456Z connect to 127.0.0.1:8446 failed for ann@example.org",
        "net.ipv4.neigh.default.gc_thresh3 = 2048",
        "Wrong password for ann@example.org",
        "the auth of a pin is optional; docker run --user 1000:1000 -p 80:80",
    ],
)
def test_what_is_no_secret_stays(text: str):
    assert mask(text) == text


def test_the_name_of_a_secret_stays():
    assert mask("error: user=ann password=abc host=db") == f"error: user=ann password={MASK} host=db"
    assert mask("url postgresql://ann:abc@db/x failed") == f"url postgresql://{MASK}@db/x failed"


@pytest.mark.parametrize(
    "key",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijkl",
        "ghr_abcdefghijkl",
        "eyJhbGciOi.eyJzdWIi.c2ln",
        "xoxe-1-abcdef",
        "AGE-SECRET-KEY-1QQ",
    ],
)
def test_keys_of_well_known_services_are_masked(key: str):
    assert mask(f"used {key} today") == f"used {MASK} today"


@pytest.mark.timeout(10)  # quadratic patterns take minutes
@pytest.mark.parametrize("part", ["eyJ-", "://", "a:b@", "-pass", "pass", "cookie ", "-----BEGIN PRIVATE KEY"])
def test_long_lines_take_linear_time(part: str):
    assert mask(part * (400_000 // len(part)))


def test_a_line_of_json_that_is_nested_too_deeply_is_masked_as_text():
    assert (
        TextMask().mask_lines('{"password": "abc", "a": ' + "[" * 100_000).startswith(f'{{"password": {MASK}, "a": [')
    )


def test_a_word_with_a_digit_after_password_is_masked():
    assert mask("login with password hunter2 failed") == f"login with password {MASK} failed"


def test_the_argument_of_a_secret_option_is_masked():
    command = ["mysqladmin", "--password", "abc", "-u", "ann:abc", "--user", "ann", "ping"]
    assert TextMask().mask_value(command) == ["mysqladmin", "--password", MASK, "-u", MASK, "--user", "ann", "ping"]


def test_a_known_value_is_masked_in_every_form():
    known = TextMask([SECRET, 'a "quoted" value', "short"])
    assert known.mask_text(f"{SECRET} Tr0ub4dor%263") == f"{MASK} {MASK}"
    assert known.mask_known_values('{"text": "a \\"quoted\\" value"}') == f'{{"text": "{MASK}"}}'
    assert known.mask_text("a short text") == "a short text"
    assert len("short") < MIN_KNOWN


def test_fields_are_masked_by_their_names():
    value = {
        "min_password_length": 12,
        "require_password_change": True,
        "adminPassword": "abc",
        "tokens": [{"label": "abc"}],
        "Env": ["A=b"],
        "empty_token": "",
        "variables": [{"name": "API_KEY", "value": "abc"}, {"name": "COLOR", "value": "red"}],
    }
    assert TextMask().mask_value(value) == {
        "min_password_length": 12,
        "require_password_change": True,
        "adminPassword": MASK,
        "tokens": [{"label": MASK}],
        "Env": [MASK],
        "empty_token": "",
        "variables": [{"name": "API_KEY", "value": MASK}, {"name": "COLOR", "value": "red"}],
    }
    assert TextMask().mask_value("abc", "docker_token") == MASK


def test_a_line_of_a_log_stays_a_json_object():
    lines = "\n".join([json.dumps({"event": "start", "environment": {"HARMLESS": "abc"}}), "{no json password=abc", ""])
    assert TextMask().mask_lines(lines).split("\n") == [
        json.dumps({"event": "start", "environment": {"HARMLESS": MASK}}),
        f"{{no json password={MASK}",
        "",
    ]
    assert TextMask().mask_lines("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nnext") == f"{MASK}\nnext"


@pytest.mark.parametrize("name", ["password", "GREENROOM_KEY", "clientSecret", "x-auth", "otp", "accessKey", "DB_PASS"])
def test_names_of_secrets(name: str):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["keyboard", "zone_name", "author", "event"])
def test_other_names(name: str):
    assert not is_secret_name(name)
