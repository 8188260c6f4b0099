"""The present names of API keys and users in events of the audit, whose ids the events contain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

from greenroom.core.audit import AuditFields
from greenroom.db.database import Database

_NAMES: Final[LiteralString] = (
    "SELECT key_id AS id, name FROM api_keys WHERE key_id = ANY(%(keys)s) AND name <> ''"
    " UNION ALL SELECT user_id::text, username FROM users WHERE user_id::text = ANY(%(users)s)"
)


async def read_actor_names(db: Database, events: Sequence[AuditFields]) -> dict[str, str]:
    """Return id → present name of the API keys that are actors of events, and of the users on whose behalf they act.
    A deleted key or user has no name."""
    keys = {event.actor_id for event in events if event.actor_kind == "key" and event.actor_id}
    users = {event.on_behalf_of for event in events if event.on_behalf_of}
    if not keys and not users:
        return {}
    rows = await db.fetch(_NAMES, {"keys": sorted(keys), "users": sorted(users)})
    return {row["id"]: row["name"] for row in rows}
