"""The checks of an assertion whose signature is verified, and the user that it describes. All functions are pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from xml.etree.ElementTree import Element

from greenroom.identity.saml.documents import ASSERTION, MAX_ID_CHARACTERS, RESPONSE, SAML, SAMLP, SamlRefused
from greenroom.identity.saml.metadata import PERSISTENT, parse_time

LEEWAY: Final = timedelta(seconds=60)
"""The permitted difference between the clocks of the identity provider and of this host."""
MAX_AGE: Final = timedelta(seconds=600)
"""The maximum age of an assertion when it arrives."""
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
ENTITY_FORMAT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
NAME_ID_CLAIM: Final = "NameID"
"""The claim that contains the NameID of the user, if no attribute has this name."""


class StatusRefused(SamlRefused):
    """The identity provider answers that it did not log the user in."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The values that a response must have. `issuer` is the entity ID of the identity provider, `audience` that of
    Greenroom, `recipient` the address to which the response was sent, and `subject_attribute` the attribute with the
    subject; empty = the persistent NameID."""

    issuer: str
    audience: str
    recipient: str
    subject_attribute: str


@dataclass(frozen=True, slots=True)
class NameId:
    """The name of a user at an identity provider, with its attributes `Format`, `NameQualifier` and
    `SPNameQualifier`."""

    value: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class SamlUser:
    """The user that an assertion describes."""

    assertion_id: str
    in_response_to: str
    """The id of the request that the assertion answers."""
    replayable_until: datetime
    """Until then, the assertion would be accepted again if its id were not stored."""
    subject: str
    name_id: NameId | None
    session_index: str | None
    session_until: datetime | None
    """The time at which the log-in must end; None = the identity provider sets no limit."""
    claims: dict[str, list[str]]


def check_status(root: Element, expected: Expected) -> None:
    """Check the parts of a response outside its assertion. Raises SamlRefused: the response has another issuer or
    destination, or (StatusRefused) reports a failure."""
    if root.tag != RESPONSE:
        raise SamlRefused("The message is no SAML response.")
    issuer = root.find(f"{{{SAML}}}Issuer")
    if issuer is not None:
        check_issuer(issuer, expected.issuer, "response")
    destination = root.get("Destination")
    if destination is not None and destination != expected.recipient:
        raise SamlRefused(f"The response is for {destination!r} instead of {expected.recipient!r}.")
    if root.get("Version") != "2.0":
        raise SamlRefused("The response is not of SAML 2.0.")
    code = root.find(f"{{{SAMLP}}}Status/{{{SAMLP}}}StatusCode")
    if code is None:
        raise SamlRefused("The response has no status.")
    if code.get("Value") != SUCCESS:
        detail = [str(one.get("Value")).rpartition(":")[2] for one in code.iter(f"{{{SAMLP}}}StatusCode")]
        raise StatusRefused(f"The identity provider answered with the status {', '.join(detail)[:200]}.")


def read_assertion(assertion: Element, expected: Expected, now: datetime) -> SamlUser:
    """Check a verified assertion, and return the user. Raises SamlRefused: the assertion is not valid."""
    if assertion.tag != ASSERTION or assertion.get("Version") != "2.0":
        raise SamlRefused("The assertion is not of SAML 2.0.")
    check_issuer(assertion.find(f"{{{SAML}}}Issuer"), expected.issuer, "assertion")
    issued = time_of(assertion, "IssueInstant", "assertion")
    if issued > now + LEEWAY:
        raise SamlRefused("The assertion was issued in the future; check the clocks of provider and host.")
    if issued < now - MAX_AGE - LEEWAY:
        age_s = int((now - issued).total_seconds())
        raise SamlRefused(f"The assertion was issued {age_s} s ago; check the clocks of provider and host.")
    _check_conditions(assertion, expected.audience, now)
    confirmation = _check_confirmation(assertion, expected.recipient, now)
    name_id = read_name_id(assertion.findall(f"{{{SAML}}}Subject/{{{SAML}}}NameID"))
    claims = _attributes(assertion)
    if name_id is not None:
        claims.setdefault(NAME_ID_CLAIM, [name_id.value])
    statement = _authentication(assertion)
    until = statement.get("SessionNotOnOrAfter")
    session_until = parse_time(until) if until is not None else None
    if session_until is not None and session_until <= now:
        raise SamlRefused("The log-in at the identity provider has ended already.")
    return SamlUser(
        assertion_id=_text_id(assertion.get("ID"), "id of the assertion"),
        in_response_to=confirmation.get("InResponseTo", ""),
        replayable_until=min(time_of(confirmation, "NotOnOrAfter", "confirmation"), issued + MAX_AGE) + LEEWAY,
        subject=_subject(name_id, claims, expected.subject_attribute),
        name_id=name_id,
        session_index=_optional_id(statement.get("SessionIndex"), "SessionIndex"),
        session_until=session_until,
        claims=claims,
    )


def check_issuer(issuer: Element | None, expected: str, name: str) -> None:
    """Check the issuer of a message. `name` is that of the message. Raises SamlRefused: it is another issuer."""
    text = _text(issuer) if issuer is not None else None
    if text != expected or (issuer is not None and issuer.get("Format", ENTITY_FORMAT) != ENTITY_FORMAT):
        raise SamlRefused(f"The issuer of the {name} is {text!r} instead of {expected!r}.")


def _check_conditions(assertion: Element, audience: str, now: datetime) -> None:
    conditions = assertion.findall(f"{{{SAML}}}Conditions")
    if len(conditions) != 1:
        raise SamlRefused("The assertion has no conditions.")
    _check_period(conditions[0], now, "assertion")
    restrictions = conditions[0].findall(f"{{{SAML}}}AudienceRestriction")
    for restriction in restrictions:
        audiences = [_text(element) for element in restriction.findall(f"{{{SAML}}}Audience")]
        if audience not in audiences:
            raise SamlRefused(f"The audience of the assertion is {', '.join(audiences)[:300]!r}, not {audience!r}.")
    if not restrictions:
        raise SamlRefused("The assertion has no audience.")


def _check_confirmation(assertion: Element, recipient: str, now: datetime) -> Element:
    """Return the data of the confirmation that the bearer of the assertion is its subject."""
    confirmations = [
        data
        for element in assertion.findall(f"{{{SAML}}}Subject/{{{SAML}}}SubjectConfirmation")
        if element.get("Method") == BEARER
        for data in element.findall(f"{{{SAML}}}SubjectConfirmationData")
    ]
    if len(confirmations) != 1:
        raise SamlRefused("The assertion has not exactly one confirmation of its bearer.")
    data = confirmations[0]
    if data.get("Recipient") != recipient:
        raise SamlRefused(f"The recipient of the assertion is {data.get('Recipient')!r} instead of {recipient!r}.")
    if not data.get("InResponseTo"):
        raise SamlRefused("The assertion answers no request. Log-ins must begin at Greenroom.")
    time_of(data, "NotOnOrAfter", "confirmation")
    _check_period(data, now, "confirmation")
    return data


def _check_period(element: Element, now: datetime, name: str) -> None:
    if element.get("NotBefore") is not None and now + LEEWAY < (before := time_of(element, "NotBefore", name)):
        raise SamlRefused(f"The {name} is valid only from {before:%Y-%m-%d %H:%M:%S} UTC; check the clocks.")
    if element.get("NotOnOrAfter") is not None and now - LEEWAY >= (after := time_of(element, "NotOnOrAfter", name)):
        raise SamlRefused(f"The {name} expired at {after:%Y-%m-%d %H:%M:%S} UTC; check the clocks.")


def time_of(element: Element, attribute: str, name: str) -> datetime:
    """Return the time in an attribute. `name` is that of the element. Raises SamlRefused: there is no time."""
    value = element.get(attribute)
    if value is None:
        raise SamlRefused(f"The {name} has no {attribute}.")
    return parse_time(value)


def _authentication(assertion: Element) -> Element:
    statements = assertion.findall(f"{{{SAML}}}AuthnStatement")
    if len(statements) != 1:
        raise SamlRefused(f"The assertion has {len(statements)} log-ins (AuthnStatement) instead of one.")
    return statements[0]


def read_name_id(elements: list[Element]) -> NameId | None:
    """Return the first NameID; None if there is none. Raises SamlRefused: it is empty or too long."""
    if not elements:
        return None
    names = ("Format", "NameQualifier", "SPNameQualifier")
    attributes = {name: value for name in names if (value := elements[0].get(name)) is not None}
    return NameId(_text_id(_text(elements[0]), NAME_ID_CLAIM), attributes)


def _attributes(assertion: Element) -> dict[str, list[str]]:
    """Return the attributes by name, and by friendly name if no attribute has this name."""
    attributes = assertion.findall(f"{{{SAML}}}AttributeStatement/{{{SAML}}}Attribute")
    claims: dict[str, list[str]] = {}
    for key in ("Name", "FriendlyName"):
        known = set(claims)
        for attribute in attributes:
            if (name := attribute.get(key)) and name not in known:
                texts = [_text(value) for value in attribute.findall(f"{{{SAML}}}AttributeValue")]
                claims.setdefault(name, []).extend(text for text in texts if text)
    return claims


def _subject(name_id: NameId | None, claims: dict[str, list[str]], attribute: str) -> str:
    if attribute:
        values = claims.get(attribute, [])
        if len(values) != 1:
            raise SamlRefused(f"The attribute {attribute} with the subject has {len(values)} values instead of one.")
        return _text_id(values[0], f"subject in the attribute {attribute}")
    name_format = name_id.attributes.get("Format", "none") if name_id else "none"
    if name_id is None or name_format != PERSISTENT:
        raise SamlRefused(
            f"The NameID is not persistent (format: {name_format}), so it may name another person later. Let the"
            " identity provider send a persistent NameID, or choose an attribute for the subject."
        )
    return name_id.value


def _optional_id(value: str | None, name: str) -> str | None:
    return None if value is None else _text_id(value, name)


def _text_id(value: str | None, name: str) -> str:
    if not value or len(value) > MAX_ID_CHARACTERS or not value.isprintable():
        raise SamlRefused(f"The {name} is not 1 to {MAX_ID_CHARACTERS} printable characters.")
    return value


def _text(element: Element) -> str:
    return "".join(element.itertext()).strip()
