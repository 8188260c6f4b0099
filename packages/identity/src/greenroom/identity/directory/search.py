"""Finds users and their groups in a directory.

The subject of a user is a value that the directory never assigns again (`entryUUID` or `objectGUID`), never a name. The
claims of a user are the attributes of the entry in lower case, and `groups`, the DNs of the groups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from greenroom.identity.directory.client import DirectoryClient, DirectoryFailed, Query
from greenroom.identity.directory.ldif import DirectoryEntry, all_of, any_of, equals, normal_dn
from greenroom.identity.directory.statements import DirectoryFields
from greenroom.identity.statements import GroupRule

GUID: Final = "objectguid"
"""The attribute of Active Directory that contains the 16 bytes of a UUID."""
ACCOUNT_CONTROL: Final = "useraccountcontrol"
ACCOUNT_DISABLED: Final = 2
"""The bit of `userAccountControl` of disabled accounts of Active Directory."""
IN_CHAIN: Final = "1.2.840.113556.1.4.1941"
"""The matching rule of Active Directory that resolves nested groups (LDAP_MATCHING_RULE_IN_CHAIN)."""
GROUPS: Final = "groups"
"""The claim with the DNs of the groups."""
MAX_DEPTH: Final = 10
"""The maximum depth of nested groups."""
MAX_GROUPS: Final = 2000
"""The maximum number of groups of a user."""
BATCH_SIZE: Final = 50
"""The number of values in one filter."""
MAX_SUBJECT: Final = 255

ACCOUNT_PROBLEMS: Final = {
    "530": "the user may not log in at this time",
    "531": "the user may not log in from this computer",
    "532": "the password has expired",
    "533": "the account is disabled",
    "701": "the account has expired",
    "773": "the user must change the password first",
}
"""Code in an answer of Active Directory → its meaning. Active Directory sends these codes only after the right
password. The code 775 (a locked account) is not one of them, so a log-in as a locked user looks like a wrong password.
"""


def account_problem(reason: str) -> str | None:
    """Return why an account of Active Directory may not log in with the right password; None for other reasons of a
    refused bind."""
    found = re.search(r"AcceptSecurityContext error, data (\w+)", reason)
    return ACCOUNT_PROBLEMS.get(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user in a directory. `is_disabled`: the account is disabled in Active Directory."""

    subject: str
    dn: str
    is_disabled: bool
    claims: dict[str, Any] = field(repr=False)


def username_filter(fields: DirectoryFields, username: str) -> str:
    """Return the filter for the users with this name. The name cannot change the meaning of the filter."""
    return all_of(fields.user_filter, any_of(equals(attribute, username) for attribute in fields.login_attributes))


def subject_filter(fields: DirectoryFields, subjects: Sequence[str]) -> str:
    """Return the filter for the users with these subjects."""
    values = (_id_value(fields.id_attribute, subject) for subject in subjects)
    return all_of(fields.user_filter, any_of(equals(fields.id_attribute, value) for value in values))


def _id_value(attribute: str, subject: str) -> str | bytes:
    if attribute.lower() != GUID:
        return subject
    try:
        return UUID(subject).bytes_le
    except ValueError:  # an administrator linked a subject that is no UUID; no entry has it
        return subject


def user_attributes(fields: DirectoryFields) -> tuple[str, ...]:
    """Return the attributes that are requested of a user."""
    names = {fields.id_attribute, *profile_attributes(fields).values(), *(rule.claim for rule in fields.rules)}
    return tuple(sorted({name.lower() for name in names} - {GROUPS} | {"memberof", ACCOUNT_CONTROL}))


def profile_attributes(fields: DirectoryFields) -> dict[str, str]:
    """Return field of a user → claim."""
    names = {"username": fields.login_attributes[0], "first_name": "givenname", "last_name": "sn"} | fields.attributes
    return {name: attribute.lower() for name, attribute in names.items()}


def normal_rules(rules: Sequence[GroupRule]) -> list[GroupRule]:
    """Return the rules with attributes and DNs as in the claims of `DirectoryUser`."""
    lower = [replace(rule, claim=rule.claim.lower()) for rule in rules]
    return [replace(rule, value=normal_dn(rule.value)) if rule.claim == GROUPS else rule for rule in lower]


def read_user(fields: DirectoryFields, entry: DirectoryEntry) -> DirectoryUser:
    """Return the user of an entry, without groups. Raises DirectoryFailed: the entry has no usable subject."""
    claims: dict[str, Any] = {attribute: entry.texts(attribute) for attribute in entry.values}
    control = "".join(entry.texts(ACCOUNT_CONTROL)[:1])
    is_disabled = control.isascii() and control.isdecimal() and bool(int(control) & ACCOUNT_DISABLED)
    return DirectoryUser(_subject(fields.id_attribute, entry), entry.dn, is_disabled, claims)


def _subject(attribute: str, entry: DirectoryEntry) -> str:
    values = entry.values.get(attribute.lower(), [])
    if len(values) != 1:
        raise DirectoryFailed("answer", f"{entry.dn} has {len(values)} values of {attribute} instead of one.")
    if attribute.lower() == GUID and len(values[0]) == 16:
        return str(UUID(bytes_le=values[0]))
    text = "".join(entry.texts(attribute))
    if not 0 < len(text) <= MAX_SUBJECT or not text.isprintable():
        raise DirectoryFailed("answer", f"The {attribute} of {entry.dn} cannot identify a user.")
    return text


async def find_user(client: DirectoryClient, fields: DirectoryFields, username: str) -> DirectoryUser | None:
    """Return the user with this name, without groups; None if there is none. Raises DirectoryFailed: the search fails,
    or several entries have the name."""
    query = Query(fields.user_base, username_filter(fields, username), user_attributes(fields), size_limit=2)
    answer = await client.search(query)
    if len(answer.entries) > 1 or not answer.is_complete:
        raise DirectoryFailed("answer", f"Several entries below {fields.user_base} have the name {username!r}.")
    return read_user(fields, answer.entries[0]) if answer.entries else None


async def with_groups(client: DirectoryClient, fields: DirectoryFields, user: DirectoryUser) -> DirectoryUser:
    """Return a user with their groups. Raises DirectoryFailed: a search fails, or the user has too many groups."""
    match fields.membership:
        case "memberof":
            groups = {normal_dn(dn) for dn in user.claims.get("memberof", [])}
        case "member":
            groups = await _groups_with(client, fields, [equals("member", user.dn)])
        case "chain":
            groups = await _groups_with(client, fields, [equals(f"member:{IN_CHAIN}:", user.dn)])
        case "nested":
            groups = await _nested_groups(client, fields, user.dn)
    return replace(user, claims=user.claims | {GROUPS: sorted(groups)})


async def _nested_groups(client: DirectoryClient, fields: DirectoryFields, dn: str) -> set[str]:
    """Return all groups of an entry, level by level. A group that was found before is not searched again, so that
    groups that contain each other end the search. Raises DirectoryFailed: the groups have more than `MAX_DEPTH`
    levels."""
    found: dict[str, str] = {}
    frontier = [dn]
    for _ in range(MAX_DEPTH):
        level = await _group_dns(client, fields, [equals("member", member) for member in frontier])
        new = {normal_dn(group): group for group in level if normal_dn(group) not in found}
        if not new:
            return set(found)
        found |= new
        _check_number(found, dn)
        frontier = list(new.values())
    raise DirectoryFailed("answer", f"The groups of {dn} have more than {MAX_DEPTH} levels.")


async def _groups_with(client: DirectoryClient, fields: DirectoryFields, filters: list[str]) -> set[str]:
    return {normal_dn(dn) for dn in await _group_dns(client, fields, filters)}


async def _group_dns(client: DirectoryClient, fields: DirectoryFields, filters: list[str]) -> list[str]:
    dns: list[str] = []
    for start in range(0, len(filters), BATCH_SIZE):
        group_filter = all_of(fields.group_filter, any_of(filters[start : start + BATCH_SIZE]))
        answer = await client.search(Query(fields.group_base or fields.user_base, group_filter, ("1.1",)))
        if not answer.is_complete:
            raise DirectoryFailed("answer", "The directory did not return all groups of a user.")
        dns += [entry.dn for entry in answer.entries]
        _check_number(dns, "a user")
    return dns


def _check_number(groups: Sequence[str] | Mapping[str, str], owner: str) -> None:
    if len(groups) > MAX_GROUPS:
        raise DirectoryFailed("answer", f"{owner} is in more than {MAX_GROUPS} groups.")
