"""Finds objects by words in one statement, of the kinds and in the places that the caller may see.

Each part of the statement reads the rows of one table and keeps a few of them, first those whose title begins with the
first word. With 10,000 users, the statement takes less than 50 ms, so words have no index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.core.diagnostics.search import MAX_OF_KIND, Hit, SearchKind
from greenroom.db.database import Database
from greenroom.db.fleet.liveness import TAKES_SESSIONS

_NOUNS: Final[Mapping[SearchKind, LiteralString]] = {
    "image": "workspace",
    "staging_config": "pool",
    "service_account": "service account",
    "api_key": "api key",
    "machine_pool": "machine pool",
    "filter_policy": "web filter policy",
}
"""The nouns of kinds with another name. The noun of a kind finds its objects."""


@dataclass(frozen=True, slots=True)
class Places:
    """The ids of the zones and groups in which a caller may see objects of a kind; None = everywhere."""

    zones: list[str] | None
    groups: list[str] | None


@dataclass(frozen=True, slots=True)
class _Source:
    """A kind of objects: `select` has the columns id, title, note and texts; `texts` has lower-case letters. `zone` and
    `group` are the conditions for a role that is restricted to zones or groups."""

    select: LiteralString
    zone: LiteralString | None = None
    group: LiteralString | None = None


_OF_USER: Final[LiteralString] = (
    "EXISTS (SELECT 1 FROM user_groups m WHERE m.user_id = {user} AND m.group_id = ANY(%({groups})s::uuid[]))"
)
_SOURCES: Final[Mapping[SearchKind, _Source]] = {
    "user": _Source(
        "SELECT u.user_id::text AS id, u.username AS title, trim(u.first_name || ' ' || u.last_name) AS note,"
        " lower(u.username || ' ' || u.first_name || ' ' || u.last_name) AS texts FROM users u"
        " WHERE NOT EXISTS (SELECT 1 FROM anonymous_users a WHERE a.user_id = u.user_id)"
        " AND NOT EXISTS (SELECT 1 FROM service_accounts a WHERE a.user_id = u.user_id)",
        group=_OF_USER.replace("{user}", "u.user_id"),
    ),
    "session": _Source(
        "SELECT s.session_id::text AS id, i.friendly_name || coalesce(' \u2013 ' || u.username, '') AS title,"
        " CASE WHEN s.user_id IS NULL AND s.status = 'running' THEN 'staged' ELSE s.status END"
        "  || ' · ' || z.zone_name AS note, lower(concat_ws(' ', i.friendly_name, u.username, s.session_id,"
        "  a.hostname)) AS texts FROM sessions s JOIN images i USING (image_id)"
        " JOIN zones z ON z.zone_id = s.zone_id LEFT JOIN users u ON u.user_id = s.user_id"
        " LEFT JOIN agents a ON a.agent_id = s.agent_id WHERE s.status <> 'deleted' AND s.superseded_by IS NULL",
        zone="s.zone_id = ANY(%({zones})s::uuid[])",
        group=_OF_USER.replace("{user}", "s.user_id"),
    ),
    "staging_config": _Source(
        "SELECT c.staging_config_id::text AS id, i.friendly_name AS title,"
        " CASE WHEN c.paused THEN 'paused · ' ELSE '' END || z.zone_name AS note,"
        " lower(concat_ws(' ', i.friendly_name, z.zone_name, c.staging_config_id)) AS texts"
        " FROM staging_configs c JOIN zones z USING (zone_id) JOIN images i USING (image_id) WHERE c.deleted IS NULL",
        zone="c.zone_id = ANY(%({zones})s::uuid[])",
    ),
    "image": _Source(
        "SELECT i.image_id::text AS id, i.friendly_name AS title, i.name AS note,"
        " lower(concat_ws(' ', i.friendly_name, i.name, i.description)) AS texts FROM images i WHERE true"
    ),
    "agent": _Source(
        "SELECT a.agent_id::text AS id, a.hostname AS title,"
        " CASE WHEN a.status = 'pending' THEN a.status WHEN NOT a.enabled THEN 'disabled'"
        "  WHEN a.status <> 'running' THEN a.status WHEN a.draining THEN 'draining'"
        "  WHEN a.runtime_error <> '' THEN 'no runtime' WHEN NOT " + TAKES_SESSIONS + " THEN 'no disk'"
        "  ELSE a.status END || ' · ' || z.zone_name AS note,"
        " lower(concat_ws(' ', a.hostname, z.zone_name, a.agent_id)) AS texts"
        " FROM agents a JOIN zones z USING (zone_id) WHERE true",
        zone="a.zone_id = ANY(%({zones})s::uuid[])",
    ),
    "manager": _Source(
        "SELECT m.manager_id::text AS id, m.instance_id AS title,"
        " CASE WHEN m.enabled THEN 'enabled' ELSE 'disabled' END || ' · ' || z.zone_name AS note,"
        " lower(concat_ws(' ', m.instance_id, m.hostname, z.zone_name)) AS texts"
        " FROM managers m JOIN zones z USING (zone_id) WHERE true",
        zone="m.zone_id = ANY(%({zones})s::uuid[])",
    ),
    "zone": _Source(
        "SELECT z.zone_id::text AS id, z.zone_name AS title, '' AS note, lower(z.zone_name) AS texts FROM zones z"
        " WHERE true",
        zone="z.zone_id = ANY(%({zones})s::uuid[])",
    ),
    "group": _Source(
        "SELECT g.group_id::text AS id, g.name AS title, g.description AS note,"
        " lower(g.name || ' ' || g.description) AS texts FROM groups g WHERE true",
        group="g.group_id = ANY(%({groups})s::uuid[])",
    ),
    "service_account": _Source(
        "SELECT a.user_id::text AS id, u.username AS title, a.description AS note,"
        " lower(u.username || ' ' || a.description) AS texts FROM service_accounts a JOIN users u USING (user_id)"
        " WHERE true"
    ),
    "api_key": _Source(
        "SELECT k.key_id AS id, coalesce(nullif(k.name, ''), k.key_id) AS title, coalesce(u.username, '') AS note,"
        " lower(concat_ws(' ', k.name, k.key_id, u.username)) AS texts"
        " FROM api_keys k LEFT JOIN users u ON u.user_id = k.created_by WHERE true"
    ),
    "secret": _Source(
        "SELECT s.secret_id::text AS id, s.name AS title, concat_ws(' · ', u.username, array_to_string(s.hosts, ', '))"
        "  AS note, lower(concat_ws(' ', s.name, s.description, array_to_string(s.hosts, ' '), u.username)) AS texts"
        " FROM secrets s LEFT JOIN users u ON u.user_id = s.owner_id WHERE true"
    ),
    "machine_pool": _Source(
        "SELECT p.machine_pool_id::text AS id, p.name AS title, p.provider || ' · ' || z.zone_name AS note,"
        " lower(concat_ws(' ', p.name, p.provider, z.zone_name)) AS texts"
        " FROM machine_pools p JOIN zones z USING (zone_id) WHERE p.deleted IS NULL"
    ),
    "filter_policy": _Source(
        "SELECT f.filter_policy_id::text AS id, f.name AS title, f.description AS note,"
        " lower(f.name || ' ' || f.description) AS texts FROM filter_policies f WHERE NOT f.of_leases"
    ),
    "directory": _Source(
        "SELECT d.directory_id::text AS id, d.title AS title, array_to_string(d.servers, ', ') AS note,"
        " lower(concat_ws(' ', d.title, d.name, array_to_string(d.servers, ' '))) AS texts"
        " FROM directories d WHERE true"
    ),
    "webhook": _Source(
        "SELECT w.webhook_id::text AS id, w.name AS title, w.url AS note, lower(w.name || ' ' || w.url) AS texts"
        " FROM webhooks w WHERE true"
    ),
}
STORED_KINDS: Final = tuple(_SOURCES)
"""The kinds of hits that are rows of tables."""


async def find_objects(db: Database, words: Sequence[str], kinds: Mapping[SearchKind, Places]) -> list[Hit]:
    """Return objects of these kinds that have all the words, at most `MAX_OF_KIND` of each kind."""
    values: dict[str, object] = {"words": list(words), "first": words[0], "most": MAX_OF_KIND}
    parts: list[LiteralString] = []
    for kind, source in _SOURCES.items():
        if (places := kinds.get(kind)) is None:
            continue
        conditions: list[LiteralString] = []
        if places.zones is not None or places.groups is not None:
            conditions = _conditions(kind, source, places, values) or ["false"]
        noun: LiteralString = _NOUNS.get(kind, kind)
        scope: LiteralString = f" AND ({' OR '.join(conditions)})" if conditions else ""
        parts.append(
            f"(SELECT '{kind}' AS kind, id, title, note FROM ({source.select}{scope}) rows WHERE (SELECT bool_and("
            f"strpos('{noun} ' || texts, word) > 0) FROM unnest(%(words)s::text[]) AS word)"
            " ORDER BY NOT starts_with(lower(title), %(first)s), lower(title), id LIMIT %(most)s)"
        )
    statement: LiteralString = " UNION ALL ".join(parts)
    return await db.fetch_as(Hit, statement, values) if parts else []


def _conditions(kind: SearchKind, source: _Source, places: Places, values: dict[str, object]) -> list[LiteralString]:
    """Return the conditions of the places of a role, and add their values."""
    conditions: list[LiteralString] = []
    if source.zone is not None and places.zones:
        values[f"{kind}_zones"] = places.zones
        conditions.append(source.zone.replace("{zones}", f"{kind}_zones"))
    if source.group is not None and places.groups:
        values[f"{kind}_groups"] = places.groups
        conditions.append(source.group.replace("{groups}", f"{kind}_groups"))
    return conditions
