"""The chain of the audit: each event contains the keyed hash of all earlier events.

The hash is an HMAC with a key of the installation, so a person who can change the database but does not know the key
cannot compute it. A signed head names the last event, and a signed seal the last event of each day that is over. If
retention deletes the events of a day, a second signature of its seal confirms the deletion.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, TypeVar, cast

import msgspec

from greenroom.core.text import MAX_NAME, counted

Sign = Callable[[bytes], bytes]
"""Computes the HMAC-SHA-256 of data with the key of the audit (`kit.secrets.Secrets.audit_signature`)."""

MAX_DETAILS: Final = 8192
"""The maximum characters of the details of an event, as JSON."""
_TEXT_LIMITS: Final = (4000, 2000, 1000, 500, 250, 120, 60, 30, 15)
"""The maximum characters of the texts in details, the first that is sufficient. The last is sufficient for all."""
_MAX_DEPTH: Final = 10
"""The maximum depth of details that are shortened."""

Result = Literal["done", "refused", "failed", "unknown"]
"""`unknown`: after the operation began, the process ended or lost the database, so the change may be committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFields:
    """The fields of each form of an event, without `details`. None = unknown or not applicable.

    `operation` is the route or the command. `actor_kind` is user, key, scim, none (a request without a log-in), host
    (a command on the host) or the kind of process that wrote the event. `on_behalf_of` is the id of the owner of the
    API key.
    """

    code: str
    result: Result = "done"
    message: str
    operation: str | None = None
    interface: str
    actor_kind: str
    actor_id: str | None = None
    actor_name: str | None = None
    on_behalf_of: str | None = None
    address: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    object_name: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent(AuditFields):
    """A change or an access, before it is stored. `details` is a JSON object: for a change, `before` and `after`
    without secrets."""

    details: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedEvent(AuditEvent):
    """A stored event. Ids are consecutive. `time` is the time of the database at which the event was stored."""

    event_id: int
    time: datetime
    hash: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """An event of the chain: its id and its hash."""

    event_id: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.event_id}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Link:
        """Return the link that `str` wrote. Raises ValueError: the text is no link."""
        number, digits = text.split(":")
        return cls(int(number), bytes.fromhex(digits))


START: Final = Link(0, b"")
"""The predecessor of the first event of an installation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the chain."""

    last: Link
    time: datetime
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The last event of a day that is over. `deleted_signature` confirms that retention deleted the day."""

    day: date
    last: Link
    signature: bytes
    deleted_signature: bytes | None = None


def details_text(details: Mapping[str, Any]) -> str:
    """Return details as JSON of at most `MAX_DETAILS` characters. Long values inside are shortened before they are
    encoded, because a reader could not decode JSON without its end."""
    text = _json_text(details)
    for max_length in _TEXT_LIMITS:
        if len(text) <= MAX_DETAILS:
            return text
        text = _json_text(_shortened(details, max_length))
    return text


def _json_text(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _more(number: int, noun: str) -> str:
    return f"({counted(number, noun)} more)"


def _shortened(value: Any, max_length: int, depth: int = 0) -> Any:
    """Return a value with texts of at most `max_length` characters and a tenth as many entries, each with the number
    of those that were left out."""
    max_entries = max(1, max_length // 10)
    if isinstance(value, str):
        left_out = len(value) - max_length
        return value if left_out <= 0 else f"{value[:max_length]}… {_more(left_out, 'character')}"
    if not isinstance(value, (dict, list, tuple)):
        return value
    entries = cast("Mapping[str, Any] | Sequence[Any]", value)
    more = _more(len(entries) - max_entries, "value")
    if depth == _MAX_DEPTH:
        return "…"
    if isinstance(entries, Mapping):
        kept = {
            _shortened(name, max_length): _shortened(inner, max_length, depth + 1)
            for name, inner in list(entries.items())[:max_entries]
        }
        return kept | ({"…": more} if len(entries) > max_entries else {})
    shortened = [_shortened(inner, max_length, depth + 1) for inner in entries[:max_entries]]
    return shortened + ([f"… {more}"] if len(entries) > max_entries else [])


def read_details(text: str) -> dict[str, Any]:
    """Return stored details. Those that cannot be decoded are returned as the text `unreadable`, because one event must
    not end a list, an export or a delivery."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {"unreadable": text}


def bounded(event: AuditEvent) -> AuditEvent:
    """Return an event whose fields have limits: those that are indexed are not longer than a name, because an index
    stores no long texts."""
    short: dict[str, Any] = {
        name: _shortened(value, MAX_NAME)
        for name, value in asdict(event).items()
        if value is not None and name not in ("message", "details", "result")
    }
    details = event.details if event.details == "{}" else details_text(read_details(event.details))
    return replace(event, details=details, **short)


Event = TypeVar("Event", bound=AuditEvent)


def reduced(event: Event, reason: str) -> Event:
    """Return an event without its foreign texts, for a store or a receiver that refuses the whole event with `reason`.
    So the event is not lost, and does not delay those after it."""
    return replace(
        event,
        message=_shortened(f"The event {event.code} was refused in its full form: {reason}", MAX_NAME),
        operation=None,
        actor_name=None,
        address=None,
        object_kind=None,
        object_id=None,
        object_name=None,
        details="{}",
    )


def event_hash(sign: Sign, event: ChainedEvent, previous: bytes) -> bytes:
    """Return the hash of an event after the event with the hash `previous`. Fields that are None do not count, so that
    a later version can add fields."""
    fields = {name: value for name, value in asdict(event).items() if value is not None and name != "hash"}
    fields |= {"time": timestamp(event.time), "previous": previous.hex()}
    return sign(b"event" + msgspec.json.encode(dict(sorted(fields.items()))))


def timestamp(time: datetime) -> str:
    """Return a time as text, with microseconds, which is the precision of the database."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def head_signature(sign: Sign, last: Link, time: datetime) -> bytes:
    """Return the signature of the end of the chain."""
    return sign(f"head {last} {timestamp(time)}".encode())


def seal_signature(sign: Sign, day: date, last: Link, purpose: Literal["seal", "deleted"] = "seal") -> bytes:
    """Return the signature of the last event of a day, or that retention deleted the day."""
    return sign(f"{purpose} {day.isoformat()} {last}".encode())


def operation_signature(sign: Sign, operation_id: str, event: str) -> bytes:
    """Return the signature of an operation that has begun. `event` is the JSON of its event."""
    return sign(f"operation {operation_id} {event}".encode())


def event_of_ended_process(sign: Sign, operation_id: str, event: str, signature: bytes) -> AuditEvent:
    """Return the event of an operation whose process ended before it stored a result. Without a valid signature, the
    record of the operation is from a person who changed the database, so its text is not used."""
    message = "A person changed the record of a running operation in the database"
    if hmac.compare_digest(signature, operation_signature(sign, operation_id, event)):
        try:
            return msgspec.json.decode(event, type=AuditEvent)
        except ValueError as error:
            message = f"The record of a running operation cannot be read: {error}"
    return AuditEvent(
        code="audit-operation-changed",
        result="unknown",
        message=message,
        interface="system",
        actor_kind="none",
    )


def day_of(time: datetime) -> date:
    """Return the day of a time, in UTC."""
    return time.astimezone(UTC).date()


def append(
    sign: Sign, events: list[AuditEvent], *, after: Link, last_time: datetime | None, now: datetime
) -> tuple[list[ChainedEvent], list[Seal]]:
    """Return `events` as the continuation of the chain after an event of `last_time`, and the seals of the days that
    end. The time of an event is never before that of its predecessor, even if the clock of the database is set back."""
    time = max(now, last_time or now)
    seals: list[Seal] = []
    if last_time is not None and day_of(time) > (day := day_of(last_time)):
        seals.append(Seal(day=day, last=after, signature=seal_signature(sign, day, after)))
    chained: list[ChainedEvent] = []
    for event in events:
        unsigned = ChainedEvent(**asdict(event), event_id=after.event_id + 1, time=time, hash=b"")
        after = Link(unsigned.event_id, event_hash(sign, unsigned, after.hash))
        chained.append(replace(unsigned, hash=after.hash))
    return chained, seals


def broken_link(sign: Sign, last_id: int) -> Link:
    """Return the predecessor of the next event if the head is missing or wrong. Its hash matches no event, so the
    verification finds the break also later."""
    return Link(last_id, sign(f"break {last_id}".encode()))


class ChainCheck:
    """Checks the events of a chain in the order of their ids.

    The first day to check is after `start`; each earlier event is not read. With `start` None, the first event of the
    chain is the first event after the days that retention deleted.
    """

    def __init__(self, sign: Sign, seals: Mapping[date, Seal], head: Head | None, start: Seal | None = None) -> None:
        self._sign = sign
        self._seals = seals
        self._head = head
        deleted = [seal for seal in seals.values() if seal.deleted_signature is not None]
        first = start or max(deleted, key=lambda seal: seal.day, default=None)
        self.last = first.last if first else START
        self._day = first.day if first else None
        self.count = 0

    def check_signatures(self) -> str | None:
        """Return the first seal or head whose signature is wrong, as a sentence; None = there is none."""
        for day, seal in sorted(self._seals.items()):
            if seal.signature != seal_signature(self._sign, day, seal.last):
                return f"The seal of {day} was changed."
            if seal.deleted_signature not in (None, seal_signature(self._sign, day, seal.last, "deleted")):
                return f"The seal of {day} was changed: the signature of the deletion is wrong."
        if self._head and self._head.signature != head_signature(self._sign, self._head.last, self._head.time):
            return "The head of the audit was changed."
        return None

    def check(self, event: ChainedEvent) -> str | None:
        """Check the next event; return what is wrong as a sentence, or None."""
        expected_id = self.last.event_id + 1
        if self._head is not None and event.event_id > self._head.last.event_id:
            return f"Event {event.event_id} was inserted after the end of the chain."
        if event.event_id != expected_id:
            missing = f"Event {expected_id} is missing; the next event is {event.event_id}."
            return missing if event.event_id > expected_id else f"Event {event.event_id} was inserted."
        day = day_of(event.time)
        if event.hash != event_hash(self._sign, event, self.last.hash):
            return f"Event {event.event_id} of {day} was changed, or does not follow the event before it."
        if self._day is not None and day != self._day and (problem := self._check_seal(self._day)):
            return problem
        self._day = day
        self.last = Link(event.event_id, event.hash)
        self.count += 1
        return None

    def follows(self, event: ChainedEvent, before: ChainedEvent) -> bool:
        """Return True if an event after the first problem is unchanged and follows the event `before`."""
        return event.hash == event_hash(self._sign, event, before.hash)

    def _check_seal(self, day: date) -> str | None:
        seal = self._seals.get(day)
        if seal is None:
            return f"The seal of {day} is missing."
        return None if seal.last == self.last else f"The seal of {day} names event {seal.last.event_id} as the last."

    def finish(self, until: date | None = None) -> str | None:
        """Check the end, after all events up to the end of the day `until`; None = the end of the chain."""
        ended = [seal for day, seal in self._seals.items() if until is not None and day <= until]
        if until is not None and self._head and day_of(self._head.time) > until:
            last = max(ended, key=lambda seal: seal.day, default=None)
            end = last.last if last else START
        elif self._head is None:
            return None if self.last == START and not self._seals else "The head of the audit is missing."
        else:
            end = self._head.last
        if end == self.last:
            return None
        if end.event_id > self.last.event_id:
            return f"The events from {self.last.event_id + 1} to {end.event_id} are missing at the end."
        return f"The chain must end at event {end.event_id}, but it ends at event {self.last.event_id}."
