"""When a hand-over failed, the user gets the next session: another staged one, else one made for him.

The reply to the launch was given long ago and names the first session; the successor has the launch's token and
idempotency key, and `superseded_by` leads everybody to it (PROTOCOLS §3).
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import structlog
from psycopg import Rollback
from psycopg.rows import DictRow

from greenroom.core.errors import Invalid
from greenroom.core.placement import PlacementRequest, Strategy, place
from greenroom.core.specs import ImageFacts, ZoneFacts, fingerprint, staged_spec
from greenroom.db import facts, staging_configs, successors
from greenroom.db.database import Connection
from greenroom.db.leases import guarded
from greenroom.db.sessions import NewSession, insert_session
from greenroom.kit.secrets import new_secret
from greenroom.manager.context import PrimaryContext

log = structlog.get_logger(__name__)

MOST_TRIED: Final = 4
"""Sessions tried for one launch; then it has failed, and the reason is on the last one."""
NO_LIMIT: Final = 1_000_000
"""The limit of the user was checked at the launch; a successor is no further session."""


async def run_successors(ctx: PrimaryContext) -> None:
    """One round over the failed hand-overs of the zone.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    for failed in await successors.read_failed_handovers(ctx.db, ctx.zone_id):
        found = await _successor(ctx, failed) if failed["tried"] < MOST_TRIED else None
        async with guarded(ctx.db, ctx.fence) as connection:
            if found is None:
                await successors.give_up(connection, failed["session_id"])
            gone = await successors.destroy_oldest_set_aside(connection, failed["staging_config_id"])
        await _tell(ctx, failed, found, gone)


async def _successor(ctx: PrimaryContext, failed: DictRow) -> dict[str, Any] | None:
    try:
        return await _another_staged(ctx, failed) or await _made_for_him(ctx, failed)
    except Invalid as error:  # of this workspace no container can be made any more; the others' users wait too
        log.error("a successor cannot be made", session_id=failed["session_id"], reason=error.message)
        return None


@dataclass(frozen=True, slots=True)
class _Pool:
    """The config the failed session came from."""

    image: ImageFacts
    zone: ZoneFacts
    strategy: Strategy
    permissions: dict[str, bool]
    config_hash: str


async def _another_staged(ctx: PrimaryContext, failed: DictRow) -> dict[str, Any] | None:
    """The next staged session: session_id, agent_id, `staged`; None where the pool has none."""
    async with guarded(ctx.db, ctx.fence) as connection:
        await successors.lock_user(connection, failed["user_id"])
        pool = await _pool(connection, failed)
        async with connection.transaction() as attempt:
            old = await successors.set_aside(connection, failed["session_id"])
            row = None
            if old is not None and pool is not None:
                row = await successors.claim_next(
                    connection, old, config_hash=pool.config_hash, assignment_id=str(uuid.uuid4())
                )
            if old is None or row is None:
                raise Rollback(attempt)
            found: dict[str, Any] = {**row, "staged": True}
            await successors.supersede(connection, old, found["session_id"], _step(ctx, old, found))
            return found
    return None


async def _made_for_him(ctx: PrimaryContext, failed: DictRow) -> dict[str, Any] | None:
    """A new session, other Agents first: session_id, agent_id, `staged`; None where there is no room.

    What excludes staging was not in force for this user, so a container like a staged one is what he would have got.
    """
    async with guarded(ctx.db, ctx.fence) as connection:
        await successors.lock_user(connection, failed["user_id"])
        pool = await _pool(connection, failed)
        if pool is None:
            return None
        async with connection.transaction() as attempt:
            found = await _insert(ctx, connection, failed, pool)
            old = await successors.set_aside(connection, failed["session_id"]) if found else None
            if found is None or old is None:
                raise Rollback(attempt)
            await successors.supersede(connection, old, found["session_id"], _step(ctx, old, found))
            return found
    return None


async def _pool(connection: Connection, failed: DictRow) -> _Pool | None:
    config = await staging_configs.look_at_pool(connection, failed["staging_config_id"])
    if config is None:
        return None
    parts = await staging_configs.read_pool(connection, config)
    image, zone = facts.image_facts(parts["image"]), facts.zone_facts(parts["zone"])
    permissions = facts.staged_permissions(config)
    return _Pool(
        image=image,
        zone=zone,
        strategy=parts["zone"]["load_balancing_strategy"],
        permissions=permissions,
        config_hash=fingerprint(image, zone, permissions, config["revision"]),
    )


async def _insert(ctx: PrimaryContext, connection: Connection, failed: DictRow, pool: _Pool) -> dict[str, Any] | None:
    image, zone = pool.image, pool.zone
    rows = await staging_configs.read_pool_agents(connection, zone.zone_id, image.name)
    wanted = PlacementRequest(
        image=image.name, cores=image.cores, memory=image.memory, only_agent_id=image.only_agent_id
    )
    candidates = place([facts.agent_view(row) for row in rows], wanted, pool.strategy).candidates
    for agent in sorted(candidates, key=lambda a: a.agent_id == failed["agent_id"]):
        new = _new_session(ctx, failed, pool, agent.agent_id)
        if await insert_session(connection, new, max_sessions=NO_LIMIT):
            return {"session_id": new.session_id, "agent_id": agent.agent_id, "staged": False}
    return None


def _new_session(ctx: PrimaryContext, failed: DictRow, pool: _Pool, agent_id: str) -> NewSession:
    session_id, credential = str(uuid.uuid4()), new_secret()
    spec = staged_spec(pool.image, pool.zone, pool.permissions, session_id=session_id, credential=credential)
    if failed["kasm_url"]:
        spec = replace(spec, environment={**spec.environment, "KASM_URL": failed["kasm_url"]})
    return NewSession(
        session_id=session_id,
        zone_id=pool.zone.zone_id,
        image_id=pool.image.image_id,
        agent_id=agent_id,
        spec={name: value for name, value in asdict(spec).items() if name != "credential"},
        credential_encrypted=ctx.secrets.encrypt(credential),
        spec_hash=spec.hash(),
        cores=pool.image.cores,
        memory=pool.image.memory,
        ttl_s=failed["keepalive_s"],
        permissions=pool.permissions,
        allow_origin=",".join(spec.allow_origin),
        upstream_auth=spec.upstream_auth,
        term=ctx.fence.term,
        user_id=failed["user_id"],
        launch_id=failed["launch_id"],
        kasm_url=failed["kasm_url"],
        client_settings=failed["client_settings"],
    )


def _step(ctx: PrimaryContext, old: DictRow, found: dict[str, Any]) -> dict[str, Any]:
    got = "the next staged session was assigned" if found["staged"] else "a new session was created"
    return {
        "order": old["tried"] + 1,
        "step": "staged_here" if found["staged"] else "on_demand_here",
        "zone_name": ctx.zone_name,
        "candidate": old["staging_config_id"] if found["staged"] else found["agent_id"],
        "used": True,
        "code": None,
        "reason": f"Session {old['session_id']} was set aside ({old['set_aside_reason'].rstrip('.')}); {got}.",
        "setting": None,
    }


async def _tell(ctx: PrimaryContext, old: DictRow, found: dict[str, Any] | None, gone: list[DictRow]) -> None:
    events = [f"session:{old['session_id']}", f"staging:{old['staging_config_id']}", f"agent:{old['agent_id']}"]
    if found is not None:
        events += [f"session:{found['session_id']}", f"agent:{found['agent_id']}"]
    for row in gone:
        events += [f"session:{row['session_id']}", f"agent:{row['agent_id']}"]
    await ctx.db.notify(*events)
    outcome = f"{old['username']} gets session {found['session_id']} in its place" if found else "there is no other one"
    ctx.logs.write(
        "WARNING" if found else "ERROR",
        "session-set-aside",
        f"Session {old['session_id']} was set aside: {old['set_aside_reason'].rstrip('.')}; {outcome}.",
        zone_name=ctx.zone_name,
        session_id=old["session_id"],
        user_id=old["user_id"],
        username=old["username"],
        staging_config_id=old["staging_config_id"],
    )
