"""The detection that a viewer has left a stream."""

from __future__ import annotations

from greenroom.core.session.viewing import AWAY_S, MAX_VISITS, Connection, Visit, Visits

FIRST, SECOND = Connection("192.0.2.7", 50001), Connection("192.0.2.7", 50002)


def test_who_comes_while_another_looks_has_not_left():
    visits = Visits()
    visits.record_opened("ada", Visit("s", "ada", "192.0.2.7", 0.0), FIRST)
    assert visits.end_closed({FIRST}, set(), 1.0) == []
    visits.record_opened("ada", Visit("s", "ada", "192.0.2.7", 2.0), SECOND)
    assert visits.end_closed(set(), {FIRST}, AWAY_S + 10) == []
    assert visits.connections == {SECOND}


def test_with_too_many_visits_those_in_progress_go_on():
    visits = Visits()
    assert not visits.has_visits
    for number in range(MAX_VISITS + 1):
        visits.record_opened(number, Visit("s", "u", "c", since_s=0), Connection("192.0.2.7", number))
    assert visits.has_visits
    assert len(visits.connections) == MAX_VISITS
    visits.record_opened(0, Visit("s", "u", "c", since_s=1), Connection("192.0.2.8", 1))
    assert Connection("192.0.2.8", 1) in visits.connections


def test_a_visit_ends_when_its_connections_are_gone_for_a_while():
    visits = Visits()
    visits.record_opened("ada", Visit("s", "ada", "192.0.2.7", since_s=10.0), FIRST)
    visits.record_opened("ada", Visit("another", "ada", "192.0.2.7", since_s=20.0), SECOND)
    assert visits.end_closed({FIRST}, {SECOND}, 100.0) == []
    assert visits.end_closed(set(), {FIRST}, 100.0 + AWAY_S - 1) == [], "it may come back"
    (ended,) = visits.end_closed(set(), set(), 100.0 + AWAY_S)
    assert (ended.session_id, ended.last_seen_s, ended.duration_s) == ("s", 100.0, 90.0)
    assert not visits.has_visits


def test_each_visit_ends_for_itself():
    visits = Visits()
    visits.record_opened("ada", Visit("s", "ada", "192.0.2.7", since_s=0.0), FIRST)
    visits.record_opened("bob", Visit("s", "bob", "192.0.2.8", since_s=0.0), SECOND)
    assert visits.end_closed({FIRST, SECOND}, set(), 1.0) == []
    assert visits.end_closed({FIRST}, {SECOND}, 2.0) == []
    (ended,) = visits.end_closed({FIRST}, set(), 1.0 + AWAY_S)
    assert (ended.user_id, ended.last_seen_s) == ("bob", 1.0)
    assert visits.connections == {FIRST}


def test_of_a_visit_that_was_never_seen_no_end_is_known():
    visits = Visits()
    visits.record_opened("ada", Visit("s", "ada", "192.0.2.7", since_s=10.0), FIRST)
    assert visits.end_closed(set(), {FIRST}, 100.0) == []
    assert not visits.has_visits
    assert Visit("s", "ada", "192.0.2.7", since_s=10.0).duration_s == 0.0
