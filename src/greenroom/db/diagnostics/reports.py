"""Single figures that clients of the published interface ask for by name, in SQL."""

from __future__ import annotations

from typing import Final, LiteralString

from greenroom.core.errors import Invalid
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database

_LIVE: Final[LiteralString] = "FROM sessions WHERE status <> 'deleted' AND user_id IS NOT NULL"
_LOGGED: Final[LiteralString] = (
    "SELECT count(*) AS data FROM logs WHERE code = %(code)s"
    " AND time > clock_timestamp() - make_interval(secs => %(within_s)s)"
)
NOW: Final[dict[str, LiteralString]] = {
    "current_kasms": f"SELECT count(*) AS data {_LIVE}",
    "current_users": f"SELECT count(DISTINCT user_id) AS data {_LIVE}",
}
"""What is so now: sessions that have a user, and those users."""
LOGGED: Final = {
    "created_kasms": LogCode.SESSION_LAUNCHED,
    "destroyed_kasms": LogCode.SESSION_DELETED,
    "successful_logins": LogCode.LOGIN,
    "failed_logins": LogCode.LOGIN_FAILED,
}
"""What the log has rows of in a time until now, as far as it reaches back."""


async def read_report(db: Database, name: str, within_s: float) -> int:
    """The figure `name`; those of the log of the last `within_s`.

    Raises:
        Invalid: there is none of this name.
    """
    if name in NOW:
        row = await db.fetch_one(NOW[name])
    elif name in LOGGED:
        row = await db.fetch_one(_LOGGED, {"code": LOGGED[name], "within_s": within_s})
    else:
        raise Invalid(f"There is no report {name[:60]!r}; the reports are {', '.join([*NOW, *LOGGED])}.")
    return row["data"] if row else 0
