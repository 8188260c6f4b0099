"""Log-ins at SAML identity providers.

A response arrives in a request from another site, in which the browser sends no cookies. Greenroom checks the response,
stores the answer, and sends the browser with a code to the callback. The callback is the same as for OpenID Connect: it
finds the attempt in the cookie, takes the answer with the code, and requires that the answer belongs to the attempt.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from greenroom.identity.attempts import Attempt
from greenroom.identity.callback import ConfirmedUser
from greenroom.identity.context import SignOnContext
from greenroom.identity.provider import ProviderFailed
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.saml import statements
from greenroom.identity.saml.documents import (
    SAML,
    SAMLP,
    SIGNATURE,
    Document,
    SamlRefused,
    check_response,
    decode_message,
    find_assertion,
    parse_message,
)
from greenroom.identity.saml.metadata import PERSISTENT, POST, IdentityProvider, format_time
from greenroom.identity.saml.responses import Expected, SamlUser, StatusRefused, check_status, read_assertion
from greenroom.identity.saml.signatures import ServiceKey, decrypt, find_program, redirect_url, verify
from greenroom.identity.statements import SignOnProvider
from greenroom.kit.secrets import new_secret, secret_digest


def service_key_of(context: SignOnContext, provider: SignOnProvider) -> ServiceKey:
    """Return the key of Greenroom at a SAML provider."""
    return msgspec.json.decode(context.secrets.decrypt(provider.service_key_encrypted or b""), type=ServiceKey)


def _request_id(attempt: Attempt) -> str:
    """Return the id of the request of an attempt. Only the browser of the attempt and the identity provider know it."""
    return f"_{attempt.nonce}"


async def log_in_url(context: SignOnContext, provider: SignOnProvider, attempt: Attempt) -> str:
    """Return the address at which the user logs in, with a signed request. Raises ProviderFailed: the metadata of the
    provider cannot be used, or `xmlsec1` is not installed."""
    find_program()
    identity_provider = await context.saml_metadata.identity_provider(provider)
    request = Element(
        f"{{{SAMLP}}}AuthnRequest",
        ID=_request_id(attempt),
        Version="2.0",
        IssueInstant=format_time(datetime.now(UTC)),
        Destination=identity_provider.log_in_url,
        AssertionConsumerServiceURL=attempt.redirect_uri,
        ProtocolBinding=POST,
    )
    SubElement(request, f"{{{SAML}}}Issuer").text = provider.client_id
    if not provider.subject_attribute:
        SubElement(request, f"{{{SAMLP}}}NameIDPolicy", Format=PERSISTENT, AllowCreate="true")
    key = service_key_of(context, provider)
    return redirect_url(identity_provider.log_in_url, "SAMLRequest", tostring(request), attempt.state, key)


async def receive_response(context: SignOnContext, provider: SignOnProvider, encoded: str, recipient: str) -> str:
    """Check a response that was sent to `recipient`, store its answer, and return the code of the answer. Raises
    SignOnRefused: the response was refused; the error contains the cause."""
    expected = Expected(provider.issuer, provider.client_id, recipient, provider.subject_attribute)
    try:
        document = await asyncio.to_thread(lambda: parse_message(decode_message(encoded)))
        user = await _read_response(context, provider, document, expected)
    except StatusRefused as error:
        raise SignOnRefused(Refusal.PROVIDER_REFUSED, str(error)) from error
    except SamlRefused as error:
        raise SignOnRefused(Refusal.WRONG_TOKEN, f"The SAML response was refused: {error}") from error
    except ProviderFailed as error:
        raise SignOnRefused(Refusal.PROVIDER_DOWN, str(error)) from error
    code = new_secret()
    is_new = await statements.insert_assertion(
        context.db,
        provider.issuer,
        user.assertion_id,
        user.replayable_until,
        code_hash=secret_digest(code),
        answer_encrypted=context.secrets.encrypt(msgspec.json.encode(user).decode()),
    )
    if not is_new:
        raise SignOnRefused(Refusal.WRONG_TOKEN, f"The assertion {user.assertion_id!r} was used before.")
    return code


async def _read_response(
    context: SignOnContext, provider: SignOnProvider, document: Document, expected: Expected
) -> SamlUser:
    key, found = service_key_of(context, provider), await context.saml_metadata.identity_provider(provider)

    def read(identity_provider: IdentityProvider) -> SamlUser:
        return verified_user(document, expected, key, identity_provider, datetime.now(UTC))

    try:
        return await asyncio.to_thread(read, found)
    except SamlRefused as error:
        newer = await context.saml_metadata.newer(provider) if error.may_be_new_key else None
        if newer is None:
            raise
        return await asyncio.to_thread(read, newer)


def verified_user(
    document: Document, expected: Expected, key: ServiceKey, identity_provider: IdentityProvider, now: datetime
) -> SamlUser:
    """Check a response, and return the user that its assertion describes. Call this function in a thread. Raises
    SamlRefused: the response is not valid; ProviderFailed: `xmlsec1` is not installed."""
    check_status(document.root, expected)
    check_response(document.root)
    if document.root.find(SIGNATURE) is not None:
        verify(document, document.root, identity_provider.certificates)
    assertion = find_assertion(document.root)
    if assertion is None:
        document = decrypt(document, key)
        check_response(document.root, decrypted=True)
        assertion = find_assertion(document.root)
    if assertion is None:
        raise SamlRefused("The response has no assertion.")
    verify(document, assertion, identity_provider.certificates)
    return read_assertion(assertion, expected, now)


async def confirm_user(context: SignOnContext, provider: SignOnProvider, attempt: Attempt, code: str) -> ConfirmedUser:
    """Return the user in the answer with this code. Raises SignOnRefused: the answer is unknown, or does not belong to
    the attempt."""
    encrypted = await statements.take_answer(context.db, provider.issuer, secret_digest(code))
    if encrypted is None:
        raise SignOnRefused(Refusal.UNKNOWN_ATTEMPT, "The answer of the identity provider was used, or has expired.")
    user = msgspec.json.decode(context.secrets.decrypt(encrypted), type=SamlUser)
    if user.in_response_to != _request_id(attempt):
        cause = f"The assertion answers the request {user.in_response_to!r}, not the request of this browser."
        raise SignOnRefused(Refusal.WRONG_TOKEN, cause)
    hint = msgspec.json.encode(user.name_id).decode()
    confirmed = ConfirmedUser(provider, user.subject, user.session_index, dict(user.claims), hint, None)
    if user.session_until is None:
        return confirmed
    remaining_s = (user.session_until - datetime.now(UTC)).total_seconds()
    return replace(confirmed, lifetime_s=max(remaining_s, 1.0))
