"""Lists of sessions: which ones, in which order, page by page, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from greenroom.core.listing import Order, Word
from greenroom.db.database import Database
from greenroom.db.listing import Column, Conditions, Listing, Position
from greenroom.db.session_views import FROM, SELECT, STATUS

SESSIONS: Final = Listing(
    {
        "user": Column("lower(COALESCE(u.username, ''))"),
        "workspace": Column(
            "lower(i.friendly_name)",
            text="i.friendly_name || CASE WHEN s.staging_config_id IS NULL THEN ' on demand' ELSE ' staged' END",
        ),
        "id": Column("s.session_id::text"),
        "status": Column(STATUS),
        "zone": Column("lower(z.zone_name)"),
        "agent": Column(
            "lower(COALESCE(a.hostname, ''))", text="COALESCE(a.hostname, '') || ' ' || COALESCE(s.agent_id::text, '')"
        ),
        "created": Column("s.created", "timestamptz"),
        "expires": Column("COALESCE(s.expires, 'infinity')", "timestamptz"),
    },
    key="s.session_id",
    source=FROM,
)

NEWEST_FIRST: Final = Order("created", descending=True)

_SHOWN: Final[LiteralString] = "s.status <> 'deleted' AND s.superseded_by IS NULL"
"""As the index sessions_shown has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions a list shows; None = any.

    `status` as it is shown; `staged` True = only without a user, False = only with one; `ended` = also `deleted` ones
    and those that were replaced by a successor; `set_aside` = instead those that were set aside for inspection, because
    their hand-over to a user failed. `session_ids`: at most these. `words`: those that have all of them.
    """

    user_id: UUID | str | None = None
    image_id: UUID | None = None
    staging_config_id: UUID | None = None
    agent_id: UUID | None = None
    status: str | None = None
    staged: bool | None = None
    ended: bool = False
    set_aside: bool = False
    session_ids: Sequence[UUID] | None = None
    words: Sequence[Word] = ()


async def list_sessions(
    db: Database,
    wanted: SessionFilter,
    *,
    order: Order = NEWEST_FIRST,
    after: Position | None = None,
    limit: int | None = None,
) -> list[DictRow]:
    """Sessions that match, as `db.session_views` reads them, with `position`: the value in the column of the order.

    Args:
        db: where.
        wanted: which ones.
        order: by which column of `SESSIONS`.
        after: the last row of the page before.
        limit: rows at most.
    """
    return await SESSIONS.read(db, SELECT, _conditions(wanted), order=order, after=after, limit=limit)


async def count_sessions(db: Database, wanted: SessionFilter) -> int:
    """How many sessions match."""
    return await SESSIONS.count(db, _conditions(wanted))


def _conditions(wanted: SessionFilter) -> Conditions:
    conditions = Conditions()
    if wanted.set_aside:
        conditions.add("s.set_aside_for IS NOT NULL AND s.status = 'failed'")
    elif not wanted.ended:
        conditions.add(_SHOWN)
    if wanted.user_id is not None:
        conditions.add("s.user_id = %(user_id)s::uuid", user_id=wanted.user_id)
    if wanted.image_id is not None:
        conditions.add("s.image_id = %(image_id)s", image_id=wanted.image_id)
    if wanted.staging_config_id is not None:
        conditions.add("s.staging_config_id = %(staging_config_id)s", staging_config_id=wanted.staging_config_id)
    if wanted.agent_id is not None:
        conditions.add("s.agent_id = %(agent_id)s", agent_id=wanted.agent_id)
    if wanted.status is not None:
        conditions.add(STATUS + " = %(status)s", status=wanted.status)
    if wanted.staged is not None:
        conditions.add("(s.user_id IS NULL) = %(staged)s", staged=wanted.staged)
    if wanted.session_ids is not None:
        conditions.add("s.session_id = ANY(%(session_ids)s)", session_ids=list(wanted.session_ids))
    SESSIONS.require(conditions, wanted.words)
    return conditions
