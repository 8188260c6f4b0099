"""Fills a database with the rows of a large installation within a minute: PostgreSQL generates them.

There is one zone `crowd` whose Agents stay running and whose pools are full, users with live sessions, and a history of
six days: ended sessions, the launches of all users' sessions, log rows, requests of Agents. A database may be filled
once.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Final, LiteralString
from uuid import UUID

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.workspace.spec_builder import config_hash_of
from greenroom.db.database import Database
from greenroom.db.pool.configs import list_configs
from greenroom.db.pool.history import store_hourly_counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The number of rows of each kind. Of the live sessions `pools` x `staged` are staged, the others have users. A
    workspace has at most 8 pools, each with different permissions, and is on an eighth of the Agents.
    """

    agents: int
    users: int
    images: int
    pools: int
    staged: int
    live: int
    ended: int
    logs: int
    requests: int


LARGE: Final = Crowd(
    agents=100, users=5000, images=125, pools=1000, staged=5, live=10_000, ended=100_000, logs=300_000, requests=100_000
)
ONE_PAGE: Final = Crowd(
    agents=100, users=120, images=120, pools=120, staged=1, live=240, ended=120, logs=120, requests=120
)
"""As few rows as a first page of each list needs."""


def _id(kind: LiteralString, number: LiteralString) -> LiteralString:
    return "md5('" + kind + "' || (" + number + "))::uuid"


_PERMISSIONS: Final[LiteralString] = ", ".join(STAGED_PERMISSIONS)
_VARIANT: Final[LiteralString] = ", ".join(
    "(p / %(images)s) & " + bit + " > 0" if bit else "false" for bit in ("1", "2", "4", "", "", "", "", "")
)
_AT: Final[LiteralString] = "now() - n * interval '6 days' / "

_ROWS: Final[tuple[LiteralString, ...]] = (
    ("INSERT INTO zones (zone_id, zone_name, allow_origin_domain, upstream_auth_address)"
    " VALUES (md5('zone')::uuid, 'crowd', '127.0.0.1', '127.0.0.1:8443')"),
    "INSERT INTO images (image_id, name, friendly_name) SELECT " + _id("image", "n") + ", 'image:' || n,"
    " 'Workspace ' || n FROM generate_series(0, %(images)s - 1) n",
    "INSERT INTO agents (agent_id, zone_id, hostname, credential_hash, status, complete, incarnation, last_reported)"
    " SELECT " + _id("agent", "n") + ", md5('zone')::uuid, 'host-' || n, '', 'running', true, 1,"
    " now() + interval '10 years' FROM generate_series(0, %(agents)s - 1) n",
    ("INSERT INTO agent_capacity (agent_id, cores_reported, memory_reported, cores, overcommit, memory)"
        " SELECT agent_id, 1000, 1e15::bigint, 16000, 16, 1e15::bigint FROM agents"
    " WHERE zone_id = md5('zone')::uuid"),
    ("INSERT INTO agent_images (agent_id, name, state) SELECT agent_id, name, 'present' FROM agents, images"
        " WHERE md5(hostname || name) < '2'"),
    "INSERT INTO groups (group_id, name) VALUES (md5('group')::uuid, 'Crowd')",
    "INSERT INTO group_images (group_id, image_id) SELECT md5('group')::uuid, image_id FROM images",
    "INSERT INTO users (user_id, username, first_name, last_session) SELECT " + _id("user", "n") + ","
    " 'user-' || n || '@example.org', 'User ' || n, now() - n * interval '1 minute'"
    " FROM generate_series(0, %(users)s - 1) n",
    "INSERT INTO user_groups (user_id, group_id) SELECT " + _id("user", "n") + ", md5('group')::uuid"
    " FROM generate_series(0, %(users)s - 1) n",
    "INSERT INTO staging_configs (staging_config_id, zone_id, image_id, num_sessions, expiration, "
    + _PERMISSIONS
    + ") SELECT "
    + _id("pool", "p")
    + ", md5('zone')::uuid, "
    + _id("image", "p %% %(images)s")
    + ", %(staged)s, 1000, "
    + _VARIANT
    + " FROM generate_series(0, %(pools)s - 1) p",
    # The ended ones are the oldest rows, as in an installation.
    "INSERT INTO sessions (session_id, zone_id, image_id, agent_id, user_id, launch_id, staging_config_id, status,"
    " want, spec, credential_encrypted, spec_hash, cores, memory, created, started, assigned, ended, ended_reason)"
    " SELECT " + _id("ended", "n") + ", md5('zone')::uuid, " + _id("image", "n %% %(images)s") + ", "
    + _id("agent", "n %% %(agents)s") + ", " + _id("user", "n %% %(users)s") + ", " + _id("launch", "n") + ","
    " CASE WHEN n %% 3 > 0 THEN " + _id("pool", "n %% %(pools)s") + " END, 'deleted', 'absent', '{}', '', '', 1, 1,"
    " at, at, at, at + interval '1 hour', 'The user ended it.'"
    " FROM (SELECT n, " + _AT + "greatest(%(ended)s, 1) AS at FROM generate_series(%(ended)s, 1, -1) n) past",
    "INSERT INTO sessions (session_id, zone_id, image_id, agent_id, user_id, launch_id, staging_config_id, status,"
    " spec, credential_encrypted, spec_hash, cores, memory, created, started, assigned, keepalive, expires)"
    " SELECT " + _id("live", "n") + ", md5('zone')::uuid, " + _id("image", "n %% %(images)s") + ", "
    + _id("agent", "n %% %(agents)s") + ", " + _id("user", "n %% %(users)s") + ", "
    + _id("launch", "n + %(ended)s") + ", " + _id("pool", "n %% %(pools)s") + ", 'running', '{}', '', '', 1, 1,"
    " at, at, at, at, now() + interval '10 years'"
    " FROM (SELECT n, now() - n * interval '1 second' AS at"
    "  FROM generate_series(%(live)s - %(pools)s * %(staged)s, 1, -1) n) present",
    "INSERT INTO sessions (session_id, zone_id, image_id, agent_id, staging_config_id, status, spec,"
    " credential_encrypted, spec_hash, cores, memory, created, started, expires)"
    " SELECT " + _id("staged", "n") + ", md5('zone')::uuid, c.image_id, " + _id("agent", "n %% %(agents)s") + ","
    " c.staging_config_id, 'running', '{}', '', '', 1, 1, at, at, now() + interval '40 days'"
    " FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(%(pools)s * %(staged)s, 1, -1) n) s"
    " JOIN staging_configs c ON c.staging_config_id = " + _id("pool", "n %% %(pools)s"),
    ("INSERT INTO session_steps (session_id, name, at) SELECT session_id, step, created FROM sessions,"
    " unnest(ARRAY['requested', 'placed', 'created', 'painted', 'usable']) AS step"),
    ("INSERT INTO session_observed (session_id, agent_id, incarnation, seq, generation, state, usable)"
    " SELECT session_id, agent_id, 1, 1, generation, 'running', true FROM sessions WHERE status = 'running'"),
    ("UPDATE agent_capacity c SET cores_allocated = live.cores, memory_allocated = live.memory FROM (SELECT agent_id,"
    " sum(cores) AS cores, sum(memory) AS memory FROM sessions WHERE status <> 'deleted' GROUP BY agent_id) live"
    " WHERE live.agent_id = c.agent_id"),
    "INSERT INTO launches (launch_id, session_id, user_id, image_id, zone_id, outcome, steps, at, duration_ms)"
    " SELECT launch_id, session_id, user_id, image_id, zone_id,"
    " CASE WHEN staging_config_id IS NULL THEN 'on_demand' ELSE 'staged' END, jsonb_build_array("
    "  jsonb_build_object('order', 1, 'step', 'staged_here', 'zone_name', 'crowd', 'setting', NULL,"
    "   'candidate', coalesce(staging_config_id, " + _id("pool", "0") + "), 'used', staging_config_id IS NOT NULL,"
    "   'code', CASE WHEN staging_config_id IS NULL THEN 'pool-empty' END, 'reason', 'a staged session, or none'),"
    "  jsonb_build_object('order', 2, 'step', 'on_demand_here', 'zone_name', 'crowd', 'candidate', agent_id,"
    "   'used', staging_config_id IS NULL, 'code', NULL, 'reason', 'placed on host-1', 'setting', NULL)),"
    " created, 3 FROM sessions WHERE launch_id IS NOT NULL ORDER BY created",
    "INSERT INTO logs (time, level, component, code, message, zone_name, session_id, user_id, username,"
    " staging_config_id) SELECT " + _AT + "%(logs)s, CASE WHEN n %% 500 = 0 THEN 'ERROR' WHEN n %% 50 = 1"
    " THEN 'WARNING' ELSE 'INFO' END, CASE n %% 3 WHEN 0 THEN 'api' ELSE 'manager' END, 'code-' || n %% 40,"
    " 'Something was done to ' || n, 'crowd', " + _id("ended", "n %% greatest(%(ended)s, 1)") + ", "
    + _id("user", "n %% %(users)s") + ", 'user-' || n %% %(users)s || '@example.org', "
    + _id("pool", "n %% %(pools)s") + " FROM generate_series(%(logs)s, 1, -1) n",
    "INSERT INTO manager_requests (time, agent_id, manager_instance_id, method, path, status, duration_ms) SELECT "
    + _AT + "%(requests)s, " + _id("agent", "n %% %(agents)s") + ", 'manager-' || n %% 3, 'POST', '/check-in',"
    " CASE WHEN n %% 1000 = 0 THEN 503 ELSE 200 END, 3 FROM generate_series(%(requests)s, 1, -1) n",
)  # fmt: skip


def id_of(kind: str, number: int | None = None) -> str:
    """The id of the n-th `agent`, `image`, `launch`, `pool`, `user` …, or of the single `zone` or `group`."""
    text = kind if number is None else f"{kind}{number}"
    return str(UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()))


async def fill(db: Database, crowd: Crowd) -> None:
    """Insert all rows; statements may take a minute, so `db` has a long time limit."""
    values = asdict(crowd)
    for statement in _ROWS:
        await db.write(statement, values)
    configs = [each for each in (await list_configs(db)).rows if each.zone_name == "crowd"]
    hashes = [config_hash_of(config.image, config.zone, config.permissions) for config in configs]
    await db.write(
        "UPDATE sessions s SET config_hash = pool.hash FROM unnest(%s::uuid[], %s::text[]) AS pool(id, hash)"
        " WHERE s.staging_config_id = pool.id AND s.status <> 'deleted'",
        ([config.staging_config_id for config in configs], hashes),
    )
    await store_hourly_counts(db)
    await db.write("VACUUM ANALYZE")
