"""Keeps every pool of the zone at its desired number of sessions: locks the config, counts the sessions in the next
statement, plans, and writes the plan (docs/explanation/protocols.md §3).

`core.pool.agenda` selects the pools to read. They are read without locks, by the same few statements for any number of
pools. A pool that needs a change is planned again in the transaction that locks the row of its config. Two Primaries,
or a Primary and an administrator, therefore never act on the same count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from greenroom.core.errors import Invalid
from greenroom.core.events import ChangeEvent, Topic, session_events
from greenroom.core.launch.eviction import waiting_for_room_text
from greenroom.core.log_codes import Level, LogCode
from greenroom.core.pool.agenda import MAX_PLANS, plan_valid_until
from greenroom.core.pool.model import (
    ConfigFields,
    Create,
    PoolConfig,
    PoolPlan,
    PoolSnapshot,
    Retire,
    Shortfall,
    config_title,
)
from greenroom.core.pool.plan import MAX_CREATES, plan
from greenroom.core.pool.shortfalls import is_expected
from greenroom.core.workspace.spec_builder import config_hash_of, staged_spec
from greenroom.db.database import Connection
from greenroom.db.fleet.leadership import lock_leadership
from greenroom.db.pool import snapshots
from greenroom.db.pool.snapshots import AgentsByImage, ConfigToPlan, PoolRows, StoredPlanState
from greenroom.db.rows import values_of
from greenroom.db.session.sessions import NewSession, StagingDetails, destroy_unassigned, insert_staged, retire
from greenroom.kit.clock import boottime_s
from greenroom.kit.stops import hold_if_armed
from greenroom.manager.tasks.context import PrimaryContext
from greenroom.sessions.launch import new_session


def snapshot_of(config: ConfigToPlan, rows: PoolRows) -> PoolSnapshot:
    """Return the snapshot of one pool from its config and its rows. `rows` may also contain the rows of other pools.
    Raises GreenroomError: no container can be created from the workspace."""
    config_id = config.staging_config_id
    image = rows.images.get(config.image_id)
    if image is None:
        raise Invalid(f"The row of the workspace {config.image_id} cannot be read; see the Manager's log.")
    config_hash = config_hash_of(image, rows.zone, config.permissions)

    def is_outdated(failed: datetime) -> bool:
        """True if the pool was recycled, or its workspace changed, after a failure at this time."""
        return config.recycled is not None and failed < config.recycled

    return PoolSnapshot(
        now=config.now,
        config=PoolConfig(
            **values_of(ConfigFields, config),
            staging_config_id=config_id,
            deleted=config.deleted is not None,
            config_hash=config_hash,
            failures=config.plan_state.failures,
            last_error=config.plan_state.last_error,
            next_try=config.plan_state.next_try,
            last_success=rows.last_successes.get(config_id),
            recycled=config.recycled,
            broken=tuple(
                broken
                for broken in rows.broken.get(config_id, ())
                if broken.config_hash == config_hash and not is_outdated(broken.broke)
            ),
        ),
        image=image,
        zone=rows.zone,
        strategy=rows.strategy,
        sessions=tuple(rows.sessions.get(config_id, ())),
        agents=rows.agents[config.image_id],
        failed_agent_ids=frozenset(
            failed.agent_id
            for failed in rows.failed_on.get(config_id, ())
            if failed.config_hash == config_hash and not is_outdated(failed.created)
        ),
        ending=rows.leaving.get(config_id, 0),
        waiting_users_text=waiting_for_room_text(rows.num_waiting_users, rows.zone.zone_name),
    )


_LEVELS: Final[dict[str, Level]] = {
    "paused": "INFO",
    "image-unavailable": "ERROR",
    "start-failing": "ERROR",
}
"""Code of a shortfall → the level of its log row, if it is not the usual level."""


async def run_due_pools(ctx: PrimaryContext) -> None:
    """Plan the pools that are due. A pool that cannot be filled does not stop the plans of other pools.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    ctx.agenda.begin(ctx.fence.term)
    if ctx.agenda.needs_list(boottime_s()):
        ctx.agenda.set_list(await snapshots.read_checksums(ctx.db, ctx.zone_id), boottime_s())
    if due := ctx.agenda.due(boottime_s()):
        await examine_pools(ctx, due)


async def examine_pools(ctx: PrimaryContext, due: Sequence[str] | None = None) -> None:
    """Read the pools `due` of the zone (None = all). Plan the first `MAX_PLANS` of them that need a change.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    version = ctx.agenda.version
    async with ctx.db.connection() as connection, connection.pipeline():
        configs = await snapshots.find_configs_to_plan(connection, ctx.zone_id, due)
        for staging_config_id in set(due or ()) - {config.staging_config_id for config in configs}:
            ctx.agenda.remove(staging_config_id)
        if not configs:
            return
        agents = await _read_agents(ctx, connection, {config.image_id for config in configs})
        rows = await snapshots.read_pools(connection, ctx.zone_id, configs, agents)
    if due is not None:
        position = {staging_config_id: number for number, staging_config_id in enumerate(due)}
        configs.sort(key=lambda config: position[config.staging_config_id])
    planned = 0
    for config in configs:
        if planned >= MAX_PLANS:
            break
        staging_config_id = config.staging_config_id
        ctx.agenda.record_turn(staging_config_id, boottime_s())
        if ctx.tasks.failures.in_backoff("pools", staging_config_id):
            continue
        async with ctx.tasks.isolated("pools", staging_config_id):
            snapshot = snapshot_of(config, rows)
            pool_plan = plan(snapshot)
            _update_agenda(ctx, snapshot, pool_plan, version)
            if pool_plan.actions or _has_changed(config, pool_plan):
                planned += 1
                await plan_pool(ctx, staging_config_id)
        await asyncio.sleep(0)  # many plans in a row must not delay Agents


async def _read_agents(ctx: PrimaryContext, connection: Connection, image_ids: Collection[str]) -> AgentsByImage:
    now_s = boottime_s()
    agent_rows = await snapshots.read_agents(connection, ctx.zone_id, image_ids)
    for image_id, agents in agent_rows.items():
        ctx.agenda.agents.store(image_id, agents, now_s)
    return agent_rows


def _update_agenda(ctx: PrimaryContext, snapshot: PoolSnapshot, pool_plan: PoolPlan, version: int) -> None:
    until = plan_valid_until(snapshot, pool_plan)
    valid_s = None if until is None else (until - snapshot.now).total_seconds()
    ctx.agenda.mark_planned(
        snapshot.config.staging_config_id,
        version=version,
        now_s=boottime_s(),
        valid_s=valid_s,
        had_no_actions=until is None and not pool_plan.actions,
    )


async def plan_pools(ctx: PrimaryContext, staging_config_ids: Iterable[str]) -> None:
    """Plan these pools, because they have changed, and write the plans; pools of other zones are skipped.

    Raises:
        LeaseLost: the term is over; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    for staging_config_id in staging_config_ids:
        if not ctx.tasks.failures.in_backoff("pools", staging_config_id):
            async with ctx.tasks.isolated("pools", staging_config_id):
                await plan_pool(ctx, staging_config_id)


async def plan_pool(ctx: PrimaryContext, staging_config_id: str) -> PoolPlan | None:
    """Plan one pool and write the plan. Return the plan, or None if the zone has no such config. Raises LeaseLost: the
    term is over; nothing was written."""
    version, events = ctx.agenda.version, set[ChangeEvent]()
    async with ctx.db.pipelined(events) as connection:
        await lock_leadership(connection, ctx.fence)
        config = await snapshots.lock_pool(connection, ctx.zone_id, staging_config_id)
        if config is None:
            ctx.agenda.remove(staging_config_id)
            return None
        known = ctx.agenda.agents.of(config.image_id, boottime_s())
        agents = {config.image_id: known} if known else await _read_agents(ctx, connection, {config.image_id})
        snapshot = snapshot_of(config, await snapshots.read_pools(connection, ctx.zone_id, [config], agents))
        await hold_if_armed("pool.after_count")
        pool_plan = plan(snapshot)
        events |= await _apply(ctx, connection, snapshot, config, pool_plan)
        await snapshots.store_plan_state(connection, staging_config_id, _plan_state(pool_plan))
        if events or _has_changed(config, pool_plan):
            # Both events make pages read again. Only the event that names the pool makes the Primary plan it again.
            events.add(
                ChangeEvent.staging(staging_config_id) if _has_more_to_do(pool_plan) else ChangeEvent(Topic.STAGING)
            )
    _update_agenda(ctx, snapshot, pool_plan, version)
    ctx.agenda.agents.reserve(snapshot.image, pool_plan.creates)
    _log(ctx, config, snapshot, pool_plan)
    return pool_plan


def _has_changed(config: ConfigToPlan, pool_plan: PoolPlan) -> bool:
    return config.plan_state != _plan_state(pool_plan)


def _has_more_to_do(pool_plan: PoolPlan) -> bool:
    """Return True if the next plan may have actions immediately: this plan reached the limit of creations, or ended
    sessions. Otherwise the Primary first waits for the outcome of the creations."""
    return len(pool_plan.creates) == MAX_CREATES or len(pool_plan.creates) < len(pool_plan.actions)


async def _apply(
    ctx: PrimaryContext, connection: Connection, snapshot: PoolSnapshot, config: ConfigToPlan, pool_plan: PoolPlan
) -> set[ChangeEvent]:
    """Write the actions in the lock order, capacity rows before sessions; returns the events to send."""
    events: set[ChangeEvent] = set()
    creates = sorted(pool_plan.creates, key=lambda create: create.agent_id)
    new = [_new_session(ctx, snapshot, config, action) for action in creates]
    for session, inserted in zip(new, await insert_staged(connection, new), strict=True):
        if inserted:
            events |= session_events(session.session_id, agent_id=session.agent_id)
        else:
            ctx.agenda.agents.forget()
    agent_of = {session.session_id: session.agent_id for session in snapshot.sessions}
    for action in sorted((a for a in pool_plan.actions if not isinstance(a, Create)), key=lambda a: a.session_id):
        end = retire if isinstance(action, Retire) else destroy_unassigned
        if await end(connection, action.session_id, action.reason):
            events |= session_events(action.session_id, agent_id=agent_of[action.session_id])
    return events


def _new_session(ctx: PrimaryContext, snapshot: PoolSnapshot, config: ConfigToPlan, create: Create) -> NewSession:
    return new_session(
        ctx.secrets,
        partial(staged_spec, snapshot.image, snapshot.zone, config.permissions),
        zone_id=snapshot.zone.zone_id,
        agent_id=create.agent_id,
        memory=snapshot.image.memory,
        permissions=config.permissions,
        staged=StagingDetails(
            staging_config_id=snapshot.config.staging_config_id,
            config_hash=snapshot.config.config_hash,
            ttl_s=snapshot.config.expiration * 3600,
            replaces=create.replaces,
        ),
        term=ctx.fence.term,
    )


def _plan_state(pool_plan: PoolPlan) -> StoredPlanState:
    return StoredPlanState(
        shortfall_code=pool_plan.shortfall.code if pool_plan.shortfall else None,
        shortfall_reason=pool_plan.shortfall.reason if pool_plan.shortfall else None,
        refill_code=pool_plan.refill_problem.code if pool_plan.refill_problem else None,
        refill_reason=pool_plan.refill_problem.reason if pool_plan.refill_problem else None,
        failures=pool_plan.failures,
        last_error=pool_plan.last_error,
        next_try=pool_plan.next_try,
    )


def _log(ctx: PrimaryContext, config: ConfigToPlan, snapshot: PoolSnapshot, pool_plan: PoolPlan) -> None:
    names = snapshot.image.friendly_name, snapshot.zone.zone_name
    title = config_title(*names, config.staging_config_id)
    write = partial(ctx.logs.write, staging_config_id=config.staging_config_id)
    for action in pool_plan.actions:
        if isinstance(action, Create):
            write(LogCode.STAGED_SESSION_CREATED, f"Staging {title}: {action.reason}")
        else:
            failed = any(s.session_id == action.session_id and s.error and not s.was_usable for s in snapshot.sessions)
            code = LogCode.STAGED_SESSION_FAILED if failed else LogCode.STAGED_SESSION_ENDED
            write(code, f"A staged session of {title} ends: {action.reason}", session_id=action.session_id)
    _log_shortfall(write, config.plan_state.shortfall_code, pool_plan.shortfall, title)
    problem = pool_plan.refill_problem
    if problem is not None and problem.code != config.plan_state.refill_code:
        level: Level | None = "INFO" if is_expected(problem) else None
        write(LogCode.STAGING_REFILL_BLOCKED, f"{title}: {problem.reason}", level=level, details={"code": problem.code})


def _log_shortfall(write: Callable[..., None], before: str | None, now: Shortfall | None, title: str) -> None:
    """Write a log row if the code of the shortfall has changed. A pool whose sessions are starting has no shortfall."""
    code = now.code if now is not None and now.code != "starting" else None
    previous = before if before != "starting" else None
    if now is not None and code is not None and code != previous:
        details = {"code": code}
        write(LogCode.STAGING_SHORTFALL, f"{title}: {now.reason}", level=_LEVELS.get(code), details=details)
    elif code is None and previous is not None:
        state = "is full" if now is None else "is being filled"
        write(LogCode.STAGING_RECOVERED, f"{title}: the pool {state} again; the shortfall {previous} has ended.")
