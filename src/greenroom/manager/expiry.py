"""End sessions whose time is over: those of users that nobody kept alive. Staged ones are the pool plan's business."""

from __future__ import annotations

from greenroom.db.expiry import delete_expired
from greenroom.db.leases import guarded
from greenroom.manager.context import PrimaryContext


async def run_expiry(ctx: PrimaryContext) -> None:
    """One round over the users' sessions of the zone.

    Raises:
        LeaseLost: the term is over; nothing was written.
        Unavailable: the database cannot be reached.
    """
    if ctx.quiet:
        return  # a keepalive may have been lost while nobody listened
    async with guarded(ctx.db, ctx.fence) as connection:
        ended = await delete_expired(connection, ctx.zone_id)
    for row in ended:
        ctx.logs.write(
            "INFO",
            "session-expired",
            f"The session of {row['username']} ends: {row['ended_reason']}",
            zone_name=ctx.zone_name,
            session_id=row["session_id"],
            user_id=row["user_id"],
            username=row["username"],
        )
    events = [f"session:{row['session_id']}" for row in ended] + [f"agent:{row['agent_id']}" for row in ended]
    if events:
        await ctx.db.notify(*events)
