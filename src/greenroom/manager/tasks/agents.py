"""The Primary's tasks about Agents: mark Agents as running, missing or dead, and their sessions as lost; update the
offers of Agents, and correct their reserved cores and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet import liveness as core_liveness
from greenroom.core.fleet.liveness import AgentTransition, FleetTimings, SessionsLost, corrections
from greenroom.core.log_codes import LogCode
from greenroom.core.session.states import SessionStatus
from greenroom.db.database import Connection
from greenroom.db.fleet import liveness as db_liveness
from greenroom.db.fleet.leadership import guarded
from greenroom.db.session.lifecycle import start_return_deadlines
from greenroom.db.session.sessions import end_sessions
from greenroom.db.session.transitions import ChangedSession
from greenroom.kit.stops import hold_if_armed
from greenroom.manager.tasks.context import PrimaryContext

MAX_MARKED_TOGETHER: Final = 200
SEVERAL_AGENTS: Final = "several Agents"
"""The item under which a failure is recorded if many Agents cannot be marked as running in one transaction. Each Agent
is then marked in its own transaction."""


async def run_agents(ctx: PrimaryContext) -> None:
    """Change the statuses of Agents and of their sessions, according to the last check-ins."""
    agents = await db_liveness.read_agents(ctx.db, ctx.zone_id, ctx.config.agent_missing_s)
    names = {agent.agent_id: agent.hostname or agent.agent_id for agent in agents}
    timings = FleetTimings(
        missing_s=ctx.config.agent_missing_s, lost_s=ctx.config.session_lost_s, dead_s=ctx.config.agent_dead_s
    )
    plan = core_liveness.plan(agents, timings, quiet=ctx.quiet, lateness=ctx.lateness)
    if plan:
        await hold_if_armed("primary.after_check")
    failures = ctx.tasks.failures
    due = [action for action in plan if not failures.in_backoff("agents", action.agent_id)]
    await _mark_running(
        ctx, [action for action in due if isinstance(action, AgentTransition) and action.to == "running"], names
    )
    for action in due:
        if isinstance(action, AgentTransition) and action.to == "running":
            continue
        async with ctx.tasks.isolated("agents", action.agent_id):
            if isinstance(action, SessionsLost):
                await _mark_lost(ctx, action)
            else:
                await _apply_transition(ctx, action, names[action.agent_id])
    await _end_sessions_of_dead_agents(ctx)


_LOG_CODE_OF_STATUS: Final = {
    "running": LogCode.AGENT_RUNNING,
    "missing": LogCode.AGENT_MISSING,
    "dead": LogCode.AGENT_DEAD,
}


async def _mark_running(ctx: PrimaryContext, actions: Sequence[AgentTransition], names: Mapping[str, str]) -> None:
    """Mark Agents as running, many in one transaction: after an outage, thousands report at the same time."""
    group_size = 1 if ctx.tasks.failures.in_backoff("agents", SEVERAL_AGENTS) else MAX_MARKED_TOGETHER
    for group in (actions[i : i + group_size] for i in range(0, len(actions), group_size)):
        async with ctx.tasks.isolated("agents", group[0].agent_id if len(group) == 1 else SEVERAL_AGENTS):
            async with guarded(ctx.db, ctx.fence) as connection:
                await hold_if_armed("primary.in_guard")
                marked = await db_liveness.mark_running(
                    connection, {action.agent_id: action.before for action in group}
                )
                await start_return_deadlines(connection, sorted(marked))
            for action in group:
                if action.agent_id in marked:
                    _announce(ctx, action, names[action.agent_id])


async def _apply_transition(ctx: PrimaryContext, action: AgentTransition, name: str) -> None:
    async with guarded(ctx.db, ctx.fence) as connection:
        await hold_if_armed("primary.in_guard")
        rows = await _mark_missing_or_dead(ctx, connection, action, name)
    if rows is None:
        return
    _announce(ctx, action, name)
    for row in rows:
        ctx.events.status_changed(row, f"its Agent {name} is {action.to}")


def _announce(ctx: PrimaryContext, action: AgentTransition, name: str) -> None:
    ctx.events.log(_LOG_CODE_OF_STATUS[action.to], f"Agent {name} is {action.to}: {action.reason}")
    ctx.events.add(ChangeEvent(Topic.AGENTS), ChangeEvent.agent(action.agent_id))


async def _mark_missing_or_dead(
    ctx: PrimaryContext, connection: Connection, action: AgentTransition, name: str
) -> list[ChangedSession] | None:
    """Mark the Agent as missing or dead; return its changed sessions, or None if it has checked in since."""
    if action.to == "missing":
        return await db_liveness.mark_missing(connection, action.agent_id, ctx.config.agent_missing_s)
    if not await db_liveness.mark_dead(connection, action.agent_id, ctx.config.agent_dead_s):
        return None
    return await db_liveness.delete_sessions_of(connection, action.agent_id, f"Agent {name} is dead: {action.reason}")


async def _mark_lost(ctx: PrimaryContext, action: SessionsLost) -> None:
    async with guarded(ctx.db, ctx.fence) as connection:
        rows = await db_liveness.mark_lost(connection, action.agent_id, action.reason)
    for row in rows:
        ctx.events.status_changed(row, action.reason)


async def _end_sessions_of_dead_agents(ctx: PrimaryContext) -> None:
    """End the sessions of dead Agents without a confirmation by an Agent. If the Agent returns with a container, the
    verdict on the container is `destroy`."""
    session_ids = await db_liveness.read_ending_on_dead_agents(ctx.db, ctx.zone_id)
    if not session_ids:
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        ended = await end_sessions(connection, session_ids, "its Agent is dead")
    for session_id in ended:
        ctx.events.status_changed(
            ChangedSession(session_id=session_id, status=SessionStatus.DELETED), "its Agent is dead"
        )


async def run_offers(ctx: PrimaryContext) -> None:
    """Update the offer of each Agent: the cores and the memory that sessions can reserve. The offer depends on the
    report of the Agent and on overrides by administrators."""
    offers = await db_liveness.changed_offers(ctx.db, ctx.zone_id, ctx.config.cpu_overcommit)
    if not offers:
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        await db_liveness.write_offers(connection, offers)
    for offer in offers:
        before, after = (offer.cores_before, offer.memory_before), (offer.cores, offer.memory)
        ctx.events.log(LogCode.AGENT_OFFER_CHANGED, core_liveness.offer_change_text(offer.hostname, before, after))
    ctx.events.add(ChangeEvent(Topic.AGENTS))


async def run_allocation_corrections(ctx: PrimaryContext) -> None:
    """Correct the reserved cores and memory of Agents that differ from the sum over their sessions. The rows are read
    without a lock, and read again under the lock before the correction."""
    suspects = corrections(await db_liveness.read_differing_allocations(ctx.db, ctx.zone_id))
    if not suspects:
        return
    await hold_if_armed("primary.after_check")
    async with guarded(ctx.db, ctx.fence) as connection:
        await hold_if_armed("primary.in_guard")
        allocations = await db_liveness.lock_allocations(connection, ctx.zone_id, [c.agent_id for c in suspects])
        confirmed = corrections(allocations)
        for correction in confirmed:
            await db_liveness.correct_allocation(connection, correction.agent_id, correction.cores, correction.memory)
    for correction in confirmed:
        ctx.events.log(LogCode.CAPACITY_CORRECTED, correction.reason)
        ctx.events.add(ChangeEvent(Topic.AGENTS))
