"""Log-outs at SAML identity providers through the browser (Single Logout, binding HTTP-Redirect).

After a log-out at Greenroom, the browser brings a signed request to the identity provider. An identity provider ends
the log-ins at Greenroom with a signed request, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_urlsafe
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from greenroom.identity.checks import end_logins
from greenroom.identity.context import SignOnContext
from greenroom.identity.provider import ProviderFailed
from greenroom.identity.saml import statements as saml_statements
from greenroom.identity.saml.documents import SAML, SAMLP, SamlRefused, parse_message
from greenroom.identity.saml.metadata import IdentityProvider, format_time
from greenroom.identity.saml.responses import MAX_AGE, SUCCESS, NameId, check_issuer, read_name_id, time_of
from greenroom.identity.saml.service import service_key_of
from greenroom.identity.saml.signatures import read_redirect, redirect_url
from greenroom.identity.statements import ProviderLogin, SignOnProvider, logins_at_provider


async def log_out_url(context: SignOnContext, provider: SignOnProvider, hint: str, sid: str | None) -> str | None:
    """Return the address that ends a log-in at the identity provider, too; None if it offers no log-out. `hint` is the
    NameID of the log-in as JSON, `sid` its session index."""
    name_id = msgspec.json.decode(hint, type=NameId | None)
    try:
        found = await context.saml_metadata.identity_provider(provider)
    except ProviderFailed:
        return None  # the identity provider does not answer; the log-in at Greenroom has ended anyway
    if found.log_out_url is None or name_id is None:
        return None
    request = _message("LogoutRequest", provider, found.log_out_url)
    SubElement(request, f"{{{SAML}}}NameID", name_id.attributes).text = name_id.value
    if sid is not None:
        SubElement(request, f"{{{SAMLP}}}SessionIndex").text = sid
    key = service_key_of(context, provider)
    return redirect_url(found.log_out_url, "SAMLRequest", tostring(request), None, key)


def _message(name: str, provider: SignOnProvider, destination: str) -> Element:
    message = Element(
        f"{{{SAMLP}}}{name}",
        ID=f"_{token_urlsafe(32)}",
        Version="2.0",
        IssueInstant=format_time(datetime.now(UTC)),
        Destination=destination,
    )
    SubElement(message, f"{{{SAML}}}Issuer").text = provider.client_id
    return message


@dataclass(frozen=True, slots=True)
class LogOutRequest:
    """A checked log-out request of an identity provider. Without session indexes, all log-ins of the user end."""

    request_id: str
    name_id: NameId
    session_indexes: list[str]
    relay_state: str | None


def read_request(
    query: str, provider: SignOnProvider, address: str, found: IdentityProvider, now: datetime
) -> LogOutRequest:
    """Return the log-out request in the query of an address. Raises SamlRefused: it is not valid."""
    message, relay_state = read_redirect(query, "SAMLRequest", found.certificates)
    root = parse_message(message).root
    if root.tag != f"{{{SAMLP}}}LogoutRequest":
        raise SamlRefused("The message is no log-out request.")
    check_issuer(root.find(f"{{{SAML}}}Issuer"), provider.issuer, "log-out request")
    if root.get("Destination") != address:
        raise SamlRefused(f"The log-out request is for {root.get('Destination')!r} instead of {address!r}.")
    if abs(now - time_of(root, "IssueInstant", "log-out request")) > MAX_AGE:
        raise SamlRefused("The log-out request is not from now; check the clocks of provider and host.")
    name_id = read_name_id(root.findall(f"{{{SAML}}}NameID"))
    if name_id is None or not root.get("ID"):
        raise SamlRefused("The log-out request has no NameID or no id.")
    indexes = [element.text or "" for element in root.findall(f"{{{SAMLP}}}SessionIndex")]
    return LogOutRequest(root.get("ID", ""), name_id, indexes, relay_state)


async def answer_request(context: SignOnContext, provider: SignOnProvider, query: str, address: str) -> str | None:
    """End the log-ins that a log-out request names. Return the address of the answer at the identity provider; None if
    it has none.

    Raises:
        SamlRefused: the request is not valid.
        ProviderFailed: the metadata of the identity provider cannot be used.
    """
    found = await context.saml_metadata.identity_provider(provider)
    try:
        request = read_request(query, provider, address, found, datetime.now(UTC))
    except SamlRefused as error:
        newer = await context.saml_metadata.newer(provider) if error.may_be_new_key else None
        if newer is None:
            raise
        found = newer
        request = read_request(query, provider, address, found, datetime.now(UTC))
    until = datetime.now(UTC) + 2 * MAX_AGE
    if not await saml_statements.insert_assertion(context.db, provider.issuer, request.request_id, until):
        raise SamlRefused("The log-out request was used before.")
    ended = [login for login in await _logins_of(context, provider, request) if _is_of(context, login, request.name_id)]
    await end_logins(context, ended, f"{provider.title} logged the user out.")
    if found.log_out_answer_url is None:
        return None
    answer = _message("LogoutResponse", provider, found.log_out_answer_url)
    answer.set("InResponseTo", request.request_id)
    SubElement(SubElement(answer, f"{{{SAMLP}}}Status"), f"{{{SAMLP}}}StatusCode", Value=SUCCESS)
    key = service_key_of(context, provider)
    return redirect_url(found.log_out_answer_url, "SAMLResponse", tostring(answer), request.relay_state, key)


async def _logins_of(context: SignOnContext, provider: SignOnProvider, request: LogOutRequest) -> list[ProviderLogin]:
    if not request.session_indexes:
        return await logins_at_provider(context.db, provider.provider_id)
    return [
        login
        for sid in request.session_indexes
        for login in await logins_at_provider(context.db, provider.provider_id, sid=sid)
    ]


def _is_of(context: SignOnContext, login: ProviderLogin, name_id: NameId) -> bool:
    """Return whether a log-in is that of the user with this NameID."""
    known = msgspec.json.decode(context.secrets.decrypt(login.id_token_encrypted), type=NameId | None)
    return known is not None and known.value == name_id.value
