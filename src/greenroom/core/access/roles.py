"""Roles: named sets of permission codes for whole jobs, and the scopes in which a role applies.

A *grant* is a text: a code (`agents_view`), or a role (`role:zone_operator`). A grant with a scope ends with a *place*:
`role:zone_operator@zone:ID`. A code with a place counts only for objects in this place, and only on routes that declare
their place. Everywhere else it is another text than the code, so that comparisons of codes ignore it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

PlaceKind = Literal["zone", "group"]
RoleName = Literal["administrator", "help_desk", "zone_operator", "auditor", "workspace_editor", "user"]
ROLE_PREFIX: Final = "role:"
_MARK: Final = "@"


@dataclass(frozen=True, slots=True)
class Role:
    """A role. `scope` is the kind of places to which it can be restricted; None = only the whole installation."""

    name: RoleName
    title: str
    description: str
    codes: tuple[str, ...]
    scope: PlaceKind | None = None


_ROLES: Final = (
    Role("administrator", "Installation administrator", "Has every permission.", ("global_admin",)),
    Role(
        "help_desk",
        "Help desk",
        "Sees users and their sessions, sets passwords, ends log-ins and sessions, and joins sessions to help.",
        (
            "groups_view",
            "users_view",
            "users_modify",
            "sessions_view",
            "sessions_delete",
            "sessions_assist",
        ),
        "group",
    ),
    Role(
        "zone_operator",
        "Zone operator",
        "Operates zones with their Managers, Agents and staging configs, and ends sessions.",
        (
            "zones_view",
            "zones_modify",
            "managers_view",
            "managers_modify",
            "managers_delete",
            "agents_view",
            "agents_modify",
            "agents_delete",
            "staging_view",
            "staging_create",
            "staging_modify",
            "staging_delete",
            "sessions_view",
            "sessions_delete",
        ),
        "zone",
    ),
    Role(
        "auditor",
        "Auditor",
        "Sees everything, including logs and recordings, and changes nothing.",
        (
            "users_view",
            "groups_view",
            "images_view",
            "homes_view",
            "catalogues_view",
            "zones_view",
            "managers_view",
            "agents_view",
            "machines_view",
            "staging_view",
            "sessions_view",
            "recordings_view",
            "session_videos_view",
            "webfilters_view",
            "secrets_view",
            "devapi_view",
            "webhooks_view",
            "settings_view",
            "system_view",
            "audit_view",
        ),
    ),
    Role(
        "workspace_editor",
        "Workspace editor",
        "Creates, changes and deletes workspaces, and adds workspaces from catalogues.",
        (
            "images_view",
            "images_create",
            "images_modify",
            "images_delete",
            "catalogues_view",
            "webfilters_view",
        ),
    ),
    Role("user", "User", "Uses the launcher: own sessions and own account.", ("user",)),
)
ROLES: Final[Mapping[str, Role]] = {role.name: role for role in _ROLES}
"""Name → the role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssignment:
    """A role of the members of a group. `zones` or `groups` are the ids of its scope; both None = the whole
    installation."""

    role: RoleName
    zones: list[str] | None = None
    groups: list[str] | None = None

    @property
    def grants(self) -> list[str]:
        """The grants of the assignment, as the members get them."""
        places = [place("zone", zone) for zone in self.zones or ()] + [
            place("group", group) for group in self.groups or ()
        ]
        if self.zones is None and self.groups is None:
            return [ROLE_PREFIX + self.role]
        return [at(ROLE_PREFIX + self.role, each) for each in places]


def grants_of(assignments: Iterable[RoleAssignment]) -> list[str]:
    """Return the grants of all assignments."""
    return [grant for assignment in assignments for grant in assignment.grants]


def assignment_problem(assignment: RoleAssignment) -> str | None:
    """Return why the role cannot have this scope, as a sentence; None if it can."""
    role = ROLES[assignment.role]
    scopes: list[tuple[PlaceKind, Sequence[str] | None]] = [("zone", assignment.zones), ("group", assignment.groups)]
    for kind, ids in scopes:
        if ids is not None and kind != role.scope:
            return f"The role {role.name} cannot be restricted to {kind}s."
        if ids is not None and not ids:
            return f"Name at least one {kind} for the role {role.name}, or omit `{kind}s` for the whole installation."
    return None


def place(kind: PlaceKind, object_id: str) -> str:
    """Return the place of objects in a zone or group, such as `zone:ID`."""
    return f"{kind}:{object_id}"


def session_places(zone_id: str, group_ids: Iterable[str]) -> frozenset[str]:
    """Return the places of a session in this zone whose user is in these groups."""
    return frozenset({place("zone", zone_id), *(place("group", group_id) for group_id in group_ids)})


def at(grant: str, place_text: str) -> str:
    """Return the grant, restricted to a place."""
    return f"{grant}{_MARK}{place_text}"


def code_of(grant: str) -> str:
    """Return a grant without its place."""
    return grant.partition(_MARK)[0]


def place_of(grant: str) -> str:
    """Return the place of a grant; empty = the whole installation."""
    return grant.partition(_MARK)[2]


def codes_granted(grants: Iterable[str]) -> frozenset[str]:
    """Return the codes of the grants, with the codes of their roles in place of the roles.

    A role with a place of another kind than its scope grants nothing.
    """
    codes = set[str]()
    for grant in grants:
        if not grant.startswith(ROLE_PREFIX):
            codes.add(grant)
            continue
        role, where = ROLES.get(code_of(grant).removeprefix(ROLE_PREFIX)), place_of(grant)
        if role is not None and where.partition(":")[0] in ("", role.scope):
            codes |= {at(code, where) if where else code for code in role.codes}
    return frozenset(codes)


def places_with(codes: Iterable[str], code: str) -> frozenset[str]:
    """Return the places in which the codes contain `code` with a place."""
    return frozenset(place_of(each) for each in codes if code_of(each) == code and place_of(each))


def codes_in(codes: Iterable[str], places: Iterable[str]) -> frozenset[str]:
    """Return the codes that count for an object in these places because of a place."""
    held, where = frozenset(codes), frozenset(places)
    return frozenset(code_of(each) for each in held if place_of(each) in where and place_of(each))


def codes_in_every(codes: Iterable[str], places: Iterable[str]) -> frozenset[str]:
    """Return the codes that count in each of these places because of a place; none if there are no places."""
    held, where = frozenset(codes), frozenset(places)
    return frozenset(code for code in map(code_of, held) if where and where <= places_with(held, code))
