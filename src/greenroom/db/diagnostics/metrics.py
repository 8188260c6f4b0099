"""Values of the metrics of the whole deployment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import DictRow

from greenroom.db.database import Database
from greenroom.db.fleet.liveness import TAKES_SESSIONS
from greenroom.db.fleet.managers import MANAGER_RUNS, RUNNING_WITHIN_S
from greenroom.db.pool.configs import list_pool_fills
from greenroom.db.webhooks import WaitingDeliveries, count_waiting_deliveries


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of a metric. `text` describes the metric; `labels` identify the object that the value belongs to."""

    name: str
    text: str
    labels: dict[str, str]
    value: float


CAPACITIES: Final[LiteralString] = (
    "SELECT a.zone_id, sum(cores) AS cores, sum(cores_allocated) AS cores_reserved, sum(memory)::bigint AS memory,"
    " sum(memory_allocated)::bigint AS memory_reserved FROM agent_capacity JOIN agents a USING (agent_id)"
    " WHERE " + TAKES_SESSIONS + " GROUP BY 1"
)
"""Part of a statement that selects the capacity of each zone, and its reserved part, on the Agents that take new
sessions."""


async def read_figures(db: Database) -> list[Figure]:
    """Read sessions, Agents and Managers by status, Primaries, capacity, pools, and waiting messages of webhooks."""
    sessions = await db.fetch(
        "SELECT zone_name AS zone, status, count(*) AS value FROM sessions JOIN zones USING (zone_id)"
        " WHERE status <> 'deleted' GROUP BY 1, 2"
    )
    agents = await db.fetch(
        "SELECT zone_name AS zone, status, count(*) AS value FROM agents JOIN zones USING (zone_id) GROUP BY 1, 2"
    )
    managers = await db.fetch(
        "SELECT zone_name AS zone, CASE WHEN " + MANAGER_RUNS + " THEN 'running' ELSE 'unknown' END AS status,"
        " count(*) AS value FROM managers m JOIN zones USING (zone_id) GROUP BY 1, 2",
        {"running_within_s": RUNNING_WITHIN_S},
    )
    leaderships = await db.fetch(
        "SELECT zone_name AS zone, (expires_at > clock_timestamp())::int AS held, term"
        " FROM zone_leases JOIN zones USING (zone_key)"
    )
    capacity = await db.fetch(
        f"SELECT zone_name AS zone, cores, cores_reserved, memory, memory_reserved FROM ({CAPACITIES}) capacity"
        " JOIN zones USING (zone_id)"
    )
    return [
        *_by_status("sessions", "Sessions that have not ended, by status", sessions),
        *_by_status("agents", "Agents by status", agents),
        *_by_status("managers", "Managers by status", managers),
        *(Figure("zone_has_primary", _HAS_PRIMARY, {"zone": row["zone"]}, row["held"]) for row in leaderships),
        *(Figure("zone_term", _TERM, {"zone": row["zone"]}, row["term"]) for row in leaderships),
        *_capacity(capacity),
        *await _pools(db),
        *_webhooks(await count_waiting_deliveries(db)),
    ]


def _webhooks(waiting: WaitingDeliveries) -> list[Figure]:
    return [
        Figure("webhook_messages_waiting", "Messages that wait for enabled webhooks", {}, waiting.number),
        Figure(
            "webhook_oldest_waiting_seconds",
            "Age of the oldest message that waits for an enabled webhook; 0 = no message waits",
            {},
            waiting.oldest_s,
        ),
    ]


def _by_status(name: str, text: str, rows: Iterable[DictRow]) -> list[Figure]:
    return [Figure(name, text, {"zone": row["zone"], "status": row["status"]}, row["value"]) for row in rows]


def _capacity(rows: Iterable[DictRow]) -> list[Figure]:
    capacities = (
        ("cores_offered", "Cores of the Agents that take new sessions", "cores"),
        ("cores_reserved", "Cores that sessions reserve on the Agents that take new sessions", "cores_reserved"),
        ("memory_offered_bytes", "Memory of the Agents that take new sessions", "memory"),
        (
            "memory_reserved_bytes",
            "Memory that sessions reserve on the Agents that take new sessions",
            "memory_reserved",
        ),
    )
    return [
        Figure(name, text, {"zone": row["zone"]}, float(row[column]))
        for row in rows
        for name, text, column in capacities
    ]


async def _pools(db: Database) -> list[Figure]:
    figures: list[Figure] = []
    for pool in await list_pool_fills(db):
        shortfall, refill = pool.shortfall, pool.refill_problem
        labels = {"zone": pool.zone_name, "workspace": pool.workspace, "staging_config": pool.staging_config_id}
        numbers = {"current": pool.current, "starting": pool.starting, "desired": pool.num_sessions}
        figures += [Figure("staged_sessions", _STAGED, labels | {"state": state}, n) for state, n in numbers.items()]
        figures += [Figure("staging_shortfall", _SHORTFALL, labels | {"code": shortfall.code}, 1)] if shortfall else []
        figures += [Figure("staging_refill_blocked", _REFILL, labels | {"code": refill.code}, 1)] if refill else []
        figures += [] if pool.age_s is None else [Figure("staged_session_age_seconds", _AGE, labels, pool.age_s)]
    return figures


_HAS_PRIMARY: Final = "1 while the zone has a Primary"
_TERM: Final = "Term of the zone's last Primary"
_STAGED: Final = "Staged sessions: claimable, starting and desired"
_SHORTFALL: Final = "1 for the reason why a config has fewer sessions than desired"
_REFILL: Final = "1 for the reason why the next session of a full pool cannot start"
_AGE: Final = "Age of the oldest claimable session"
