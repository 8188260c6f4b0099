"""Which Agents have images that another one lacks, in SQL; `core.catalogue.ways` chooses among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from greenroom.core.catalogue.ways import Holder
from greenroom.db.database import Database
from greenroom.db.fleet.checkin import OFFERED

_HOLDERS: Final = (
    "SELECT r.name, h.agent_id::text, h.hostname, h.edge_url, r.digest, r.size_bytes,"
    " (SELECT count(*) FROM sessions s WHERE s.agent_id = h.agent_id AND s.status <> 'deleted')::int AS sessions"
    " FROM agents a JOIN agents h ON h.zone_id = a.zone_id AND h.agent_id <> a.agent_id"
    " JOIN agent_images r ON r.agent_id = h.agent_id AND r.state = 'present' AND r.digest <> ''"
    " WHERE a.agent_id = %(taker)s AND a.enabled AND r.name = ANY(%(names)s)"
    " AND h.enabled AND h.status = 'running' AND h.edge_url <> ''"
    " AND EXISTS (SELECT 1 FROM images i WHERE i.name = r.name AND " + OFFERED + ") ORDER BY r.name, h.agent_id"
)


async def read_holders(db: Database, taker: str, names: Sequence[str]) -> dict[str, list[Holder]]:
    """Image name → Agents of the zone that have it and can be asked for it, of those images that this Agent should
    hold.

    Raises:
        Unavailable: the database cannot be reached.
    """
    found = dict[str, list[Holder]]()
    for row in await db.fetch(_HOLDERS, {"taker": taker, "names": list(names)}):
        found.setdefault(row.pop("name"), []).append(Holder(**row))
    return found


async def read_hostname(db: Database, agent_id: str) -> str:
    """The name of an Agent's host; empty if there is no such Agent."""
    rows = await db.fetch("SELECT hostname FROM agents WHERE agent_id = %s", (agent_id,))
    return str(rows[0]["hostname"]) if rows else ""
