"""Edge gateways: the Agents that say where theirs is (core.edges)."""

from __future__ import annotations

from psycopg.rows import DictRow

from greenroom.db.agents import ADMITTED
from greenroom.db.database import Database


async def read_edges(db: Database) -> list[DictRow]:
    """Every Agent with an edge gateway, by its id: agent_id, edge_url and its zone's proxy fields (db.facts); none that
    waits to be enabled."""
    return await db.fetch(
        "SELECT a.agent_id::text, a.edge_url, z.proxy_connections, z.proxy_hostname, z.proxy_path, z.proxy_port"
        " FROM agents a JOIN zones z USING (zone_id) WHERE a.edge_url <> '' AND " + ADMITTED + " ORDER BY a.agent_id"
    )


async def read_edge_url(db: Database, agent_id: str) -> str:
    """Where the edge gateway of an Agent is; empty without one."""
    row = await db.fetch_one("SELECT edge_url FROM agents WHERE agent_id = %s", (agent_id,))
    return row["edge_url"] if row else ""
