"""The callback of a sign-on: exchanges the code from a provider for claims, and logs the user in or links the identity.

The user, the link to the identity, the groups and the log-in are stored in one transaction, or not at all.
"""

from __future__ import annotations

import asyncio
import hmac
import math
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from greenroom.core.errors import Duplicate, Invalid, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.db.access import credentials, users
from greenroom.db.database import Connection
from greenroom.db.diagnostics.logs import LogFields
from greenroom.db.session.shares import permission_transaction
from greenroom.identity import rules, statements
from greenroom.identity.attempts import Attempt
from greenroom.identity.context import SignOnContext
from greenroom.identity.provider import GrantRefused, OidcClient, ProviderFailed, Tokens, get_json
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.statements import NewProviderLogin, SignOnProvider
from greenroom.identity.tokens import TokenRefused, id_claims
from greenroom.kit.secrets import new_secret, secret_digest

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConfirmedUser:
    """A user whose identity a provider has confirmed. `claims` are those of the ID token and the userinfo endpoint, or
    the attributes of the SAML assertion."""

    provider: SignOnProvider
    subject: str
    sid: str | None
    """The id of the log-in at the provider."""
    claims: dict[str, Any] = field(repr=False)
    logout_hint: str = field(repr=False)
    """The ID token, or the NameID of SAML as JSON, with which a log-out request names the user."""
    refresh_token: str | None = field(repr=False)
    lifetime_s: float = math.inf
    """The maximum time for which the log-in is valid at the provider."""


@dataclass(frozen=True, slots=True)
class UserBrowser:
    """The browser of a user. `old_token` is the token of the previous log-in in this browser."""

    address: str
    user_agent: str
    old_token: str | None = field(repr=False)


async def confirm_user(context: SignOnContext, provider: SignOnProvider, attempt: Attempt, code: str) -> ConfirmedUser:
    """Exchange a code for tokens, and check the tokens. Raises SignOnRefused: the error contains the cause."""
    try:
        client = await context.oidc_client(provider)
        tokens = await client.redeem(code, attempt.redirect_uri, attempt.verifier)
        id_token = tokens.id_token
        if id_token is None:
            raise SignOnRefused(Refusal.WRONG_TOKEN, "The provider sent no ID token; is `openid` one of the scopes?")
        expected = client.expected_token
        claims = await context.provider_cache.read_token(
            provider.issuer,
            lambda keys: id_claims(id_token, keys, expected, nonce=attempt.nonce, access_token=tokens.access_token),
        )
        userinfo = await _userinfo(client, tokens, claims["sub"])
    except GrantRefused as error:
        raise SignOnRefused(Refusal.PROVIDER_REFUSED, str(error)) from error
    except ProviderFailed as error:
        context.provider_cache.forget(provider.issuer)
        raise SignOnRefused(Refusal.PROVIDER_DOWN, str(error)) from error
    except TokenRefused as error:
        raise SignOnRefused(Refusal.WRONG_TOKEN, f"The ID token was refused: {error}.") from error
    subject, sid = claims["sub"], claims.get("sid")
    return ConfirmedUser(provider, subject, sid, userinfo | claims, id_token, tokens.refresh_token)


async def _userinfo(client: OidcClient, tokens: Tokens, subject: str) -> dict[str, Any]:
    """Return the claims of the userinfo endpoint, through which many providers send the groups of a user."""
    if client.endpoints.userinfo is None or tokens.access_token is None:
        return {}
    claims = await get_json(client.endpoints.userinfo, bearer=tokens.access_token)
    if claims.get("sub") != subject:
        raise TokenRefused(f"the userinfo endpoint describes {claims.get('sub')!r} instead of {subject!r}")
    return claims


async def log_in(context: SignOnContext, confirmed: ConfirmedUser, browser: UserBrowser) -> str:
    """Start a log-in of the confirmed user, and return its token.

    The user is created, if the provider may create users. Raises SignOnRefused: the error contains the cause.
    """
    rule_result = await _evaluate_rules(confirmed)
    try:
        try:
            return await _store_sign_on(context, confirmed, browser, rule_result)
        except Duplicate as error:  # another log-in of the same person may have created the user at the same time
            log.info(
                "a log-in through a provider is tried once more", provider=confirmed.provider.name, reason=error.message
            )
            return await _store_sign_on(context, confirmed, browser, rule_result)
    except Duplicate as error:
        cause = f"{error.message} Subject {confirmed.subject!r} is not linked to it."
        raise SignOnRefused(Refusal.USERNAME_TAKEN, cause) from error


async def _store_sign_on(
    context: SignOnContext, confirmed: ConfirmedUser, browser: UserBrowser, rule_result: rules.RuleResult
) -> str:
    """Store a log-in and return its token.

    Raises:
        Duplicate: the user name exists, or the identity was linked at the same time.
        SignOnRefused: the error contains the cause.
    """
    token, created = new_secret(), False
    async with permission_transaction(context.db, context.logs) as connection:
        await _lock_provider(connection, confirmed.provider)
        identity = await statements.find_identity(connection, confirmed.provider.issuer, confirmed.subject)
        if identity is None:
            user_id, created = await _create_user(connection, confirmed), True
        else:
            user_id = identity.user_id
        before, after = await _apply_rules(connection, confirmed, user_id, rule_result)
        await _store_login(context, connection, confirmed, browser, user=after, token=token)
    await context.db.notify(ChangeEvent(Topic.USERS))
    _log_sign_on(context, confirmed, browser, before, after, created=created)
    return token


async def _lock_provider(connection: Connection, provider: SignOnProvider) -> None:
    if not await statements.lock_unchanged_provider(connection, provider):
        cause = "The provider was deleted, disabled or changed during the log-in."
        raise SignOnRefused(Refusal.PROVIDER_DISABLED, cause)


def _log_sign_on(
    context: SignOnContext,
    confirmed: ConfirmedUser,
    browser: UserBrowser,
    before: users.User,
    after: users.User,
    *,
    created: bool,
) -> None:
    title, name = confirmed.provider.title, after.username
    log_fields = LogFields(user_id=after.user_id, username=name)
    if created:
        message = f"{name} was created at the first log-in through {title}, subject {confirmed.subject}"
        context.logs.write(LogCode.USER_CREATED, message, urgent=True, **log_fields)
    old, new = (sorted(group.name for group in user.groups) for user in (before, after))
    if old != new:
        message = f"The rules of {title} changed the groups of {name}: {', '.join(old)} → {', '.join(new)}"
        details = {"before": {"groups": old}, "after": {"groups": new}}
        context.logs.write(
            LogCode.USER_CHANGED, message, details=details, urgent=True, user_id=after.user_id, username=name
        )
    context.logs.write(LogCode.LOGIN, f"{name} logged in from {browser.address} through {title}", **log_fields)


async def _create_user(connection: Connection, confirmed: ConfirmedUser) -> str:
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


async def _evaluate_rules(confirmed: ConfirmedUser) -> rules.RuleResult:
    try:
        return await asyncio.to_thread(rules.evaluate_rules, confirmed.provider.rules, confirmed.claims)
    except Invalid as error:
        raise SignOnRefused(Refusal.WRONG_TOKEN, error.message) from error


async def _apply_rules(
    connection: Connection, confirmed: ConfirmedUser, user_id: str, rule_result: rules.RuleResult
) -> tuple[users.User, users.User]:
    """Apply the rules and attributes of the provider to a user. Return the user before and after the change."""
    user = await users.lock_user(connection, user_id)
    if not await statements.record_identity_use(connection, confirmed.provider.issuer, confirmed.subject, user_id):
        raise SignOnRefused(Refusal.NO_USER, f"The subject {confirmed.subject!r} was unlinked meanwhile.")
    if user.disabled or user.locked:
        raise SignOnRefused(Refusal.USER_DISABLED, f"The user {user.username} is disabled or locked.")
    if confirmed.provider.rule_required and not rule_result.matched:
        raise SignOnRefused(Refusal.NO_GROUP, f"The claims of {user.username} match no rule.")
    fields = rules.user_profile(confirmed.provider.attributes, confirmed.claims).fields
    if any(getattr(user, name) != value for name, value in fields.items()):
        await users.update_user(connection, replace(user, **fields))
    await _set_groups(connection, user, rule_result)
    return user, await users.lock_user(connection, user_id)


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
    if before - after:
        try:
            await users.require_an_administrator(connection)
        except Refused as error:
            raise SignOnRefused(Refusal.LAST_ADMINISTRATOR, error.message) from error


async def _store_login(
    context: SignOnContext,
    connection: Connection,
    confirmed: ConfirmedUser,
    browser: UserBrowser,
    *,
    user: users.User,
    token: str,
) -> None:
    login_id = await credentials.insert_login(
        connection,
        secret_digest(token),
        user.user_id,
        user.password_hash,
        lifetime_s=min(context.snapshot.installation.session_lifetime_s, confirmed.lifetime_s),
        client_ip=browser.address,
        user_agent=browser.user_agent,
    )
    if login_id is None:
        raise SignOnRefused(Refusal.USER_DISABLED, f"The user {user.username} was changed meanwhile.")
    encrypt, refresh_token = context.secrets.encrypt, confirmed.refresh_token
    login = NewProviderLogin(
        provider_id=confirmed.provider.provider_id,
        subject=confirmed.subject,
        sid=confirmed.sid,
        id_token_encrypted=encrypt(confirmed.logout_hint),
        refresh_token_encrypted=encrypt(refresh_token) if refresh_token else None,
        first_check_s=confirmed.provider.check_s or None,
    )
    await statements.insert_provider_login(connection, login_id, login)
    if browser.old_token:
        await credentials.delete_login(connection, secret_digest(browser.old_token))


async def link_identity(
    context: SignOnContext, confirmed: ConfirmedUser, attempt: Attempt, user_id: str, token_hash: bytes
) -> None:
    """Link the confirmed identity to a user. `token_hash` is the hash of the token of the log-in in which the
    attempt must have begun. Raises SignOnRefused: the error contains the cause."""
    if not hmac.compare_digest(token_hash.hex(), attempt.link_to or ""):
        raise SignOnRefused(
            Refusal.LINK_ENDED, "The log-in that began to link the identity has ended; log in and link it again."
        )
    try:
        async with context.db.transaction() as connection:
            await _lock_provider(connection, confirmed.provider)
            user = await users.lock_user(connection, user_id)
            await statements.insert_identity(connection, user_id, confirmed.provider.issuer, confirmed.subject)
    except Duplicate as error:
        raise SignOnRefused(Refusal.LINKED_ELSEWHERE, f"{error.message} Subject {confirmed.subject!r}.") from error
    context.logs.write(
        LogCode.IDENTITY_CREATED,
        f"{user.username} linked their identity {confirmed.subject} at {confirmed.provider.title}",
        user_id=user_id,
        username=user.username,
        urgent=True,
    )
