"""Sizes and durations as text."""

from __future__ import annotations

import pytest

from greenroom.core.text import compared_sizes, duration, exact_size, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (1 << 30, "1.1 GB"),
        (-(10**9), "-1 GB"),
        (64 * 10**9, "64 GB"),
        (16 * 10**15, "16000 TB"),
    ],
)
def test_a_size_has_the_units_of_the_console(count: int, shown: str):
    assert size(count) == shown


def test_sizes_that_are_compared_differ_in_text():
    assert (exact_size(1_499_000_000), exact_size(1_500_000_000)) == ("1.499 GB", "1.5 GB")


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ((85_899_345_920, 254_900_000_000), ["85.9 GB", "254.9 GB"]),
        ((4_960_000_000, 5_000_000_000), ["4.96 GB", "5 GB"]),
        ((4_999_000_000, 5_000_000_000), ["4.999 GB", "5 GB"]),
        ((4_999_999_999, 5_000_000_000), ["5 GB", "5 GB"]),
        ((5_000_000_000, 5_000_000_000, 8_000_000_000), ["5 GB", "5 GB", "8 GB"]),
    ],
)
def test_compared_sizes_have_only_the_digits_that_distinguish_them(counts: tuple[int, ...], shown: list[str]):
    assert compared_sizes(*counts) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (1.5, "1.5 s"),
        (90, "90 s"),
        (60, "1 minute"),
        (5400, "90 minutes"),
        (3600, "1 hour"),
        (172_800, "2 days"),
    ],
)
def test_a_duration_has_the_largest_unit_in_which_it_is_whole(seconds: float, shown: str):
    assert duration(seconds) == shown
