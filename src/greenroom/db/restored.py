"""The first migration after a restore: sessions that may have been assigned to users after the backup end.

A staged session of a backup can have got a user after the backup. Its container then has data of this user, but the
restored row says that the session has no user. Such sessions must not be assigned again. A restored dump creates the
table `installation` again, so its oid, or the database, or the server differs from that of the last migration.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

from greenroom.core.session.states import SessionStatus, sources_of
from greenroom.db.session.transitions import CHANGE_TO

_PLACE: Final = (
    "(SELECT (SELECT system_identifier FROM pg_control_system()) || '.' ||"
    " (SELECT oid FROM pg_database WHERE datname = current_database()) || '.' || 'installation'::regclass::oid)"
)
_STORE: Final = "UPDATE installation SET stored_in = " + _PLACE + " WHERE stored_in IS DISTINCT FROM " + _PLACE
_IS_RESTORED: Final = "SELECT stored_in <> " + _PLACE + " FROM installation"
_END_STAGED: Final = (
    "UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ", retired = true, ended_reason ="
    " 'The database was restored from a backup, so a user may have used this staged session.'"
    " WHERE user_id IS NULL AND assigned IS NULL AND staging_config_id IS NOT NULL AND NOT retired"
    " AND status = ANY(%(deletable)s)"
)


async def end_staged_sessions_of_backup(connection: psycopg.AsyncConnection[Any]) -> None:
    """End the staged sessions if the database was restored from a dump since the last call. The caller has applied the
    migrations; `connection` has no transaction."""
    async with connection.transaction():
        row = await (await connection.execute(_IS_RESTORED)).fetchone()
        if row is not None and row[0]:
            await connection.execute(_END_STAGED, {"deletable": sorted(map(str, sources_of(SessionStatus.DELETING)))})
        await connection.execute(_STORE)
