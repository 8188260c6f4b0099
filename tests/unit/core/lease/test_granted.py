"""The duration of a lease."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from greenroom.core.errors import Invalid
from greenroom.core.lease import LeaseLimits

NOW = datetime(2026, 1, 10, tzinfo=UTC)
DAY = 86_400


@pytest.mark.parametrize(
    ("limits", "most_s", "names"),
    [
        (LeaseLimits(created=NOW, max_days=1), DAY, "max_lease_days"),
        (LeaseLimits(created=NOW - timedelta(hours=23), max_days=1), 3600, "may last 3600 s more"),
        (LeaseLimits(created=NOW, max_days=7, max_lease_s=60), 60, "(max_lease_s)"),
        (
            LeaseLimits(created=NOW, max_days=7, not_after=NOW + timedelta(seconds=90)),
            90,
            "The API key expires in 90 s",
        ),
        (LeaseLimits(created=NOW - timedelta(days=2), max_days=1), 0, "may last 0 s more"),
    ],
)
def test_a_lease_lasts_no_longer_than_each_limit(limits: LeaseLimits, most_s: int, names: str):
    if most_s:
        limits.require(most_s, NOW)
    with pytest.raises(Invalid) as refused:
        limits.require(most_s + 1, NOW)
    assert names in refused.value.message
