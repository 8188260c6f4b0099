"""The accounts of confirmed identities: finds or creates the user of an identity, and applies the rules of its source.

A source is a provider or a directory. All log-ins through sources use these functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import structlog

from greenroom.api.access.lifecycle import AccessChange
from greenroom.core.errors import Duplicate, Invalid, Refused
from greenroom.core.log_codes import LogCode
from greenroom.db.access import users
from greenroom.db.database import Connection
from greenroom.db.diagnostics.logs import LogFields, LogWriter
from greenroom.identity import rules, statements
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.statements import GroupRule

log = structlog.get_logger(__name__)

T = TypeVar("T")


class IdentitySource(Protocol):
    """The settings of a provider or directory that determine the accounts of its users."""

    @property
    def title(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def create_users(self) -> bool: ...
    @property
    def rule_required(self) -> bool: ...
    @property
    def attributes(self) -> dict[str, str]: ...
    @property
    def rules(self) -> list[GroupRule]: ...


class ConfirmedIdentity(Protocol):
    """An identity that its source has confirmed."""

    @property
    def provider(self) -> IdentitySource: ...
    @property
    def subject(self) -> str: ...
    @property
    def claims(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """The user of an identity, before and after the change."""

    before: users.User
    after: users.User
    created: bool
    unknown: tuple[str, ...]
    """As in `rules.RuleResult`."""


async def store_with_rules(confirmed: ConfirmedIdentity, store: Callable[[rules.RuleResult], Awaitable[T]]) -> T:
    """Call `store` with the result of the rules, and once more if another log-in of the same person created the user at
    the same time. Raises SignOnRefused: the error contains the cause."""
    try:
        rule_result = await asyncio.to_thread(rules.evaluate_rules, confirmed.provider.rules, confirmed.claims)
    except Invalid as error:
        raise SignOnRefused(Refusal.WRONG_TOKEN, error.message) from error
    try:
        try:
            return await store(rule_result)
        except Duplicate as error:
            log.info("a log-in is tried once more", source=confirmed.provider.title, reason=error.message)
            return await store(rule_result)
    except Duplicate as error:
        cause = f"{error.message} Subject {confirmed.subject!r} is not linked to it."
        raise SignOnRefused(Refusal.USERNAME_TAKEN, cause) from error
    except Refused as error:
        raise SignOnRefused(Refusal.LAST_ADMINISTRATOR, error.message) from error


async def store_identity(
    access: AccessChange, confirmed: ConfirmedIdentity, rule_result: rules.RuleResult
) -> StoredIdentity:
    """Find or create the user of an identity, and apply the rules and attributes of its source.

    Raises:
        Duplicate: the user name exists, or the identity was linked at the same time.
        SignOnRefused: the error contains the cause.
    """
    connection, issuer = access.connection, confirmed.provider.issuer
    identity = await statements.find_identity(connection, issuer, confirmed.subject)
    user_id = identity.user_id if identity else await _create_user(connection, confirmed)
    user = await access.lock_user(user_id)
    if not await statements.record_identity_use(connection, issuer, confirmed.subject, user_id):
        raise SignOnRefused(Refusal.NO_USER, f"The subject {confirmed.subject!r} was unlinked meanwhile.")
    if user.break_glass:
        raise SignOnRefused(Refusal.BREAK_GLASS, f"The user {user.username} is a break-glass account.")
    if user.disabled or user.locked:
        raise SignOnRefused(Refusal.USER_DISABLED, f"The user {user.username} is disabled or locked.")
    if confirmed.provider.rule_required and not rule_result.matched:
        refusal = Refusal.NO_CLAIM if rule_result.unknown else Refusal.NO_GROUP
        raise SignOnRefused(refusal, " ".join((f"The claims of {user.username} match no rule.", *rule_result.unknown)))
    after = await apply_claims(connection, confirmed, user, rule_result)
    return StoredIdentity(user, after, created=identity is None, unknown=rule_result.unknown)


def log_changes(logs: LogWriter, confirmed: ConfirmedIdentity, stored: StoredIdentity) -> None:
    """Log that the user was created, that a claim of the rules was missing, or that the rules changed the groups."""
    title, name = confirmed.provider.title, stored.after.username
    log_fields = LogFields(user_id=stored.after.user_id, username=name)
    if stored.created:
        message = f"{name} was created at the first log-in through {title}, subject {confirmed.subject}"
        logs.write(LogCode.USER_CREATED, message, urgent=True, **log_fields)
    if stored.unknown:
        message = f"{title} did not send in which groups {name} is; the groups were kept. {' '.join(stored.unknown)}"
        logs.write(LogCode.SIGN_ON_CLAIM_MISSING, message, **log_fields)
    log_group_changes(logs, title, stored.before, stored.after)


def log_group_changes(logs: LogWriter, title: str, before: users.User, after: users.User) -> None:
    """Log that the rules of a source changed the groups of a user."""
    old, new = (sorted(group.name for group in user.groups) for user in (before, after))
    if old != new:
        name = after.username
        message = f"The rules of {title} changed the groups of {name}: {', '.join(old)} → {', '.join(new)}"
        details = {"before": {"groups": old}, "after": {"groups": new}}
        logs.write(LogCode.USER_CHANGED, message, details=details, urgent=True, user_id=after.user_id, username=name)


async def _create_user(connection: Connection, confirmed: ConfirmedIdentity) -> str:
    if not confirmed.provider.create_users:
        raise SignOnRefused(Refusal.NO_USER, f"No user is linked to the subject {confirmed.subject!r}.")
    profile = rules.user_profile(confirmed.provider.attributes, confirmed.claims)
    if profile.problem:
        raise SignOnRefused(Refusal.USERNAME_UNUSABLE, f"{profile.problem} The subject is {confirmed.subject!r}.")
    user_id = await users.insert_user(
        connection, replace(users.UserFields(username=profile.username), **profile.fields)
    )
    await statements.insert_identity(connection, user_id, confirmed.provider.issuer, confirmed.subject)
    return user_id


async def apply_claims(
    connection: Connection, confirmed: ConfirmedIdentity, user: users.User, rule_result: rules.RuleResult
) -> users.User:
    """Apply the rules and attributes of the source to a locked user, and return the changed user."""
    fields = rules.user_profile(confirmed.provider.attributes, confirmed.claims).fields
    if any(getattr(user, name) != value for name, value in fields.items()):
        await users.update_user(connection, replace(user, **fields))
    await _set_groups(connection, user, rule_result)
    return await users.lock_user(connection, user.user_id)


async def _set_groups(connection: Connection, user: users.User, rule_result: rules.RuleResult) -> None:
    existing = {group.group_id for group in await statements.existing_groups(connection, rule_result.managed)}
    before = frozenset(group.group_id for group in user.groups)
    after = frozenset(
        group_id
        for group_id in rule_result.groups_after(before)
        if group_id in existing or group_id not in rule_result.managed
    )
    if after == before:
        return
    await users.set_groups(connection, user.user_id, sorted(after))
