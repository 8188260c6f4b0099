"""The places of objects (`core.access.roles`): the zone to which an object belongs, and the groups of a user."""

from __future__ import annotations

from typing import Final, Literal, LiteralString

from greenroom.core.access.roles import session_places
from greenroom.db.database import Database

Kind = Literal["zone", "agent", "manager", "gateway", "staging config", "group", "user"]

_PLACES: Final[dict[Kind, LiteralString]] = {
    "zone": "SELECT 'zone:' || zone_id AS place FROM zones WHERE zone_id::text = %s",
    "agent": "SELECT 'zone:' || zone_id AS place FROM agents WHERE agent_id::text = %s",
    "manager": "SELECT 'zone:' || zone_id AS place FROM managers WHERE manager_id::text = %s",
    "gateway": "SELECT 'zone:' || zone_id AS place FROM gateways WHERE gateway_id::text = %s",
    "staging config": "SELECT 'zone:' || zone_id AS place FROM staging_configs WHERE staging_config_id::text = %s",
    "group": "SELECT 'group:' || group_id AS place FROM groups WHERE group_id::text = %s",
    "user": "SELECT 'group:' || group_id AS place FROM user_groups WHERE user_id::text = %s",
}


async def places_of(db: Database, kind: Kind, object_id: str) -> frozenset[str]:
    """Return the places of the object with this id; empty if there is none."""
    return frozenset(row["place"] for row in await db.fetch(_PLACES[kind], (object_id,)))


async def places_of_session(db: Database, zone_id: str, user_id: str | None) -> frozenset[str]:
    """Return the places of a session in this zone with this user; None = a staged session."""
    return session_places(zone_id, ()) | (await places_of(db, "user", user_id) if user_id else set[str]())
