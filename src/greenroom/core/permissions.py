"""What a person or an API key may do: codes, what they mean, and the one rule that compares them.

Every route of the api names the codes it needs; whoever has all of them passes. `global_admin` includes every other
code. A read-only key keeps only the codes that end in `_view`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

GLOBAL_ADMIN: Final = "global_admin"
USER: Final = "user"

PERMISSIONS: Final[dict[str, str]] = {
    GLOBAL_ADMIN: "Everything; includes every other permission",
    USER: "Use the launcher: own sessions, own account",
    "users_auth_session": "Launch and operate sessions in the name of users (API keys)",
    "users_view": "See users",
    "users_create": "Create users",
    "users_modify": "Change users",
    "users_modify_admin": "Change users who have more permissions than oneself",
    "users_delete": "Delete users",
    "groups_view": "See groups and their settings",
    "groups_view_ifmember": "See the groups one is a member of",
    "groups_create": "Create groups",
    "groups_modify": "Change groups, their members, workspaces and settings",
    "groups_modify_ifmember": "Change the groups one is a member of",
    "groups_modify_system": "Change All Users, Administrators, and groups that give more than one has oneself",
    "groups_delete": "Delete groups",
    "images_view": "See workspaces",
    "images_create": "Create workspaces",
    "images_modify": "Change workspaces",
    "images_delete": "Delete workspaces",
    "zones_view": "See zones",
    "zones_create": "Create zones",
    "zones_modify": "Change zones",
    "zones_delete": "Delete zones",
    "managers_view": "See Managers",
    "managers_modify": "Enable and disable Managers",
    "managers_delete": "Delete Managers",
    "agents_view": "See Agents, gateways and join tokens",
    "agents_create": "Make and revoke join tokens for Agents and gateways",
    "agents_modify": "Change, enable, disable and drain Agents",
    "agents_delete": "Delete Agents and gateways",
    "staging_view": "See staging configs, their hits and misses, and whether a user would get a session",
    "staging_create": "Create staging configs",
    "staging_modify": "Change and recycle staging configs",
    "staging_delete": "Delete staging configs",
    "sessions_view": "See the sessions of everybody",
    "sessions_screenshot": "See the screens of everybody's sessions",
    "sessions_modify": "Stop, pause, resume and run commands in the sessions of everybody",
    "sessions_delete": "Destroy the sessions of everybody",
    "webfilters_view": "See web filter policies",
    "webfilters_create": "Create web filter policies",
    "webfilters_modify": "Change web filter policies",
    "webfilters_delete": "Delete web filter policies",
    "devapi_view": "See API keys",
    "devapi_create": "Create API keys",
    "devapi_modify": "Change API keys",
    "devapi_delete": "Delete API keys",
    "settings_view": "See the settings of the installation",
    "settings_modify": "Change the settings of the installation",
    "system_view": "See logs and Manager requests (Diagnostics)",
}
"""Code → what it allows, as shown in the console."""


def allows(granted: Iterable[str], required: Iterable[str]) -> bool:
    """Whether someone with the codes `granted` may do what needs all codes of `required`."""
    having = frozenset(granted)
    return GLOBAL_ADMIN in having or having.issuperset(required)


def expanded(granted: Iterable[str]) -> frozenset[str]:
    """All codes that `granted` amounts to; unknown codes are left out."""
    having = frozenset(granted)
    return frozenset(PERMISSIONS) if GLOBAL_ADMIN in having else having & PERMISSIONS.keys()


def read_only(granted: Iterable[str]) -> frozenset[str]:
    """What a read-only API key keeps of `granted`: the `_view` codes."""
    return frozenset(code for code in expanded(granted) if code.endswith("_view"))


def bounded(granted: Iterable[str], owner: Iterable[str]) -> frozenset[str]:
    """What an API key keeps of `granted` while its owner has the codes `owner`: never more than he has himself."""
    return expanded(granted) & expanded(owner)


def unknown(codes: Iterable[str]) -> list[str]:
    """Those of `codes` that do not exist, sorted."""
    return sorted(set(codes) - PERMISSIONS.keys())


def beyond(granted: Iterable[str], given: Iterable[str]) -> list[str]:
    """Those of `given` that someone with `granted` may not hand on, sorted: nobody gives more than he has."""
    return sorted(expanded(given) - expanded(granted))


def above(granted: Iterable[str], other: Iterable[str]) -> list[str]:
    """The codes that put someone with `other` above someone with `granted`, sorted; empty = he may be changed.

    `user` does not count: everybody has it, and it administers nothing.
    """
    return [code for code in beyond(granted, other) if code != USER]
