"""The interval between probes of a starting session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.agent.session.prober import FAST_PROBING_S, MAX_PAUSE_S, MIN_PAUSE_S, pause_s


@given(age_s=st.floats(0, FAST_PROBING_S, exclude_max=True), took_s=st.floats(MIN_PAUSE_S, MAX_PAUSE_S / 3))
def test_probing_a_start_takes_a_quarter_of_the_time_at_most(age_s: float, took_s: float):
    assert took_s <= (took_s + pause_s(age_s, took_s)) / 4 + 1e-9


@given(age_s=st.floats(0, 3600), took_s=st.floats(0, 60))
def test_no_look_is_put_off_for_long(age_s: float, took_s: float):
    assert MIN_PAUSE_S <= pause_s(age_s, took_s) <= MAX_PAUSE_S


@pytest.mark.parametrize("took_s", [0.0, 0.01, 0.02])
def test_where_looks_are_quick_they_come_quickly(took_s: float):
    assert pause_s(1.0, took_s) == MIN_PAUSE_S


def test_what_does_not_become_usable_is_looked_at_rarely():
    assert pause_s(FAST_PROBING_S, 0.01) == MAX_PAUSE_S
