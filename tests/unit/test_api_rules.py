"""Pure rules of the api: cross-site requests, hosts, installation settings, cursors, shapes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.api.csrf import SAFE_METHODS, cross_site_reason
from greenroom.api.fleet.schemas import ZoneCreate
from greenroom.api.hardening import host_name, served
from greenroom.api.pool.schemas import StagingPatch
from greenroom.api.published.calls import validated
from greenroom.api.published.shapes import date, hex_id
from greenroom.core.errors import Invalid

HOST = "console.example:8443"
origins = st.sampled_from(
    [
        "https://console.example:8443",
        "https://console.example:8445",
        "https://console.example",
        "https://evil.example",
        "https://console.example:8443.evil.example",
        "https://[console.example",
        "null",
        "",
    ]
)
headers = st.fixed_dictionaries(
    {"host": st.just(HOST)},
    optional={
        "sec-fetch-site": st.sampled_from(["same-origin", "same-site", "cross-site", "none", "x"]),
        "origin": origins,
        "referer": origins.map(lambda origin: f"{origin}/page"),
    },
)


def only_the_own_origin_acts(reason: str | None, sent: dict[str, str]) -> None:
    """A request that acts with a cookie has shown that the page asking is our own."""
    if reason is None:
        own = "https://console.example:8443"
        site = sent.get("sec-fetch-site")
        if site is not None:
            assert site in ("same-origin", "none")
        else:
            assert (sent.get("origin") or sent.get("referer", "")).removesuffix("/page") == own


@given(st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]), headers)
def test_with_a_cookie_only_the_own_origin_acts(method: str, sent: dict[str, str]):
    only_the_own_origin_acts(cross_site_reason(method, sent, has_cookie=True), sent)


def test_a_mutant_that_looks_only_at_the_site_is_caught():
    def mutant(sent: dict[str, str]) -> None:
        allowed = sent.get("sec-fetch-site") in (None, "same-origin", "same-site", "none")
        only_the_own_origin_acts(None if allowed else "refused", sent)

    with pytest.raises(AssertionError):
        hypothesis.settings(report_multiple_bugs=False, database=None)(given(headers)(mutant))()


@given(st.sampled_from(sorted(SAFE_METHODS)), headers)
def test_looking_is_free(method: str, sent: dict[str, str]):
    assert cross_site_reason(method, sent, has_cookie=True) is None


def test_a_program_needs_none_of_these_headers():
    assert cross_site_reason("POST", {"host": HOST}, has_cookie=False) is None


@pytest.mark.parametrize(
    ("header", "name"),
    [("A.example:8443", "a.example"), ("127.0.0.1", "127.0.0.1"), ("[::1]:8443", "::1"), ("[::1]", "::1"), ("", "")],
)
def test_the_name_in_a_host_header(header: str, name: str):
    assert host_name(header) == name


@pytest.mark.parametrize(
    "header",
    [
        "a.example:x@b.example",
        "a.example:1,b.example",
        "a.example:8443/x",
        "a.example:",
        "a@b",
        "[::1",
        "a.example:1\n",
    ],
)
def test_what_is_no_host_and_port_has_no_name(header: str):
    assert host_name(header) == ""


def test_a_comma_list_of_hosts():
    assert served(" a.example:1, B.example,,[::1]") == {"a.example", "b.example", "::1"}


@given(st.datetimes(datetime(2000, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])))  # noqa: DTZ001
def test_published_dates_are_utc_with_microseconds(moment: datetime):
    text = date(moment)
    assert text is not None
    assert datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC) == moment


@given(st.uuids())
def test_hex_ids(value: Any):
    assert hex_id(str(value)) == hex_id(value) == value.hex


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"num_sessions": "many"}, "num_sessions: must be a whole number"),
        ({"num_sessions": -1}, "num_sessions: must be 0 or more"),
        ({"expiration": float("nan")}, "expiration: must be a number"),
        ({"expiration": 0}, "expiration: must be more than 0"),
        ({"paused": "perhaps"}, "paused: must be true or false"),
        ({"speed": 1}, "speed: is not known here"),
    ],
)
def test_what_is_wrong_with_a_value_is_explained(body: dict[str, Any], said: str):
    with pytest.raises(Invalid, match=f"cannot be used: {re.escape(said)}\\.$"):
        validated(StagingPatch, body)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "x" * 64])
def test_a_pattern_is_explained(name: str):
    with pytest.raises(Invalid, match="zone_name: must be 1 to 63 letters, digits, '_', "):
        validated(ZoneCreate, {"zone_name": name})
