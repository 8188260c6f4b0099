"""Desktops and leases have separate limits, and the limit of an API key can only reduce them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.access.group_settings import EffectiveSetting, GroupSettings, resolve
from greenroom.core.errors import LeaseLimit, SessionLimit
from greenroom.core.lease import limit_refusal

KEYS: Final = ("", "narrow", "wide")
"""API keys with leases; the first stands for a user without a key."""


def settings_of(**values: int) -> Mapping[str, EffectiveSetting]:
    return resolve([GroupSettings("g", "Fleet", 1, values)])


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        (
            {"leased": False, "user_sessions": 1},
            SessionLimit,
            "1 session is allowed for this user (max_kasms_per_user);",
        ),
        ({"leased": True, "user_sessions": 2}, LeaseLimit, "2 leases are allowed for this user (max_leases_per_user);"),
        (
            {"leased": True, "user_sessions": 1, "key_leases": 1, "max_leases": 1},
            LeaseLimit,
            "This API key may hold 1 lease at a time (max_leases);",
        ),
    ],
)
def test_a_refusal_names_its_limit(asked: dict[str, Any], error: type[Exception], sentence: str):
    refused = limit_refusal(settings_of(max_kasms_per_user=1, max_leases_per_user=2), **asked)
    assert isinstance(refused, error)
    assert str(refused).startswith(sentence)


def test_limits_are_said_in_the_number_of_the_noun():
    settings = settings_of(max_kasms_per_user=2, max_leases_per_user=1)
    assert "2 sessions are" in str(limit_refusal(settings, leased=False, user_sessions=2))
    assert "1 lease is" in str(limit_refusal(settings, leased=True, user_sessions=1))


@pytest.mark.parametrize(("leased", "most"), [(False, 5), (True, 100)])
def test_without_a_value_a_user_has_five_desktops_and_a_hundred_leases(leased: bool, most: int):
    assert limit_refusal(resolve([]), leased=leased, user_sessions=most - 1) is None
    assert limit_refusal(resolve([]), leased=leased, user_sessions=most) is not None


@dataclass
class Books:
    """The desktops and leases of a user, and the leases of each API key."""

    desktops: int = 0
    leases: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))

    def of_user(self, *, leased: bool) -> int:
        return sum(self.leases.values()) if leased else self.desktops


limits = st.integers(0, 4)
days = st.tuples(
    limits,
    limits,
    st.fixed_dictionaries({"": st.none(), "narrow": limits, "wide": limits}),
    st.lists(st.tuples(st.sampled_from(["open", "lease", "close", "release"]), st.sampled_from(KEYS)), max_size=30),
)


def within_all_limits(rule: Callable[..., Exception | None], day: tuple[Any, ...]) -> None:
    """At any time all limits hold, and only the limits of its kind refuse a request."""
    max_desktops, max_leases, of_keys, requests = day
    settings = settings_of(max_kasms_per_user=max_desktops, max_leases_per_user=max_leases)
    books = Books()
    for what, key in requests:
        if what == "close":
            books.desktops = max(0, books.desktops - 1)
        elif what == "release":
            books.leases[key] = max(0, books.leases[key] - 1)
        else:
            leased, most = what == "lease", of_keys[key]
            of_key = {"key_leases": books.leases[key], "max_leases": most} if leased else {}
            refused = rule(settings, leased=leased, user_sessions=books.of_user(leased=leased), **of_key)
            room = books.of_user(leased=leased) < (max_leases if leased else max_desktops)
            room_of_key = not leased or most is None or books.leases[key] < most
            assert (refused is None) == (room and room_of_key)
            if refused is None and leased:
                books.leases[key] += 1
            elif refused is None:
                books.desktops += 1
        assert books.desktops <= max_desktops
        assert books.of_user(leased=True) <= max_leases
        assert all(most is None or books.leases[key] <= most for key, most in of_keys.items())


def test_desktops_and_leases_stay_within_all_limits():
    holds(within_all_limits, limit_refusal, days)


def lets_a_key_widen(settings: Mapping[str, EffectiveSetting], *, user_sessions: int, **asked: Any) -> Exception | None:
    return limit_refusal(settings, user_sessions=0 if asked.get("max_leases") is not None else user_sessions, **asked)


def forgets_the_key(
    settings: Mapping[str, EffectiveSetting], *, leased: bool, user_sessions: int, **_: Any
) -> Exception | None:
    return limit_refusal(settings, leased=leased, user_sessions=user_sessions)


def counts_leases_as_desktops(
    settings: Mapping[str, EffectiveSetting], *, leased: bool, **asked: Any
) -> Exception | None:
    del leased
    return limit_refusal(settings, leased=False, **asked)


@pytest.mark.parametrize("mutant", [lets_a_key_widen, forgets_the_key, counts_leases_as_desktops])
def test_a_wrong_rule_is_caught(mutant: Callable[..., Any]):
    catches(within_all_limits, mutant, days)
