"""The Primary removes the records of Managers that left its zone long ago, where the installation wants it so."""

from __future__ import annotations

from greenroom.core.installation import installation_of
from greenroom.core.managers import ManagerRecord, Removal, departed
from greenroom.db import managers as sql
from greenroom.db.leases import hold
from greenroom.db.settings import stored_settings
from greenroom.manager.context import PrimaryContext
from greenroom.manager.news import News


async def run_records(ctx: PrimaryContext, news: News) -> None:
    """Remove what `core.managers.departed` names; a Manager that came back meanwhile stays.

    Raises:
        LeaseLost: the term ended meanwhile; nothing was written.
        Unavailable: the database cannot be reached.
    """
    keep_days = installation_of(await stored_settings(ctx.db)).manager_record_retention_days
    if ctx.quiet or keep_days == 0:
        return
    records = [ManagerRecord(**row) for row in await sql.read_records(ctx.db, ctx.zone_id)]
    for removal in departed(records, keep_days):
        if ctx.tasks.troubles.rests("records", removal.instance_id):
            continue
        async with ctx.tasks.apart("records", removal.instance_id):
            await _remove(ctx, removal, keep_days, news)


async def _remove(ctx: PrimaryContext, removal: Removal, keep_days: float, news: News) -> None:
    async with ctx.db.transaction() as connection:
        await sql.lock_zones(connection)  # comes before the lease in the order of locks, so not `guarded`
        await hold(connection, ctx.fence)
        removed = await sql.remove_record(connection, removal.manager_id, keep_days)
    if removed:
        news.log("INFO", "manager-removed", f"the record of {removal.instance_id} was removed: {removal.reason}")
