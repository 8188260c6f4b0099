"""The groups that a provider or directory may grant to its users: those that the caller who configures it may grant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from greenroom.api.access.groups import require_right_over_group
from greenroom.api.bodies import Json
from greenroom.api.security import Caller
from greenroom.core.errors import Invalid, NotFound
from greenroom.db.access import groups
from greenroom.db.database import Database
from greenroom.identity import rules
from greenroom.identity.saml.statements import permissions_at_issuer
from greenroom.identity.statements import GroupRule


class Grants(Protocol):
    """The settings of a provider or directory that grant something to its users."""

    @property
    def create_users(self) -> bool: ...
    @property
    def rules(self) -> list[GroupRule]: ...


async def require_permission_to_grant(
    db: Database, caller: Caller, fields: Grants, *, kept: Sequence[GroupRule] = (), groups_must_exist: bool = True
) -> None:
    """Check that the caller may do what the source does automatically: create users, and add users to the groups of
    its rules. For the rules in `kept`, which another caller may have made, the caller needs no permissions of the
    group.

    Raises:
        Forbidden: the caller lacks a permission, which the error names.
        Invalid: the group of a rule does not exist, and `groups_must_exist`.
    """
    if fields.create_users:
        caller.require("users_create")
    if fields.rules:
        caller.require("groups_modify")
    given = {rule.group_id for rule in fields.rules if rule not in kept}
    for group_id in sorted({rule.group_id for rule in fields.rules}):
        try:
            group = await groups.get_group(db, group_id)
        except NotFound as error:
            if groups_must_exist:
                raise Invalid(f"A rule names the group {group_id}, which does not exist.") from error
            continue
        require_right_over_group(caller, group)
        if group_id in given:
            caller.require_right_to_grant(group.grants)


def parse_rules(values: Sequence[GroupRule | Json]) -> list[GroupRule]:
    """Return the rules of a request, some of which may be stored rules."""
    return [
        rule if isinstance(rule, GroupRule) else GroupRule(**rule | {"group_id": str(rule["group_id"])})
        for rule in values
    ]


def check_attributes(attributes: dict[str, str]) -> None:
    """Raises Invalid: an attribute is for an unknown field of users."""
    if unknown := sorted(set(attributes) - set(rules.ATTRIBUTES)):
        raise Invalid(f"{unknown[0]!r} is no field of a user; the fields are {', '.join(rules.ATTRIBUTES)}.")


async def require_right_over_identities(db: Database, caller: Caller, issuer: str) -> None:
    """Check that the caller may act for all users with an identity at this issuer, because the servers or the metadata
    of the issuer decide who logs in as these users. Raises Forbidden: the error contains the missing permission."""
    caller.require_right_over(await permissions_at_issuer(db, issuer))
