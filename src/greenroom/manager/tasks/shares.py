"""The Primary's task about shares of sessions: those whose time is over end, and who is in by them is cut off."""

from __future__ import annotations

from greenroom.core.log_codes import LogCode
from greenroom.db.fleet.leases import guarded
from greenroom.db.session.shares import end_expired, read_expired
from greenroom.manager.tasks.context import PrimaryContext


async def run_shares(ctx: PrimaryContext) -> None:
    """End the shares of the zone whose time is over."""
    if not await read_expired(ctx.db, ctx.zone_id):
        return
    async with guarded(ctx.db, ctx.fence) as connection:
        ended, events = await end_expired(connection, ctx.zone_id)
    for share in ended:
        sentence = f"the share {share.share_id} of session {share.session_id} is over: its time has passed"
        ctx.news.log(LogCode.SHARE_ENDED, sentence, session_id=share.session_id)
    ctx.news.add(*events)
