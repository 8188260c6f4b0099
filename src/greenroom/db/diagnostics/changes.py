"""Reads the changes of the last hour from the audit with the objects that their messages name, and the present names of
actors of the audit and of log rows."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.audit import AuditFields
from greenroom.core.diagnostics.sentences import ObjectKind, ObjectRef, SentencePart, names_in
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import StoredLogRow

SHOWN: Final = 5
"""The number of changes that are returned, the newest first."""
CHANGE_CODES: Final = sorted(
    code
    for code in LogCode
    if code.endswith(("-created", "-changed", "-deleted"))
    and not code.startswith(("share-", "session-", "agent-offer"))
)
"""The codes of events of the audit that are changes of the installation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentChange:
    """A change of the installation. `actor_user_id` is the user who made it; None = no person. If an API key made it,
    `message` has its present name, `key_name`, in place of its id, and `on_behalf_of_name` is its owner. `number` is
    the number of all changes of the last hour."""

    event_id: int
    code: str
    time: datetime
    message: str
    actor_kind: str
    actor_name: str | None
    actor_user_id: str | None
    actor_key_id: str | None
    key_name: str | None
    on_behalf_of_name: str | None
    object_kind: str | None
    object_id: str | None
    object_name: str | None
    number: int

    @property
    def names(self) -> tuple[SentencePart, ...]:
        """The user and the object that the message names. A deleted object has no page."""
        object_id = None if self.code.endswith("-deleted") else self.object_id
        refs: tuple[tuple[str | None, ObjectKind | None, str | None], ...] = (
            (self.actor_name, "user", self.actor_user_id),
            (self.key_name, "api_key", self.actor_key_id),
            (self.object_name, _KINDS.get(self.object_kind or ""), object_id),
        )
        return names_in(self.message, {name: ObjectRef(kind, id_) for name, kind, id_ in refs if name and kind and id_})


_KINDS: Final[dict[str, ObjectKind]] = {
    "agent": "agent",
    "api-key": "api_key",
    "group": "group",
    "manager": "manager",
    "scim-client": "scim_client",
    "service-account": "service_account",
    "session": "session",
    "setting": "setting",
    "staging-config": "staging_config",
    "user": "user",
    "webhook": "webhook",
    "workspace": "image",
    "zone": "zone",
}
"""Kind of an object in the audit → its kind in the console."""


# The event of a creation has the name of its object only; that of a workspace from the catalogue has the name of the
# entry as the id. A name that two objects have is not resolved.
_OBJECT_ID: Final[LiteralString] = (
    "coalesce(CASE WHEN object_kind <> 'workspace' OR object_id ~ '^[0-9a-f-]{36}$' THEN object_id END,"
    " CASE object_kind"
    " WHEN 'api-key' THEN (SELECT min(key_id) FROM api_keys WHERE name = object_name HAVING count(*) = 1)"
    " WHEN 'group' THEN (SELECT min(group_id::text) FROM groups WHERE name = object_name HAVING count(*) = 1)"
    " WHEN 'user' THEN (SELECT user_id::text FROM users WHERE username_key(username) = username_key(object_name))"
    " WHEN 'service-account' THEN"
    "  (SELECT user_id::text FROM users WHERE username_key(username) = username_key(object_name))"
    " WHEN 'webhook' THEN (SELECT min(webhook_id::text) FROM webhooks WHERE name = object_name HAVING count(*) = 1)"
    " WHEN 'workspace' THEN (SELECT min(image_id::text) FROM images WHERE friendly_name = object_name"
    "  HAVING count(*) = 1)"
    " WHEN 'zone' THEN (SELECT zone_id::text FROM zones WHERE zone_name = object_name) END)"
)


async def read_changes(db: Database) -> list[RecentChange]:
    """Return the changes of the last hour from the audit, the newest first; at most `SHOWN`."""
    return await db.fetch_as(
        RecentChange,
        "SELECT event_id, code, time,"
        " coalesce(replace(message, actor_name, 'API key ' || key_name), message) AS message,"
        " actor_kind, actor_name, CASE WHEN actor_kind = 'user' THEN actor_id END AS actor_user_id,"
        " key_id AS actor_key_id, key_name, on_behalf_of_name,"
        f" object_kind, object_name, {_OBJECT_ID} AS object_id, number FROM"
        " (SELECT *, count(*) OVER () AS number FROM audit_events WHERE time > now() - interval '1 hour'"
        " AND result = 'done' AND code = ANY(%s) ORDER BY event_id DESC LIMIT %s) newest"
        " LEFT JOIN (SELECT key_id, name AS key_name FROM api_keys WHERE name <> '') k"
        " ON actor_kind = 'key' AND key_id = actor_id"
        " LEFT JOIN (SELECT user_id, username AS on_behalf_of_name FROM users) o"
        " ON user_id = CASE WHEN on_behalf_of ~ '^[0-9a-f-]{36}$' THEN on_behalf_of::uuid END"
        " ORDER BY event_id DESC",
        (CHANGE_CODES, SHOWN),
    )


_ID: Final = re.compile("[0-9a-f-]{36}")

_NAMES: Final[LiteralString] = (
    "SELECT key_id AS id, name FROM api_keys WHERE key_id = ANY(%(keys)s) AND name <> ''"
    " UNION ALL SELECT user_id::text, username FROM users WHERE user_id = ANY(%(users)s::uuid[])"
)


async def read_actor_names(db: Database, events: Sequence[AuditFields]) -> dict[str, str]:
    """Return id → present name of the API keys that are actors of events, and of the users on whose behalf they act.
    A deleted key or user has no name."""
    keys = {event.actor_id for event in events if event.actor_kind == "key" and event.actor_id}
    users = {event.on_behalf_of for event in events if event.on_behalf_of and _ID.fullmatch(event.on_behalf_of)}
    return await _read_names(db, keys, users)


_KEY: Final = re.compile(r"\bAPI key ([A-Za-z0-9]{12})\b")
"""An API key in a log row, with its id."""


async def with_key_names(db: Database, rows: Sequence[StoredLogRow]) -> list[StoredLogRow]:
    """Return log rows whose `message` and `username` have the present names of API keys in place of their ids. A key
    that was deleted, or has no name, keeps its id."""
    texts = [text for row in rows for text in (row.message, row.username or "")]
    names = await _read_names(db, {key_id for text in texts for key_id in _KEY.findall(text)}, set())
    if not names:
        return list(rows)

    def named(text: str) -> str:
        return _KEY.sub(lambda found: f"API key {names.get(found[1], found[1])}", text)

    return [replace(row, message=named(row.message), username=row.username and named(row.username)) for row in rows]


async def _read_names(db: Database, keys: Set[str], users: Set[str]) -> dict[str, str]:
    """Return id → present name of these API keys and users."""
    if not keys and not users:
        return {}
    rows = await db.fetch(_NAMES, {"keys": sorted(keys), "users": sorted(users)})
    return {row["id"]: row["name"] for row in rows}
