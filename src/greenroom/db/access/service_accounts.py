"""Service accounts: users of programs, which own API keys, leases and webhooks, and as which no person can log in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from greenroom.core.listing import SortOrder
from greenroom.db.access.roles import grants_of_user
from greenroom.db.access.users import Membership
from greenroom.db.database import Connection
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, qualified, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFields:
    """The fields of a service account in addition to those of its user."""

    description: str = ""
    contact: str = ""
    expires: datetime | None = None
    networks: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount(AccountFields):
    """A service account. `expired`: its time is over, so its keys are refused. `last_used` is the last use of a key."""

    service_account_id: str
    name: str
    enabled: bool
    expired: bool
    created: datetime
    last_used: datetime | None
    groups: list[Membership]
    permissions: list[str]
    num_keys: int
    num_sessions: int


FIELDS: Final = columns_of(AccountFields)
BY_NAME: Final = SortOrder("name")
ACCOUNTS: Final = ListDefinition(
    row_type=ServiceAccount,
    noun="service account",
    select=(
        qualified(FIELDS, "a") + ", a.user_id::text AS service_account_id, u.username AS name,"
        " NOT u.disabled AND NOT u.locked AS enabled, coalesce(a.expires <= now(), false) AS expired, u.created,"
        " (SELECT max(k.last_used) FROM api_keys k WHERE k.created_by = a.user_id) AS last_used,"
        " COALESCE((SELECT jsonb_agg(jsonb_build_object('group_id', g.group_id, 'name', g.name)"
        "           ORDER BY g.priority, g.name) FROM user_groups ug JOIN groups g USING (group_id)"
        "           WHERE ug.user_id = a.user_id), '[]') AS groups,"
        " " + grants_of_user("a.user_id") + " AS permissions,"
        " (SELECT count(*) FROM api_keys k WHERE k.created_by = a.user_id) AS num_keys,"
        " (SELECT count(*) FROM sessions s WHERE s.user_id = a.user_id AND s.status <> 'deleted') AS num_sessions"
    ),
    source="FROM service_accounts a JOIN users u USING (user_id)",
    key="a.user_id",
    columns={"name": ListColumn("lower(u.username)")},
    order=BY_NAME,
)
get_account: Final = ACCOUNTS.get
lock_account: Final = ACCOUNTS.lock


async def insert_account(connection: Connection, user_id: str, fields: AccountFields) -> None:
    """Make a new user a service account."""
    await connection.execute(
        "INSERT INTO service_accounts " + insert_values(("user_id", *FIELDS)),
        {**values_of(AccountFields, fields), "user_id": user_id},
    )


async def update_account(connection: Connection, user_id: str, fields: AccountFields) -> None:
    """Store the fields of a service account, whose user the caller has locked."""
    await connection.execute(
        "UPDATE service_accounts SET " + assignments(FIELDS) + " WHERE user_id = %(user_id)s",
        {**values_of(AccountFields, fields), "user_id": user_id},
    )
