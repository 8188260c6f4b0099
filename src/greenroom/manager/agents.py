"""The Primary's tasks about Agents: promote, mark missing, lost, dead, bring back; keep their counts right."""

from __future__ import annotations

from typing import Any

from greenroom.core import fleet
from greenroom.core.fleet import AgentMove, AgentReport, Allocation, FleetTimings, SessionsLost
from greenroom.db import fleet as sql
from greenroom.db.database import Connection
from greenroom.db.leases import guarded
from greenroom.db.lifecycle import await_return
from greenroom.db.sessions import end_sessions
from greenroom.kit.stops import stop
from greenroom.manager.context import PrimaryContext
from greenroom.manager.news import News


async def run_agents(ctx: PrimaryContext, news: News) -> None:
    """Draw the conclusions from what was heard of Agents."""
    agents = [AgentReport(**row) for row in await sql.read_agents(ctx.db, ctx.zone_id)]
    names = {agent.agent_id: agent.hostname or agent.agent_id for agent in agents}
    timings = FleetTimings(
        missing_s=ctx.config.agent_missing_s, lost_s=ctx.config.session_lost_s, dead_s=ctx.config.agent_dead_s
    )
    plan = fleet.plan(agents, timings, quiet=ctx.quiet)
    if plan:
        await stop("primary.after_check")
    for action in plan:
        if ctx.tasks.troubles.rests("agents", action.agent_id):
            continue
        async with ctx.tasks.apart("agents", action.agent_id):
            if isinstance(action, SessionsLost):
                await _lose(ctx, action, news)
            else:
                await _move(ctx, action, names[action.agent_id], news)
    await _end_of_dead(ctx, news)


async def _move(ctx: PrimaryContext, action: AgentMove, name: str, news: News) -> None:
    async with guarded(ctx.db, ctx.fence) as connection:
        await stop("primary.in_guard")
        rows = await _moved(ctx, connection, action, name)
    if rows is None:
        return
    level = "INFO" if action.to == "running" else "WARNING"
    news.log(level, f"agent-{action.to}", f"Agent {name} is {action.to}: {action.reason}")
    news.add("agents:", f"agent:{action.agent_id}")
    for row in rows:
        news.moved(row, f"its Agent {name} is {action.to}")


async def _moved(
    ctx: PrimaryContext, connection: Connection, action: AgentMove, name: str
) -> list[dict[str, Any]] | None:
    """The sessions that changed with the Agent; None where it does not change, because it was heard meanwhile."""
    if action.to == "missing":
        return await sql.mark_missing(connection, action.agent_id, ctx.config.agent_missing_s)
    if action.to == "dead":
        if not await sql.mark_dead(connection, action.agent_id, ctx.config.agent_dead_s):
            return None
        return await sql.delete_sessions_of(connection, action.agent_id, f"Agent {name} is dead: {action.reason}")
    if not await sql.set_agent_status(connection, action.agent_id, action.before, action.to):
        return None
    if action.before != "pending":
        await await_return(connection, action.agent_id)
    return []


async def _lose(ctx: PrimaryContext, action: SessionsLost, news: News) -> None:
    async with guarded(ctx.db, ctx.fence) as connection:
        rows = await sql.mark_lost(connection, action.agent_id, action.reason)
    for row in rows:
        news.moved(row, action.reason, "WARNING")


async def _end_of_dead(ctx: PrimaryContext, news: News) -> None:
    """Nobody will confirm these any more; a container that returns with its Agent gets the verdict destroy."""
    session_ids = await sql.read_endable_of_dead(ctx.db, ctx.zone_id)
    if not session_ids:
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        ended = await end_sessions(connection, session_ids, "its Agent is dead")
    for session_id in ended:
        news.moved({"session_id": session_id, "status": "deleted"}, "its Agent is dead")


async def run_offers(ctx: PrimaryContext, news: News) -> None:
    """Make what Agents offer follow what they report and what administrators override."""
    offers = await sql.changed_offers(ctx.db, ctx.zone_id, ctx.config.cpu_overcommit)
    if not offers:
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        for offer in offers:
            await sql.write_offer(connection, offer)
    for offer in offers:
        before, after = (offer["cores_before"], offer["memory_before"]), (offer["cores"], offer["memory"])
        news.log("INFO", "agent-offer-changed", fleet.offer_change(offer["hostname"], before, after))
    news.add("agents:")


async def run_reconcile(ctx: PrimaryContext, news: News) -> None:
    """Make what is counted as reserved agree with the sessions; looked at without lock, corrected under it."""
    suspects = _corrections(await sql.read_allocations(ctx.db, ctx.zone_id))
    if not suspects:
        return
    await stop("primary.after_check")
    async with guarded(ctx.db, ctx.fence) as connection:
        await stop("primary.in_guard")
        rows = await sql.lock_allocations(connection, ctx.zone_id, [c.agent_id for c in suspects])
        wrong = _corrections(rows)
        for correction in wrong:
            await sql.correct_allocation(connection, correction.agent_id, correction.cores, correction.memory)
    for correction in wrong:
        news.log("WARNING", "capacity-corrected", correction.reason)
        news.add("agents:")


def _corrections(rows: list[dict[str, Any]]) -> list[fleet.Correction]:
    return fleet.corrections(Allocation(**row) for row in rows)
