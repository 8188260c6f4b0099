"""Manipulations of the audit by a person who can change every table, but does not know the key."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final, LiteralString

from greenroom.core.audit import ChainedEvent
from greenroom.db.rows import column_list, columns_of

DAYS: Final = 3
PER_DAY: Final = 12
LAST: Final = DAYS * PER_DAY

_COPIED: Final = columns_of(ChainedEvent, without=("event_id",))
_TEXTS: Final = columns_of(ChainedEvent, without=("event_id", "time", "hash", "result"))
_REQUIRED: Final = ("code", "message", "interface", "actor_kind", "details")


@dataclass(frozen=True)
class Manipulation:
    """Statements with the values of `values_of_manipulation`. `first` is the value with the id of the first event that
    was manipulated; empty = only a seal or the head was manipulated."""

    first: str
    statements: tuple[LiteralString, ...]


def _copy(source: LiteralString, target: LiteralString) -> LiteralString:
    names = column_list(_COPIED)
    return (
        "INSERT INTO audit_events (event_id, " + names + ") SELECT %(" + target + ")s, " + names + ""
        " FROM audit_events WHERE event_id = %(" + source + ")s"
    )


_DELETE: Final[LiteralString] = "DELETE FROM audit_events WHERE event_id "
_UPDATE: Final[LiteralString] = "UPDATE audit_events SET "
_CHOSEN: Final[LiteralString] = " WHERE event_id = %(chosen)s"
_NEW_HEAD: Final[LiteralString] = (
    "UPDATE audit_head h SET last_id = e.event_id, last_hash = e.hash, time = e.time"
    " FROM (SELECT * FROM audit_events ORDER BY event_id DESC LIMIT 1) e"
)

MANIPULATIONS: Final = [
    *(Manipulation("chosen", (_UPDATE + name + " = coalesce(" + name + ", '') || 'x'" + _CHOSEN,)) for name in _TEXTS),
    *(Manipulation("chosen", (_UPDATE + name + " = NULL" + _CHOSEN,)) for name in _TEXTS if name not in _REQUIRED),
    Manipulation("chosen", (_UPDATE + "result = 'failed'" + _CHOSEN,)),
    Manipulation("chosen", (_UPDATE + "hash = %(bytes)s" + _CHOSEN,)),
    # another date
    Manipulation("chosen", (_UPDATE + "time = time + interval '1 microsecond'" + _CHOSEN,)),
    Manipulation("chosen", (_UPDATE + "time = time + %(pause)s::interval" + _CHOSEN,)),
    # deleted, with a gap and without
    Manipulation("chosen", (_DELETE + "= %(chosen)s",)),
    Manipulation(
        "chosen",
        (
            _DELETE + "= %(chosen)s",
            _UPDATE + "event_id = -event_id WHERE event_id > %(chosen)s",
            _UPDATE + "event_id = -event_id - 1 WHERE event_id < 0",
        ),
    ),
    # inserted, copied, swapped
    Manipulation("outside", (_copy("chosen", "outside"),)),
    Manipulation("chosen", (_DELETE + "= %(chosen)s", _copy("other", "chosen"))),
    Manipulation(
        "low",
        (
            _UPDATE + "event_id = 0 WHERE event_id = %(chosen)s",
            _UPDATE + "event_id = %(chosen)s WHERE event_id = %(other)s",
            _UPDATE + "event_id = %(other)s WHERE event_id = 0",
        ),
    ),
    # truncated, and whole days
    Manipulation("chosen", (_DELETE + ">= %(chosen)s",)),
    Manipulation("", (_DELETE + ">= %(chosen)s", _NEW_HEAD)),
    Manipulation("", (_DELETE + ">= %(chosen)s", "DELETE FROM audit_head")),
    Manipulation("last_day", (_DELETE + ">= %(last_day)s",)),
    Manipulation("one", (_DELETE + "<= %(day)s",)),
    Manipulation("one", (_DELETE + "<= %(day)s", "DELETE FROM audit_seals WHERE last_id = %(day)s")),
    Manipulation("one", ("TRUNCATE audit_events",)),
    Manipulation(
        "",
        (_DELETE + "<= %(day)s", "UPDATE audit_seals SET deleted_signature = signature WHERE last_id = %(day)s"),
    ),
    # seals and the head
    *(
        Manipulation("", ("UPDATE audit_seals SET " + change + " WHERE last_id = %(day)s",))
        for change in ("last_id = 5", "last_hash = %(bytes)s", "signature = %(bytes)s", "day = '2020-01-01'")
    ),
    Manipulation("", ("DELETE FROM audit_seals WHERE last_id = %(day)s",)),
    *(
        Manipulation("", ("UPDATE audit_head SET " + change,))
        for change in ("last_id = 5", "last_hash = %(bytes)s", "signature = %(bytes)s", "time = '2020-01-01'")
    ),
    Manipulation("", ("DELETE FROM audit_head",)),
]


def values_of_manipulation(rng: Random) -> dict[str, Any]:
    """Random values for the statements."""
    chosen, other = rng.sample(range(1, LAST + 1), 2)
    return {
        "chosen": chosen,
        "other": other,
        "low": min(chosen, other),
        "outside": rng.choice([-3, 0, LAST + 1, LAST + 7]),
        "pause": rng.choice(["1 hour", "-1 day", "1 day", "400 days"]),
        "bytes": rng.randbytes(32),
        "day": PER_DAY,
        "last_day": LAST - PER_DAY + 1,
        "one": 1,
    }
