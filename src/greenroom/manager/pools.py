"""Keep every pool of the zone at Desired: lock the config, count in the next statement, plan, write (PROTOCOLS §3).

A pool that needs nothing costs one look without a lock. Otherwise the plan is made anew inside the guarded transaction
that holds the config's row, so that two Primaries, or a Primary and an administrator, never both act on one count.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any, Final

import structlog
from psycopg.rows import DictRow

from greenroom.core.errors import Invalid
from greenroom.core.pool import Create, PoolConfig, PooledSession, PoolPlan, PoolSnapshot, Retire, Shortfall, plan
from greenroom.core.specs import fingerprint, staged_spec
from greenroom.core.states import SessionStatus
from greenroom.db import facts, staging_configs
from greenroom.db.database import Connection
from greenroom.db.leases import guarded
from greenroom.db.logs import Level
from greenroom.db.sessions import NewSession, destroy_unassigned, insert_session, retire
from greenroom.kit.secrets import new_secret
from greenroom.kit.stops import stop
from greenroom.manager.context import PrimaryContext

log = structlog.get_logger(__name__)

_LEVELS: Final[dict[str, Level]] = {
    "paused": "INFO",
    "image-unavailable": "ERROR",
    "start-failing": "ERROR",
}
"""Level of the log row of a shortfall; WARNING where nothing stands here."""


async def run_pools(ctx: PrimaryContext) -> None:
    """One round over all pools of the zone. A workspace that no container can be made of does not stop the others.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    for staging_config_id in await staging_configs.pools_of_zone(ctx.db, ctx.zone_id):
        try:
            if await _needs_something(ctx, staging_config_id):
                await run_pool(ctx, staging_config_id)
        except Invalid as error:
            log.error("a pool cannot be filled", staging_config_id=staging_config_id, reason=error.message)


async def run_pool(ctx: PrimaryContext, staging_config_id: str) -> PoolPlan | None:
    """Bring one pool towards Desired; returns what was planned, None when the config is gone.

    Raises:
        LeaseLost: the term is over; nothing was written.
    """
    async with guarded(ctx.db, ctx.fence) as connection:
        config = await staging_configs.lock_pool(connection, staging_config_id)
        if config is None:
            return None
        snapshot = await _snapshot(connection, config)
        await stop("pool.after_count")
        made = plan(snapshot)
        events = await _apply(ctx, connection, snapshot, config, made)
        await staging_configs.remember_plan(connection, staging_config_id, _memory(made))
    await ctx.db.notify(f"staging:{staging_config_id}", *events)
    _log(ctx, config, snapshot, made)
    return made


async def _needs_something(ctx: PrimaryContext, staging_config_id: str) -> bool:
    """Look without a lock: would a plan do or remember anything?"""
    async with ctx.db.connection() as connection:
        config = await staging_configs.look_at_pool(connection, staging_config_id)
        if config is None:
            return False
        made = plan(await _snapshot(connection, config))
    return bool(made.actions) or any(config[name] != value for name, value in _memory(made).items())


async def _snapshot(connection: Connection, config: DictRow) -> PoolSnapshot:
    parts = await staging_configs.read_pool(connection, config)
    image, zone = facts.image_facts(parts["image"]), facts.zone_facts(parts["zone"])
    sessions = await staging_configs.read_pool_sessions(connection, config["staging_config_id"])
    agents = await staging_configs.read_pool_agents(connection, zone.zone_id, image.name)
    return PoolSnapshot(
        now=config["now"],
        config=PoolConfig(
            staging_config_id=str(config["staging_config_id"]),
            num_sessions=config["num_sessions"],
            expiration_h=config["expiration"],
            paused=config["paused"],
            deleted=config["deleted"] is not None,
            config_hash=fingerprint(image, zone, facts.staged_permissions(config), config["revision"]),
            failures=config["failures"],
            last_error=config["last_error"],
            next_try=config["next_try"],
            last_success=parts["last_success"],
        ),
        image=image,
        zone=zone,
        strategy=parts["zone"]["load_balancing_strategy"],
        sessions=tuple(_pooled(row) for row in sessions),
        agents=tuple(facts.agent_view(row) for row in agents),
    )


def _pooled(row: DictRow) -> PooledSession:
    return PooledSession(status=SessionStatus(row.pop("status")), **row)


async def _apply(
    ctx: PrimaryContext, connection: Connection, snapshot: PoolSnapshot, config: DictRow, made: PoolPlan
) -> list[str]:
    """Write the actions in the order of locks, capacity rows before sessions; returns the events to send."""
    agents: set[str] = set()
    sessions: list[str] = []
    for action in sorted(made.creates, key=lambda create: create.agent_id):
        new = _new_session(ctx, snapshot, config, action)
        if await insert_session(connection, new):
            agents.add(action.agent_id)
            sessions.append(new.session_id)
    places = {session.session_id: session.agent_id for session in snapshot.sessions}
    for action in sorted((a for a in made.actions if not isinstance(a, Create)), key=lambda a: a.session_id):
        end = retire if isinstance(action, Retire) else destroy_unassigned
        if await end(connection, action.session_id, action.reason):
            agents.add(places[action.session_id])
            sessions.append(action.session_id)
    return [f"agent:{agent_id}" for agent_id in agents] + [f"session:{session_id}" for session_id in sessions]


def _new_session(ctx: PrimaryContext, snapshot: PoolSnapshot, config: DictRow, create: Create) -> NewSession:
    session_id, credential = str(uuid.uuid4()), new_secret()
    permissions = facts.staged_permissions(config)
    spec = staged_spec(snapshot.image, snapshot.zone, permissions, session_id=session_id, credential=credential)
    stored: dict[str, Any] = asdict(spec)
    del stored["credential"]
    return NewSession(
        session_id=session_id,
        zone_id=snapshot.zone.zone_id,
        image_id=snapshot.image.image_id,
        agent_id=create.agent_id,
        spec=stored,
        credential_encrypted=ctx.secrets.encrypt(credential),
        spec_hash=spec.hash(),
        config_hash=snapshot.config.config_hash,
        cores=snapshot.image.cores,
        memory=snapshot.image.memory,
        ttl_s=snapshot.config.expiration_h * 3600,
        permissions=permissions,
        allow_origin=",".join(spec.allow_origin),
        upstream_auth=spec.upstream_auth,
        staging_config_id=snapshot.config.staging_config_id,
        term=ctx.fence.term,
    )


def _memory(made: PoolPlan) -> dict[str, Any]:
    return {
        "shortfall_code": made.shortfall.code if made.shortfall else None,
        "shortfall_reason": made.shortfall.reason if made.shortfall else None,
        "failures": made.failures,
        "last_error": made.last_error,
        "next_try": made.next_try,
    }


def _log(ctx: PrimaryContext, config: DictRow, snapshot: PoolSnapshot, made: PoolPlan) -> None:
    title = f"{snapshot.image.friendly_name} in zone {snapshot.zone.zone_name}"
    common: dict[str, Any] = {
        "zone_name": snapshot.zone.zone_name,
        "staging_config_id": snapshot.config.staging_config_id,
    }
    for action in made.actions:
        if isinstance(action, Create):
            ctx.logs.write("INFO", "staged-session-created", f"Staging {title}: {action.reason}", **common)
        else:
            failed = any(s.session_id == action.session_id and s.error for s in snapshot.sessions)
            level, code = ("ERROR", "staged-session-failed") if failed else ("INFO", "staged-session-ended")
            message = f"A staged session of {title} ends: {action.reason}"
            ctx.logs.write(level, code, message, session_id=action.session_id, **common)
    _log_shortfall(ctx, config["shortfall_code"], made.shortfall, title, common)


def _log_shortfall(
    ctx: PrimaryContext, before: str | None, now: Shortfall | None, title: str, common: dict[str, Any]
) -> None:
    """One row per change of the cause, not one per round; that sessions are starting is the usual way of things."""
    code = now.code if now is not None and now.code != "starting" else None
    was = before if before != "starting" else None
    if now is not None and code is not None and code != was:
        level = _LEVELS.get(code, "WARNING")
        ctx.logs.write(level, "staging-shortfall", f"{title}: {now.reason}", details={"code": code}, **common)
    elif code is None and was is not None:
        ctx.logs.write("INFO", "staging-recovered", f"{title}: it is no longer short ({was}).", **common)
