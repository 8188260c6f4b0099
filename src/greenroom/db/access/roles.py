"""The roles of groups, and the grants of users: the codes and roles of all their groups (`core.access.roles`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

from greenroom.core.access.roles import RoleAssignment
from greenroom.db.database import Connection, Database

ROLES_OF_GROUP: Final[LiteralString] = """COALESCE((SELECT jsonb_agg(jsonb_build_object(
    'role', r.role, 'zones', r.zones, 'groups', r.groups) ORDER BY r.role COLLATE "C")
    FROM (SELECT role, array_agg(zone_id ORDER BY zone_id) FILTER (WHERE zone_id IS NOT NULL) AS zones,
                 array_agg(scope_group_id ORDER BY scope_group_id) FILTER (WHERE scope_group_id IS NOT NULL) AS groups
            FROM group_roles WHERE group_id = g.group_id GROUP BY role) AS r), '[]')"""
"""The assignments of the group `g`, as a list of RoleAssignment."""


def grants_of_user(user_id: LiteralString) -> LiteralString:
    """Return the expression for the grants of the user with this id, an SQL expression."""
    return (
        "ARRAY(SELECT DISTINCT gg.granted FROM user_groups ug JOIN group_grants gg USING (group_id)"
        f" WHERE ug.user_id = {user_id} ORDER BY 1)"
    )


async def read_grants(db: Database, user_id: str) -> list[str]:
    """Return the grants of a user; a deleted user has none."""
    row = await db.fetch_one("SELECT " + grants_of_user("%(user_id)s::uuid") + " AS grants", {"user_id": user_id})
    return row["grants"] if row else []


async def set_roles(connection: Connection, group_id: str, assignments: Sequence[RoleAssignment]) -> None:
    """Give a group exactly these roles. The caller must have called `lock_group`, or inserted the group. Raises
    Invalid: there is no such zone or group."""
    await connection.execute("DELETE FROM group_roles WHERE group_id = %s", (group_id,))
    for assignment in assignments:
        await connection.execute(
            "INSERT INTO group_roles (group_id, role, zone_id, scope_group_id)"
            " SELECT %(group_id)s::uuid, %(role)s, zone_id, NULL::uuid FROM unnest(%(zones)s::uuid[]) AS zone_id"
            " UNION ALL SELECT %(group_id)s::uuid, %(role)s, NULL::uuid, scope_id"
            " FROM unnest(%(groups)s::uuid[]) AS scope_id"
            " UNION ALL SELECT %(group_id)s::uuid, %(role)s, NULL::uuid, NULL::uuid WHERE %(everywhere)s",
            {
                "group_id": group_id,
                "role": assignment.role,
                "zones": assignment.zones or [],
                "groups": assignment.groups or [],
                "everywhere": assignment.zones is None and assignment.groups is None,
            },
        )
