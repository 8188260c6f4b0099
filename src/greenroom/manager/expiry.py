"""Delete, stop or pause users' sessions whose time is over. Staged ones are the pool plan's business."""

from __future__ import annotations

from typing import Any, Final

from greenroom.core.expiry import Expiry, ExpiryAction, Lived, plan, stored_clocks
from greenroom.core.states import SessionStatus
from greenroom.db import lifecycle as sql
from greenroom.db.database import Connection
from greenroom.db.leases import guarded
from greenroom.kit.stops import stop
from greenroom.manager.context import PrimaryContext

_ENDS: Final[dict[ExpiryAction, str]] = {"delete": "ends", "stop": "is stopped", "pause": "is paused"}


async def run_expiry(ctx: PrimaryContext) -> None:
    """One round over the users' sessions of the zone.

    Raises:
        LeaseLost: the term is over; nothing was written.
        Unavailable: the database cannot be reached.
    """
    looked_at = await sql.read_expiring(ctx.db, ctx.zone_id)
    if not _planned(looked_at, ctx):
        return
    await stop("primary.after_check")
    done: list[tuple[Expiry, dict[str, Any]]] = []
    async with guarded(ctx.db, ctx.fence) as connection:
        rows = await sql.lock_expiring(connection, ctx.zone_id, [row["session_id"] for row in looked_at])
        names = {row["session_id"]: row["username"] for row in rows}
        for expiry in _planned(rows, ctx):
            async with ctx.tasks.apart("expiry", expiry.session_id, within=connection):
                row = await _apply(connection, expiry)
                if row is not None:
                    done.append((expiry, row | {"username": names[expiry.session_id]}))
    for expiry, row in done:
        ctx.logs.write(
            "INFO",
            "session-expired",
            f"The session of {row['username']} {_ENDS[expiry.action]}: {expiry.reason}",
            zone_name=ctx.zone_name,
            session_id=row["session_id"],
            user_id=row["user_id"],
            username=row["username"],
            setting=expiry.setting,
        )
    events = [f"session:{row['session_id']}" for _, row in done] + [f"agent:{row['agent_id']}" for _, row in done]
    if events:
        await ctx.db.notify(*events)


def _planned(rows: list[dict[str, Any]], ctx: PrimaryContext) -> list[Expiry]:
    made = plan([_lived(row) for row in rows], rows[0]["now"], quiet=ctx.quiet) if rows else []
    return [expiry for expiry in made if not ctx.tasks.troubles.rests("expiry", expiry.session_id)]


async def _apply(connection: Connection, expiry: Expiry) -> dict[str, Any] | None:
    if expiry.action == "delete":
        return await sql.expire(connection, expiry.session_id, expiry.reason)
    return await sql.rest(connection, expiry.session_id, expiry.action, expiry.reason)


def _lived(row: dict[str, Any]) -> Lived:
    return Lived(
        session_id=row["session_id"],
        status=SessionStatus(row["status"]),
        expires=row["expires"],
        time_limit_ends=row["time_limit_ends"],
        clocks=stored_clocks(row["expiry"], row["keepalive_s"]),
    )
