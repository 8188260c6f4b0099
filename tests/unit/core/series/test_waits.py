"""Percentiles of waits from counts between fixed bounds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.series.names import NAMES, kind_of
from greenroom.core.series.waits import UNKNOWN_WAIT, WAIT_BOUNDS_MS, percentile_s


def counts_of(waits_ms: list[float]) -> Counter[int]:
    """As `width_bucket` of PostgreSQL."""
    return Counter(bisect_right(WAIT_BOUNDS_MS, wait_ms) for wait_ms in waits_ms)


def exact_s(waits_ms: list[float], part: float) -> float:
    return sorted(waits_ms)[max(math.ceil(part * len(waits_ms)) - 1, 0)] / 1000


def the_mean(counts: Mapping[int, int], part: float) -> float:
    total = sum(WAIT_BOUNDS_MS[min(bucket, 39)] * number for bucket, number in counts.items())
    return total / sum(counts.values()) / 1000


WAITS = st.lists(st.floats(100, 799_999, allow_nan=False), min_size=1, max_size=60)


@for_all(WAITS, st.sampled_from((0.5, 0.95)), subject=percentile_s, mutants=[the_mean])
def test_a_percentile_is_close_to_the_exact_one(subject: Any, waits_ms: list[float], part: float):
    found, exact = subject(counts_of(waits_ms), part), exact_s(waits_ms, part)
    assert exact / 1.28 <= found <= exact * 1.28


def of_the_first(counts: Mapping[int, int], part: float) -> float | None:
    return percentile_s({min(counts): 1}, part)


@for_all(WAITS, WAITS, subject=percentile_s, mutants=[of_the_first])
def test_a_percentile_of_added_counts_is_between_those_of_its_parts(
    subject: Any, first: list[float], second: list[float]
):
    low, high = sorted(percentile_s(counts_of(waits), 0.5) or 0.0 for waits in (first, second))
    found = subject(counts_of(first) + counts_of(second), 0.5)
    assert low - 1e-9 <= found <= high + 1e-9


@pytest.mark.parametrize(
    ("counts", "expected_s"),
    [
        ({}, None),
        ({UNKNOWN_WAIT: 5}, None),
        ({0: 4}, 0.05),
        ({UNKNOWN_WAIT: 5, 0: 2, 1: 0}, 0.05),
        ({len(WAIT_BOUNDS_MS): 3}, 800.0),
        ({11: 1, 21: 1}, 1.25),
    ],
)
def test_the_median_of_counts(counts: dict[int, int], expected_s: float | None):
    assert percentile_s(counts, 0.5) == expected_s


def test_the_bounds_grow_by_at_most_28_percent():
    assert list(WAIT_BOUNDS_MS) == sorted(set(WAIT_BOUNDS_MS))
    assert all(high / low <= 1.281 for low, high in pairwise(WAIT_BOUNDS_MS))


def test_every_series_has_a_source_and_a_permission():
    assert {kind_of(name).needs for name in NAMES} == {
        "sessions_view",
        "staging_view",
        "agents_view",
        "managers_view",
    }
