"""The metadata of identity providers, and the metadata of Greenroom for them. All functions are pure.

Greenroom trusts the metadata because of its origin: an administrator enters it, or it is read over https. A signature
in the metadata is not checked. Certificates that are not yet or no longer valid are not used.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from greenroom.identity.provider import issuer_problem
from greenroom.identity.saml.documents import DS, SamlRefused, parse_metadata_text

MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
MAX_CERTIFICATES: Final = 10
MIN_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """The part of the metadata of an identity provider that Greenroom uses."""

    entity_id: str
    log_in_url: str
    log_out_url: str | None
    log_out_answer_url: str | None
    """The address for answers to log-out requests of the identity provider."""
    certificates: tuple[x509.Certificate, ...]
    """The valid certificates for signatures; several while the identity provider changes its key."""


def parse_metadata(content: bytes, entity_id: str, now: datetime) -> IdentityProvider:
    """Return the identity provider `entity_id` in a metadata document. Raises SamlRefused: the document does not
    contain it, or it cannot be used."""
    root = parse_metadata_text(content)
    descriptor = _idp_descriptor(root, entity_id, now)
    log_in_url, _ = _service(descriptor, "SingleSignOnService")
    if log_in_url is None:
        raise SamlRefused("The metadata has no SingleSignOnService with the binding HTTP-Redirect.")
    log_out_url, answer_url = _service(descriptor, "SingleLogoutService")
    return IdentityProvider(entity_id, log_in_url, log_out_url, answer_url, _certificates(descriptor, now))


def _idp_descriptor(root: Element, entity_id: str, now: datetime) -> Element:
    entities = list(root.iter(f"{{{MD}}}EntityDescriptor"))
    if not entities:
        raise SamlRefused("The document is no SAML metadata: it has no EntityDescriptor.")
    chosen = [element for element in entities if element.get("entityID") == entity_id]
    if len(chosen) != 1:
        found = ", ".join(sorted(str(element.get("entityID")) for element in entities)[:3])
        raise SamlRefused(f"The metadata belongs to {found} instead of {entity_id}; enter the entity ID exactly.")
    for element in (root, chosen[0]):
        until = element.get("validUntil")
        if until is not None and parse_time(until) < now:
            raise SamlRefused(f"The metadata was valid until {until}.")
    descriptors = [
        element
        for element in chosen[0].findall(f"{{{MD}}}IDPSSODescriptor")
        if PROTOCOL in element.get("protocolSupportEnumeration", "").split()
    ]
    if len(descriptors) != 1:
        raise SamlRefused(f"The metadata of {entity_id} describes no identity provider of SAML 2.0.")
    return descriptors[0]


def _service(descriptor: Element, name: str) -> tuple[str | None, str | None]:
    """Return the address of a service with the binding HTTP-Redirect, and the address for answers to it."""
    for element in descriptor.findall(f"{{{MD}}}{name}"):
        if element.get("Binding") == REDIRECT:
            location = _address(element.get("Location", ""), name)
            return location, _address(element.get("ResponseLocation", location), name)
    return None, None


def _address(address: str, name: str) -> str:
    if issuer_problem(address.partition("?")[0]):
        raise SamlRefused(f"The address {address!r} of the {name} is not an https address.")
    return address


def _certificates(descriptor: Element, now: datetime) -> tuple[x509.Certificate, ...]:
    texts = [
        certificate.text or ""
        for key in descriptor.findall(f"{{{MD}}}KeyDescriptor")
        if key.get("use", "signing") == "signing"
        for certificate in key.iter(f"{{{DS}}}X509Certificate")
    ]
    if not texts:
        raise SamlRefused("The metadata has no certificate for signatures.")
    if len(texts) > MAX_CERTIFICATES:
        raise SamlRefused(f"The metadata has more than {MAX_CERTIFICATES} certificates for signatures.")
    certificates = [_certificate(text) for text in texts]
    valid = [one for one in certificates if one.not_valid_before_utc <= now < one.not_valid_after_utc]
    if not valid:
        latest = max(one.not_valid_after_utc for one in certificates)
        raise SamlRefused(f"No certificate for signatures is valid now; the last one is valid until {latest:%Y-%m-%d}.")
    return tuple(valid)


def _certificate(text: str) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(b64decode("".join(text.split()), validate=True))
        key = certificate.public_key()
    except (binascii.Error, ValueError) as error:
        raise SamlRefused("A certificate for signatures in the metadata cannot be read.") from error
    is_strong = isinstance(key, ec.EllipticCurvePublicKey) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS
    )
    if not is_strong:
        raise SamlRefused(f"A certificate for signatures has neither an RSA key of {MIN_RSA_BITS} bits nor an EC key.")
    return certificate


def parse_time(text: str) -> datetime:
    """Return a time of a SAML document. Raises SamlRefused: the text is no time in UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise SamlRefused(f"{text[:100]!r} is no time.") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def format_time(time: datetime) -> str:
    """Return a time in the form of SAML documents."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def service_metadata(entity_id: str, callback: str, log_out: str, certificate: x509.Certificate) -> bytes:
    """Return the metadata of Greenroom as a service provider. `callback` is the address for responses, `log_out` the
    address for log-outs, and `certificate` contains the key for signatures and encryption."""
    root = Element(f"{{{MD}}}EntityDescriptor", entityID=entity_id)
    descriptor = SubElement(
        root,
        f"{{{MD}}}SPSSODescriptor",
        protocolSupportEnumeration=PROTOCOL,
        AuthnRequestsSigned="true",
        WantAssertionsSigned="true",
    )
    pem = certificate.public_bytes(Encoding.PEM).decode().splitlines()[1:-1]
    for use in ("signing", "encryption"):
        key = SubElement(descriptor, f"{{{MD}}}KeyDescriptor", use=use)
        data = SubElement(SubElement(key, f"{{{DS}}}KeyInfo"), f"{{{DS}}}X509Data")
        SubElement(data, f"{{{DS}}}X509Certificate").text = "".join(pem)
    SubElement(descriptor, f"{{{MD}}}SingleLogoutService", Binding=REDIRECT, Location=log_out)
    SubElement(descriptor, f"{{{MD}}}NameIDFormat").text = PERSISTENT
    SubElement(
        descriptor, f"{{{MD}}}AssertionConsumerService", Binding=POST, Location=callback, index="0", isDefault="true"
    )
    return tostring(root, encoding="utf-8", xml_declaration=True)
