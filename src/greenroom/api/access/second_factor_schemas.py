"""The bodies of second factors."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from greenroom.api.bodies import Body, Json, JsonObject, Name, Secret, View
from greenroom.db.access.second_factors import SecondFactor

Credential = Annotated[JsonObject, Field(description="answer of the browser: `PublicKeyCredential.toJSON()`")]
RecoveryCodes = Annotated[list[str], Field(description="shown only now; each replaces a second factor once")]


class SecondFactorBody(Body):
    """One second factor."""

    code: Annotated[Secret | None, Field(description="of the authenticator app")] = None
    recovery_code: Secret | None = None
    passkey: Credential | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if sum(value is not None for value in (self.code, self.recovery_code, self.passkey)) != 1:
            raise ValueError("it must have one of code, recovery_code and passkey")
        return self


class ConfirmationBody(Body):
    """The present password of the caller."""

    password: Secret


class FactorView(
    View,
    row=SecondFactor,
    without={"totp_key_encrypted", "used_step", "credential_id", "public_key", "sign_count", "user_id"},
):
    """A second factor."""

    factor_id: UUID
    rp_id: Annotated[str | None, Field(description="host name at which the passkey works")]


class FactorsView(View):
    """The second factors of a user."""

    factors: list[FactorView]
    recovery_codes: Annotated[int, Field(description="number of unused recovery codes")]
    required: Annotated[bool, Field(description="a group of the user requires a second factor")]


class TotpStart(View):
    """The key of a new authenticator app."""

    totp_key: Annotated[str, Field(description="to type into the app")]
    uri: Annotated[str, Field(description="content of the QR code")]


class TotpBody(Body):
    """The first code of a new authenticator app."""

    name: Name = "Authenticator app"
    code: Secret


class PasskeyOptions(View):
    """The options for `navigator.credentials` of the browser."""

    options: Json


class PasskeyBody(Body):
    """A new passkey."""

    name: Name
    credential: Credential


class FactorCreated(FactorView):
    """A new second factor. `recovery_codes` is empty if the user had a second factor before."""

    recovery_codes: RecoveryCodes


class NewRecoveryCodes(View):
    """New recovery codes; the previous ones are no longer valid."""

    recovery_codes: RecoveryCodes
