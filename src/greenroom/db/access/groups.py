"""Groups: their permissions, settings, members and workspaces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.access.accounts import look_of
from greenroom.core.access.group_settings import GroupSettings, SettingValues
from greenroom.core.access.roles import RoleAssignment, grants_of
from greenroom.core.errors import Duplicate, Refused, require_row
from greenroom.core.listing import SortOrder
from greenroom.db.access.roles import ROLES_OF_GROUP
from greenroom.db.database import Connection, Database, returned_row, row_as, rows_as
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.workspace.filter_policies import FILTER_SETTING, find_policy_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(GroupSettings):
    """A group. `images` are the ids of the workspaces that its members may use; `num_users` counts its members."""

    description: str
    is_system: bool
    permissions: list[str]
    images: list[str]
    num_users: int
    roles: list[RoleAssignment]

    @property
    def grants(self) -> list[str]:
        """The codes and roles that the members get (`core.access.roles`)."""
        return [*self.permissions, *grants_of(self.roles)]


BY_PRIORITY: Final = SortOrder("priority")
GROUPS: Final = ListDefinition(
    row_type=Group,
    noun="group",
    select=(
        "g.group_id::text, g.name, g.description, g.priority, g.is_system,"
        ' ARRAY(SELECT p FROM unnest(g.permissions) AS p ORDER BY p COLLATE "C") AS permissions,'
        " COALESCE((SELECT jsonb_object_agg(s.name, s.value) FROM group_settings s WHERE s.group_id = g.group_id),"
        " '{}') AS settings,"
        " ARRAY(SELECT i.image_id::text FROM group_images i WHERE i.group_id = g.group_id ORDER BY 1) AS images,"
        " (SELECT count(*) FROM user_groups u WHERE u.group_id = g.group_id) AS num_users, "
        + ROLES_OF_GROUP
        + " AS roles"
    ),
    source="FROM groups g",
    key="g.name",
    key_type="text",
    columns={"priority": ListColumn("g.priority", "integer")},
    order=BY_PRIORITY,
    filters={
        "visible_groups": "g.group_id = ANY(%(visible_groups)s::uuid[])"
        " OR g.group_id IN (SELECT group_id FROM user_groups WHERE user_id = %(of_user)s::uuid)"
    },
)
list_groups: Final = GROUPS.read


GROUPS_OF_USER: Final[LiteralString] = """COALESCE((SELECT jsonb_agg(jsonb_build_object('group_id', g.group_id,
      'name', g.name, 'priority', g.priority, 'settings', COALESCE((SELECT jsonb_object_agg(s.name, s.value)
        FROM group_settings s WHERE s.group_id = g.group_id), '{}')))
    FROM groups g JOIN user_groups ug USING (group_id) WHERE ug.user_id = %(user_id)s), '[]')"""
"""The groups of user `user_id` as a list of GroupSettings."""


async def get_group(db: Database, group_id: str) -> Group:
    """Return the group with this id. Raises NotFound: there is no such group."""
    return require_row(await GROUPS.find(db, "g.group_id = %s", (group_id,)), "group", group_id)


async def lock_group(connection: Connection, group_id: str) -> Group:
    """Lock the group's row until commit, against concurrent changes, and return it. Raises NotFound: there is no such
    group."""
    await connection.execute("SELECT 1 FROM groups WHERE group_id = %s FOR NO KEY UPDATE", (group_id,))
    cursor = await connection.execute(f"{GROUPS.query} WHERE g.group_id = %s", (group_id,))
    return require_row(row_as(Group, await cursor.fetchone()), "group", group_id)


async def groups_of_user(db: Database, user_id: str) -> list[GroupSettings]:
    """Return the groups of a user with their settings, for `core.access.group_settings.resolve`."""
    return await db.fetch_as(
        GroupSettings,
        f"{GROUPS.query} WHERE EXISTS (SELECT 1 FROM user_groups m WHERE m.group_id = g.group_id AND m.user_id = %s)",
        (user_id,),
    )


async def group_combinations_of_members(connection: Connection, group_id: str) -> list[list[GroupSettings]]:
    """Return the groups of each member of this group, with their settings. Equal combinations are returned once."""
    cursor = await connection.execute(
        "SELECT DISTINCT array_agg(m.group_id::text ORDER BY m.group_id) AS groups FROM user_groups m"
        " WHERE m.user_id IN (SELECT user_id FROM user_groups WHERE group_id = %s) GROUP BY m.user_id",
        (group_id,),
    )
    combinations = [row["groups"] for row in await cursor.fetchall()]
    settings_of = await groups_by_id(connection, {group_id for combination in combinations for group_id in combination})
    return [[settings_of[group] for group in combination] for combination in combinations]


async def groups_by_id(connection: Connection, group_ids: Iterable[str]) -> dict[str, GroupSettings]:
    """Return groups with their settings, by id, as they are in this transaction."""
    cursor = await connection.execute(f"{GROUPS.query} WHERE g.group_id = ANY(%s::uuid[])", (sorted(group_ids),))
    return {group.group_id: group for group in rows_as(GroupSettings, await cursor.fetchall())}


async def settings_of_group(db: Database, group_id: str) -> list[GroupSettings]:
    """Return one group with its settings; empty if there is no group with this id."""
    return await db.fetch_as(GroupSettings, f"{GROUPS.query} WHERE g.group_id = %s", (group_id,))


async def insert_group(
    connection: Connection, *, name: str, description: str, priority: int, permissions: list[str]
) -> str:
    """Store a new group; returns the id. Raises Duplicate: the name exists, or looks like that of a system group."""
    await _check_look(connection, name)
    cursor = await connection.execute(
        "INSERT INTO groups (name, description, priority, permissions) VALUES (%s, %s, %s, %s) RETURNING group_id",
        (name, description, priority, permissions),
    )
    row = await returned_row(cursor)
    return str(row["group_id"])


async def update_group(connection: Connection, group: Group) -> None:
    """Store the fields of a group. The caller must have called `lock_group`. Raises Duplicate: the name exists, or
    looks like that of a system group."""
    await _check_look(connection, group.name, group.group_id)
    await connection.execute(
        "UPDATE groups SET name = %s, description = %s, priority = %s, permissions = %s WHERE group_id = %s",
        (group.name, group.description, group.priority, group.permissions, group.group_id),
    )


async def _check_look(connection: Connection, name: str, group_id: str | None = None) -> None:
    """Check that people cannot take a group for a system group, such as Administrators. `group_id`: the group that gets
    the name; None = a new one. A group that has the name already keeps it."""
    cursor = await connection.execute(
        "SELECT name FROM groups WHERE is_system AND group_id IS DISTINCT FROM %(group_id)s::uuid"
        " AND NOT EXISTS (SELECT FROM groups g WHERE g.group_id = %(group_id)s::uuid AND g.name = %(name)s)",
        {"group_id": group_id, "name": name},
    )
    for row in await cursor.fetchall():
        if row["name"] != name and look_of(row["name"]) == look_of(name):
            raise Duplicate(f"The name {name} looks like that of the group {row['name']}; choose another name.")


async def change_settings(connection: Connection, group_id: str, changes: SettingValues) -> None:
    """Set each setting to its validated value; None removes the setting. Raises Invalid: no such web filter policy."""
    for name, new_value in sorted(changes.items()):
        is_policy = name == FILTER_SETTING and new_value
        value = await find_policy_id(connection, new_value) if is_policy else new_value
        if value is None:
            await connection.execute("DELETE FROM group_settings WHERE group_id = %s AND name = %s", (group_id, name))
        else:
            await connection.execute(
                "INSERT INTO group_settings (group_id, name, value) VALUES (%s, %s, %s)"
                " ON CONFLICT (group_id, name) DO UPDATE SET value = EXCLUDED.value",
                (group_id, name, Jsonb(value)),
            )


async def add_image(connection: Connection, group_id: str, image_id: str) -> bool:
    """Add a workspace to a group; False = the group has it already. Raises Invalid: no such group or workspace."""
    cursor = await connection.execute(
        "INSERT INTO group_images (group_id, image_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (group_id, image_id)
    )
    return cursor.rowcount > 0


async def remove_image(connection: Connection, group_id: str, image_id: str) -> bool:
    """Remove a workspace from a group; False = the group does not have it."""
    cursor = await connection.execute(
        "DELETE FROM group_images WHERE group_id = %s AND image_id = %s", (group_id, image_id)
    )
    return cursor.rowcount > 0


async def delete_group(connection: Connection, group: Group) -> None:
    """Delete a group. Its members lose its permissions. Raises Refused: the group is a system group."""
    if group.is_system:
        raise Refused(f"{group.name} is a system group and cannot be deleted.")
    await connection.execute("DELETE FROM groups WHERE group_id = %s", (group.group_id,))
