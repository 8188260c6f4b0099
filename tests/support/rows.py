"""Builders of rows for tests with a real database: a zone with Agents, an image, users, a filled pool.

Each function inserts the row in its name and returns its id; all other values are arbitrary.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from psycopg.types.json import Jsonb

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.launch.wanted import SessionUser
from greenroom.core.session.deadlines import Clocks
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.core.workspace.spec_builder import config_hash_of
from greenroom.db.database import Database
from greenroom.db.launch.claims import PoolClaim
from greenroom.db.pool.configs import get_config
from greenroom.db.rows import insert_values
from greenroom.db.session.sessions import NewSession

OFF = dict.fromkeys(STAGED_PERMISSIONS, False)


async def zone(db: Database, name: str = "eu", **fields: Any) -> str:
    """A zone with two fixed addresses, so that it can stage."""
    rows = await db.write(
        "INSERT INTO zones (zone_name, allow_origin_domain, upstream_auth_address, search_alternate_zones,"
        " load_balancing_strategy) VALUES (%s, %s, %s, %s, %s) RETURNING zone_id::text",
        (
            name,
            fields.get("allow_origin_domain", "127.0.0.1"),
            fields.get("upstream_auth_address", "127.0.0.1:8443"),
            fields.get("search_alternate_zones", True),
            fields.get("load_balancing_strategy", "Least Load"),
        ),
    )
    return rows[0]["zone_id"]


async def agent(
    db: Database,
    zone_id: str,
    *,
    cores: float = 100.0,
    overcommit: float = 1.0,
    memory: int = 100_000_000_000,
    hostname: str = "agent",
    status: str = "running",
    enabled: bool = True,
    image: str = "greenroom/desktop:test",
) -> str:
    """An Agent that has just reported, with free capacity and the image; `cores` are those of the host."""
    rows = await db.write(
        "INSERT INTO agents (zone_id, hostname, credential_hash, status, enabled, complete, incarnation, last_reported)"
        " VALUES (%s, %s, '', %s, %s, true, 1, clock_timestamp()) RETURNING agent_id::text",
        (zone_id, hostname, status, enabled),
    )
    agent_id: str = rows[0]["agent_id"]
    await db.write(
        "INSERT INTO agent_capacity (agent_id, cores_reported, memory_reported, cores, overcommit, memory)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (agent_id, cores, memory, cores * overcommit, overcommit, memory),
    )
    await db.write("INSERT INTO agent_images (agent_id, name, state) VALUES (%s, %s, 'present')", (agent_id, image))
    return agent_id


async def image(db: Database, *, friendly_name: str = "Desktop", cores: float = 1.0, **fields: Any) -> str:
    """A workspace of 1 core and 100 MB for the group `users` (see `group`)."""
    rows = await db.write(
        "INSERT INTO images (name, friendly_name, cores, memory, cpu_allocation_method, exec_config, volume_mappings,"
        " persistent_profile_path) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING image_id::text",
        (
            fields.get("name", "greenroom/desktop:test"),
            friendly_name,
            cores,
            fields.get("memory", 100_000_000),
            fields.get("cpu_allocation_method", "Inherit"),
            Jsonb(fields.get("exec_config", {})),
            Jsonb(fields.get("volume_mappings", {})),
            fields.get("persistent_profile_path"),
        ),
    )
    return rows[0]["image_id"]


async def group(
    db: Database, image_id: str | None = None, *, name: str = "users", priority: int = 100, **settings: Any
) -> str:
    """A group that may use the image, with settings."""
    rows = await db.write(
        "INSERT INTO groups (name, priority) VALUES (%s, %s) RETURNING group_id::text", (name, priority)
    )
    group_id: str = rows[0]["group_id"]
    if image_id is not None:
        await db.write("INSERT INTO group_images (group_id, image_id) VALUES (%s, %s)", (group_id, image_id))
    for setting, value in settings.items():
        await db.write(
            "INSERT INTO group_settings (group_id, name, value) VALUES (%s, %s, %s)", (group_id, setting, Jsonb(value))
        )
    return group_id


async def user(db: Database, name: str, *group_ids: str) -> str:
    """A user in these groups."""
    rows = await db.write("INSERT INTO users (username) VALUES (%s) RETURNING user_id::text", (name,))
    user_id: str = rows[0]["user_id"]
    for group_id in group_ids:
        await db.write("INSERT INTO user_groups (user_id, group_id) VALUES (%s, %s)", (user_id, group_id))
    return user_id


async def staging_config(
    db: Database, zone_id: str, image_id: str, *, num_sessions: int = 3, expiration: float = 1.0, **permissions: bool
) -> str:
    """A staging config; permissions that are not named are off."""
    values = {**OFF, **permissions}
    rows = await db.write(
        "INSERT INTO staging_configs "
        + insert_values(("zone_id", "image_id", "num_sessions", "expiration", *STAGED_PERMISSIONS))
        + " RETURNING staging_config_id::text",
        {"zone_id": zone_id, "image_id": image_id, "num_sessions": num_sessions, "expiration": expiration, **values},
    )
    return rows[0]["staging_config_id"]


async def config_hash(db: Database, staging_config_id: str) -> str:
    """The `config_hash` of a session with the config's current workspace, zone and permissions."""
    config = await get_config(db, staging_config_id)
    return config_hash_of(config.image, config.zone, config.permissions)


async def lease(db: Database, session_id: str) -> str:
    """Insert a lease of this session; returns its id."""
    rows = await db.write(
        "INSERT INTO leases (session_id, holder, tags) VALUES (%s, 'ann@x', '[]') RETURNING lease_id::text",
        (session_id,),
    )
    return rows[0]["lease_id"]


def session_user(user_id: str, **changes: Any) -> SessionUser:
    """A user with a separate launch and a keepalive of an hour."""
    return replace(
        SessionUser(user_id=user_id, launch_id=str(uuid.uuid4()), clocks=Clocks(keepalive_s=3600)), **changes
    )


def claim(staging_config_id: str, user: SessionUser, *, config_hash: str = "") -> PoolClaim:
    """A claim on a pool whose workspace has no `assign` command."""
    assignment_id = str(uuid.uuid4())
    return PoolClaim(
        user=user,
        staging_config_id=staging_config_id,
        config_hash=config_hash,
        assignment_id=assignment_id,
        assignment={"assignment_id": assignment_id, "argv": []},
    )


def new_session(zone_id: str, image_id: str, agent_id: str, user: SessionUser | None = None) -> NewSession:
    """A session of 1 core and 100 MB, of a user or of no pool."""
    return NewSession(
        session_id=str(uuid.uuid4()),
        zone_id=zone_id,
        agent_id=agent_id,
        spec=SessionSpec(image="image", image_id=image_id, credential="", cores=1.0),
        memory=100_000_000,
        permissions={},
        credential_encrypted=b"",
        user=user,
    )


async def staged_sessions(db: Database, staging_config_id: str, agent_id: str, number: int, **fields: Any) -> list[str]:
    """Running, claimable sessions of a config, with their reservation of 1 core and 100 MB each."""
    ids = [str(uuid.uuid4()) for _ in range(number)]
    await db.write(
        "INSERT INTO sessions (session_id, zone_id, image_id, agent_id, staging_config_id, status, spec,"
        " credential_encrypted, spec_hash, config_hash, cores, memory, expires, started)"
        " SELECT i, c.zone_id, c.image_id, %s, c.staging_config_id, %s, '{}', '', '', %s, 1, 100000000,"
        " clock_timestamp() + make_interval(secs => %s), clock_timestamp()"
        " FROM staging_configs c, unnest(%s::uuid[]) AS i WHERE c.staging_config_id = %s",
        (
            agent_id,
            fields.get("status", "running"),
            fields.get("config_hash", ""),
            fields.get("expires_in_s", 3600.0),
            ids,
            staging_config_id,
        ),
    )
    await db.write(
        "UPDATE agent_capacity SET cores_allocated = cores_allocated + %s, memory_allocated = memory_allocated + %s"
        " WHERE agent_id = %s",
        (float(number), 100_000_000 * number, agent_id),
    )
    return ids
