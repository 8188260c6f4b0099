"""Checks at the provider that log-ins are still valid: at a fixed interval, the refresh token of a log-in is used.

If the provider refuses the refresh token, the log-in ends immediately. A check also fails if the provider does not
answer, if the provider sent no refresh token, or if the refresh token cannot be decrypted. After such failures, the
log-in ends when the check interval and the grace period of the provider have passed since its last successful check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from greenroom.api.access.lifecycle import end_login
from greenroom.core.errors import GreenroomError, NotFound, SetupError
from greenroom.core.log_codes import LogCode
from greenroom.identity import statements
from greenroom.identity.context import SignOnContext, context_of
from greenroom.identity.provider import GrantRefused, ProviderFailed
from greenroom.identity.statements import DueLogin, SignOnProvider
from greenroom.kit.concurrency import log_item_error

log = structlog.get_logger(__name__)

POLL_S: Final = 5.0
"""The time between two searches for due log-ins."""
BATCH_SIZE: Final = 20
"""The number of log-ins that are checked at the same time."""
MAX_REPEAT_S: Final = 60.0
"""The longest time until a failed check is repeated."""
LOGIN_ENDED_ERRORS: Final = frozenset({"invalid_grant"})
"""The OAuth 2.0 errors with which a provider states that a log-in has ended. After other errors, such as
`invalid_client`, the check is repeated."""


@dataclass(frozen=True, slots=True)
class NextCheck:
    """The log-in continues. `after_s` is the time until its next check."""

    after_s: float


@dataclass(frozen=True, slots=True)
class LoginEnds:
    """The log-in ends. `reason` is a sentence."""

    reason: str


def next_action(
    failure: str | None, *, ended: bool, unchecked_s: float, interval_s: float, grace_s: float
) -> NextCheck | LoginEnds:
    """Return the next action after a check.

    `failure` is the reason why the check failed; None = it passed. `ended`: the provider has ended the log-in.
    `unchecked_s` is the time since the last successful check, `interval_s` the check interval of the provider, and
    `grace_s` its grace period.
    """
    if failure is None:
        return NextCheck(interval_s)
    remaining_s = interval_s + grace_s - unchecked_s
    if ended or remaining_s <= 0:
        return LoginEnds(failure)
    return NextCheck(min(MAX_REPEAT_S, interval_s, remaining_s))


async def check_logins(state: Any) -> None:
    """Check due log-ins every `POLL_S`, forever. Several processes can run this loop at the same time."""
    context = context_of(state)
    while True:
        await asyncio.sleep(POLL_S)
        try:
            while await check_due_logins(context) == BATCH_SIZE:
                pass
        except GreenroomError as error:
            log.warning("log-ins are not checked at their providers", reason=error.message)


async def check_due_logins(context: SignOnContext) -> int:
    """Check the log-ins that are due, and return their number. Raises Unavailable: the database cannot be reached."""
    due = await statements.take_due_logins(context.db, BATCH_SIZE)
    if due:
        listed = await statements.list_providers(context.db)
        providers = {provider.provider_id: provider for provider in listed.rows}
        await asyncio.gather(*(_check_or_defer(context, login, providers) for login in due))
    return len(due)


async def _check_or_defer(context: SignOnContext, login: DueLogin, providers: Mapping[str, SignOnProvider]) -> None:
    """Check a log-in; after an unexpected error, its next check is due after `statements.RETAKE_AFTER_S`."""
    with log_item_error("log-in", login.login_id):
        provider = providers.get(login.provider_id)
        if provider and (provider.issuer, provider.client_id) == (login.issuer, login.client_id):
            await _check(context, login, provider)
        # Otherwise, the provider was deleted or changed meanwhile, and this change ends the log-in.


async def _check(context: SignOnContext, login: DueLogin, provider: SignOnProvider) -> None:
    if provider.check_s == 0:  # the setting was changed after the log-in
        await statements.record_check(context.db, login, login.refresh_token_encrypted, next_check_s=None, passed=False)
        return
    failure, ended, token_encrypted = None, False, login.refresh_token_encrypted
    try:
        token_encrypted = await _use_refresh_token(context, provider, token_encrypted)
    except GrantRefused as error:
        failure, ended = str(error), error.error in LOGIN_ENDED_ERRORS
    except (ProviderFailed, SetupError) as error:  # SetupError: a stored token or secret cannot be decrypted
        failure = str(error)
    action = next_action(
        failure,
        ended=ended,
        unchecked_s=login.unchecked_s,
        interval_s=provider.check_s,
        grace_s=provider.check_grace_s,
    )
    match action:
        case LoginEnds(reason=reason):
            await end_logins(context, [login], f"{provider.title} no longer confirms it: {reason}")
        case NextCheck(after_s=after_s):
            passed = failure is None
            await statements.record_check(context.db, login, token_encrypted, next_check_s=after_s, passed=passed)


async def _use_refresh_token(context: SignOnContext, provider: SignOnProvider, token_encrypted: bytes | None) -> bytes:
    """Send an encrypted refresh token to the provider, and return the encrypted token for the next check."""
    if token_encrypted is None:
        raise ProviderFailed("The provider sent no refresh token; add `offline_access` to the scopes if it needs it.")
    client = await context.oidc_client(provider)
    tokens = await client.refresh(context.secrets.decrypt(token_encrypted))
    return context.secrets.encrypt(tokens.refresh_token) if tokens.refresh_token else token_encrypted


async def end_logins(
    context: SignOnContext, logins: Sequence[DueLogin | statements.ProviderLogin], reason: str
) -> None:
    """End log-ins and cut their streams; the sessions continue. A log-in that has ended meanwhile is skipped."""
    for login in logins:
        try:
            await end_login(context.db, context.logs, login.user_id, login.login_id)
        except NotFound:
            continue  # the user logged out, or was deleted
        message = f"The log-in of {login.username} ended: {reason}"
        context.logs.write(LogCode.SIGN_ON_ENDED, message, user_id=login.user_id, username=login.username, urgent=True)
