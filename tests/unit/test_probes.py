"""The result of the last probe is valid for a time: an Agent that was frozen does not know the state of its
sessions."""

from __future__ import annotations

import pytest

from greenroom.agent.session import observed
from greenroom.agent.session.observed import NEVER_PROBED, LastProbes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds since the machine's start; the test changes them."""
    now = [1000.0]
    monkeypatch.setattr(observed, "boottime_s", lambda: now[0])
    return now


def test_what_a_probe_found_counts_until_it_is_too_old(clock: list[float]):
    table = LastProbes(valid_s=45)
    table.store("s", usable=True, error="", broken=False)
    clock[0] += 45
    assert table.last("s").usable
    clock[0] += 1
    assert not table.last("s").usable


def test_that_it_is_broken_stays_said_however_old_it_is(clock: list[float]):
    table = LastProbes(valid_s=45)
    table.store("s", usable=False, error="No answer.", broken=True)
    clock[0] += 100
    found = table.last("s")
    assert (found.broken, found.error) == (True, "No answer.")


def test_nothing_is_known_before_a_probe_and_of_what_was_forgotten():
    table = LastProbes(valid_s=45)
    assert table.last("s") == NEVER_PROBED
    table.store("s", usable=True, error="", broken=False)
    table.forget("s")
    assert table.last("s") == NEVER_PROBED
