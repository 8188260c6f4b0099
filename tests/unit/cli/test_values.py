"""The accepted forms of numbers, durations and times, and the refusal of all others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.conftest import Done, Pretended
from tests.unit.cli.test_commands import FOUND, IMAGE, ZONE

from greenroom.cli.lazy import walk_commands
from greenroom.cli.main import app
from greenroom.cli.values import UNITS_S, duration_parser, parse_duration_s, time_parser

Greenroom = Callable[..., Done]


def taking_numbers() -> dict[str, tuple[Any, str]]:
    """Every option of every command with a number or a duration: with its command, and its metavar."""
    return {
        f"{name} {option.opts[0]}": (command, option.opts[0])
        for name, command in walk_commands(typer.main.get_command(app))
        for option in command.params
        if str(option.metavar).removesuffix("|null") in {"NUMBER", "DURATION"}
        or "float" in option.display_type(command.context_class(command))
    }


def test_every_numeric_option_refuses_what_is_no_finite_number():
    found = taking_numbers()
    assert {"staging create --expiration", "agents update --cores-override", "sessions launch --within"} <= set(found)
    for name, (command, option) in found.items():
        for text in ("NaN", "nan", "inf", "-inf", "Infinity", "1e999", "x", ""):
            with pytest.raises(typer.BadParameter, match="is not a"):
                pytest.fail(f"{name} took {command.main([option, text], standalone_mode=False)}")


@pytest.mark.parametrize(
    "typed",
    [
        ["staging", "create", "--zone", "eu", "--image", "Desktop", "--num-sessions", "1", "--expiration", "NaN"],
        ["images", "update", "Desktop", "--cores", "inf"],
        ["images", "update", "Desktop", "--run-config", '{"cpus": NaN}'],
    ],
)
def test_nothing_that_json_does_not_have_is_sent(api: Pretended, greenroom: Greenroom, typed: list[str]):
    api.answers = dict(FOUND)
    done = greenroom(*typed)
    assert done.code == 2
    assert "is not" in done.err
    assert not any(request.method != "GET" for request in api.asked)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(sorted(UNITS_S))), min_size=1), st.sampled_from(" |"))
def test_a_length_of_time_is_the_sum_of_its_parts(parts: list[tuple[int, str]], between: str):
    text = between.strip("|").join(f"{count}{unit}" for count, unit in parts)
    assert parse_duration_s(text) == sum(count * UNITS_S[unit] for count, unit in parts)


@pytest.mark.parametrize(
    ("unit", "whole", "text", "value"),
    [("h", False, "90m", 1.5), ("h", False, "12", 12.0), ("s", True, "1h30m", 5400), ("min", True, "2h", 120)],
)
def test_a_number_alone_is_in_the_unit_of_the_option(unit: str, whole: bool, text: str, value: float):
    assert duration_parser(unit, whole=whole)(text) == value


@pytest.mark.parametrize("text", ["1.5", "30m", "-2", "soon"])
def test_a_whole_number_of_hours_is_said_to_be_wanted(text: str):
    with pytest.raises(typer.BadParameter, match="hours"):
        duration_parser("h", whole=True)(text)


def test_a_length_of_time_is_a_time_ago_or_to_come():
    now = datetime.now(UTC)
    assert abs(datetime.fromisoformat(time_parser(is_future=False)("10m")) - now + timedelta(minutes=10)) < timedelta(
        minutes=5
    )
    assert abs(datetime.fromisoformat(time_parser(is_future=True)("30d")) - now - timedelta(days=30)) < timedelta(
        days=1
    )


def test_settings_take_lengths_of_time_in_their_own_units(api: Pretended, greenroom: Greenroom):
    api.answers = dict(FOUND) | {("PATCH", "/settings"): []}
    assert greenroom("settings", "update", "login_window_s=5m", "launch_retention_days=2w").code == 0
    assert api.last[2] == {"login_window_s": 300, "launch_retention_days": 14}
    greenroom("groups", "update", "All Users", "--settings", "idle_disconnect=1h", "--settings", "run_config={}")
    assert api.last[2] == {"settings": {"idle_disconnect": 60, "run_config": {}}}


def test_an_expiration_is_typed_with_a_unit(api: Pretended, greenroom: Greenroom):
    api.answers = dict(FOUND) | {("POST", "/staging-configs"): {"staging_config_id": IMAGE}}
    typed = "staging create --zone eu --image Desktop --num-sessions 1 --expiration 90m"
    assert greenroom(*typed.split()).code == 0
    assert api.last[2] == {"zone_id": ZONE, "image_id": IMAGE, "num_sessions": 1, "expiration": 1.5}
