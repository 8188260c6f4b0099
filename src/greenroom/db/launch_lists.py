"""The ledger of launches as it is shown: which ones, in which order, page by page, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from greenroom.core.listing import Order, Word
from greenroom.db.database import Database
from greenroom.db.listing import Column, Conditions, Listing, Position

_SELECT: Final[LiteralString] = (
    "l.launch_id, l.session_id, l.user_id, u.username, l.image_id, i.friendly_name AS image_friendly_name, l.outcome,"
    " l.steps, l.at, l.duration_ms"
)
_FROM: Final[LiteralString] = "FROM launches l LEFT JOIN users u USING (user_id) LEFT JOIN images i USING (image_id)"

LAUNCHES: Final = Listing(
    {
        "time": Column("l.at", "timestamptz"),
        "user": Column("lower(COALESCE(u.username, ''))"),
        "workspace": Column("lower(COALESCE(i.friendly_name, ''))"),
        "outcome": Column("replace(l.outcome, '_', ' ')"),
        "reason": Column("COALESCE(l.steps -> -1 ->> 'reason', '')"),
        "session": Column("COALESCE(l.session_id::text, '')"),
        "duration": Column("l.duration_ms", "double precision"),
    },
    key="l.launch_id",
    source=_FROM,
)

NEWEST_FIRST: Final = Order("time", descending=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFilter:
    """Which launches a list shows; None = any. `words`: those that have all of them."""

    outcome: str | None = None
    user_id: UUID | None = None
    image_id: UUID | None = None
    words: Sequence[Word] = ()


async def list_launches(
    db: Database,
    wanted: LaunchFilter,
    *,
    order: Order = NEWEST_FIRST,
    after: Position | None = None,
    limit: int | None = None,
) -> list[DictRow]:
    """Launches that match, each with its `position` in this order; see `Listing.read`."""
    return await LAUNCHES.read(db, _SELECT, _conditions(wanted), order=order, after=after, limit=limit)


async def count_launches(db: Database, wanted: LaunchFilter) -> int:
    """How many launches match."""
    return await LAUNCHES.count(db, _conditions(wanted))


async def get_launch(db: Database, launch_id: UUID) -> DictRow | None:
    """One launch as `list_launches` has it."""
    return await db.fetch_one(f"SELECT {_SELECT} {_FROM} WHERE l.launch_id = %s", (launch_id,))


def _conditions(wanted: LaunchFilter) -> Conditions:
    conditions = Conditions()
    if wanted.outcome is not None:
        conditions.add("l.outcome = %(outcome)s", outcome=wanted.outcome)
    if wanted.user_id is not None:
        conditions.add("l.user_id = %(user_id)s", user_id=wanted.user_id)
    if wanted.image_id is not None:
        conditions.add("l.image_id = %(image_id)s", image_id=wanted.image_id)
    LAUNCHES.require(conditions, wanted.words)
    return conditions
