"""Homes on Agents: reports of Agents, lists, and deletions.

A deletion is requested in the row (`removal_id`). The Agent gets the request with every answer until the home is absent
from its report; then the row is deleted. A transaction that stores a report locks only the rows of homes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.errors import HomeInUse, require_row
from greenroom.core.events import ChangeEvent
from greenroom.core.listing import SortOrder
from greenroom.core.workspace.homes import in_use_problem
from greenroom.db.database import NOTIFY, Connection, Database, event_texts
from greenroom.db.listing import ListColumn, ListDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A home on an Agent. `username` and `image_friendly_name` are None if the user or the workspace was deleted."""

    home_id: str
    user_id: str
    username: str | None
    image_id: str
    image_friendly_name: str | None
    agent_id: str
    hostname: str
    agent_status: str
    size_bytes: int | None
    measured: datetime | None
    problem: str
    last_used: datetime
    removal_id: str | None
    moved_away: bool
    sessions: list[str]
    """The ids of the sessions that use the home, in any status except `deleted`."""


# `/{homes}/` and the names of homes are defined in core.workspace.homes.HomeId.
_SESSIONS: Final[LiteralString] = (
    "ARRAY(SELECT s.session_id::text FROM sessions s WHERE s.status <> 'deleted' AND s.user_id = h.user_id"
    " AND s.agent_id = h.agent_id AND s.profile_path = '/{homes}/' || h.user_id || '.' || h.image_id"
    " AND NOT h.moved_away ORDER BY s.created)"
)
BY_USER: Final = SortOrder("user")
HOMES: Final = ListDefinition(
    row_type=Home,
    noun="home folder",
    select=(
        "h.home_id::text, h.user_id::text, u.username, h.image_id::text, i.friendly_name AS image_friendly_name,"
        " h.agent_id::text, agent_name(a) AS hostname, a.status AS agent_status, h.size_bytes, h.measured, h.problem,"
        " h.last_used, h.removal_id::text, h.moved_away, " + _SESSIONS + " AS sessions"
    ),
    source=(
        "FROM homes h LEFT JOIN users u USING (user_id) LEFT JOIN images i USING (image_id) LEFT JOIN agents a"
        " ON a.agent_id = h.agent_id"
    ),
    columns={
        "user": ListColumn("lower(COALESCE(u.username, ''))"),
        "workspace": ListColumn("lower(COALESCE(i.friendly_name, ''))"),
        "host": ListColumn("lower(COALESCE(agent_name(a), ''))"),
        "size": ListColumn("COALESCE(h.size_bytes, -1)", "bigint"),
        "last_used": ListColumn("h.last_used", "timestamptz"),
    },
    key="h.home_id",
    order=BY_USER,
    filters={
        "user_id": "h.user_id = %(user_id)s",
        "image_id": "h.image_id = %(image_id)s",
        "agent_id": "h.agent_id = %(agent_id)s",
    },
)
get_home: Final = HOMES.get
list_homes: Final = HOMES.read


async def list_homes_of_deleted_users(db: Database, unused_days: int, limit: int) -> list[Home]:
    """Return homes of deleted users that were not used for this time and whose deletion is not requested."""
    return await db.fetch_as(
        Home,
        f"{HOMES.query} WHERE u.user_id IS NULL AND h.removal_id IS NULL"
        " AND h.last_used < clock_timestamp() - make_interval(days => %s) ORDER BY h.last_used LIMIT %s",
        (unused_days, limit),
    )


async def request_removal(db: Database, home_id: str) -> None:
    """Request the deletion of a home by its Agent. Does nothing if the deletion was already requested.

    Raises:
        NotFound: there is no home with this id.
        HomeInUse: a session uses the home.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute("SELECT agent_id FROM homes WHERE home_id = %s FOR UPDATE", (home_id,))
        agent_id = require_row(await cursor.fetchone(), "home folder", home_id)["agent_id"]
        # The sessions are read after the lock: a later launch that needs the home waits for the lock, and is refused.
        cursor = await connection.execute(
            "SELECT " + _SESSIONS + " AS sessions FROM homes h WHERE h.home_id = %s", (home_id,)
        )
        if problem := in_use_problem(require_row(await cursor.fetchone(), "home folder", home_id)["sessions"]):
            raise HomeInUse(problem)
        await connection.execute(
            "UPDATE homes SET removal_id = coalesce(removal_id, gen_random_uuid()), problem = '' WHERE home_id = %s",
            (home_id,),
        )
        await connection.execute(NOTIFY, {"events": event_texts({ChangeEvent.agent(agent_id)})})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedHome:
    """A home in an Agent's report; times in seconds since 1970. `removal_id`: the removal for which the Agent has moved
    the home to another folder; empty for a home in use."""

    user_id: str
    image_id: str
    removal_id: str = ""
    size_bytes: int | None = None
    measured: float | None = None
    last_used: float | None = None
    problem: str = ""


async def write_homes(connection: Connection, agent_id: str, homes: Sequence[ReportedHome]) -> None:
    """Store the whole list of homes that an Agent reports. Rows of other homes are deleted, except homes that may be
    newer than the list: homes of live sessions, and homes that were used in the last `UNREPORTED_KEPT_S`."""
    values = {"agent_id": agent_id, "homes": Jsonb(list(homes))}
    await connection.execute("SELECT 1 FROM agents WHERE agent_id = %(agent_id)s FOR KEY SHARE", values)
    await connection.execute(
        "SELECT 1 FROM homes WHERE agent_id = %(agent_id)s ORDER BY user_id, image_id, home_id FOR UPDATE", values
    )
    reported: LiteralString = (
        "WITH reported AS (SELECT DISTINCT ON (user_id, image_id, removal) user_id, image_id,"
        " nullif(removal_id, '')::uuid AS removal, size_bytes, to_timestamp(measured) AS measured,"
        " least(to_timestamp(last_used), clock_timestamp()) AS last_used, coalesce(problem, '') AS problem"
        " FROM jsonb_to_recordset(%(homes)s) AS r(user_id uuid, image_id uuid, removal_id text, size_bytes bigint,"
        " measured double precision, last_used double precision, problem text)"
        " ORDER BY user_id, image_id, removal)"
    )
    await connection.execute(
        reported + " UPDATE homes h SET moved_away = true, problem = reported.problem FROM reported"
        " WHERE h.agent_id = %(agent_id)s AND h.removal_id = reported.removal",
        values,
    )
    await connection.execute(
        reported + " INSERT INTO homes AS h (agent_id, user_id, image_id, size_bytes, measured, last_used, problem)"
        " SELECT %(agent_id)s, user_id, image_id, size_bytes, measured, coalesce(last_used, clock_timestamp()), problem"
        " FROM reported WHERE removal IS NULL"
        " ON CONFLICT (agent_id, user_id, image_id) WHERE NOT moved_away DO UPDATE SET"
        " size_bytes = coalesce(excluded.size_bytes, h.size_bytes), measured = coalesce(excluded.measured, h.measured),"
        " last_used = greatest(h.last_used, excluded.last_used), problem = excluded.problem",
        values,
    )
    await connection.execute(
        reported + " DELETE FROM homes h WHERE h.agent_id = %(agent_id)s AND NOT EXISTS (SELECT 1 FROM reported"
        " WHERE CASE WHEN h.moved_away THEN reported.removal = h.removal_id"
        "   ELSE reported.removal IS NULL AND reported.user_id = h.user_id AND reported.image_id = h.image_id END)"
        " AND (h.removal_id IS NOT NULL OR h.last_used < clock_timestamp() - make_interval(secs => %(kept_s)s)"
        "   AND cardinality(" + _SESSIONS + ") = 0)",
        {**values, "kept_s": UNREPORTED_KEPT_S},
    )


UNREPORTED_KEPT_S: Final = 900.0
"""A home that the Agent does not report is kept for this time after its last use, because the list may be older than
the home."""
