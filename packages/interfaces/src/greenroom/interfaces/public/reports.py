"""The figures of the reports of the published interface."""

from __future__ import annotations

from typing import Final, LiteralString

from greenroom.core.errors import Invalid
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database

_LIVE: Final[LiteralString] = "FROM sessions WHERE status <> 'deleted' AND user_id IS NOT NULL"
_COUNT_LOGGED: Final[LiteralString] = (
    "SELECT count(*) AS data FROM logs WHERE code = %(code)s"
    " AND time > clock_timestamp() - make_interval(secs => %(within_s)s)"
)
CURRENT: Final[dict[str, LiteralString]] = {
    "current_kasms": f"SELECT count(*) AS data {_LIVE}",
    "current_users": f"SELECT count(DISTINCT user_id) AS data {_LIVE}",
}
"""Current figures: the number of sessions that have a user, and the number of those users."""
COUNTED: Final = {
    "created_kasms": LogCode.SESSION_LAUNCHED,
    "destroyed_kasms": LogCode.SESSION_DELETED,
    "successful_logins": LogCode.LOGIN,
    "failed_logins": LogCode.LOGIN_FAILED,
}
"""Figures counted from the log rows of the last period; older rows may be deleted already."""


async def read_report(db: Database, name: str, within_s: float) -> int:
    """Return the figure `name`; figures of the log count the last `within_s` seconds. Raises Invalid: it does not
    exist.
    """
    if name in CURRENT:
        row = await db.fetch_one(CURRENT[name])
    elif name in COUNTED:
        row = await db.fetch_one(_COUNT_LOGGED, {"code": COUNTED[name], "within_s": within_s})
    else:
        raise Invalid(f"There is no report {name[:60]!r}; the reports are {', '.join([*CURRENT, *COUNTED])}.")
    return row["data"] if row else 0
