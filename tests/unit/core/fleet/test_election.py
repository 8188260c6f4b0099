"""Only one of several processes with the same identity acts at a time, even if clocks differ and messages are slow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.fleet.election import ElectionRecord, ObservedRecord, after_read, next_takeover, released, renewal
from greenroom.core.fleet.leadership import Timings, may_act, window_after_renewal

TIMINGS = Timings(ttl_s=4.0, renew_s=0.75, margin_s=1.0, statement_timeout_s=1.0)
HELD = ElectionRecord(holder="a", address="10.0.0.1:4445", term=3, ttl_s=4.0, beat=7, copy=2)
MOST_DRIFT = TIMINGS.margin_s / (2 * TIMINGS.ttl_s - TIMINGS.margin_s)
seconds = st.floats(0, 100)
drifts = st.floats(-0.999, 0.999).map(lambda part: part * MOST_DRIFT)


def seen(record: ElectionRecord | None, version: str | None = "v", since_s: float = 0.0) -> ObservedRecord:
    return ObservedRecord(record=record, version=version, since_s=since_s)


@for_all(
    sent_s=seconds,
    reached_s=st.floats(0, 2),
    looked_s=st.floats(0, 2),
    waited_s=st.floats(0, 8),
    drift=drifts,
    other_drift=drifts,
    offset_s=seconds,
    subject=next_takeover,
    mutants=[lambda seen, own, address, now_s, ttl_s: next_takeover(seen, own, address, now_s + 2.0, ttl_s)],
)
def test_who_takes_the_record_finds_the_one_before_stopped(
    *,
    subject: Any,
    sent_s: float,
    reached_s: float,
    looked_s: float,
    waited_s: float,
    drift: float,
    other_drift: float,
    offset_s: float,
):
    """The times of the arguments are true; each process has a clock with its own speed and its own start."""

    def here(true_s: float) -> float:
        return true_s * (1 + drift)

    def there(true_s: float) -> float:
        return offset_s + true_s * (1 + other_drift)

    window = window_after_renewal(HELD.term, here(sent_s), TIMINGS)
    read_s = sent_s + reached_s + looked_s  # the record is changed after it was sent, and read after it was changed
    looked = after_read(None, HELD, "v", there(read_s))
    now_s = read_s + waited_s
    if subject(looked, "b", "", there(now_s), TIMINGS.ttl_s) is not None:
        assert not may_act(window, here(now_s))


@for_all(
    waited_s=st.floats(0, 3.99),
    ttl_s=st.floats(0.1, 4),
    subject=after_read,
    mutants=[lambda before, record, version, read_at_s: after_read(before, record, "1", read_at_s)],
)
def test_a_record_that_was_renewed_is_left_alone(subject: Any, waited_s: float, ttl_s: float):
    first = subject(None, HELD, "1", 0.0)
    again = subject(first, renewal(HELD, copy=3), "2", 3.0)
    assert next_takeover(again, "b", "", 3.0 + waited_s, ttl_s) is None


def test_the_time_runs_from_when_it_was_first_seen_like_that():
    first = after_read(None, HELD, "1", 5.0)
    assert after_read(first, HELD, "1", 8.0) is first
    assert after_read(first, renewal(HELD, copy=2), "2", 8.0).since_s == 8.0
    taken = next_takeover(first, "b", "10.0.0.2:4445", 9.0, 4.0)
    assert taken is not None
    assert (taken.record.holder, taken.record.address, taken.version) == ("b", "10.0.0.2:4445", "1")
    assert taken.reason == "a did not renew it in time"


def test_terms_only_grow():
    first = next_takeover(seen(None, None), "a", "", 0.0, 4.0)
    assert first is not None
    assert (first.record.term, first.version, first.reason) == (1, None, "it is the first")
    for record in (HELD, released(HELD), replace(HELD, holder="b")):
        taken = next_takeover(seen(record), "b", "", 4.0, 4.0)
        assert taken is not None
        assert taken.record.term == record.term + 1
    assert renewal(HELD, copy=5) == replace(HELD, beat=8, copy=5)


def test_what_was_given_back_or_is_ones_own_is_taken_at_once():
    assert next_takeover(seen(HELD), "b", "", 0.0, 4.0) is None
    given_up = next_takeover(seen(released(HELD)), "b", "", 0.0, 4.0)
    assert given_up is not None
    assert given_up.reason == "the process before released it"
    own = next_takeover(seen(HELD), "a", "", 0.0, 4.0)
    assert own is not None
    assert own.reason == "this process held it before"


def test_the_longer_of_both_times_counts():
    assert next_takeover(seen(replace(HELD, ttl_s=9.0)), "b", "", 8.9, 4.0) is None
    assert next_takeover(seen(replace(HELD, ttl_s=1.0)), "b", "", 3.9, 4.0) is None
    assert next_takeover(seen(replace(HELD, ttl_s=9.0)), "b", "", 9.0, 4.0) is not None
