"""Pure rules of the api: cross-site requests, hosts, installation settings, cursors, shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import hypothesis
import pytest
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from greenroom.api.access.schemas import LoginBody
from greenroom.api.app import ROUTERS
from greenroom.api.bodies import Body, View, validated
from greenroom.api.csrf import SAFE_METHODS, cross_site_reason
from greenroom.api.diagnostics.routes import FoundThing
from greenroom.api.events import RESYNC, Resync
from greenroom.api.fleet.schemas import ZoneCreate
from greenroom.api.hardening import host_name, parse_served_hosts
from greenroom.api.lease.control import requires_control_check
from greenroom.api.pool.schemas import StagingPatch
from greenroom.api.problems import invalid_request
from greenroom.core.errors import Invalid
from greenroom.core.events import ChangeEvent
from greenroom.core.text import ERROR_TEXTS
from greenroom.interfaces.public.calls import format_time, hex_id

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
    """A request that acts with a cookie has proved that it comes from a page of Greenroom."""
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


@pytest.mark.mutant
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
    assert parse_served_hosts(" a.example:1, B.example,,[::1]") == {"a.example", "b.example", "::1"}
    assert parse_served_hosts("::1,a.example") == {"a.example"}, (
        "or every Host header that names no host would be served"
    )


@given(st.datetimes(datetime(2000, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])))  # noqa: DTZ001
def test_published_dates_are_utc_with_microseconds(moment: datetime):
    text = format_time(moment)
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
        ({"speed": 1}, "speed: is not a known field"),
    ],
)
def test_what_is_wrong_with_a_value_is_explained(body: dict[str, Any], said: str):
    with pytest.raises(Invalid, match=f"cannot be used: {re.escape(said)}\\.$"):
        validated(StagingPatch, body)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "x" * 64])
def test_a_pattern_is_explained(name: str):
    with pytest.raises(Invalid, match="zone_name: must be 1 to 63 letters, digits, '_', "):
        validated(ZoneCreate, {"zone_name": name})


ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
ODD: list[Any] = [
    *("", "x", "a,b", "-1", "1.5", "9" * 5000, "nan", "\0", "\ud800", "x" * 5000),
    *("2027-01-01", "2027-01-01T00:00", "2027-13-45T99:99:99Z", "2027-01-01T00:00:00+99:00"),
    *(None, True, -1, 1.5, float("nan"), 10**30, [], [[]], [1], [""] * 5000, {}, {"": None}, {"x": {"x": []}}),
]


def verdicts(route: APIRoute) -> list[dict[str, Any]]:
    """The validation library's errors for odd values of all parameters and fields of a route."""
    found = [
        field.validate(odd, {}, loc=("query", field.alias))[1]
        for field in get_flat_params(route.dependant)
        for odd in ODD
    ]
    if route.body_field is not None:
        names = getattr(route.body_field.field_info.annotation, "model_fields", {})
        bodies = [*ODD, *({name: odd} for name in names for odd in ODD)]
        found += [route.body_field.validate(body, {}, loc=("body",))[1] for body in bodies]
    return [verdict for each in found for verdict in each or ()]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_what_is_wrong_with_a_parameter_or_field_is_said_in_our_words(route: APIRoute):
    assert {verdict["type"] for verdict in verdicts(route)} <= {*ERROR_TEXTS, "value_error"}


def test_a_parameter_is_named_with_what_it_must_be():
    (screenshot,) = (route for route in ROUTES if route.name == "get_desk_screenshot")
    (region,) = (field for field in get_flat_params(screenshot.dependant) if field.name == "region")
    assert region.validate("0,0,640,400", {}, loc=("query", "region")) == ("0,0,640,400", [])
    for odd in ("a", "1,2,3", "1,2,3,4,5", "1,2,3,4\n", "-1,2,3,4"):
        refused = region.validate(odd, {}, loc=("query", "region"))[1]
        assert refused
        assert invalid_request(RequestValidationError(refused)).message == (
            "The request has values that cannot be used: region: must be four whole numbers, such as 0,0,640,400."
        )


NAMES = re.compile(r"(friendly_|first_|last_|zone_|user)?name|organization|phone")


def named_fields(body: type[Body]) -> list[tuple[type[Body], str]]:
    """The fields of this body of the api, and of its subclasses, that are names which people type."""
    is_of_api = body.__module__.startswith("greenroom.api.")
    own = [(body, name) for name in body.model_fields if is_of_api and NAMES.fullmatch(name)]
    return own + [found for below in body.__subclasses__() for found in named_fields(below)]


def accepts(body: type[Body], name: str, text: str) -> bool:
    try:
        body.model_validate({name: text})
    except ValidationError as error:
        return all(problem["loc"][0] != name for problem in error.errors())
    return True


def test_no_name_that_is_stored_has_a_line_break_or_an_invisible_character():
    elsewhere = (LoginBody, FoundThing)  # looked up, and reported by an Agent
    fields = [(body, name) for body, name in named_fields(Body) if body not in elsewhere]
    assert len(fields) > 15
    wrong = [
        f"{body.__name__}.{name} takes U+{ord(character):04X}"
        for body, name in fields
        for character in "\n\x1b\u200b\u202e\u2066"
        if accepts(body, name, f"a{character}b")
    ]
    assert not wrong


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    name: str
    secret_hash: str


class RowView(View, row=Row, without={"secret_hash"}):
    number: Annotated[int, Field(description="counted from 1")]


def test_a_view_has_the_fields_of_its_row_but_for_those_without_which_it_is():
    assert RowView.model_validate(Row(1, "first", "hash")).model_dump() == {"number": 1, "name": "first"}
    assert RowView.model_json_schema()["properties"]["number"]["description"] == "counted from 1"


@pytest.mark.parametrize(
    ("event", "checks"),
    [
        (ChangeEvent.session("controlled"), True),
        (ChangeEvent.session("other"), False),
        (ChangeEvent.lease("any"), True),
        (ChangeEvent.staging("controlled"), False),
        (RESYNC, True),
    ],
)
def test_only_events_that_concern_control_cause_a_check(event: ChangeEvent | Resync, checks: bool):
    assert requires_control_check(event, {"controlled"}) is checks


def test_every_event_of_a_session_causes_a_check_before_the_first_reading():
    assert requires_control_check(ChangeEvent.session("any"), None)
