"""Web gateways on hosts of their own, in SQL: admitted with a join token, each with a credential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from greenroom.core.enrolment import refusal_of_token
from greenroom.core.errors import IdentityConflict, NotFound
from greenroom.db.database import Database
from greenroom.db.join_tokens import count_use, lock_token

SEEN_EVERY_S: Final = 10.0
"""`last_reported` is written at most this often."""


@dataclass(frozen=True, slots=True)
class AskingGateway:
    """A gateway by its id."""

    gateway_id: str
    credential_hash: bytes


async def register_gateway(
    db: Database, gateway_id: str, hostname: str, token_hash: bytes, credential_hash: bytes
) -> dict[str, Any]:
    """Admit a web gateway with a join token; its zone_id and zone_name.

    Shown again by a gateway that was never heard of, because the answer was lost, the token counts once.

    Raises:
        Unauthenticated: the token is not valid for a gateway.
        IdentityConflict: there is a gateway with this id.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT joined_with, last_reported FROM gateways WHERE gateway_id = %s FOR NO KEY UPDATE", (gateway_id,)
        )
        known = await cursor.fetchone()
        token = await lock_token(connection, token_hash)
        again = known is not None and known["last_reported"] is None and known["joined_with"] == token_hash
        if problem := refusal_of_token(token, "gateway", again=again):
            raise problem
        if known is not None and not again:
            raise IdentityConflict(f"Gateway {gateway_id} is known already; remove it, or join in another folder.")
        assert token is not None, "there is a refusal without one"  # noqa: S101
        if not again:
            await count_use(connection, token_hash)
        cursor = await connection.execute(
            "INSERT INTO gateways (gateway_id, zone_id, hostname, credential_hash, joined_with)"
            " VALUES (%(gateway_id)s, %(zone_id)s, %(hostname)s, %(credential_hash)s, %(token_hash)s)"
            " ON CONFLICT (gateway_id) DO UPDATE SET credential_hash = excluded.credential_hash WHERE %(again)s"
            " RETURNING 1",
            {
                "again": again,
                "gateway_id": gateway_id,
                "zone_id": token.zone_id,
                "hostname": hostname,
                "credential_hash": credential_hash,
                "token_hash": token_hash,
            },
        )
        if await cursor.fetchone() is None:
            raise IdentityConflict(f"Another gateway joined as {gateway_id} at the same moment.")
        return {"zone_id": token.zone_id, "zone_name": token.zone_name}


async def list_gateways(db: Database, gateway_id: str | None = None) -> list[dict[str, Any]]:
    """All gateways that joined, or the one asked for."""
    return await db.fetch(
        "SELECT g.gateway_id::text, g.hostname, g.zone_id::text, z.zone_name, g.registered, g.last_reported"
        " FROM gateways g JOIN zones z USING (zone_id)"
        " WHERE %(gateway_id)s::uuid IS NULL OR g.gateway_id = %(gateway_id)s::uuid"
        " ORDER BY z.zone_name, g.registered, g.gateway_id",
        {"gateway_id": gateway_id},
    )


async def delete_gateway(db: Database, gateway_id: str) -> None:
    """Remove a gateway: its credential is worthless from its next question on.

    Raises:
        NotFound: no such gateway.
    """
    if not await db.write("DELETE FROM gateways WHERE gateway_id = %s RETURNING 1", (gateway_id,)):
        raise NotFound("There is no such gateway; it may have been removed.")


async def find_asking_gateway(db: Database, gateway_id: str) -> AskingGateway | None:
    """The gateway, or None if there is none with this id."""
    row = await db.fetch_one(
        "SELECT gateway_id::text, credential_hash FROM gateways WHERE gateway_id::text = %s", (gateway_id,)
    )
    return AskingGateway(row["gateway_id"], row["credential_hash"]) if row else None


async def gateway_seen(db: Database, gateway_id: str) -> None:
    """The gateway asked something now."""
    await db.write(
        "UPDATE gateways SET last_reported = clock_timestamp() WHERE gateway_id = %(gateway_id)s AND"
        " (last_reported IS NULL OR last_reported < clock_timestamp() - make_interval(secs => %(every_s)s))",
        {"gateway_id": gateway_id, "every_s": SEEN_EVERY_S},
    )
