"""Enrollment of hosts: join tokens, web gateways on separate hosts, and the certificate authority of the installation.

Only the hash of a token is stored. A web gateway is admitted with a join token and gets a credential. The key of the
authority is stored encrypted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from greenroom.core.errors import IdentityConflict, NotFound
from greenroom.core.fleet.enrollment import Role, StoredJoinToken, refusal_of_token
from greenroom.core.listing import SortOrder
from greenroom.db.database import Connection, Database, row_as
from greenroom.db.fleet.managers import RUNNING_WITHIN_S
from greenroom.db.listing import ListColumn, ListDefinition, ListPage, Position

RETENTION_DAYS: Final = 7
"""Retention of an ended token, so that a refusal can contain the reason why it is not valid."""


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
    """Store a join token, which admits `uses` hosts of a role to one zone within `valid_s`. Return its id.

    With `agent_id`, the token admits only this known Agent again. With `enable_agent`, a new Agent is enabled
    immediately. Tokens that expired more than `RETENTION_DAYS` ago are removed.
    """
    await db.write("DELETE FROM join_tokens WHERE expires < now() - make_interval(days => %s)", (RETENTION_DAYS,))
    rows = await db.write(_INSERT, (token_hash, role, zone_id, uses, agent_id, enable_agent, created_by, valid_s))
    return str(rows[0]["join_token_id"])


_INSERT: Final = (
    "INSERT INTO join_tokens (token_hash, role, zone_id, uses_left, agent_id, enable_agent, created_by,"
    " expires) VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
    " RETURNING join_token_id::text"
)


async def add_machine_token(
    connection: Connection, token_hash: bytes, zone_id: str, *, valid_s: float, enable_agent: bool, created_by: str
) -> None:
    """Store the token of one ordered machine; with `enable_agent`, its Agent is enabled immediately."""
    await connection.execute(_INSERT, (token_hash, "agent", zone_id, 1, None, enable_agent, created_by, valid_s))


async def revoke_token(connection: Connection, token_hash: bytes) -> None:
    """Invalidate a token. An Agent that sends the token at the same time joins before this change, or is refused."""
    await connection.execute(
        "UPDATE join_tokens SET revoked = coalesce(revoked, clock_timestamp()) WHERE token_hash = %s", (token_hash,)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinTokenRow:
    """A join token, for administrators."""

    join_token_id: str
    role: Role
    zone_id: str
    zone_name: str
    agent_id: str | None
    agent_hostname: str | None
    enable_agent: bool
    status: Literal["open", "used up", "expired", "revoked"]
    used: int
    uses_left: int
    created: datetime
    created_by: str
    expires: datetime


BY_ZONE: Final = SortOrder("zone")
_TOKENS: Final = ListDefinition(
    row_type=JoinTokenRow,
    select=(
        "t.join_token_id::text, t.role, t.zone_id::text, z.zone_name, t.agent_id::text,"
        " a.hostname AS agent_hostname, t.enable_agent, t.used, t.uses_left,"
        " t.created, t.created_by, t.expires,"
        " CASE WHEN t.revoked IS NOT NULL THEN 'revoked' WHEN t.uses_left = 0 THEN 'used up'"
        "  WHEN t.expires <= clock_timestamp() THEN 'expired' ELSE 'open' END AS status"
    ),
    source="FROM join_tokens t LEFT JOIN zones z USING (zone_id) LEFT JOIN agents a USING (agent_id)",
    key="t.join_token_id",
    columns={"zone": ListColumn("ARRAY[z.zone_name, to_char(t.created, 'YYYYMMDDHH24MISSUS')]", "text[]")},
    order=BY_ZONE,
    filters={"id": "t.join_token_id = %(id)s"},
)


async def list_join_tokens(
    db: Database, join_token_id: str | None = None, *, after: Position | None = None, limit: int | None = None
) -> ListPage[JoinTokenRow]:
    """List the tokens by zone, oldest first, or only one token. Ended tokens stay in the list for some days."""
    return await _TOKENS.read(db, _TOKENS.matching(id=join_token_id), after=after, limit=limit)


async def revoke_join_token(db: Database, join_token_id: str) -> None:
    """Invalidate a token. Hosts that joined with it stay. Raises NotFound: no such token."""
    rows = await db.write(
        "UPDATE join_tokens SET revoked = coalesce(revoked, clock_timestamp()) WHERE join_token_id = %s RETURNING 1",
        (join_token_id,),
    )
    if not rows:
        raise NotFound("There is no such join token; it may have been removed after its end.")


_SELECT: Final = (
    "SELECT t.role, t.zone_id::text, z.zone_name, t.agent_id::text, t.used + t.uses_left AS uses, t.uses_left,"
    " t.expires, t.expires <= clock_timestamp() AS expired, t.revoked IS NOT NULL AS revoked,"
    " t.enable_agent"
    " FROM join_tokens t JOIN zones z USING (zone_id) WHERE t.token_hash = %s"
)


async def read_token(db: Database, token_hash: bytes) -> StoredJoinToken | None:
    """Return the token, or None if it does not exist."""
    return await db.fetch_one_as(StoredJoinToken, _SELECT, (token_hash,))


async def lock_token(connection: Connection, token_hash: bytes) -> StoredJoinToken | None:
    """Lock the token until this transaction ends, and return it; None if it does not exist."""
    cursor = await connection.execute(_SELECT + " FOR NO KEY UPDATE OF t", (token_hash,))
    return row_as(StoredJoinToken, await cursor.fetchone())


async def count_use(connection: Connection, token_hash: bytes) -> None:
    """Count one more host that the token admitted."""
    await connection.execute(
        "UPDATE join_tokens SET uses_left = uses_left - 1, used = used + 1 WHERE token_hash = %s", (token_hash,)
    )


async def manager_urls(db: Database, zone_id: str) -> list[str]:
    """Return the URLs at which new hosts of a zone register: gateways of enabled Managers, live Managers first."""
    rows = await db.fetch(
        "SELECT gateway_url FROM managers WHERE zone_id = %s AND enabled AND gateway_url <> ''"
        " ORDER BY last_reported > clock_timestamp() - make_interval(secs => %s) DESC, instance_id",
        (zone_id, RUNNING_WITHIN_S),
    )
    return [row["gateway_url"] for row in rows]


GATEWAY_RECORD_INTERVAL_S: Final = 10.0
"""The minimum interval between two updates of `last_reported`."""


async def register_gateway(
    db: Database, gateway_id: str, hostname: str, token_hash: bytes, credential_hash: bytes
) -> StoredJoinToken:
    """Admit a web gateway to the zone of a join token.

    A gateway that did not receive the answer sends the token again. Both requests count as one use.

    Raises:
        Unauthenticated: the token is not valid for a gateway.
        IdentityConflict: there is a gateway with this id.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT joined_with, last_reported FROM gateways WHERE gateway_id = %s FOR NO KEY UPDATE", (gateway_id,)
        )
        existing = await cursor.fetchone()
        token = await lock_token(connection, token_hash)
        # The gateway did not receive the answer to its first request.
        repeated = existing is not None and existing["last_reported"] is None and existing["joined_with"] == token_hash
        if problem := refusal_of_token(token, "gateway", admitted_before=repeated):
            raise problem
        if existing is not None and not repeated:
            raise IdentityConflict(f"Gateway {gateway_id} already exists. Remove it, or join with another --dir.")
        assert token is not None, "a missing token is refused"  # noqa: S101
        if not repeated:
            await count_use(connection, token_hash)
        cursor = await connection.execute(
            "INSERT INTO gateways (gateway_id, zone_id, hostname, credential_hash, joined_with)"
            " VALUES (%(gateway_id)s, %(zone_id)s, %(hostname)s, %(credential_hash)s, %(token_hash)s)"
            " ON CONFLICT (gateway_id) DO UPDATE SET credential_hash = excluded.credential_hash WHERE %(repeated)s"
            " RETURNING 1",
            {
                "repeated": repeated,
                "gateway_id": gateway_id,
                "zone_id": token.zone_id,
                "hostname": hostname,
                "credential_hash": credential_hash,
                "token_hash": token_hash,
            },
        )
        if await cursor.fetchone() is None:
            raise IdentityConflict(f"Another gateway joined as {gateway_id} at the same moment.")
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRow:
    """A web gateway on a separate host."""

    gateway_id: str
    hostname: str
    zone_id: str
    zone_name: str
    registered: datetime
    last_reported: datetime | None


async def list_gateways(
    db: Database, gateway_id: str | None = None, *, zone_ids: list[str] | None = None
) -> list[GatewayRow]:
    """List the gateways that joined all zones or `zone_ids`, or one gateway."""
    return await db.fetch_as(
        GatewayRow,
        "SELECT g.gateway_id::text, g.hostname, g.zone_id::text, z.zone_name, g.registered, g.last_reported"
        " FROM gateways g JOIN zones z USING (zone_id)"
        " WHERE (%(gateway_id)s::uuid IS NULL OR g.gateway_id = %(gateway_id)s::uuid)"
        " AND (%(zone_ids)s::uuid[] IS NULL OR g.zone_id = ANY(%(zone_ids)s::uuid[]))"
        " ORDER BY z.zone_name, g.registered, g.gateway_id",
        {"gateway_id": gateway_id, "zone_ids": zone_ids},
    )


async def delete_gateway(db: Database, gateway_id: str) -> None:
    """Remove a gateway. Its credential is invalid from the next request on. Raises NotFound: no such gateway."""
    if not await db.write("DELETE FROM gateways WHERE gateway_id = %s RETURNING 1", (gateway_id,)):
        raise NotFound("There is no such gateway; it may have been removed.")


async def gateway_credential_hash(db: Database, gateway_id: str) -> bytes | None:
    """Return the hash of a gateway's credential; None if there is no gateway with this id."""
    row = await db.fetch_one("SELECT credential_hash FROM gateways WHERE gateway_id::text = %s", (gateway_id,))
    return row["credential_hash"] if row else None


async def record_gateway_request(db: Database, gateway_id: str) -> None:
    """Record the time of a request of the gateway, at most once in `GATEWAY_RECORD_INTERVAL_S`."""
    await db.write(
        "UPDATE gateways SET last_reported = clock_timestamp() WHERE gateway_id = %(gateway_id)s AND"
        " (last_reported IS NULL OR last_reported < clock_timestamp() - make_interval(secs => %(every_s)s))",
        {"gateway_id": gateway_id, "every_s": GATEWAY_RECORD_INTERVAL_S},
    )


@dataclass(frozen=True, slots=True)
class StoredAuthority:
    """The certificate authority of the installation: its certificate (PEM) and its encrypted key."""

    certificate: str
    key_encrypted: bytes = field(repr=False)


async def read_authority(db: Database) -> StoredAuthority | None:
    """Return the authority; None until it is created."""
    return await db.fetch_one_as(StoredAuthority, "SELECT certificate, key_encrypted FROM fleet_authority")


async def add_authority(db: Database, new: StoredAuthority) -> StoredAuthority:
    """Store the authority if there is none. Return the stored authority, which another process may have created."""
    await db.write(
        "INSERT INTO fleet_authority (certificate, key_encrypted) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (new.certificate, new.key_encrypted),
    )
    stored = await read_authority(db)
    return stored or new
