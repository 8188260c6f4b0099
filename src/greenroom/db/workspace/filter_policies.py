"""Web filter policies, and the workspaces, groups and sessions that use them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from greenroom.core.errors import Invalid, Refused, require_row
from greenroom.core.listing import SortOrder
from greenroom.core.web_filter import Action, FilterPolicy, LeaseEgress, lists_of_lease
from greenroom.db.database import Connection, Database, returned_row, row_as
from greenroom.db.listing import Conditions, ListColumn, ListDefinition, ListPage, Position
from greenroom.db.rows import assignments, columns_of, insert_values, qualified, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFields:
    """The changeable fields of a policy."""

    name: str
    description: str
    default_action: Action
    allow: list[str]
    deny: list[str]


FIELDS: Final = columns_of(PolicyFields)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy(PolicyFields):
    """A policy, and the numbers of workspaces, groups and sessions that use it."""

    filter_policy_id: str
    num_images: int
    num_groups: int
    num_sessions: int
    created: datetime

    @property
    def policy(self) -> FilterPolicy:
        return FilterPolicy(
            filter_policy_id=self.filter_policy_id,
            name=self.name,
            default_action=self.default_action,
            allow=tuple(self.allow),
            deny=tuple(self.deny),
        )


FILTER_SETTING: Final = "web_filter_policy"
"""The group setting that contains the id of a policy."""

BY_NAME: Final = SortOrder("name")
_POLICIES: Final = ListDefinition(
    row_type=StoredPolicy,
    noun="web filter policy",
    select=(
        qualified(FIELDS, "p") + ", p.filter_policy_id::text, p.created,"
        " (SELECT count(*) FROM images i WHERE i.filter_policy_id = p.filter_policy_id) AS num_images,"
        " (SELECT count(*) FROM group_settings s WHERE s.name = 'web_filter_policy'"
        "   AND s.value = to_jsonb(p.filter_policy_id::text)) AS num_groups,"
        " COALESCE(live.number, 0) AS num_sessions"
    ),
    # Sessions are counted once for all policies: the policy of a session is only in its specification.
    source=(
        "FROM filter_policies p LEFT JOIN (SELECT s.spec ->> 'filter_policy' AS policy, count(*) AS number"
        " FROM sessions s WHERE s.status <> 'deleted' GROUP BY 1) live ON live.policy = p.filter_policy_id::text"
    ),
    key="p.filter_policy_id",
    columns={"name": ListColumn("lower(p.name)")},
    order=BY_NAME,
)
get_filter_policy: Final = _POLICIES.get


async def list_filter_policies(db: Database, *, after: Position | None, limit: int) -> ListPage[StoredPolicy]:
    """Return the policies by name, without the policies of leases, which are created and deleted automatically."""
    return await _POLICIES.read(db, Conditions(["NOT p.of_leases"]), after=after, limit=limit)


async def insert_filter_policy(connection: Connection, fields: PolicyFields) -> str:
    """Store a new policy, and return its id. Raises Duplicate: the name exists."""
    cursor = await connection.execute(
        "INSERT INTO filter_policies " + insert_values(FIELDS) + " RETURNING filter_policy_id",
        values_of(PolicyFields, fields),
    )
    return str((await returned_row(cursor))["filter_policy_id"])


async def store_lease_policy(db: Database, policy: FilterPolicy, egress: LeaseEgress) -> None:
    """Store a policy that leases share, or extend its retention. Its lists are derived from `egress`. The policy is
    deleted some time after its last session ended. Raises Duplicate: another policy has its name."""
    async with db.transaction() as connection:
        restricting_id = egress.restricting_policy_id
        restricting = await _lock_restricting(connection, restricting_id) if restricting_id else None
        allow, deny = lists_of_lease(restricting, egress.wanted)
        await connection.execute(
            "INSERT INTO filter_policies (filter_policy_id, name, default_action, allow, deny, of_leases, narrows,"
            " wanted) VALUES (%(id)s, %(name)s, 'deny', %(allow)s, %(deny)s, true, %(narrows)s, %(wanted)s)"
            " ON CONFLICT (filter_policy_id) DO UPDATE SET created = now()",
            {
                "id": policy.filter_policy_id,
                "name": policy.name,
                "allow": list(allow),
                "deny": list(deny),
                "narrows": restricting_id,
                "wanted": list(egress.wanted),
            },
        )


async def _lock_restricting(connection: Connection, filter_policy_id: str) -> FilterPolicy | None:
    """Return a policy that restricts policies of leases, locked until the transaction ends; None if it was deleted."""
    cursor = await connection.execute(
        "SELECT filter_policy_id::text, name, default_action, allow, deny FROM filter_policies"
        " WHERE filter_policy_id = %s FOR SHARE",
        (filter_policy_id,),
    )
    return row_as(FilterPolicy, await cursor.fetchone())


async def lock_filter_policy(connection: Connection, filter_policy_id: str) -> PolicyFields:
    """Return one policy, locked until the transaction ends. Raises NotFound: there is no policy with this id."""
    cursor = await connection.execute(
        "SELECT " + ", ".join(FIELDS) + " FROM filter_policies WHERE filter_policy_id = %s FOR UPDATE",
        (filter_policy_id,),
    )
    return require_row(row_as(PolicyFields, await cursor.fetchone()), "web filter policy", filter_policy_id)


async def update_filter_policy(connection: Connection, filter_policy_id: str, fields: PolicyFields) -> None:
    """Store a locked policy, and update the policies of leases that it restricts. Raises Duplicate: the name exists."""
    await connection.execute(
        "UPDATE filter_policies SET " + assignments(FIELDS) + " WHERE filter_policy_id = %(filter_policy_id)s",
        values_of(PolicyFields, fields) | {"filter_policy_id": filter_policy_id},
    )
    policy = await _lock_restricting(connection, filter_policy_id)
    cursor = await connection.execute(
        "SELECT filter_policy_id::text, wanted FROM filter_policies WHERE narrows = %s ORDER BY filter_policy_id"
        " FOR UPDATE",
        (filter_policy_id,),
    )
    for row in await cursor.fetchall():
        allow, deny = lists_of_lease(policy, row["wanted"])
        await connection.execute(
            "UPDATE filter_policies SET allow = %s, deny = %s WHERE filter_policy_id = %s",
            (list(allow), list(deny), row["filter_policy_id"]),
        )


async def delete_filter_policy(connection: Connection, filter_policy_id: str) -> None:
    """Delete an unused policy.

    Raises:
        NotFound: there is no policy with this id.
        Refused: workspaces, groups or sessions use it; the sentence names them.
    """
    policy = await lock_filter_policy(connection, filter_policy_id)
    if uses := await _uses(connection, filter_policy_id):
        raise Refused(f"Web filter policy {policy.name} is in use: {'; '.join(uses)}. Change those first.")
    await connection.execute("DELETE FROM filter_policies WHERE filter_policy_id = %s", (filter_policy_id,))


async def _uses(connection: Connection, filter_policy_id: str) -> list[str]:
    cursor = await connection.execute(
        "SELECT ARRAY(SELECT friendly_name FROM images WHERE filter_policy_id = %(id)s::uuid ORDER BY 1) AS workspaces,"
        " ARRAY(SELECT g.name FROM group_settings s JOIN groups g USING (group_id)"
        "   WHERE s.name = %(setting)s AND s.value = to_jsonb(%(id)s::text) ORDER BY 1) AS groups,"
        " (SELECT count(*) FROM sessions WHERE status <> 'deleted'"
        "   AND spec ->> 'filter_policy' = %(id)s::text) AS sessions",
        {"id": filter_policy_id, "setting": FILTER_SETTING},
    )
    row = await returned_row(cursor)
    uses = [f"{kind} {', '.join(row[kind + 's'])}" for kind in ("workspace", "group") if row[kind + "s"]]
    sessions: int = row["sessions"]
    return uses + ([f"{sessions} session{'' if sessions == 1 else 's'}"] if sessions else [])


async def find_policy_id(connection: Connection, name_or_id: str) -> str:
    """Return the id of the policy with this id or name, locked against deletion. Raises Invalid: no such policy."""
    cursor = await connection.execute(
        "SELECT filter_policy_id::text FROM filter_policies WHERE filter_policy_id::text = lower(%(name_or_id)s)"
        " OR name = %(name_or_id)s ORDER BY (name = %(name_or_id)s) LIMIT 1 FOR KEY SHARE",
        {"name_or_id": name_or_id},
    )
    row = await cursor.fetchone()
    if row is None:
        raise Invalid(f"There is no web filter policy {name_or_id!r}; write the id or the name of a policy.")
    return row["filter_policy_id"]
