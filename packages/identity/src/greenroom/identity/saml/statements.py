"""The SQL of SAML: assertions, of which each can be used once in all processes of the api, and rights over users."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from greenroom.db.database import Connection, Database

CODE_VALID_S: Final = 60.0
"""The time for which an answer waits until the browser brings its code."""


async def insert_assertion(
    db: Database,
    issuer: str,
    assertion_id: str,
    expires: datetime,
    *,
    code_hash: bytes | None = None,
    answer_encrypted: bytes | None = None,
) -> bool:
    """Store the id of an assertion or log-out request, and the answer of an assertion; delete expired ones. Return
    False if the message was used before."""
    await db.write("DELETE FROM saml_assertions WHERE expires < now()")
    rows = await db.write(
        "INSERT INTO saml_assertions (issuer, assertion_id, expires, code_hash, answer_encrypted)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (issuer, assertion_id) DO NOTHING RETURNING assertion_id",
        (issuer, assertion_id, expires, code_hash, answer_encrypted),
    )
    return bool(rows)


async def take_answer(db: Database, issuer: str, code_hash: bytes) -> bytes | None:
    """Return the encrypted answer with this code, and delete it. None = there is none, or it waited too long."""
    rows = await db.write(
        "WITH taken AS (SELECT assertion_id, answer_encrypted FROM saml_assertions WHERE issuer = %(issuer)s"
        "  AND code_hash = %(code_hash)s AND created > now() - make_interval(secs => %(valid_s)s) FOR UPDATE)"
        " UPDATE saml_assertions a SET code_hash = NULL, answer_encrypted = NULL FROM taken"
        " WHERE a.issuer = %(issuer)s AND a.assertion_id = taken.assertion_id RETURNING taken.answer_encrypted",
        {"issuer": issuer, "code_hash": code_hash, "valid_s": CODE_VALID_S},
    )
    return bytes(rows[0]["answer_encrypted"]) if rows else None


async def permissions_at_issuer(db: Database, issuer: str) -> list[str]:
    """Return the permissions of all users with an identity at this issuer."""
    rows = await db.fetch(
        "SELECT DISTINCT granted FROM identities JOIN user_groups USING (user_id) JOIN group_grants USING (group_id)"
        " WHERE issuer = %s ORDER BY 1",
        (issuer,),
    )
    return [row["granted"] for row in rows]


async def is_issuer_taken(connection: Connection, issuer: str, provider_id: str | None, *, by_any: bool) -> bool:
    """Return whether another provider than `provider_id` has this issuer; only SAML providers count, unless `by_any`.
    Until the commit, no provider with this issuer is checked in another transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('sign-on issuer ' || %s, 0))", (issuer,))
    cursor = await connection.execute(
        "SELECT 1 FROM sign_on_providers WHERE issuer = %s AND provider_id IS DISTINCT FROM %s::uuid"
        " AND (%s OR protocol = 'saml') LIMIT 1",
        (issuer, provider_id, by_any),
    )
    return await cursor.fetchone() is not None
