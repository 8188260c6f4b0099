"""Agents that exist only as rows."""

from __future__ import annotations

from greenroom.db.database import Database


async def new_agent(db: Database, **fields: object) -> str:
    """Insert an Agent with 8 cores in every zone; returns the id of the first."""
    rows = await db.write(
        "INSERT INTO agents (zone_id, hostname, credential_hash, status) SELECT zone_id, 'host-1', '', %s FROM zones"
        " RETURNING agent_id",
        (fields.get("status", "running"),),
    )
    agent_id = str(rows[0]["agent_id"])
    await db.write(
        "INSERT INTO agent_capacity (agent_id, cores_reported, memory_reported, cores, memory)"
        " VALUES (%s, 8, 8000000000, 8, 8000000000)",
        (agent_id,),
    )
    return agent_id
