"""The callback of a sign-on: exchanges the code from a provider for claims, and logs the user in or links the identity.

The user, the link to the identity, the groups and the log-in are stored in one transaction, or not at all.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass, field
from typing import Any

from greenroom.api.access.lifecycle import access_transaction
from greenroom.core.errors import Duplicate
from greenroom.core.log_codes import LogCode
from greenroom.db.access import credentials, users
from greenroom.db.database import Connection
from greenroom.identity import accounts, rules, statements
from greenroom.identity.attempts import Attempt
from greenroom.identity.context import SignOnContext
from greenroom.identity.provider import GrantRefused, OidcClient, ProviderFailed, Tokens, get_json
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.statements import NewProviderLogin, SignOnProvider
from greenroom.identity.tokens import TokenRefused, id_claims
from greenroom.kit.secrets import new_secret, secret_digest


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
            provider,
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
    return await accounts.store_with_rules(
        confirmed, lambda rule_result: _store_sign_on(context, confirmed, browser, rule_result)
    )


async def _store_sign_on(
    context: SignOnContext, confirmed: ConfirmedUser, browser: UserBrowser, rule_result: rules.RuleResult
) -> str:
    """Store a log-in and return its token.

    Raises:
        Duplicate: the user name exists, or the identity was linked at the same time.
        SignOnRefused: the error contains the cause.
    """
    token = new_secret()
    async with access_transaction(context.db, context.logs) as access:
        await _lock_provider(access.connection, confirmed.provider)
        stored = await accounts.store_identity(access, confirmed, rule_result)
        await _store_login(context, access.connection, confirmed, browser, user=stored.after, token=token)
    accounts.log_changes(context.logs, confirmed, stored)
    title, name = confirmed.provider.title, stored.after.username
    message = f"{name} logged in from {browser.address} through {title}"
    context.logs.write(LogCode.LOGIN, message, user_id=stored.after.user_id, username=name)
    await statements.record_problem(context.db, confirmed.provider.provider_id, "")
    return token


async def _lock_provider(connection: Connection, provider: SignOnProvider) -> None:
    if not await statements.lock_unchanged_provider(connection, provider):
        cause = "The provider was deleted, disabled or changed during the log-in."
        raise SignOnRefused(Refusal.PROVIDER_DISABLED, cause)


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
