"""Reads Agents for administrators, the routes to edge gateways, and the Agents that can serve an image to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from greenroom.core.catalogue.fetch_methods import ImageHolder, ImageProgress
from greenroom.core.errors import Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.fleet.liveness import AgentStatus, Closed, EffectiveStatus, closed, effective_status
from greenroom.core.listing import SortOrder
from greenroom.core.session.streams import ProxyFacts
from greenroom.db.database import Database
from greenroom.db.fleet.agents import ADMITTED
from greenroom.db.fleet.checkin import AGENT_NEEDS_IMAGE
from greenroom.db.fleet.liveness import FREE_DISK
from greenroom.db.fleet.managers import MANAGER_RUNS, RUNNING_WITHIN_S
from greenroom.db.listing import ListColumn, ListDefinition, ListPage, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentImageRow(ImageProgress):
    """The image of a workspace on an Agent."""

    name: str
    updated: datetime


@dataclass(frozen=True, slots=True)
class StoredRefusal:
    """The last refusal of a host with an Agent's id."""

    reason: str
    at: datetime
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """An Agent, for administrators; memory in bytes, `cpu_used` a fraction of all cores."""

    agent_id: str
    hostname: str
    zone_id: str
    zone_name: str
    stored_status: AgentStatus
    """The status that the Primary stored; `status` is the displayed status."""
    enabled: bool
    draining: bool
    manager_id: str | None
    manager_instance_id: str | None
    manager_term: int
    registered: datetime
    last_reported: datetime | None
    runtime_error: str
    crash_loop: str
    check_in_refused: str
    silent_s: float | None
    has_manager: bool
    edge_url: str
    edge_url_requested: str | None
    credential_revoked: bool
    refused: StoredRefusal | None
    cores_override: float | None
    memory_override: int | None
    cpu_used: float | None
    memory_used: int | None
    simulated: bool | None
    cores: float
    memory: int
    cores_reported: float
    memory_reported: int
    cores_allocated: float
    memory_allocated: int
    sessions: int
    disk: FreeDisk
    images: tuple[AgentImageRow, ...]

    @property
    def disk_free(self) -> int | None:
        return self.disk.free_bytes

    @property
    def disk_kept(self) -> int:
        return self.disk.kept_bytes

    @property
    def disk_inodes_free(self) -> float | None:
        return self.disk.free_inodes

    @property
    def closed(self) -> Closed | None:
        """The reason why it takes no new sessions; None if it takes them."""
        return closed(self)

    @property
    def status(self) -> AgentStatus:
        return self._effective_status.status

    @property
    def crash_looping(self) -> bool:
        return bool(self.crash_loop)

    @property
    def status_reason(self) -> str | None:
        return self._effective_status.reason

    @property
    def _effective_status(self) -> EffectiveStatus:
        return effective_status(
            self.stored_status,
            self.zone_name,
            silent_s=self.silent_s,
            has_manager=self.has_manager,
            runtime_error=self.runtime_error,
            crash_loop=self.crash_loop,
            check_in_refused=self.check_in_refused,
            edge_requested=self.edge_url_requested,
        )


BY_ZONE: Final = SortOrder("zone")
_AGENTS: Final = ListDefinition(
    row_type=AgentRow,
    select=(
        "a.agent_id::text, a.hostname, a.zone_id::text, z.zone_name, a.status AS stored_status, a.enabled,"
        " a.draining, a.manager_id::text, m.instance_id AS manager_instance_id, a.manager_term, a.registered,"
        " a.last_reported,"
        " a.runtime_error, a.crash_loop, a.check_in_refused,"
        " extract(epoch FROM clock_timestamp() - a.last_reported)::double precision AS silent_s,"
        " EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = a.zone_id AND " + MANAGER_RUNS + ") AS has_manager,"
        " a.edge_url, a.edge_url_requested, a.credential_hash = ''::bytea AS credential_revoked,"
        " CASE WHEN a.refused_at IS NOT NULL THEN jsonb_build_object('reason', a.refused_reason, 'at', a.refused_at,"
        "  'address', a.refused_address) END AS refused,"
        " a.cores_override, a.memory_override, (a.usage->>'cpu')::double precision AS cpu_used,"
        " (a.usage->>'memory_bytes')::bigint AS memory_used,"
        " CASE WHEN a.usage <> '{}' THEN coalesce((a.usage->>'simulated')::boolean, false) END AS simulated,"
        " coalesce(c.cores, 0) AS cores, coalesce(c.memory, 0) AS memory,"
        " coalesce(c.cores_reported, 0) AS cores_reported, coalesce(c.memory_reported, 0) AS memory_reported,"
        " coalesce(c.cores_allocated, 0) AS cores_allocated, coalesce(c.memory_allocated, 0) AS memory_allocated,"
        " (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted') AS sessions,"
        f" {FREE_DISK} AS disk,"
        " COALESCE((SELECT jsonb_agg(jsonb_build_object('name', r.name, 'state', r.state, 'how', r.how,"
        "   'reason', r.reason, 'progress', r.progress, 'size_bytes', r.size_bytes,"
        "   'error', r.error, 'updated', r.updated) ORDER BY r.name) FROM agent_images r"
        "   WHERE r.agent_id = a.agent_id AND EXISTS (SELECT 1 FROM images i WHERE i.name = r.name)), '[]') AS images"
    ),
    source=(
        "FROM agents a LEFT JOIN zones z USING (zone_id) LEFT JOIN agent_capacity c USING (agent_id)"
        " LEFT JOIN managers m ON m.manager_id = a.manager_id"
    ),
    key="a.agent_id",
    columns={"zone": ListColumn("ARRAY[z.zone_name, to_char(a.registered, 'YYYYMMDDHH24MISSUS')]", "text[]")},
    order=BY_ZONE,
    filters={
        "agent_id": "a.agent_id = %(agent_id)s",
        "zone_ids": "a.zone_id = ANY(%(zone_ids)s::uuid[])",
    },
)


async def list_agents(
    db: Database,
    agent_id: str | None = None,
    *,
    zone_ids: list[str] | None = None,
    after: Position | None = None,
    limit: int | None = None,
) -> ListPage[AgentRow]:
    """Return Agents by zone in the order of their registration, of all zones or of `zone_ids`; or only one Agent."""
    conditions = _AGENTS.matching(agent_id=agent_id, zone_ids=zone_ids, running_within_s=RUNNING_WITHIN_S)
    return await _AGENTS.read(db, conditions, after=after, limit=limit)


async def find_agents(db: Database, name: str) -> list[str]:
    """Return the agent_ids for a name: an agent_id, its first 8 digits, or a hostname. Ids are preferred to hostnames,
    because an Agent reports its hostname itself and could hide another Agent from administrators."""
    rows = await db.fetch(
        "SELECT agent_id::text, %(name)s IN (agent_id::text, left(agent_id::text, 8)) AS by_id FROM agents"
        " WHERE %(name)s IN (agent_id::text, left(agent_id::text, 8), hostname) ORDER BY by_id DESC, agent_id LIMIT 10",
        {"name": name},
    )
    return [row["agent_id"] for row in rows if row["by_id"] == rows[0]["by_id"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRoute(ProxyFacts):
    """The route to the streams of a zone, or of an Agent with an edge gateway. `authority` is the certificate (PEM) of
    the authority that signs the certificates of edge gateways."""

    zone_id: str
    agent_id: str | None
    authority: str


async def read_routes(db: Database) -> list[StreamRoute]:
    """Return the routes to all edge gateways, by the id of their Agent, then the routes to the zones without an edge
    gateway. Agents that wait to be enabled are excluded. It is one statement, because every web gateway polls each
    second."""
    return await db.fetch_as(
        StreamRoute,
        "SELECT z.zone_id::text, a.agent_id::text, coalesce(a.edge_url, '') AS edge_url, z.proxy_connections,"
        " z.proxy_hostname, z.proxy_path, z.proxy_port, coalesce(f.certificate, '') AS authority"
        f" FROM zones z LEFT JOIN agents a ON a.zone_id = z.zone_id AND a.edge_url <> '' AND {ADMITTED}"
        " LEFT JOIN fleet_authority f ON true ORDER BY a.agent_id NULLS LAST",
    )


async def confirm_edge(db: Database, agent_id: str, address: str) -> None:
    """Confirm an address of an Agent's edge gateway, the requested address or the address in use, and notify `agents:`.
    The Agent then has no requested address. Raises Refused: the Agent has neither requested nor used this address."""
    confirmed = await db.write(
        "UPDATE agents SET edge_url = %(address)s, edge_url_requested = NULL"
        " WHERE agent_id = %(agent_id)s AND %(address)s IN (edge_url, edge_url_requested) RETURNING 1",
        {"agent_id": agent_id, "address": address},
    )
    if not confirmed:
        raise Refused(
            f"The Agent does not report {address or 'no address'} for its edge gateway. Read the reported "
            "address again; to use another one, set it on the host of the Agent (GREENROOM_EDGE_URL) and "
            "then confirm it."
        )
    await db.notify(ChangeEvent(Topic.AGENTS))


_HOLDERS: Final = (
    "SELECT r.name, h.agent_id::text, h.hostname, h.edge_url, r.digest, r.size_bytes,"
    " (SELECT count(*) FROM sessions s WHERE s.agent_id = h.agent_id AND s.status <> 'deleted')::int AS sessions"
    " FROM agents a JOIN agents h ON h.zone_id = a.zone_id AND h.agent_id <> a.agent_id"
    " JOIN agent_images r ON r.agent_id = h.agent_id AND r.state = 'present' AND r.digest <> ''"
    " WHERE a.agent_id = %(taker)s AND a.enabled AND r.name = ANY(%(names)s)"
    " AND h.enabled AND h.status = 'running' AND h.edge_url <> ''"
    " AND EXISTS (SELECT 1 FROM images i WHERE i.name = r.name AND "
    + AGENT_NEEDS_IMAGE
    + ") ORDER BY r.name, h.agent_id"
)


async def read_holders(db: Database, taker: str, names: Sequence[str]) -> dict[str, list[ImageHolder]]:
    """Return image name → the Agents of the zone that can serve the image. `taker` is the Agent that lacks the images;
    images that it need not have are omitted."""
    holders = dict[str, list[ImageHolder]]()
    for row in await db.fetch(_HOLDERS, {"taker": taker, "names": list(names)}):
        holders.setdefault(row.pop("name"), []).append(ImageHolder(**row))
    return holders


async def read_hostname(db: Database, agent_id: str) -> str:
    """Return the name of an Agent's host; empty if there is no such Agent."""
    rows = await db.fetch("SELECT hostname FROM agents WHERE agent_id = %s", (agent_id,))
    return str(rows[0]["hostname"]) if rows else ""
