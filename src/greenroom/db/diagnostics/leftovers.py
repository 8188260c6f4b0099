"""The rows to which what was found in a runtime may belong, for `core.session.leftovers`."""

from __future__ import annotations

from collections.abc import Sequence

from greenroom.core.session.leftovers import Known, Thing
from greenroom.core.workspace.homes import HomeId
from greenroom.db.database import Database


async def read_known(db: Database, things: Sequence[Thing]) -> Known:
    """Everything that has to do with these things; to be read after them.

    Raises:
        Unavailable: the database cannot be reached.
    """
    homes = [thing.home for thing in things if thing.home is not None]
    row = await db.fetch_one(
        "SELECT (SELECT coalesce(jsonb_object_agg(session_id, agent_id), '{}') FROM sessions"
        "  WHERE session_id::text = ANY(%(sessions)s) AND agent_id IS NOT NULL AND status <> 'deleted') AS sessions,"
        " (SELECT coalesce(jsonb_agg(agent_id), '[]') FROM agents) AS agents,"
        " (SELECT coalesce(jsonb_agg(jsonb_build_array(user_id, image_id)), '[]') FROM homes"
        "  WHERE user_id::text = ANY(%(users)s)) AS homes,"
        " (SELECT coalesce(jsonb_agg(user_id), '[]') FROM users WHERE user_id::text = ANY(%(users)s)) AS users",
        {"sessions": [thing.session_id for thing in things], "users": [home.user_id for home in homes]},
    )
    assert row is not None, "a SELECT without a FROM has one row"  # noqa: S101
    return Known(
        sessions=row["sessions"],
        agents=frozenset(row["agents"]),
        homes=frozenset(HomeId(user_id, image_id) for user_id, image_id in row["homes"]),
        users=frozenset(row["users"]),
    )
