"""The callback of a sign-on: redeems the code of a provider for claims, and logs in or links the user.

The user, the link of the identity, the groups and the log-in are stored in one transaction, or not at all.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from greenroom.core.errors import Duplicate, Invalid, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.db.access import credentials, users
from greenroom.db.database import Connection
from greenroom.db.diagnostics.logs import LogFields
from greenroom.db.session.shares import rights_transaction
from greenroom.identity import rules, statements
from greenroom.identity.attempts import Attempt
from greenroom.identity.context import SignOnContext
from greenroom.identity.provider import GrantRefused, OidcClient, ProviderFailed, Tokens, get_json
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.statements import NewProviderLogin, SignOnProvider
from greenroom.identity.tokens import Keys, TokenRefused, id_claims
from greenroom.kit.secrets import new_secret, secret_digest

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConfirmedUser:
    """The identity of a user that a provider has confirmed, with all its claims."""

    provider: SignOnProvider
    subject: str
    sid: str | None
    """The provider's id of the log-in."""
    claims: dict[str, Any] = field(repr=False)
    tokens: Tokens = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserBrowser:
    """The browser of a user. `old_token` is the token of its previous log-in."""

    address: str
    user_agent: str
    old_token: str | None = field(repr=False)


async def confirm_user(context: SignOnContext, provider: SignOnProvider, attempt: Attempt, code: str) -> ConfirmedUser:
    """Redeem a code and check the tokens of the provider. Raises SignOnRefused: the error contains the cause."""
    try:
        client = await context.client(provider)
        tokens = await client.redeem(code, attempt.redirect_uri, attempt.verifier)
        if tokens.id_token is None:
            raise SignOnRefused(Refusal.WRONG_TOKEN, "The provider sent no ID token; is `openid` one of the scopes?")
        claims = await _id_claims(context, client, tokens.id_token, attempt.nonce, tokens.access_token)
        more = await _userinfo(client, tokens, claims["sub"])
    except GrantRefused as error:
        raise SignOnRefused(Refusal.PROVIDER_REFUSED, str(error)) from error
    except ProviderFailed as error:
        context.provider_cache.forget(provider.issuer)
        raise SignOnRefused(Refusal.PROVIDER_DOWN, str(error)) from error
    except TokenRefused as error:
        raise SignOnRefused(Refusal.WRONG_TOKEN, f"The ID token was refused: {error}.") from error
    return ConfirmedUser(provider, claims["sub"], claims.get("sid"), more | claims, tokens)


async def _id_claims(
    context: SignOnContext, client: OidcClient, token: str, nonce: str, access_token: str | None
) -> dict[str, Any]:
    keys = await context.provider_cache.keys(client.provider.issuer)
    try:
        return id_claims(token, keys or Keys(()), client.expected, nonce=nonce, access_token=access_token)
    except TokenRefused as error:
        if (
            not error.may_be_new_key
            or (new := await context.provider_cache.keys(client.provider.issuer, again=True)) is None
        ):
            raise
        return id_claims(token, new, client.expected, nonce=nonce, access_token=access_token)


async def _userinfo(client: OidcClient, tokens: Tokens, subject: str) -> dict[str, Any]:
    """Return the claims of the userinfo endpoint, which many providers use for groups."""
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
    result = await _groups_by_rules(confirmed)
    try:
        try:
            return await _store_sign_on(context, confirmed, browser, result)
        except Duplicate as error:  # perhaps another log-in of the same person created the user at the same moment
            log.info(
                "a log-in through a provider is tried once more", provider=confirmed.provider.name, reason=error.message
            )
            return await _store_sign_on(context, confirmed, browser, result)
    except Duplicate as error:
        cause = f"{error.message} Subject {confirmed.subject!r} is not linked to it."
        raise SignOnRefused(Refusal.USERNAME_TAKEN, cause) from error


async def _store_sign_on(
    context: SignOnContext, confirmed: ConfirmedUser, browser: UserBrowser, result: rules.RuleResult
) -> str:
    """Store a log-in and return its token.

    Raises:
        Duplicate: the user name exists, or the identity was linked at the same moment.
        SignOnRefused: the error contains the cause.
    """
    token, created = new_secret(), False
    async with rights_transaction(context.db, context.logs) as connection:
        await _hold_provider(connection, confirmed.provider)
        identity = await statements.find_identity(connection, confirmed.provider.issuer, confirmed.subject)
        if identity is None:
            user_id, created = await _create(connection, confirmed), True
        else:
            user_id = identity.user_id
        before, user = await _apply_rules(connection, confirmed, user_id, result)
        await _store_login(context, connection, confirmed, browser, user=user, token=token)
    await context.db.notify(ChangeEvent(Topic.USERS))
    _log(context, confirmed, browser, before, user, created=created)
    return token


async def _hold_provider(connection: Connection, provider: SignOnProvider) -> None:
    if not await statements.lock_provider_for_share(connection, provider):
        cause = "The provider was deleted, disabled or changed during the log-in."
        raise SignOnRefused(Refusal.PROVIDER_DISABLED, cause)


def _log(
    context: SignOnContext,
    confirmed: ConfirmedUser,
    browser: UserBrowser,
    before: users.User,
    user: users.User,
    *,
    created: bool,
) -> None:
    title = confirmed.provider.title
    who = LogFields(user_id=user.user_id, username=user.username)
    if created:
        message = f"{user.username} was created at the first log-in through {title}, subject {confirmed.subject}"
        context.logs.write(LogCode.USER_CREATED, message, urgent=True, **who)
    old, new = (sorted(group.name for group in one.groups) for one in (before, user))
    if old != new:
        message = f"The rules of {title} changed the groups of {user.username}: {', '.join(old)} → {', '.join(new)}"
        details = {"before": {"groups": old}, "after": {"groups": new}}
        context.logs.write(
            LogCode.USER_CHANGED, message, details=details, urgent=True, user_id=user.user_id, username=user.username
        )
    context.logs.write(LogCode.LOGIN, f"{user.username} logged in from {browser.address} through {title}", **who)


async def _create(connection: Connection, confirmed: ConfirmedUser) -> str:
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


async def _groups_by_rules(confirmed: ConfirmedUser) -> rules.RuleResult:
    try:
        return await asyncio.to_thread(rules.membership, confirmed.provider.rules, confirmed.claims)
    except Invalid as error:
        raise SignOnRefused(Refusal.WRONG_TOKEN, error.message) from error


async def _apply_rules(
    connection: Connection, confirmed: ConfirmedUser, user_id: str, result: rules.RuleResult
) -> tuple[users.User, users.User]:
    """Apply the rules and attributes of the provider to a user, and return the user before and afterwards."""
    user = await users.lock_user(connection, user_id)
    if not await statements.use_identity(connection, confirmed.provider.issuer, confirmed.subject, user_id):
        raise SignOnRefused(Refusal.NO_USER, f"The subject {confirmed.subject!r} was unlinked meanwhile.")
    if user.disabled or user.locked:
        raise SignOnRefused(Refusal.USER_DISABLED, f"The user {user.username} is disabled or locked.")
    if confirmed.provider.rule_required and not result.member:
        raise SignOnRefused(Refusal.NO_GROUP, f"The claims of {user.username} match no rule.")
    fields = rules.user_profile(confirmed.provider.attributes, confirmed.claims).fields
    if any(getattr(user, name) != value for name, value in fields.items()):
        await users.update_user(connection, replace(user, **fields))
    await _set_groups(connection, user, result)
    return user, await users.lock_user(connection, user_id)


async def _set_groups(connection: Connection, user: users.User, result: rules.RuleResult) -> None:
    existing = {group.group_id for group in await statements.existing_groups(connection, result.managed)}
    before = frozenset(group.group_id for group in user.groups)
    after = frozenset(
        group_id for group_id in result.after(before) if group_id in existing or group_id not in result.managed
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
        lifetime_s=context.snapshot.installation.session_lifetime_s,
        client_ip=browser.address,
        user_agent=browser.user_agent,
    )
    if login_id is None:
        raise SignOnRefused(Refusal.USER_DISABLED, f"The user {user.username} was changed meanwhile.")
    encrypt, tokens = context.secrets.encrypt, confirmed.tokens
    login = NewProviderLogin(
        provider_id=confirmed.provider.provider_id,
        subject=confirmed.subject,
        sid=confirmed.sid,
        id_token_encrypted=encrypt(tokens.id_token or ""),
        refresh_token_encrypted=encrypt(tokens.refresh_token) if tokens.refresh_token else None,
        check_s=confirmed.provider.check_s or None,
    )
    await statements.insert_provider_login(connection, login_id, login)
    if browser.old_token:
        await credentials.delete_login(connection, secret_digest(browser.old_token))


async def link(
    context: SignOnContext, confirmed: ConfirmedUser, attempt: Attempt, user_id: str, token_hash: bytes
) -> None:
    """Link the confirmed identity to the user with the log-in that began the attempt. Raises SignOnRefused: the error
    contains the cause."""
    if not hmac.compare_digest(token_hash.hex(), attempt.link_to or ""):
        raise SignOnRefused(
            Refusal.LINK_ENDED, "The log-in that began to link the identity has ended; log in and link it again."
        )
    try:
        async with context.db.transaction() as connection:
            await _hold_provider(connection, confirmed.provider)
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
