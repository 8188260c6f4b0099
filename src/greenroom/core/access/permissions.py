"""The permissions of users and API keys: their codes, the comparison of codes, and the rules for changes of own groups.

A caller needs all codes that a route names. `global_admin` includes every other code. Users who may change only their
own groups (`groups_modify_ifmember`) may restrict the members, but never permit more: after their change, no setting
with a `looseness` may have a looser value for any member, whichever group that value comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from greenroom.core.access.group_settings import SETTINGS, EffectiveSetting, GroupSettings, SettingValues, resolve
from greenroom.core.access.roles import ROLE_PREFIX, ROLES, code_of, codes_granted, codes_in, place_of

GLOBAL_ADMIN: Final = "global_admin"
LIKE_ADMINISTRATORS: Final = frozenset(
    (GLOBAL_ADMIN, "users_modify_admin", "groups_modify_system", "settings_modify", "users_auth_session")
)
"""Codes with which a user can get, or act with, permissions that they do not have."""
USER: Final = "user"

PERMISSIONS: Final[dict[str, str]] = {
    GLOBAL_ADMIN: "Everything; includes all other permissions",
    USER: "Use the launcher: own sessions, own account",
    "users_auth_session": "Launch and operate sessions for other users, with an API key of a program",
    "leases_create_for_others": "Lease sessions for other users, except users with permissions that you do not have",
    "users_view": "See users",
    "users_create": "Create users",
    "users_modify": "Change users",
    "users_modify_admin": "Change users with permissions that you do not have, watch their sessions and act in them",
    "users_delete": "Delete users",
    "groups_view": "See groups and their settings",
    "groups_view_ifmember": "See own groups",
    "groups_create": "Create groups",
    "groups_modify": "Change groups, their members, workspaces and settings",
    "groups_modify_ifmember": "Change own groups, without giving their members more rights",
    "groups_modify_system": "Change the groups All Users and Administrators, and groups with permissions that you lack",
    "groups_delete": "Delete groups",
    "images_view": "See workspaces",
    "images_create": "Create workspaces",
    "images_modify": "Change workspaces",
    "images_delete": "Delete workspaces",
    "homes_view": "See the home folders of all users, with size and last use",
    "homes_delete": "Delete the home folders of all users",
    "catalogues_view": "See third-party catalogues",
    "catalogues_create": "Add third-party catalogues by their address",
    "catalogues_delete": "Delete third-party catalogues",
    "zones_view": "See zones",
    "zones_create": "Create zones; an address with a host name that is new to this deployment also needs"
    " `settings_modify`",
    "zones_modify": "Change zones; an address with a host name that is new to this deployment also needs"
    " `settings_modify`",
    "zones_delete": "Delete zones",
    "managers_view": "See Managers",
    "managers_modify": "Enable and disable Managers",
    "managers_delete": "Delete Managers",
    "agents_view": "See Agents, gateways and join tokens",
    "agents_create": "Create and revoke join tokens for Agents and gateways",
    "agents_modify": "Change Agents, and enable, disable and drain them",
    "agents_delete": "Delete Agents and gateways",
    "machines_view": "See machine pools and machine orders",
    "machines_create": "Create machine pools, whose providers can charge for machines; approval needs"
    " `agents_create` and `agents_modify`",
    "machines_modify": "Change machine pools, and enable and disable them; approval needs `agents_create` and"
    " `agents_modify`, too",
    "machines_delete": "Delete machine pools",
    "staging_view": "See staging configs, their hits and misses, and forecasts of launches",
    "staging_create": "Create staging configs",
    "staging_modify": "Change and recycle staging configs",
    "staging_delete": "Delete staging configs",
    "sessions_view": "See the sessions of all users",
    "sessions_screenshot": "See the screens of the sessions of all users",
    "sessions_modify": "Operate the sessions of all users: stop, pause and resume them, run commands and use"
    " files in them",
    "sessions_delete": "Delete the sessions of all users",
    "sessions_assist": "Join the sessions of all users to help; their users see it",
    "sessions_assist_silent": "Join the sessions of all users without an announcement, if `allow_silent_assist` is on;"
    " always audited",
    "recordings_view": "See and export the recordings of all leases; always audited",
    "recordings_delete": "Delete recordings of leases, including own leases",
    "session_videos_view": "See the videos of recorded sessions, and verify them; each viewing is audited",
    "webfilters_view": "See web filter policies",
    "webfilters_create": "Create web filter policies",
    "webfilters_modify": "Change web filter policies",
    "webfilters_delete": "Delete web filter policies",
    "secrets_view": "See the secrets of all users, without their values",
    "secrets_create": "Create secrets that others may use",
    "secrets_modify": "Change the secrets of all users and the access to them",
    "secrets_delete": "Delete the secrets of all users",
    "devapi_view": "See API keys and service accounts",
    "devapi_create": "Create API keys and service accounts",
    "devapi_modify": "Change API keys and service accounts",
    "devapi_delete": "Delete API keys and service accounts",
    "webhooks_view": "See webhooks and their messages",
    "webhooks_create": "Create webhooks, which send events to other hosts",
    "webhooks_modify": "Change and test webhooks, and deliver messages again",
    "webhooks_delete": "Delete webhooks",
    "settings_view": "See the settings (System, Settings), sign-on providers, directories and SCIM clients",
    "settings_modify": "Change the settings (System, Settings), sign-on providers, directories and SCIM clients",
    "system_view": "See logs and Manager requests",
    "audit_view": "See and export the audit; always audited",
}
"""Code → its description, as the console displays it."""
VIEW_CODES: Final = tuple(code for code in PERMISSIONS if code.endswith("_view"))
"""The codes that permit to see objects of one kind. A user with one of them has the pages of administrators."""


def allows(granted: Iterable[str], required: Iterable[str]) -> bool:
    """True if the codes `granted` include all codes of `required`. Codes with a place do not count."""
    codes = frozenset(granted)
    return GLOBAL_ADMIN in codes or codes.issuperset(required)


def implied_codes(granted: Iterable[str]) -> frozenset[str]:
    """Return all codes that the grants imply, without unknown codes. A code with a place is omitted if the grants have
    the code for the whole installation.
    """
    codes = codes_granted(granted)
    if GLOBAL_ADMIN in codes:
        return frozenset(PERMISSIONS)
    everywhere = codes & PERMISSIONS.keys()
    return everywhere | {code for code in codes if place_of(code) and code_of(code) in PERMISSIONS.keys() - everywhere}


def codes_for(granted: Iterable[str], places: Iterable[str]) -> frozenset[str]:
    """Return the codes that count for an object in these places: those without a place, and those in one of them."""
    codes = implied_codes(granted)
    return frozenset(code for code in codes if not place_of(code)) | codes_in(codes, places)


def grants_with(*codes: str) -> list[str]:
    """Return the grants for the whole installation with which a user has at least one of these codes."""
    roles = [name for name, role in ROLES.items() if not implied_codes(role.codes).isdisjoint(codes)]
    return sorted({GLOBAL_ADMIN, *codes, *(ROLE_PREFIX + name for name in roles)})


def read_only_codes(granted: Iterable[str]) -> frozenset[str]:
    """Return the codes that a read-only API key with `granted` has: those that end in `_view`."""
    return frozenset(code for code in implied_codes(granted) if code_of(code).endswith("_view"))


def limited_to_owner(granted: Iterable[str], owner_codes: Iterable[str]) -> frozenset[str]:
    """Return the codes that an API key has in effect: those of `granted` that its owner also has, in the places in
    which both have them."""
    key, owner = implied_codes(granted), implied_codes(owner_codes)
    return frozenset({code for code in key if _has(owner, code)} | {code for code in owner if _has(key, code)})


def unknown_codes(codes: Iterable[str]) -> list[str]:
    """Return the elements of `codes` that do not exist, sorted."""
    return sorted(set(codes) - PERMISSIONS.keys())


def missing_codes(granted: Iterable[str], requested: Iterable[str]) -> list[str]:
    """Return the codes of `requested` that `granted` lacks, sorted. Users may grant only codes that they have. A code
    for the whole installation includes the code with any place."""
    held = implied_codes(granted)
    return sorted(code for code in implied_codes(requested) if not _has(held, code))


def _has(held: frozenset[str], code: str) -> bool:
    return code in held or code_of(code) in held


def missing_admin_codes(granted: Iterable[str], other: Iterable[str]) -> list[str]:
    """Return the codes that `other` has and `granted` lacks, sorted. If there are none, a user with `granted` may
    change a user with `other`. The code `user` is omitted, because it permits no administration.
    """
    return [code for code in missing_codes(granted, other) if code != USER]


ADMINISTRATOR_GRANTS: Final = (GLOBAL_ADMIN, ROLE_PREFIX + "administrator")
"""The grants with which a user is an administrator."""
WEB_FILTER_POLICY: Final = "web_filter_policy"


def refusal_of_change(
    group: GroupSettings, changed: SettingValues, members: Iterable[Sequence[GroupSettings]], *, priority: int
) -> str | None:
    """Return why a user with `groups_modify_ifmember` may not change `group`, as a sentence; None if allowed.

    `group` is the group before the change, and `priority` is its priority after the change. `changed` has the new
    values; None removes a setting. `members` has the groups of each member, including this group.
    """
    if priority != group.priority:
        return f"The priority of {group.name} decides which group's settings apply, so its members cannot change it."
    if names := [name for name in changed if name == WEB_FILTER_POLICY or SETTINGS[name].kind == "mapping"]:
        return f"`{min(names)}` cannot be changed by members of the group."
    unchanged = {name: value for name, value in group.settings.items() if name not in changed}
    after = replace(group, settings=unchanged | {name: value for name, value in changed.items() if value is not None})
    for groups in members:
        groups_after = [after if each.group_id == group.group_id else each for each in groups]
        if reason := _refusal_if_looser(groups, groups_after):
            return reason
    return None


def refusal_of_leaving(group_id: str, groups: Sequence[GroupSettings]) -> str | None:
    """Return the reason why users with `groups_modify_ifmember` may not remove a user from the group `group_id`, as a
    sentence; None if they may. `groups` are all groups of the user before the change.
    """
    return _refusal_if_looser(groups, [each for each in groups if each.group_id != group_id])


def _refusal_if_looser(before: Sequence[GroupSettings], after: Sequence[GroupSettings]) -> str | None:
    old, new = resolve(before), resolve(after)
    for name, setting in SETTINGS.items():
        if setting.looseness and setting.looseness(new[name].value) > setting.looseness(old[name].value):
            return _refusal(old[name], new[name])
    if old[WEB_FILTER_POLICY].value not in ("", new[WEB_FILTER_POLICY].value):
        return _refusal(old[WEB_FILTER_POLICY], new[WEB_FILTER_POLICY])
    return None


def _refusal(old: EffectiveSetting, new: EffectiveSetting) -> str:
    return f"The change would give a member more rights: now {old.trace}, afterwards {new.trace}."
