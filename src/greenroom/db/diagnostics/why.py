"""Reads the numbers of users, pools and workspaces that a setting affects, and the last election of a Primary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, LiteralString

from greenroom.core.diagnostics.why.model import Affected
from greenroom.core.diagnostics.why.settings import UsersOfGroups
from greenroom.core.log_codes import LogCode
from greenroom.db.access.groups import list_groups
from greenroom.db.database import Database
from greenroom.db.pool.configs import GroupSet

AffectedKind = Literal["agent", "manager", "zone", "image"]

_OF_SESSIONS: Final[LiteralString] = (
    "SELECT count(DISTINCT s.user_id)::int AS users, count(DISTINCT s.staging_config_id)::int AS pools,"
    " count(DISTINCT s.image_id)::int AS workspaces FROM sessions s WHERE s.status <> 'deleted' AND "
)
_OF_ZONE: Final[LiteralString] = (
    "SELECT (SELECT count(DISTINCT s.user_id) FROM sessions s WHERE s.zone_id = z.zone_id AND s.status <> 'deleted')"
    "::int AS users, (SELECT count(*) FROM staging_configs c WHERE c.zone_id = z.zone_id AND c.deleted IS NULL)::int"
    " AS pools, (SELECT count(DISTINCT c.image_id) FROM staging_configs c WHERE c.zone_id = z.zone_id"
    " AND c.deleted IS NULL)::int AS workspaces FROM zones z WHERE "
)
_STATEMENTS: Final[Mapping[AffectedKind, LiteralString]] = {
    "agent": _OF_SESSIONS + "s.agent_id = %s",
    "zone": _OF_ZONE + "z.zone_id = %s",
    "manager": _OF_ZONE + "z.zone_id = (SELECT m.zone_id FROM managers m WHERE m.manager_id = %s)",
    "image": (
        "SELECT (SELECT count(DISTINCT u.user_id) FROM users u JOIN user_groups ug USING (user_id) JOIN group_images gi"
        " USING (group_id) WHERE gi.image_id = i.image_id AND NOT u.disabled AND NOT u.locked)::int AS users,"
        " (SELECT count(*) FROM staging_configs c WHERE c.image_id = i.image_id AND c.deleted IS NULL)::int AS pools,"
        " 1 AS workspaces FROM images i WHERE i.image_id = %s"
    ),
}


async def count_affected(db: Database, kind: AffectedKind, object_id: str) -> Affected:
    """Return the users with sessions, the pools and the workspaces of an object. The users of a workspace are those who
    may use it. Nothing is counted if there is no such object."""
    return await db.fetch_one_as(Affected, _STATEMENTS[kind], (object_id,)) or Affected()


async def read_members(db: Database, group_id: str) -> list[UsersOfGroups]:
    """Return the members of a group who may log in, by their sets of groups."""
    sets = await db.fetch_as(
        GroupSet,
        "SELECT group_ids, count(*) AS number FROM ("
        " SELECT ARRAY(SELECT ug.group_id::text FROM user_groups ug WHERE ug.user_id = m.user_id ORDER BY 1)"
        "  AS group_ids FROM user_groups m JOIN users u USING (user_id) WHERE m.group_id = %s AND NOT u.disabled"
        "  AND NOT u.locked) sets GROUP BY group_ids",
        (group_id,),
    )
    by_id = {group.group_id: group for group in (await list_groups(db)).rows}
    return [
        UsersOfGroups(
            number=row.number,
            groups=tuple(groups := [by_id[each] for each in row.group_ids if each in by_id]),
            image_ids=frozenset(image_id for group in groups for image_id in group.images),
        )
        for row in sets
    ]


async def read_elected(db: Database, zone_name: str) -> str:
    """Return the sentence of the log about the last Primary of a zone; empty if there is none."""
    row = await db.fetch_one(
        "SELECT message FROM logs WHERE code = %s AND zone_name = %s ORDER BY log_id DESC LIMIT 1",
        (LogCode.PRIMARY_ELECTED, zone_name),
    )
    return row["message"] if row else ""
