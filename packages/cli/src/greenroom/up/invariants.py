"""Invariants of the database of a running deployment, as queries for violations, and a search for unreadable rows.

Each query returns one sentence per violation, in the column `what`. An operation in progress may violate an invariant
for a moment, so the caller queries twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.session.deadlines import MAX_DEADLINE_S
from greenroom.core.session.states import COUNTS_FOR_USER, TRANSITIONAL, WAITING_FOR_AGENT, WANTED_IN
from greenroom.core.workspace.definition import reference_problem
from greenroom.db.access.groups import list_groups
from greenroom.db.access.users import list_users
from greenroom.db.catalogue import list_catalogues
from greenroom.db.database import Database
from greenroom.db.fleet.machine_orders import list_orders
from greenroom.db.fleet.machine_pools import list_pools
from greenroom.db.fleet.views import list_agents
from greenroom.db.launch.replacement import MAX_QUARANTINED_PER_CONFIG
from greenroom.db.pool.configs import list_configs
from greenroom.db.rows import collect_unreadable
from greenroom.db.session.views import SessionFilter, list_sessions
from greenroom.db.workspace.homes import list_homes
from greenroom.db.workspace.images import list_images

IN_POOL: Final = "s.user_id IS NULL AND NOT s.retired AND s.status IN ('requested', 'starting', 'running')"
"""Condition on `sessions s` with a config: the session is, or will be, claimable."""
ROTATING: Final = (
    "s.replaces IS NOT NULL AND EXISTS (SELECT 1 FROM sessions r WHERE r.session_id = s.replaces"
    " AND r.user_id IS NULL AND NOT r.retired AND r.status IN ('requested', 'starting', 'running'))"
)
"""Condition on `sessions s`: the session replaces another session that is still in the pool."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """An invariant of `greenroom doctor`. The meaning of `code` never changes; `query` finds violations."""

    code: str
    holds: str
    query: LiteralString
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    problem_of: Callable[[str], str | None] | None = None
    """Returns the problem of the value in the column `value` of a row, or None. Without this function, each row is a
    violation."""


INVARIANTS: Final = (
    Invariant(
        "I1",
        "no session has a later term than the leadership of its zone",
        "SELECT format('session %%s was created in term %%s, but zone %%s has term %%s',"
        " s.session_id, s.term, z.zone_name, l.term) AS what"
        " FROM sessions s JOIN zones z USING (zone_id) JOIN zone_leases l USING (zone_key) WHERE s.term > l.term",
    ),
    Invariant(
        "I2",
        "the holder of an unexpired leadership has the lock of the zone",
        "SELECT format('the leadership of zone %%s is valid without its lock', z.zone_name) AS what"
        " FROM zone_leases l JOIN zones z USING (zone_key) WHERE l.expires_at > clock_timestamp() AND NOT EXISTS"
        " (SELECT 1 FROM pg_locks p WHERE p.locktype = 'advisory' AND p.classid = 71 AND p.objid = l.zone_key::oid"
        " AND p.pid = l.backend_pid AND p.granted)",
    ),
    Invariant(
        "I4",
        "a staged session is assigned at most once and never returns to its pool",
        "SELECT format('session %%s was assigned %%s times', session_id, count(*)) AS what FROM launches"
        " WHERE outcome = 'staged' AND session_id IS NOT NULL GROUP BY session_id HAVING count(*) > 1"
        " UNION ALL SELECT format('session %%s was assigned and is in the pool again', session_id) FROM sessions"
        " WHERE claimable AND num_nonnulls(assigned, assignment_id, set_aside_for, superseded_by) > 0",
    ),
    Invariant(
        "I5",
        "the stored reservations of an Agent are the sum of its sessions' reservations, and no new session exceeded its"
        " capacity",
        "SELECT format("
        "'agent %%s: %%s cores and %%s bytes are booked, its sessions reserve %%s and %%s, it offers %%s and %%s',"
        " c.agent_id, c.cores_allocated, c.memory_allocated, s.cores, s.memory, c.cores, c.memory) AS what"
        " FROM agent_capacity c, LATERAL (SELECT coalesce(sum(reserved_cores(cores, cpu_quota, c.overcommit)), 0)"
        " AS cores, coalesce(sum(memory), 0) AS memory"
        " FROM sessions WHERE agent_id = c.agent_id AND status <> 'deleted') s"
        " WHERE abs(c.cores_allocated - s.cores) > 0.001 OR c.memory_allocated <> s.memory"
        # An Agent may lower its offer below the reserved amount; only later sessions must fit into the new offer.
        " OR (c.cores_reported > 0 AND (c.cores_allocated > c.cores + 0.001 OR c.memory_allocated > c.memory)"
        " AND EXISTS (SELECT 1 FROM sessions WHERE agent_id = c.agent_id AND status <> 'deleted'"
        " AND created > c.offer_lowered))",
    ),
    Invariant(
        "I8",
        "no pool has more sessions than Desired, except for one replacement",
        # Sessions on a disabled, draining or missing Agent remain until their replacements are running.
        "SELECT format('staging config %%s has %%s sessions, but Desired is %%s (replacements: %%s)',"
        f" g.staging_config_id, count(*), g.num_sessions, count(*) FILTER (WHERE {ROTATING})) AS what"
        " FROM staging_configs g JOIN sessions s USING (staging_config_id) JOIN agents a USING (agent_id)"
        f" WHERE g.deleted IS NULL AND a.status = 'running' AND a.enabled AND NOT a.draining AND {IN_POOL}"
        " GROUP BY g.staging_config_id HAVING count(*) > g.num_sessions + least(1, count(*) FILTER (WHERE "
        f"{ROTATING}))",
    ),
    Invariant(
        "I9",
        "an expired staged session is deleted",
        "SELECT format('session %%s expired at %%s and is still in its pool', session_id, expires) AS what"
        " FROM sessions WHERE claimable AND expires < clock_timestamp() - interval '60 s'",
    ),
    Invariant(
        "I10",
        "a zone with a running Manager has a Primary",
        "SELECT format('zone %%s has a running Manager and no Primary since %%s', z.zone_name, l.expires_at) AS what"
        " FROM zones z JOIN zone_leases l USING (zone_key) WHERE l.expires_at < clock_timestamp() - interval '10 s'"
        " AND EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND m.enabled"
        " AND m.first_reported < clock_timestamp() - interval '15 s'"
        " AND m.last_round > clock_timestamp() - interval '15 s')",
    ),
    Invariant(
        "I11",
        (
            "no session is stuck in a status, no instruction is repeated without effect, and an ended "
            "session has the time of its end"
        ),
        # A session that waits for a missing Agent continues when the Agent returns, or fails when the Agent counts as
        # dead. A first start may wait for other starts, so it has more time.
        "SELECT format('session %%s is %%s since %%s', s.session_id, s.status, s.status_changed) AS what"
        " FROM sessions s LEFT JOIN agents a USING (agent_id)"
        " WHERE (a.agent_id IS NULL OR a.status IN ('pending', 'running')"
        "  OR s.status IN ('requested', 'assigning') OR s.status = 'starting' AND s.started IS NULL)"
        " AND (s.status = ANY(%(transitional)s)"
        "  AND coalesce(s.deadline, s.status_changed + interval '2 min') < clock_timestamp() - interval '2 min'"
        "  AND NOT (s.status = 'starting' AND s.started IS NULL"
        "   AND s.status_changed > clock_timestamp() - make_interval(secs => 2 * %(max_s)s + 120))"
        " OR s.status = ANY(%(returning)s) AND s.deadline < clock_timestamp() - interval '2 min'"
        " OR s.status = 'deleting' AND s.status_changed < clock_timestamp() - interval '15 min')"
        " UNION ALL SELECT format('session %%s is deleted and has no time of its end', session_id) FROM sessions"
        " WHERE status = 'deleted' AND ended IS NULL",
        {"transitional": sorted(TRANSITIONAL), "returning": sorted(WAITING_FOR_AGENT), "max_s": MAX_DEADLINE_S},
    ),
    Invariant(
        "I12",
        "a launch that was acknowledged has its session",
        # The rows of ended sessions are deleted with their workspace or zone; the ledger stays.
        "SELECT format('launch %%s was answered with session %%s, which does not exist', launch_id, session_id) AS what"
        " FROM launches l WHERE outcome <> 'failed' AND session_id IS NOT NULL AND at > now() - interval '6 days'"
        " AND EXISTS (SELECT 1 FROM images i WHERE i.image_id = l.image_id)"
        " AND EXISTS (SELECT 1 FROM zones z WHERE z.zone_id = l.zone_id)"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = l.session_id)",
    ),
    Invariant(
        "I13",
        "an Agent's instructions match the session's status",
        "SELECT format('session %%s is %%s, but its Agent has %%s', session_id, status, want) AS what FROM sessions"
        " WHERE NOT (%(wanted)s::jsonb -> status) @> to_jsonb(want)",
        {"wanted": Jsonb({status: sorted(wants) for status, wants in WANTED_IN.items()})},
    ),
    Invariant(
        "I14",
        "a session whose time is over has ended, or is stopped or paused",
        "SELECT format('session %%s is %%s, and its time was over at %%s', session_id, status, expires) AS what"
        " FROM sessions WHERE user_id IS NOT NULL AND status = ANY(%(living)s)"
        " AND (time_limit_ends < clock_timestamp() - interval '90 s'"
        "  OR status = 'running' AND expires < clock_timestamp() - interval '90 s')",
        {"living": sorted(COUNTS_FOR_USER)},
    ),
    Invariant(
        "I15",
        "a user whose session failed gets another session, or a reason",
        "SELECT format('session %%s failed at %%s, and its user still waits for another session', session_id,"
        " status_changed) AS what FROM sessions"
        " WHERE awaits_successor AND status_changed < clock_timestamp() - interval '2 min'",
    ),
    Invariant(
        "I16",
        "no command is requested or started in a session that has ended",
        "SELECT format('command %%s is %%s, and session %%s has ended', command_id, state, session_id) AS what"
        " FROM session_commands JOIN sessions USING (session_id)"
        " WHERE status = 'deleted' AND state IN ('requested', 'started')",
    ),
    Invariant(
        "I17",
        "a zone with Managers has an enabled Manager, and no disabled Manager is Primary",
        "SELECT format('zone %%s has Managers, but no enabled Manager', zone_name) AS what FROM zones z"
        " WHERE EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id)"
        " AND NOT EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND m.enabled)"
        " UNION ALL SELECT format('%%s is disabled, but is Primary', instance_id) FROM managers"
        " JOIN zone_leases USING (manager_id) WHERE NOT enabled AND expires_at > clock_timestamp()",
    ),
    Invariant(
        "I19",
        "a staged session has no data of a user",
        "SELECT format('session %%s is staged, but has data of a user', session_id) AS what FROM sessions s"
        " WHERE staging_config_id IS NOT NULL AND " + IN_POOL + " AND (num_nonnulls(launch_id, idempotency_key,"
        " files_encrypted, assignment) > 0 OR kasm_url <> '' OR client_settings <> '{}'"
        " OR EXISTS (SELECT FROM session_shares h WHERE h.session_id = s.session_id))",
    ),
    Invariant(
        "I20",
        "a staged session has the workspace and the zone of its config, and an Agent of this zone",
        "SELECT format('session %%s is staged for workspace %%s in zone %%s; its config is for %%s in %%s,"
        " its Agent in %%s', session_id, s.image_id, s.zone_id, g.image_id, g.zone_id, a.zone_id) AS what"
        " FROM sessions s JOIN staging_configs g USING (staging_config_id) JOIN agents a USING (agent_id)"
        " WHERE " + IN_POOL + " AND (s.image_id, s.zone_id, s.zone_id) <> (g.image_id, g.zone_id, a.zone_id)",
    ),
    Invariant(
        "I21",
        "a launch has at most one session of its user, and a replacement belongs to the same launch",
        "SELECT format('launch %%s has %%s sessions of its user', launch_id, count(*)) AS what FROM sessions"
        " WHERE user_id IS NOT NULL AND status <> 'deleted' AND launch_id IS NOT NULL"
        " GROUP BY launch_id HAVING count(*) > 1"
        " UNION ALL SELECT format('session %%s has a successor, but still has its user', session_id) FROM sessions"
        " WHERE superseded_by IS NOT NULL AND user_id IS NOT NULL"
        " UNION ALL SELECT format('session %%s leads to session %%s of another launch', s.session_id, n.session_id)"
        " FROM sessions s JOIN sessions n ON n.session_id = s.superseded_by"
        " WHERE s.launch_id IS DISTINCT FROM n.launch_id OR n.session_id = s.session_id",
    ),
    Invariant(
        "I22",
        "a user's session is in the ledger of launches",
        "SELECT format('session %%s belongs to launch %%s, but is not in the ledger', session_id, launch_id) AS what"
        " FROM sessions s WHERE user_id IS NOT NULL AND launch_id IS NOT NULL AND status <> 'deleted' AND NOT EXISTS"
        " (SELECT 1 FROM launches l WHERE l.launch_id = s.launch_id AND l.session_id = s.session_id)",
    ),
    Invariant(
        "I23",
        f"a config keeps at most {MAX_QUARANTINED_PER_CONFIG} failed sessions for inspection",
        "SELECT format('staging config %%s keeps %%s failed sessions', staging_config_id, count(*)) AS what"
        " FROM sessions WHERE set_aside_for IS NOT NULL AND status = 'failed' AND staging_config_id IS NOT NULL"
        " GROUP BY staging_config_id HAVING count(*) > %(kept)s",
        {"kept": MAX_QUARANTINED_PER_CONFIG},
    ),
    Invariant(
        "I24",
        "a session that is kept for inspection has its container",
        "SELECT format('session %%s is kept for inspection, and its container is gone', s.session_id) AS what"
        " FROM sessions s JOIN session_observed o USING (session_id) JOIN agents a ON a.agent_id = s.agent_id"
        " WHERE s.set_aside_for IS NOT NULL AND s.status = 'failed' AND a.status = 'running'"
        " AND o.generation = s.generation AND o.container_id IS NULL",
    ),
    Invariant(
        "I25",
        "the provider ends a released machine within an hour",
        "SELECT format('machine %%s of pool %%s is being released since %%s: %%s',"
        " coalesce(o.ref, o.machine_order_id::text), o.pool_name, o.releasing,"
        " CASE WHEN o.end_failures > 0 THEN o.state_reason WHEN p.last_error <> '' THEN p.last_error"
        "  WHEN o.asked < p.secrets_since AND (o.shown IS NULL OR o.shown <= p.secrets_since)"
        "  THEN 'the provider has not listed it since the secrets of the pool were changed; check the former account'"
        "  ELSE 'its provider still lists it' END) AS what"
        " FROM machine_orders o LEFT JOIN machine_pools p USING (machine_pool_id)"
        " WHERE o.state = 'releasing' AND o.releasing < clock_timestamp() - interval '1 hour'",
    ),
    Invariant(
        "I26",
        "Docker accepts the name of each workspace's image",
        "SELECT format('the image of workspace %%s', friendly_name) AS what, name AS value FROM images",
        problem_of=reference_problem,
    ),
    Invariant(
        "I27",
        "no Agent and no Manager is crash-looping",
        "SELECT format('Agent %%s: %%s', hostname, crash_loop) AS what FROM agents WHERE crash_loop <> ''"
        " UNION ALL SELECT format('Manager %%s: %%s', instance_id, crash_loop) FROM managers WHERE crash_loop <> ''",
    ),
)


async def find_violations(db: Database, invariant: Invariant) -> list[str]:
    """Return the present violations, one sentence each."""
    rows = await db.fetch(invariant.query, invariant.parameters)
    if (problem_of := invariant.problem_of) is None:
        return [row["what"] for row in rows]
    return [f"{row['what']}: {problem}" for row in rows if (problem := problem_of(row["value"]))]


async def live_sessions(db: Database, agent_ids: list[str]) -> dict[str, str]:
    """Return session id → status of all sessions of these Agents that are not deleted."""
    rows = await db.fetch(
        "SELECT session_id, status FROM sessions WHERE agent_id = ANY(%s::uuid[]) AND status <> 'deleted'", (agent_ids,)
    )
    return {str(row["session_id"]): row["status"] for row in rows}


async def sessions_that_fit(db: Database, agent_ids: list[str]) -> int:
    """Return how many sessions of the smallest enabled workspace fit on these Agents if no other sessions run."""
    row = await db.fetch_one(
        "SELECT coalesce(sum(floor(least(c.memory / i.memory, c.cores / i.cores))), 0)::integer AS fit"
        " FROM agent_capacity c, (SELECT nullif(min(memory), 0)::double precision AS memory,"
        " nullif(min(cores), 0)::double precision AS cores FROM images WHERE enabled) i"
        " WHERE agent_id = ANY(%s::uuid[])",
        (agent_ids,),
    )
    return int(row["fit"]) if row else 0


_LIST_FUNCTIONS: Final[Mapping[str, Callable[[Database], Awaitable[object]]]] = {
    "Agent": list_agents,
    "group": list_groups,
    "home folder": list_homes,
    "list of workspaces": list_catalogues,
    "machine order": list_orders,
    "machine pool": list_pools,
    "session": lambda db: list_sessions(db, SessionFilter().conditions()),
    "staging config": list_configs,
    "user": list_users,
    "workspace": list_images,
}


async def find_unreadable_rows(db: Database) -> list[str]:
    """Return the rows that cannot be read, each as a sentence with its ids."""
    sentences = list[str]()
    for noun, read in _LIST_FUNCTIONS.items():
        with collect_unreadable() as rows:
            await read(db)
        sentences += [f"a {noun} cannot be read, {row}" for row in rows]
    return sentences
