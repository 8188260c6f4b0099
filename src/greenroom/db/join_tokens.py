"""Join tokens in SQL: made, listed, revoked, used. Of a token only its hash is stored."""

from __future__ import annotations

from typing import Any, Final

from greenroom.core.enrolment import Role, Token
from greenroom.core.errors import NotFound
from greenroom.db.database import Connection, Database, DictRow
from greenroom.db.managers import RUNNING_WITHIN_S

KEPT_DAYS: Final = 7
"""A token that ended is kept this long, so that a refusal can say what became of it."""


async def add_join_token(
    db: Database,
    token_hash: bytes,
    zone_id: str,
    *,
    role: Role = "agent",
    uses: int = 1,
    valid_s: float = 3600.0,
    agent_id: str | None = None,
    enable_agent: bool = False,
    created_by: str = "",
) -> str:
    """Admit newcomers of a role with a token: `uses` times within `valid_s` seconds, into one zone; its id.

    With `agent_id` it lets that known Agent join again, and nobody else. With `enable_agent` a new Agent is enabled at
    once. Tokens that ended long ago are removed.
    """
    await db.write("DELETE FROM join_tokens WHERE expires < now() - make_interval(days => %s)", (KEPT_DAYS,))
    rows = await db.write(
        "INSERT INTO join_tokens (token_hash, role, zone_id, uses_left, agent_id, enable_agent, created_by,"
        " expires) VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
        " RETURNING join_token_id::text",
        (token_hash, role, zone_id, uses, agent_id, enable_agent, created_by, valid_s),
    )
    return str(rows[0]["join_token_id"])


_LIST: Final = (
    "SELECT t.join_token_id::text, t.role, t.zone_id::text, z.zone_name, t.agent_id::text,"
    " a.hostname AS agent_hostname, t.enable_agent, t.used, t.uses_left,"
    " t.created, t.created_by, t.expires,"
    " CASE WHEN t.revoked IS NOT NULL THEN 'revoked' WHEN t.uses_left = 0 THEN 'used up'"
    "  WHEN t.expires <= clock_timestamp() THEN 'expired' ELSE 'open' END AS status"
    " FROM join_tokens t JOIN zones z USING (zone_id) LEFT JOIN agents a USING (agent_id)"
    " WHERE %(join_token_id)s::uuid IS NULL OR t.join_token_id = %(join_token_id)s::uuid"
    " ORDER BY z.zone_name, t.created, t.join_token_id"
)


async def list_join_tokens(db: Database, join_token_id: str | None = None) -> list[dict[str, Any]]:
    """All tokens by zone, oldest first, or the one asked for; those that ended are there for some days."""
    return await db.fetch(_LIST, {"join_token_id": join_token_id})


async def revoke_join_token(db: Database, join_token_id: str) -> None:
    """Make a token worthless. Who joined with it stays.

    Raises:
        NotFound: no such token.
    """
    rows = await db.write(
        "UPDATE join_tokens SET revoked = coalesce(revoked, clock_timestamp()) WHERE join_token_id = %s RETURNING 1",
        (join_token_id,),
    )
    if not rows:
        raise NotFound("There is no such join token; it may have ended days ago.")


_STORED: Final = (
    "SELECT t.role, t.zone_id::text, z.zone_name, t.agent_id::text, t.used + t.uses_left AS uses, t.uses_left,"
    " t.expires, t.expires <= clock_timestamp() AS expired, t.revoked IS NOT NULL AS revoked,"
    " t.enable_agent"
    " FROM join_tokens t JOIN zones z USING (zone_id) WHERE t.token_hash = %s"
)


async def read_token(db: Database, token_hash: bytes) -> Token | None:
    """The token, or None if there is no such."""
    return _token(await db.fetch_one(_STORED, (token_hash,)))


async def lock_token(connection: Connection, token_hash: bytes) -> Token | None:
    """The token, which nobody else uses until this transaction ends; None if there is no such."""
    cursor = await connection.execute(_STORED + " FOR NO KEY UPDATE OF t", (token_hash,))
    return _token(await cursor.fetchone())


async def count_use(connection: Connection, token_hash: bytes) -> None:
    """One more was admitted with this token."""
    await connection.execute(
        "UPDATE join_tokens SET uses_left = uses_left - 1, used = used + 1 WHERE token_hash = %s", (token_hash,)
    )


def _token(row: DictRow | None) -> Token | None:
    return Token(**row) if row else None


async def manager_urls(db: Database, zone_id: str) -> list[str]:
    """Where those who join a zone register: gateways of its enabled Managers, those heard of lately first."""
    rows = await db.fetch(
        "SELECT gateway_url FROM managers WHERE zone_id = %s AND enabled AND gateway_url <> ''"
        " ORDER BY last_reported > clock_timestamp() - make_interval(secs => %s) DESC, instance_id",
        (zone_id, RUNNING_WITHIN_S),
    )
    return [row["gateway_url"] for row in rows]
