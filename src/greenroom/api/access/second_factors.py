"""The second step of a log-in with a password, and changes of second factors.

A wrong second factor counts as a failed log-in. The right password alone does not reset the count. Otherwise, a person
who knows the password could guess codes without limit. A factor applies only to passwords: sign-on providers, log-in
links, session tokens and API keys are other credentials.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

from greenroom.api.access import passkeys
from greenroom.api.access.lifecycle import AccessChange, access_transaction
from greenroom.api.access.login_routes import PENDING_COOKIE, PENDING_ENDED, LoginRequest, require_enabled
from greenroom.api.access.passkeys import PasskeyRefused
from greenroom.api.access.schemas import Me
from greenroom.api.access.second_factor_schemas import SecondFactorBody
from greenroom.api.bodies import Json
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.core.access.group_settings import resolve
from greenroom.core.access.second_factors import (
    MAX_FACTORS,
    MAX_WRONG_CODES,
    RECOVERY_CODE_BYTES,
    RECOVERY_CODES,
    matching_step,
    normal_code,
    recovery_code,
)
from greenroom.core.errors import ConfirmationRequired, Forbidden, Refused, Unauthenticated
from greenroom.core.log_codes import LogCode
from greenroom.db.access import credentials, groups, users
from greenroom.db.access import second_factors as stored
from greenroom.db.database import Connection, Database
from greenroom.kit.secrets import secret_digest

CONFIRMED_S: Final = 600
"""A change of factors needs a log-in, or a confirmation of the password, within this time."""
LOG_IN_AGAIN: Final = (
    "Your log-in is older than 10 minutes, or a program requested it. Log out and in again, and then repeat the change."
)
REFUSED: Final = "The second factor is wrong or was used before. Try again, or use another one."
BLOCKED: Final = (
    "The authenticator app is blocked after too many wrong codes. Use a recovery code or a passkey, or ask an"
    " administrator to reset your second factors. If you did not enter the codes, change your password."
)


class _FactorRefused(Exception):  # noqa: N818 -- as the errors of greenroom.core.errors
    """The second factor in a request is refused. The message is the cause, for the log."""


class _FactorBlocked(_FactorRefused):
    """The authenticator app had too many wrong codes."""


def pending_hash_of(login: LoginRequest) -> bytes:
    """Return the hash of the pending log-in of the browser. Raises Unauthenticated: there is none."""
    token = login.request.cookies.get(PENDING_COOKIE)
    if not token:
        raise Unauthenticated(PENDING_ENDED)
    return secret_digest(token)


async def user_of_pending_login(login: LoginRequest) -> users.User:
    """Return the user whose log-in waits for a second factor in this browser. Raises Unauthenticated: there is none."""
    user_id = await stored.find_pending_login(login.db, pending_hash_of(login))
    user = await users.find_user_by_id(login.db, user_id) if user_id else None
    if user is None:
        raise Unauthenticated(PENDING_ENDED)
    return user


async def complete_login(login: LoginRequest, body: SecondFactorBody) -> Me:
    """Check the second factor, and complete the pending log-in of the browser.

    Raises:
        Unauthenticated: there is no pending log-in, or the second factor is wrong.
        TooManyRequests: the address or the account has too many failed attempts.
        Forbidden: the user is disabled or locked.
    """
    user = await user_of_pending_login(login)
    require_enabled(user)
    attempt = await login.begin_attempt(user.username, "", user)
    try:
        await _use_factor(login, user, body)
    except (_FactorRefused, PasskeyRefused) as error:
        login.count_failure(attempt, str(error))
        raise Unauthenticated(BLOCKED if isinstance(error, _FactorBlocked) else REFUSED) from error
    me = await login.start_login(user, pending_hash=pending_hash_of(login))
    await credentials.clear_attempts(login.db, user.username, login.source(attempt))
    login.response.delete_cookie(PENDING_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return me


async def _use_factor(login: LoginRequest, user: users.User, body: SecondFactorBody) -> None:
    if body.passkey is not None:
        await _use_passkey(login, user, body.passkey)
    elif body.recovery_code is not None:
        await _use_recovery_code(login, user, body.recovery_code.get_secret_value())
    elif body.code is not None:
        await _use_code(login, user, body.code.get_secret_value())


async def _use_code(login: LoginRequest, user: users.User, text: str) -> None:
    code = normal_code(text)
    for factor in await stored.list_factors(login.db, user.user_id):
        if factor.totp_key_encrypted is None:
            continue
        if await stored.count_code(login.db, factor.factor_id) > MAX_WRONG_CODES:
            raise _FactorBlocked(f"the authenticator app is blocked after {MAX_WRONG_CODES} wrong codes in a row")
        key = bytes.fromhex(login.secrets.decrypt(factor.totp_key_encrypted))
        step = matching_step(key, code, time.time(), factor.used_step)
        if step is not None and await stored.use_step(login.db, factor.factor_id, step):
            return
    raise _FactorRefused("the code is wrong, or was used before")


async def _use_recovery_code(login: LoginRequest, user: users.User, text: str) -> None:
    if not await stored.use_recovery_code(login.db, user.user_id, secret_digest(normal_code(text))):
        raise _FactorRefused("there is no such recovery code")
    remaining = await stored.count_recovery_codes(login.db, user.user_id)
    login.logs.write(
        LogCode.RECOVERY_CODE_USED,
        f"{user.username} used a recovery code; {remaining} remain",
        urgent=True,
        user_id=user.user_id,
        username=user.username,
    )


async def _use_passkey(login: LoginRequest, user: users.User, credential: Json) -> None:
    challenge = await stored.use_challenge(login.db, pending_hash_of(login), "passkey")
    if challenge is None:
        raise _FactorRefused("the challenge has expired, or was used before")
    async with login.db.transaction() as connection:
        credential_id = passkeys.credential_id_in(credential)
        passkey = await stored.lock_passkey(connection, user.user_id, credential_id)
        if passkey is None:
            raise _FactorRefused("the passkey does not belong to the user")
        sign_count = passkeys.verify_use(login.request, passkey, credential, challenge)
        await stored.record_passkey_use(connection, passkey.factor_id, sign_count)


async def require_confirmed(change: CallerChange) -> bytes:
    """Return the hash of the log-in of the caller.

    Raises:
        Forbidden: the caller is an API key, or must log in again.
        ConfirmationRequired: the log-in is too old, and the password was not confirmed since then.
    """
    user_id = change.caller.own_user_id()
    token_hash = change.caller.token_hash or b""
    if not await credentials.is_confirmed_login(change.db, token_hash, CONFIRMED_S):
        await require_password_only(change.db, await users.get_user(change.db, user_id))
        raise ConfirmationRequired
    return token_hash


async def require_password_only(db: Database, user: users.User) -> None:
    """Check that a log-in of the user needs a password of Greenroom, and nothing else. Only then is this password a
    proof of identity. Raises Forbidden: the user must log in again."""
    if user.password_hash is None or await stored.list_factors(db, user.user_id):
        raise Forbidden(LOG_IN_AGAIN)


async def add_factor(change: CallerChange, factor: stored.NewFactor) -> tuple[stored.SecondFactor, list[str]]:
    """Store a factor of the caller, and end all other log-ins. Return it, and new recovery codes if the user had no
    factor before.

    Raises:
        Refused: the user has the maximum number of factors.
        Duplicate: the passkey is stored already.
    """
    token_hash = change.caller.token_hash
    async with access_transaction(change.db, change.logs, keep=token_hash) as access:
        user, connection = await access.lock_user(factor.user_id), access.connection
        before = await stored.count_factors(connection, user.user_id)
        if before >= MAX_FACTORS:
            raise Refused(f"You have {MAX_FACTORS} second factors; remove one first.")
        added = await stored.insert_factor(connection, factor)
        codes = await _new_recovery_codes(connection, user.user_id) if before == 0 else []
        await credentials.complete_enrollment(connection, token_hash or b"")
        await _end_other_logins(access, user)
    change.audit(LogCode.SECOND_FACTOR_CREATED, f"{factor.name} of {user.username}", after={"kind": factor.kind})
    return added, codes


async def replace_recovery_codes(change: CallerChange) -> list[str]:
    """Replace the recovery codes of the caller, and return the new ones. Raises Refused: the user has no factor."""
    async with change.db.transaction() as connection:
        user = await users.lock_user(connection, change.caller.own_user_id())
        if not await stored.count_factors(connection, user.user_id):
            raise Refused("Recovery codes replace a second factor. Add an authenticator app or a passkey first.")
        codes = await _new_recovery_codes(connection, user.user_id)
    change.audit(LogCode.RECOVERY_CODES_CREATED, f"of {user.username}")
    return codes


async def _new_recovery_codes(connection: Connection, user_id: str) -> list[str]:
    codes = [recovery_code(secrets.token_bytes(RECOVERY_CODE_BYTES)) for _ in range(RECOVERY_CODES)]
    hashes = [secret_digest(normal_code(code)) for code in codes]
    await stored.replace_recovery_codes(connection, user_id, hashes)
    return codes


async def is_required(db: Database, user_id: str) -> bool:
    """Return True if a group of the user requires a second factor."""
    return bool(resolve(await groups.groups_of_user(db, user_id))["require_second_factor"].value)


async def _end_other_logins(access: AccessChange, user: users.User) -> None:
    """End all log-ins of a user except `access.keep`, and close the streams. Another person with the password could
    otherwise continue without the changed factors."""
    await credentials.delete_logins_of(access.connection, [user.user_id], keep=access.keep)
    access.log_out(user)


async def remove_factor(change: CallerChange, factor_id: str) -> None:
    """Remove a factor of the caller, and end all other log-ins.

    Raises:
        NotFound: the user has no such factor.
        Refused: it is the last factor, and a group of the user requires one.
    """
    user_id = change.caller.own_user_id()
    required = await is_required(change.db, user_id)
    async with access_transaction(change.db, change.logs, keep=change.caller.token_hash) as access:
        user = await access.lock_user(user_id)
        name = await stored.delete_factor(access.connection, user_id, factor_id)
        if required and not await stored.count_factors(access.connection, user_id):
            raise Refused("Your group requires a second factor. Add another one first.")
        await _end_other_logins(access, user)
    change.audit(LogCode.SECOND_FACTOR_DELETED, f"{name} of {user.username}")


async def reset_factors(change: CallerChange, user_id: str) -> None:
    """Remove all factors of a user on behalf of an administrator, and end the log-ins and streams of the user.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user has more permissions than the caller.
        Refused: the user is the caller, who can remove the factors one by one.
    """
    if user_id == change.caller.user_id:
        raise Refused("You cannot reset your own second factors. Remove them on the page My account.")
    async with access_transaction(change.db, change.logs) as access:
        user = await access.lock_user(user_id)
        change.caller.require_right_over(user.permissions)
        number = await stored.delete_factors_of(access.connection, user_id)
        await credentials.delete_logins_of(access.connection, [user_id])
        access.log_out(user)
    change.audit(LogCode.SECOND_FACTOR_DELETED, f"all of {user.username}", before={"factors": number})
