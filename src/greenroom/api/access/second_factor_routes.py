"""Second factors: the second step of a log-in, the factors of the caller, and those of other users."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Final
from uuid import UUID

from fastapi import Request

from greenroom.api.access import passkeys, second_factors
from greenroom.api.access.login_routes import LoginDep
from greenroom.api.access.login_tokens import renew_token
from greenroom.api.access.passkeys import CHALLENGE_VALID_S, PasskeyRefused
from greenroom.api.access.schemas import Me
from greenroom.api.access.second_factor_schemas import (
    ConfirmationBody,
    FactorCreated,
    FactorsView,
    FactorView,
    NewRecoveryCodes,
    PasskeyBody,
    PasskeyOptions,
    SecondFactorBody,
    TotpBody,
    TotpStart,
)
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.hardening import host_name
from greenroom.api.problems import api_router
from greenroom.api.scopes import OF_CHANGED_USER, OF_USER
from greenroom.api.security import Caller, public_route, requires
from greenroom.core.access.second_factors import KEY_BYTES, key_text, matching_step, normal_code, setup_uri
from greenroom.core.errors import Invalid
from greenroom.db.access import second_factors as stored
from greenroom.db.access import users
from greenroom.db.database import Database

router = api_router("second-factors")

PENDING: Final = public_route("the cookie of the pending log-in is the credential")
OWN: Final = requires(before_enrollment=True)


@router.post("/login/second-factor", dependencies=[PENDING])
async def complete_login(body: SecondFactorBody, login: LoginDep) -> Me:
    """Complete a log-in that waits for a second factor: a code, a recovery code or a passkey.

    401 for a wrong factor, or if the password was entered more than 5 minutes ago. 429 with Retry-After after too many
    failed attempts, which also count wrong passwords.
    """
    return await second_factors.complete_login(login, body)


@router.post("/login/second-factor/passkey", dependencies=[PENDING])
async def begin_passkey_login(login: LoginDep) -> PasskeyOptions:
    """Return the options with which the browser uses a passkey for the pending log-in, once within 5 minutes."""
    user = await second_factors.user_of_pending_login(login)
    factors = await stored.list_factors(login.db, user.user_id)
    challenge = secrets.token_bytes(32)
    options = passkeys.request_options(passkeys.rp_id_of(login.request), factors, challenge)
    await stored.store_challenge(
        login.db, second_factors.pending_hash_of(login), "passkey", challenge, valid_s=CHALLENGE_VALID_S
    )
    return PasskeyOptions(options=options)


@router.post("/me/confirmation", status_code=204)
async def confirm_password(body: ConfirmationBody, login: LoginDep, caller: Annotated[Caller, OWN]) -> None:
    """Confirm the present password, for changes of second factors within 10 minutes. This log-in gets a new token. A
    wrong password counts as a failed log-in.

    403 for a user with a second factor or without a password, who must log in again instead.
    """
    user = await users.get_user(login.db, caller.own_user_id())
    await second_factors.require_password_only(login.db, user)
    await login.confirm_password(user, body.password.get_secret_value())
    async with login.db.transaction() as connection:
        await renew_token(login.response, connection, caller, is_confirmed=True)


@router.get("/me/second-factors")
async def list_own_factors(db: Db, caller: Annotated[Caller, OWN]) -> FactorsView:
    """List the second factors of the caller, oldest first."""
    return await _factors_view(db, caller.own_user_id())


@router.post("/me/second-factors/totp/start", dependencies=[OWN])
async def begin_totp(request: Request, change: ChangeDep) -> TotpStart:
    """Create the key of a new authenticator app. Its first code must follow within 5 minutes.

    403 if the log-in is older than 10 minutes; this applies to each change. The code is `confirmation-required` if the
    user can confirm the password instead of another log-in.
    """
    token_hash = await second_factors.require_confirmed(change)
    key = secrets.token_bytes(KEY_BYTES)
    await stored.store_challenge(
        change.db, token_hash, "totp", change.secrets.encrypt(key.hex()), valid_s=CHALLENGE_VALID_S
    )
    issuer = f"Greenroom {host_name(request.headers['host'])}"
    return TotpStart(totp_key=key_text(key), uri=setup_uri(key, change.caller.name, issuer))


@router.post("/me/second-factors/totp", status_code=201, dependencies=[OWN])
async def create_totp(body: TotpBody, change: ChangeDep) -> FactorCreated:
    """Add the authenticator app with its first code. It replaces the present authenticator app. All other log-ins of
    the caller end."""
    token_hash = await second_factors.require_confirmed(change)
    encrypted = await stored.find_challenge(change.db, token_hash, "totp")
    if encrypted is None:
        raise Invalid("The key of the authenticator app has expired; begin again.")
    key = bytes.fromhex(change.secrets.decrypt(encrypted))
    step = matching_step(key, normal_code(body.code.get_secret_value()), time.time(), None)
    if step is None:
        raise Invalid("The code is wrong. Enter the present code; the clock of the device must be right.")
    if await stored.use_challenge(change.db, token_hash, "totp") != encrypted:
        raise Invalid("The authenticator app was added before, or another key was created; begin again.")
    factor = stored.NewFactor(
        user_id=change.caller.own_user_id(), kind="totp", name=body.name, totp_key_encrypted=encrypted, used_step=step
    )
    return _created(*await second_factors.add_factor(change, factor))


@router.post("/me/second-factors/passkey/start", dependencies=[OWN])
async def begin_passkey(request: Request, change: ChangeDep) -> PasskeyOptions:
    """Return the options with which the browser creates a passkey, once within 5 minutes."""
    token_hash = await second_factors.require_confirmed(change)
    user = await users.get_user(change.db, change.caller.own_user_id())
    challenge = secrets.token_bytes(32)
    factors = await stored.list_factors(change.db, user.user_id)
    options = passkeys.creation_options(passkeys.rp_id_of(request), user, factors, challenge)
    await stored.store_challenge(change.db, token_hash, "passkey", challenge, valid_s=CHALLENGE_VALID_S)
    return PasskeyOptions(options=options)


@router.post("/me/second-factors/passkey", status_code=201, dependencies=[OWN])
async def create_passkey(body: PasskeyBody, request: Request, change: ChangeDep) -> FactorCreated:
    """Add the passkey that the browser created. All other log-ins of the caller end."""
    token_hash = await second_factors.require_confirmed(change)
    challenge = await stored.use_challenge(change.db, token_hash, "passkey")
    if challenge is None:
        raise Invalid("The creation of the passkey took too long; begin again.")
    try:
        factor = passkeys.new_passkey(request, change.caller.own_user_id(), body.name, body.credential, challenge)
    except PasskeyRefused as error:
        raise Invalid(f"The passkey cannot be used: {error}. Begin again, or use another authenticator.") from error
    return _created(*await second_factors.add_factor(change, factor))


@router.delete("/me/second-factors/{factor_id}", status_code=204, dependencies=[requires()])
async def delete_own_factor(factor_id: UUID, change: ChangeDep) -> None:
    """Remove a second factor of the caller; all other log-ins end. 409 for the last factor while a group of the caller
    requires one."""
    await second_factors.require_confirmed(change)
    await second_factors.remove_factor(change, str(factor_id))


@router.post("/me/recovery-codes", status_code=201, dependencies=[requires()])
async def create_recovery_codes(change: ChangeDep) -> NewRecoveryCodes:
    """Replace the recovery codes of the caller with ten new ones."""
    await second_factors.require_confirmed(change)
    return NewRecoveryCodes(recovery_codes=await second_factors.replace_recovery_codes(change))


@router.get("/users/{user_id}/second-factors", dependencies=[requires("users_view", scope=OF_USER)])
async def list_user_factors(user_id: UUID, db: Db) -> FactorsView:
    """List the second factors of a user, oldest first."""
    return await _factors_view(db, (await users.get_user(db, str(user_id))).user_id)


@router.delete(
    "/users/{user_id}/second-factors",
    status_code=204,
    dependencies=[requires("users_modify", scope=OF_CHANGED_USER)],
)
async def reset_user_factors(user_id: UUID, change: ChangeDep) -> None:
    """Remove all second factors of a user, end all log-ins and close all streams of the user."""
    await second_factors.reset_factors(change, str(user_id))


async def _factors_view(db: Database, user_id: str) -> FactorsView:
    factors = await stored.list_factors(db, user_id)
    return FactorsView(
        factors=[FactorView.model_validate(factor) for factor in factors],
        recovery_codes=await stored.count_recovery_codes(db, user_id),
        required=await second_factors.is_required(db, user_id),
    )


def _created(factor: stored.SecondFactor, recovery_codes: list[str]) -> FactorCreated:
    return FactorCreated.of(factor, recovery_codes=recovery_codes)
