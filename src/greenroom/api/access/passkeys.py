"""Passkeys (WebAuthn): their options for the browser, and the checks of the browser's answers.

A passkey belongs to the host name at which it was created, its RP id. The authenticator must verify the user, for
example with a PIN or a fingerprint. No attestation is requested: any authenticator is accepted.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Final
from uuid import UUID

import webauthn
from fastapi import Request
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from greenroom.api.bodies import Json
from greenroom.api.hardening import host_name
from greenroom.api.security import console_origin, origin_of
from greenroom.core.errors import Refused
from greenroom.db.access.second_factors import NewFactor, SecondFactor
from greenroom.db.access.users import User

CHALLENGE_VALID_S: Final = 300
VERIFICATION: Final = UserVerificationRequirement.REQUIRED
_MALFORMED: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error)
"""Errors of the library for answers that are not WebAuthn."""


class PasskeyRefused(Exception):  # noqa: N818 -- as the errors of greenroom.core.errors
    """The answer of a browser is refused. The message is the cause, for the log."""


def rp_id_of(request: Request) -> str:
    """Return the host name to which passkeys of this request belong.

    Raises:
        Refused: the host is an IP address, for which browsers have no passkeys, or the port is not that of the console.
    """
    host = host_name(request.headers["host"])
    try:
        ip_address(host)
    except ValueError:
        if origin_of(request).lower() != (expected := console_origin(request)):
            raise Refused(f"Passkeys work only at the port of the console. Open {expected}.") from None
        return host
    raise Refused("Passkeys need a host name. Open the console by its name instead of its IP address.")


def creation_options(rp_id: str, user: User, factors: Sequence[SecondFactor], challenge: bytes) -> Json:
    """Return the options with which a browser creates a passkey."""
    options = webauthn.generate_registration_options(
        rp_id=rp_id,
        rp_name="Greenroom",
        user_id=UUID(user.user_id).bytes,
        user_name=user.username,
        challenge=challenge,
        timeout=CHALLENGE_VALID_S * 1000,
        exclude_credentials=_descriptors(rp_id, factors),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED, user_verification=VERIFICATION
        ),
    )
    return json.loads(webauthn.options_to_json(options))


def request_options(rp_id: str, factors: Sequence[SecondFactor], challenge: bytes) -> Json:
    """Return the options with which a browser uses one of the passkeys of this host. Raises Refused: there is none."""
    descriptors = _descriptors(rp_id, factors)
    if not descriptors:
        raise Refused(f"You have no passkey for the address {rp_id}. Use another second factor.")
    options = webauthn.generate_authentication_options(
        rp_id=rp_id,
        challenge=challenge,
        timeout=CHALLENGE_VALID_S * 1000,
        allow_credentials=descriptors,
        user_verification=VERIFICATION,
    )
    return json.loads(webauthn.options_to_json(options))


def _descriptors(rp_id: str, factors: Sequence[SecondFactor]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(id=factor.credential_id)
        for factor in factors
        if factor.credential_id is not None and factor.rp_id == rp_id
    ]


def new_passkey(request: Request, user_id: str, name: str, credential: Json, challenge: bytes) -> NewFactor:
    """Return the passkey that a browser created. Raises PasskeyRefused: its answer is not valid."""
    rp_id = rp_id_of(request)
    with _refused_if_invalid():
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=console_origin(request),
            require_user_verification=True,
        )
    return NewFactor(
        user_id=user_id,
        kind="passkey",
        name=name,
        rp_id=rp_id,
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
    )


def credential_id_in(credential: Json) -> bytes:
    """Return the id of the passkey that a browser used. Raises PasskeyRefused: there is no id."""
    with _refused_if_invalid():
        return base64url_to_bytes(credential["id"])


def verify_use(request: Request, passkey: SecondFactor, credential: Json, challenge: bytes) -> int:
    """Check the use of a passkey, and return the new value of its sign counter.

    Raises PasskeyRefused: the signature, the challenge, the origin or the host is wrong, the user was not verified, or
    the counter did not increase, because the passkey was copied.
    """
    with _refused_if_invalid():
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id_of(request),
            expected_origin=console_origin(request),
            credential_public_key=passkey.public_key or b"",
            credential_current_sign_count=passkey.sign_count or 0,
            require_user_verification=True,
        )
    return verified.new_sign_count


@contextmanager
def _refused_if_invalid() -> Generator[None]:
    try:
        yield
    except WebAuthnException as error:
        raise PasskeyRefused(str(error)) from error
    except _MALFORMED as error:
        raise PasskeyRefused("the answer of the browser is malformed") from error
