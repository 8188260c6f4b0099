"""What the api and the Managers may do in the database, where they have a role of their own (SERVICE_ROLE).

The owner's role makes and changes tables and is used by migrations alone; neither is a superuser. A database that
somebody else keeps may do without the second role: then there is nothing to grant.
"""

from __future__ import annotations

from typing import Final, LiteralString

import psycopg

OWNER_ROLE: Final = "greenroom"
SERVICE_ROLE: Final = "greenroom_service"

ROLES: Final[tuple[LiteralString, ...]] = ("CREATE ROLE greenroom LOGIN", "CREATE ROLE greenroom_service LOGIN")
"""Statements for a new cluster."""

_HAS_ROLE: Final = "SELECT FROM pg_roles WHERE rolname = 'greenroom_service'"

# The log is added to and grows old (db.retention); nothing rewrites it. Which migrations were applied is the owner's.
_GRANTS: Final[tuple[LiteralString, ...]] = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO greenroom_service",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO greenroom_service",
    "REVOKE UPDATE ON logs FROM greenroom_service",
    "REVOKE INSERT, UPDATE, DELETE ON schema_migrations FROM greenroom_service",
)


async def grant(connection: psycopg.AsyncConnection) -> None:
    """Give the service role what it needs of all tables there are now, and no more; nothing where there is none.

    Args:
        connection: of the owner, after migrations were applied.
    """
    async with connection.transaction():
        if await (await connection.execute(_HAS_ROLE)).fetchone() is None:
            return
        for statement in _GRANTS:
            await connection.execute(statement)


async def ensure_service_role(dsn: str) -> None:
    """Make the service role in a cluster of `up` that was made before there was one: its owner may, as it was then."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        if await (await connection.execute(_HAS_ROLE)).fetchone() is None:
            await connection.execute(ROLES[1])
