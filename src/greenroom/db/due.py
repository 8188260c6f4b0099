"""Whether a round of the Primary finds anything: one question in place of all that its tasks read."""

from __future__ import annotations

from typing import Final, LiteralString

from greenroom.db.database import Database
from greenroom.db.fleet.liveness import CHANGED_OFFERS, ENDABLE_OF_DEAD, LOSABLE, SUSPECTS
from greenroom.db.launch.replacement import AWAITING_SUCCESSOR
from greenroom.db.session.deadlines import WAITING, WAITS
from greenroom.db.session.lifecycle import EXPIRING, LIVING
from greenroom.db.session.observations import DECIDABLE, MISSED
from greenroom.db.session.shares import EXPIRED

READINGS: Final[tuple[LiteralString, ...]] = (
    *(SUSPECTS, ENDABLE_OF_DEAD, MISSED, WAITING, CHANGED_OFFERS, AWAITING_SUCCESSOR, EXPIRING, EXPIRED),
)
IS_DUE: Final[LiteralString] = "SELECT EXISTS (" + ") OR EXISTS (".join(READINGS) + ") AS is_due"


async def is_anything_due(db: Database, zone_id: str, *, missing_s: float, cpu_overcommit: float) -> bool:
    """Raises Unavailable: the database cannot be reached."""
    params = {"zone_id": zone_id, "missing_s": missing_s, "overcommit": cpu_overcommit}
    row = await db.fetch_one(IS_DUE, {**params, **LOSABLE, **DECIDABLE, **WAITS, **LIVING})
    return row is not None and row["is_due"]
