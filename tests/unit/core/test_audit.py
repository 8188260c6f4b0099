"""The chain of the audit: what an event, a seal and the head confirm, and which sentence names the first problem."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest

from greenroom.core.audit import (
    MAX_DETAILS,
    START,
    AuditEvent,
    ChainCheck,
    ChainedEvent,
    Head,
    Link,
    Seal,
    append,
    bounded,
    broken_link,
    details_text,
    event_hash,
    event_of_ended_process,
    head_signature,
    operation_signature,
    read_details,
    reduced,
    seal_signature,
)

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST: Final = date(2026, 3, 2)
SECOND: Final = date(2026, 3, 3)


def sign(data: bytes) -> bytes:
    return hmac.digest(b"key", data, hashlib.sha256)


def event(name: str = "alice") -> AuditEvent:
    message = f"{name} logged in"
    return AuditEvent(code="login", message=message, interface="console", actor_kind="user", actor_name=name)


class Chain:
    """Two events on the first day, and three on the second."""

    def __init__(self) -> None:
        first, _ = append(sign, [event(), event("bob")], after=START, last_time=None, now=NOON)
        end = Link(2, first[-1].hash)
        second, seals = append(sign, [event()] * 3, after=end, last_time=NOON, now=NOON + timedelta(days=1))
        self.events = [*first, *second]
        self.seals = {seal.day: seal for seal in seals}
        last, time = Link(5, second[-1].hash), second[-1].time
        self.head: Head | None = Head(last=last, time=time, signature=head_signature(sign, last, time))

    def problem(self, events: list[ChainedEvent] | None = None, until: date | None = None) -> str | None:
        check = ChainCheck(sign, self.seals, self.head)
        if problem := check.check_signatures():
            return problem
        for each in self.events if events is None else events:
            if problem := check.check(each):
                return problem
        return check.finish(until)


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_events_of_two_days_are_a_chain_with_a_seal(chain: Chain):
    assert [each.event_id for each in chain.events] == [1, 2, 3, 4, 5]
    assert list(chain.seals) == [FIRST]
    assert chain.problem() is None
    assert chain.problem(chain.events[:2], until=FIRST) is None
    assert chain.problem([], until=FIRST - timedelta(days=1)) is None


def test_the_time_of_an_event_never_goes_back():
    (later,), seals = append(sign, [event()], after=START, last_time=NOON, now=NOON - timedelta(days=1))
    assert (later.time, seals) == (NOON, [])


def test_a_field_without_a_value_does_not_count_in_the_hash(chain: Chain):
    known = chain.events[0]
    assert event_hash(sign, replace(known, address=None), b"") == known.hash
    assert event_hash(sign, replace(known, address=""), b"") != known.hash


def test_the_first_problem_is_named(chain: Chain):
    one, two, three, four, five = chain.events
    changed = "Event 2 of 2026-03-02 was changed, or does not follow the event before it."
    assert chain.problem([one, replace(two, message="x"), three, four, five]) == changed
    assert chain.problem([one, three, four, five]) == "Event 2 is missing; the next event is 3."
    assert chain.problem([one, two, two, three]) == "Event 2 was inserted."
    added = replace(five, event_id=6)
    assert chain.problem([*chain.events, added]) == "Event 6 was inserted after the end of the chain."
    assert chain.problem([one, two, three]) == "The events from 4 to 5 are missing at the end."
    assert chain.problem([one], until=FIRST) == "The events from 2 to 2 are missing at the end."
    assert chain.problem(until=FIRST) == "The chain must end at event 2, but it ends at event 5."


def test_a_missing_head_is_a_problem_unless_nothing_is_there(chain: Chain):
    chain.head = None
    assert chain.problem() == "The head of the audit is missing."
    assert chain.problem([]) == "The head of the audit is missing."
    chain.seals = {}
    assert chain.problem([]) is None


def test_a_day_that_is_over_needs_its_seal(chain: Chain):
    seal = chain.seals.pop(FIRST)
    assert chain.problem() == "The seal of 2026-03-02 is missing."
    other = Link(1, chain.events[0].hash)
    chain.seals[FIRST] = replace(seal, last=other, signature=seal_signature(sign, FIRST, other))
    assert chain.problem() == "The seal of 2026-03-02 names event 1 as the last."


def test_changed_signatures_are_found(chain: Chain):
    seal, head = chain.seals[FIRST], chain.head
    assert head is not None
    chain.head = replace(head, time=NOON)
    assert chain.problem() == "The head of the audit was changed."
    chain.seals = {FIRST: replace(seal, deleted_signature=seal.signature)}
    assert chain.problem() == "The seal of 2026-03-02 was changed: the signature of the deletion is wrong."
    chain.seals = {SECOND: seal}
    assert chain.problem() == "The seal of 2026-03-03 was changed."


def test_a_deleted_day_is_confirmed_by_its_seal(chain: Chain):
    assert chain.problem(chain.events[2:]) == "Event 1 is missing; the next event is 3."
    seal: Seal = chain.seals[FIRST]
    deleted = seal_signature(sign, FIRST, seal.last, "deleted")
    chain.seals[FIRST] = replace(seal, deleted_signature=deleted)
    assert chain.problem(chain.events[2:]) is None
    assert chain.problem(chain.events[1:]) == "Event 2 was inserted."


def test_no_event_follows_a_broken_link(chain: Chain):
    after = broken_link(sign, 2)
    (event_after,), _ = append(sign, [event()], after=after, last_time=None, now=NOON)
    assert event_after.event_id == 3
    assert "Event 3 " in str(chain.problem([*chain.events[:2], event_after]))


def test_a_link_is_read_from_its_text():
    link = Link(7, b"\x01\xff")
    assert Link.parse(str(link)) == link
    for text in ("", "x:00", "7:zz", "7"):
        with pytest.raises(ValueError):  # noqa: PT011 -- the caller names the form
            Link.parse(text)


def test_the_event_of_an_ended_process_is_that_of_its_unchanged_operation():
    text = msgspec.json.encode(replace(event(), result="unknown")).decode()
    signature = operation_signature(sign, "o1", text)
    assert event_of_ended_process(sign, "o1", text, signature) == replace(event(), result="unknown")
    for operation_id, changed in (("o2", text), ("o1", text.replace("alice", "bob"))):
        found = event_of_ended_process(sign, operation_id, changed, signature)
        assert (found.code, found.result, found.actor_name) == ("audit-operation-changed", "unknown", None)


def test_an_operation_that_cannot_be_read_leaves_an_event():
    signature = operation_signature(sign, "o1", '{"code": 7}')
    assert event_of_ended_process(sign, "o1", '{"code": 7}', signature).code == "audit-operation-changed"


@pytest.mark.parametrize(
    "details",
    [
        {"before": {"notes": "A" * 4096}, "after": {"notes": "B" * 4096}},
        {"after": {"cores": 2.5, "hosts": [f"{n}.example.org" for n in range(10_000)]}},
        {"after": {"run_config": {f"NAME_{n}": "\n" * 500 for n in range(1800)}}},
        {"after": dict.fromkeys(("n" * 9000, "m" * 9000), "x" * 9000)},
        {"after": [[["\u0001" * 900] * 12] * 12]},
    ],
)
def test_long_values_in_details_are_shortened_and_the_details_stay_readable(details: dict[str, Any]):
    text = details_text(details)
    assert len(text) <= MAX_DETAILS
    assert read_details(text).keys() == details.keys()
    assert "more)" in text


def test_a_shortened_value_has_the_number_of_characters_that_were_left_out():
    (before,) = read_details(details_text({"notes": "A" * 9000})).values()
    assert before == "A" * 4000 + "… (5000 characters more)"
    (hosts,) = read_details(details_text({"hosts": ["example.org" * 3] * 300})).values()
    assert len(hosts) == 201
    assert hosts[-1] == "… (100 values more)"


def test_the_deepest_details_are_shortened_most():
    nested: Any = ["x" * 20]
    for _ in range(11):
        nested = {str(n) * 20: nested for n in range(2)}
    text = details_text({"\u0001" * n * 900: nested for n in range(1, 9)})
    assert len(text) <= MAX_DETAILS
    assert '{"' + "0" * 15 + '… (5 characters more)":"…"' in text


def test_details_that_cannot_be_decoded_are_their_text():
    for text in ('{"before": {"notes": "AAA', "[1]", '{"a":' * 5000 + "1" + "}" * 5000, ""):
        assert read_details(text) == {"unreadable": text}


def test_the_fields_of_a_stored_event_are_short():
    long = AuditEvent(
        code="c" * 4000,
        message="m",
        interface="api",
        actor_kind="user",
        actor_name="\U0001f600" * 4000,
        object_id="o" * 4000,
        details='{"before":{"notes":"AAA',
    )
    stored = bounded(long)
    assert stored.object_id == "o" * 255 + "… (3745 characters more)"
    assert max(len(str(getattr(stored, each.name)).encode()) for each in fields(AuditEvent)) < 1200
    assert read_details(stored.details) == {"unreadable": '{"before":{"notes":"AAA'}
    assert bounded(event()) == event()


def test_a_reduced_event_has_its_code_and_no_foreign_text():
    found = reduced(replace(event(), object_id="o", details='{"a":1}'), "DataError")
    assert (found.code, found.actor_id, found.object_id, found.details) == (event().code, event().actor_id, None, "{}")
    assert found.message.endswith("was refused in its full form: DataError")


def test_an_unchanged_event_follows_the_stored_hash_of_the_event_before_it(chain: Chain):
    check = ChainCheck(sign, chain.seals, chain.head)
    first, second, third = chain.events[:3]
    assert check.follows(third, replace(second, message="changed"))
    assert not check.follows(third, first)
    assert not check.follows(replace(third, message="changed"), second)
