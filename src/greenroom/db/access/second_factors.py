"""Second factors, recovery codes, log-ins that wait for their second factor, and the challenges of factors.

A challenge belongs to the log-in or the pending log-in in which it was created, and is used at most once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, LiteralString

from greenroom.core.access.second_factors import FactorKind
from greenroom.core.errors import NotFound
from greenroom.db.access import users
from greenroom.db.database import Connection, Database, returned_row, row_as
from greenroom.db.rows import columns_of, insert_values, values_of

Purpose = Literal["totp", "passkey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFactor:
    """A second factor to store. An authenticator app has `totp_key_encrypted` and `used_step`, a passkey has the other
    fields."""

    user_id: str
    kind: FactorKind
    name: str
    totp_key_encrypted: bytes | None = field(default=None, repr=False)
    used_step: int | None = None
    rp_id: str | None = None
    credential_id: bytes | None = None
    public_key: bytes | None = None
    sign_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor(NewFactor):
    """A stored second factor."""

    factor_id: str
    created: datetime
    last_used: datetime | None


_NEW: Final = columns_of(NewFactor)
_SELECT: Final[LiteralString] = (
    "SELECT factor_id::text, user_id::text, kind, name, created, last_used, totp_key_encrypted, used_step, rp_id,"
    " credential_id, public_key, sign_count FROM second_factors"
)


async def list_factors(db: Database, user_id: str) -> list[SecondFactor]:
    """Return the second factors of a user, oldest first."""
    return await db.fetch_as(SecondFactor, f"{_SELECT} WHERE user_id = %s ORDER BY created, factor_id", (user_id,))


async def lock_passkey(connection: Connection, user_id: str, credential_id: bytes) -> SecondFactor | None:
    """Lock a passkey of a user until commit, and return it; None = the user has no such passkey."""
    cursor = await connection.execute(
        f"{_SELECT} WHERE user_id = %s AND credential_id = %s FOR UPDATE", (user_id, credential_id)
    )
    return row_as(SecondFactor, await cursor.fetchone())


async def insert_factor(connection: Connection, factor: NewFactor) -> SecondFactor:
    """Store a factor. A new authenticator app replaces the present one. Raises Duplicate: the passkey is stored
    already."""
    if factor.kind == "totp":
        await connection.execute("DELETE FROM second_factors WHERE user_id = %s AND kind = 'totp'", (factor.user_id,))
    cursor = await connection.execute(
        f"INSERT INTO second_factors {insert_values(_NEW)} RETURNING factor_id::text, created, last_used",
        values_of(NewFactor, factor),
    )
    row = await returned_row(cursor)
    return SecondFactor(**values_of(NewFactor, factor), **row)


async def delete_factor(connection: Connection, user_id: str, factor_id: str) -> str:
    """Delete a factor of a user, and return its name. With the last factor, the recovery codes are deleted, too. Raises
    NotFound: the user has no such factor."""
    cursor = await connection.execute(
        "DELETE FROM second_factors WHERE user_id = %s AND factor_id = %s RETURNING name", (user_id, factor_id)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"There is no second factor {factor_id}; it may have been removed.")
    await connection.execute(
        "DELETE FROM recovery_codes c WHERE user_id = %s"
        " AND NOT EXISTS (SELECT 1 FROM second_factors f WHERE f.user_id = c.user_id)",
        (user_id,),
    )
    return str(row["name"])


async def delete_factors_of(connection: Connection, user_id: str) -> int:
    """Delete all factors and recovery codes of a user, and return the number of factors."""
    cursor = await connection.execute("DELETE FROM second_factors WHERE user_id = %s", (user_id,))
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = %s", (user_id,))
    return cursor.rowcount


async def count_factors(connection: Connection, user_id: str) -> int:
    """Return the number of factors of a user. The caller must have called `lock_user`, which delays other changes."""
    cursor = await connection.execute("SELECT count(*) AS number FROM second_factors WHERE user_id = %s", (user_id,))
    return int((await returned_row(cursor))["number"])


async def count_code(db: Database, factor_id: str) -> int:
    """Count a code of an authenticator app before its check. Return the number of codes since the last right one."""
    rows = await db.write(
        "UPDATE second_factors SET wrong_codes = wrong_codes + 1 WHERE factor_id = %s RETURNING wrong_codes",
        (factor_id,),
    )
    return int(rows[0]["wrong_codes"]) if rows else 0


async def use_step(db: Database, factor_id: str, step: int) -> bool:
    """Store that the code of this time step was used. False = this step or a later step was used before."""
    rows = await db.write(
        "UPDATE second_factors SET used_step = %(step)s, last_used = now(), wrong_codes = 0"
        " WHERE factor_id = %(factor_id)s"
        " AND (used_step IS NULL OR used_step < %(step)s) RETURNING 1",
        {"factor_id": factor_id, "step": step},
    )
    return bool(rows)


async def record_passkey_use(connection: Connection, factor_id: str, sign_count: int) -> None:
    """Store a use of a passkey. The caller must have called `lock_passkey`."""
    await connection.execute(
        "UPDATE second_factors SET sign_count = %s, last_used = now() WHERE factor_id = %s", (sign_count, factor_id)
    )


async def replace_recovery_codes(connection: Connection, user_id: str, code_hashes: Sequence[bytes]) -> None:
    """Replace the recovery codes of a user."""
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = %s", (user_id,))
    await connection.execute(
        "INSERT INTO recovery_codes (user_id, code_hash) SELECT %s, unnest(%s::bytea[])", (user_id, list(code_hashes))
    )


async def use_recovery_code(db: Database, user_id: str, code_hash: bytes) -> bool:
    """Delete a recovery code of a user; False = there is no such code."""
    return bool(
        await db.write(
            "DELETE FROM recovery_codes WHERE user_id = %s AND code_hash = %s RETURNING 1", (user_id, code_hash)
        )
    )


async def count_recovery_codes(db: Database, user_id: str) -> int:
    """Return the number of unused recovery codes of a user."""
    row = await db.fetch_one("SELECT count(*) AS number FROM recovery_codes WHERE user_id = %s", (user_id,))
    return int(row["number"]) if row else 0


async def insert_pending_login(
    db: Database, token_hash: bytes, user_id: str, password_hash: str | None, *, valid_s: float
) -> bool:
    """Store a log-in that waits for its second factor. False = the password was changed since it was checked."""
    async with db.transaction() as connection:
        if (await users.lock_user(connection, user_id)).password_hash != password_hash:
            return False
        await connection.execute(
            "INSERT INTO pending_logins (token_hash, user_id, expires)"
            " VALUES (%s, %s, now() + make_interval(secs => %s))",
            (token_hash, user_id, valid_s),
        )
    return True


async def find_pending_login(db: Database, token_hash: bytes) -> str | None:
    """Return the id of the user of a pending log-in; None = it is unknown, expired or used."""
    row = await db.fetch_one(
        "SELECT user_id::text FROM pending_logins WHERE token_hash = %s AND expires > now()", (token_hash,)
    )
    return str(row["user_id"]) if row else None


async def use_pending_login(connection: Connection, token_hash: bytes) -> bool:
    """Delete a pending log-in; False = it is expired, was used, or was ended by a change of the account."""
    cursor = await connection.execute(
        "DELETE FROM pending_logins WHERE token_hash = %s AND expires > now()", (token_hash,)
    )
    return cursor.rowcount > 0


async def store_challenge(db: Database, token_hash: bytes, purpose: Purpose, value: bytes, *, valid_s: float) -> None:
    """Store a challenge. It replaces the previous one of the same log-in and purpose."""
    await db.write(
        "INSERT INTO factor_challenges (token_hash, purpose, value, expires)"
        " VALUES (%s, %s, %s, now() + make_interval(secs => %s))"
        " ON CONFLICT (token_hash, purpose) DO UPDATE SET value = excluded.value, expires = excluded.expires",
        (token_hash, purpose, value, valid_s),
    )


async def find_challenge(db: Database, token_hash: bytes, purpose: Purpose) -> bytes | None:
    """Return a challenge without using it; None = there is none, or it is expired."""
    row = await db.fetch_one(
        "SELECT value FROM factor_challenges WHERE token_hash = %s AND purpose = %s AND expires > now()",
        (token_hash, purpose),
    )
    return bytes(row["value"]) if row else None


async def use_challenge(db: Database, token_hash: bytes, purpose: Purpose) -> bytes | None:
    """Delete and return a challenge, also for concurrent requests once; None as for `find_challenge`."""
    rows = await db.write(
        "WITH used AS (DELETE FROM factor_challenges WHERE token_hash = %s AND purpose = %s RETURNING value, expires)"
        " SELECT value FROM used WHERE expires > now()",
        (token_hash, purpose),
    )
    return bytes(rows[0]["value"]) if rows else None
