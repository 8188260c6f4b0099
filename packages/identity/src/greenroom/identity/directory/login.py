"""Log-ins with the password of a directory, at the normal log-in form.

A user with a password at Greenroom is never looked up in a directory, unless an account there is linked to the user.
A user with linked accounts is looked up only in their directories, so that no other directory gets the password. For
other names, all directories are searched at the same time, and the first one that has the name checks the password.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from fastapi import Request

from greenroom.api.access.failed_attempts import FailedAttempts
from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.security import client_address
from greenroom.core.errors import Forbidden, Unavailable
from greenroom.core.rate_limits import source_of
from greenroom.db.access import credentials, users
from greenroom.identity import accounts, rules
from greenroom.identity.context import SignOnContext, context_of
from greenroom.identity.directory import search, statements
from greenroom.identity.directory.client import TIMEOUT_S, DirectoryClient, DirectoryFailed
from greenroom.identity.directory.directories import client_of
from greenroom.identity.directory.search import DirectoryUser
from greenroom.identity.directory.statements import Directory
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.statements import find_identity, record_problem

log = structlog.get_logger(__name__)

NO_ANSWER: Final = "The password is wrong, or the directory that could check it does not answer; try again later."


@dataclass(frozen=True, slots=True)
class ConfirmedEntry:
    """A user whose password a directory has confirmed; see `accounts.ConfirmedIdentity`."""

    provider: Directory
    subject: str
    claims: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, directory: Directory, user: DirectoryUser) -> ConfirmedEntry:
        attributes, group_rules = search.profile_attributes(directory), search.normal_rules(directory.rules)
        # An entry cannot have an empty attribute: a missing one has no values. A failed search is a `DirectoryFailed`.
        without_values: dict[str, Any] = {rule.claim: [] for rule in group_rules}
        claims = without_values | user.claims
        return cls(replace(directory, attributes=attributes, rules=group_rules), user.subject, claims)


@dataclass(frozen=True, slots=True)
class _Found:
    """The result of the search in one directory."""

    directory: Directory
    client: DirectoryClient
    user: DirectoryUser | None
    failure: str = ""
    """The reason why the search failed, as a sentence."""

    @property
    def account(self) -> str:
        """The name under which attempts are counted, because a directory finds an entry by many names."""
        return f"{self.directory.issuer}/{self.user.subject if self.user else ''}"


async def check_password(request: Request, user: users.User | None, username: str, password: str) -> users.User | None:
    """Check a password at the directories (`PasswordCheck`).

    Raises:
        Forbidden: the password is right, but the user may not log in.
        TooManyRequests: too many attempts failed for this account of the directory.
        Unavailable: no directory knows the name, and one did not answer.
    """
    context = context_of(request.app.state)
    has_password = user is not None and user.password_hash is not None
    linked = await statements.issuers_of_user(context.db, user.user_id) if user else frozenset[str]()
    if not password or (has_password and not linked):
        return None
    enabled = [directory for directory in (await statements.list_directories(context.db)).rows if directory.enabled]
    found = await _search(context, [one for one in enabled if not linked or one.issuer in linked], username)
    for result in found:
        if result.user is None:
            continue
        title = result.directory.title
        try:
            await _limit_attempts(request, context, result)
            logged_in = await _log_in(context, result, result.user, password, local=user if has_password else None)
        except DirectoryFailed as error:
            await _log_failure(context, request, result.directory, str(error))
            raise Unavailable(NO_ANSWER) from error
        except SignOnRefused as refused:
            context.refusals.log_refused_sign_on(request, title, str(refused.refusal), refused.cause)
            raise Forbidden(refused.refusal.sentence) from refused
        if logged_in is not None:
            await credentials.clear_attempts(context.db, result.account, _source(request))
            await record_problem(context.db, result.directory.directory_id, "")
        return logged_in
    failed = [result for result in found if result.failure]
    for result in failed:
        await _log_failure(context, request, result.directory, result.failure)
    if failed:
        raise Unavailable(NO_ANSWER)
    return None


async def _log_failure(context: SignOnContext, request: Request, directory: Directory, cause: str) -> None:
    context.refusals.log_refused_sign_on(request, directory.title, str(Refusal.PROVIDER_DOWN), cause)
    await record_problem(context.db, directory.directory_id, cause)


async def _limit_attempts(request: Request, context: SignOnContext, found: _Found) -> None:
    """Count an attempt to log in as an entry. Raises TooManyRequests: there were too many."""
    settings, source = context.snapshot.installation, _source(request)
    wait_s = await credentials.begin_attempt(
        context.db,
        found.account,
        source,
        max_attempts=settings.max_login_attempts,
        window_s=settings.login_window_s,
    )
    if wait_s is not None:
        failed_attempts: FailedAttempts = request.app.state.failed_attempts
        failed_attempts.refuse(request, "account", f"through {found.directory.title}", wait_s)


def _source(request: Request) -> str:
    return source_of(client_address(request))


async def _search(context: SignOnContext, directories: list[Directory], username: str) -> list[_Found]:
    deadline_s = time.monotonic() + TIMEOUT_S
    return await asyncio.gather(*(_find(context, one, username, deadline_s) for one in directories))


async def _find(context: SignOnContext, directory: Directory, username: str, deadline_s: float) -> _Found:
    client = client_of(context, directory, deadline_s=deadline_s)
    try:
        return _Found(directory, client, await search.find_user(client, directory, username))
    except DirectoryFailed as error:
        return _Found(directory, client, None, failure=str(error))


async def _log_in(
    context: SignOnContext, found: _Found, entry: DirectoryUser, password: str, *, local: users.User | None
) -> users.User | None:
    """Check the password of an entry and return its user; None if the password is wrong. `local` is the user with the
    entered name and a password at Greenroom. No other account of a directory may replace this user.

    Raises:
        DirectoryFailed: the directory does not answer.
        SignOnRefused: the error contains the cause.
    """
    directory = found.directory
    if reason := await found.client.confirms(entry.dn, password):
        if problem := search.account_problem(reason):
            raise SignOnRefused(Refusal.DIRECTORY_ACCOUNT, f"{entry.dn} cannot log in: {problem}.")
        log.info("a directory refused a password", directory=directory.title, dn=entry.dn, reason=reason)
        return None
    if entry.is_disabled:
        raise SignOnRefused(Refusal.USER_DISABLED, f"{entry.dn} is disabled in {directory.title}.")
    if any(rule.claim.lower() == search.GROUPS for rule in directory.rules):
        entry = await search.with_groups(found.client, directory, entry)
    confirmed = ConfirmedEntry.of(directory, entry)
    return await accounts.store_with_rules(
        confirmed, lambda rule_result: _store(context, confirmed, directory, rule_result, local)
    )


async def _store(
    context: SignOnContext,
    confirmed: ConfirmedEntry,
    directory: Directory,
    rule_result: rules.RuleResult,
    local: users.User | None,
) -> users.User:
    async with access_transaction(context.db, context.logs) as access:
        connection = access.connection
        if not await statements.lock_unchanged_directory(connection, directory):
            cause = "The directory was deleted, disabled or changed during the log-in."
            raise SignOnRefused(Refusal.PROVIDER_DISABLED, cause)
        identity = await find_identity(connection, directory.issuer, confirmed.subject)
        if local is not None and (identity is None or identity.user_id != local.user_id):
            cause = f"The account {local.username} is not linked to the subject {confirmed.subject!r}."
            raise SignOnRefused(Refusal.USERNAME_TAKEN, cause)
        stored = await accounts.store_identity(access, confirmed, rule_result)
    accounts.log_changes(context.logs, confirmed, stored)
    return stored.after
