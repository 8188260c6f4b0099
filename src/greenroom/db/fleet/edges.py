"""Edge gateways: the Agents that have one, and its address (core.fleet.addresses)."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.core.errors import Refused
from greenroom.core.events import Event, Topic
from greenroom.core.session.streams import ProxyFacts
from greenroom.db.database import Database
from greenroom.db.fleet.agents import ADMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Way(ProxyFacts):
    """How browsers reach the streams of a zone, or of an Agent in it that has an edge gateway; and the authority of the
    edge gateways' certificates."""

    zone_id: str
    agent_id: str | None
    authority: str


async def read_ways(db: Database) -> list[Way]:
    """All edge gateways, by their Agent's id, without Agents that wait to be enabled; then the zones without one. One
    statement, because every web gateway asks each second."""
    return await db.fetch_as(
        Way,
        "SELECT z.zone_id::text, a.agent_id::text, coalesce(a.edge_url, '') AS edge_url, z.proxy_connections,"
        " z.proxy_hostname, z.proxy_path, z.proxy_port, coalesce(f.certificate, '') AS authority"
        " FROM zones z LEFT JOIN agents a ON a.zone_id = z.zone_id AND a.edge_url <> '' AND "
        + ADMITTED
        + " LEFT JOIN fleet_authority f ON true ORDER BY a.agent_id NULLS LAST",
    )


async def settle_edge(db: Database, agent_id: str, address: str) -> None:
    """Confirm an address of an Agent's edge gateway: the one that waits, or the one in use. Nothing waits any more;
    `agents:` is notified.

    Raises:
        Refused: the address is neither; the Agent may have sent another one meanwhile.
    """
    settled = await db.write(
        "UPDATE agents SET edge_url = %(address)s, edge_url_requested = NULL"
        " WHERE agent_id = %(agent_id)s AND %(address)s IN (edge_url, edge_url_requested) RETURNING 1",
        {"agent_id": agent_id, "address": address},
    )
    if not settled:
        raise Refused(
            f"The Agent does not say that its edge gateway is at {address or 'no address'}; look again at what it says."
            " Set another address on its host (GREENROOM_EDGE_URL), then confirm it here."
        )
    await db.notify(Event(Topic.AGENTS))
