"""A SAML identity provider whose responses a test determines: it signs any text."""

from __future__ import annotations

import base64
import re
import subprocess
import tempfile
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from defusedxml.ElementTree import fromstring
from tests.support.saml import ENTITY_ID, SamlForm

from greenroom.identity.saml.documents import DS, SAML, SAMLP, XENC
from greenroom.identity.saml.metadata import MD, PERSISTENT, PROTOCOL, REDIRECT, format_time
from greenroom.identity.saml.signatures import RSA_SHA256, ServiceKey, new_service_key

ISSUER = "https://idp.example/saml"
SHA256 = f"{XENC}sha256"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SIGNATURE_PATTERN = re.compile(r"<ds:Signature .*?</ds:Signature>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Assertion:
    """The content of an assertion; times are seconds from now. Empty text = the part is missing."""

    subject: str = "s-1"
    format: str = PERSISTENT
    issuer: str = ISSUER
    audience: str = ENTITY_ID
    recipient: str | None = None
    in_response_to: str | None = None
    issued_s: float = 0
    not_before_s: float = -5
    not_after_s: float = 300
    assertion_id: str = "_a1"
    algorithm: str = RSA_SHA256
    digest: str = SHA256
    attributes: str = ""
    session: str = 'SessionIndex="session-1"'
    condition: str = ""
    subject_content: str = ""


@dataclass
class SamlForger:
    """An identity provider without a server. `request_id` and `callback` are those of the last request."""

    key: ServiceKey = field(default_factory=lambda: new_service_key("forger"))
    request_id: str = ""
    callback: str = ""
    relay_state: str = ""

    def metadata(self, *certificates: str, issuer: str = ISSUER, log_out: str = "", attributes: str = "") -> str:
        """Return the metadata with these certificates as PEM; without one, that of `key`."""
        bodies = ["".join(one.split("\n")[1:-2]) for one in certificates or (self.key.certificate,)]
        keys = "".join(
            f'<KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>{body}'
            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>"
            for body in bodies
        )
        end = f'<SingleLogoutService Binding="{REDIRECT}" Location="{log_out}"/>' if log_out else ""
        return (
            f'<EntityDescriptor xmlns="{MD}" entityID="{issuer}"{attributes}><IDPSSODescriptor'
            f' protocolSupportEnumeration="{PROTOCOL}">{keys}{end}<SingleSignOnService Binding="{REDIRECT}"'
            f' Location="https://idp.example/login"/></IDPSSODescriptor></EntityDescriptor>'
        )

    def read_request(self, url: str) -> None:
        """Read the request in the address to which Greenroom sends the browser."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        request = fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"]), -15))
        self.request_id = request.attrib["ID"]
        self.callback = request.attrib["AssertionConsumerServiceURL"]
        self.relay_state = query["RelayState"]

    def assertion(self, values: Assertion, *, signature: bool = True) -> str:
        """Return an assertion, with the template of a signature or without."""
        now = datetime.now(UTC)

        def time(seconds: float) -> str:
            return format_time(now + timedelta(seconds=seconds))

        answers = self.request_id if values.in_response_to is None else values.in_response_to
        in_response_to = f' InResponseTo="{answers}"' if answers else ""
        recipient = self.callback if values.recipient is None else values.recipient
        audience = f"<saml:Audience>{values.audience}</saml:Audience>" if values.audience else ""
        restriction = f"<saml:AudienceRestriction>{audience}</saml:AudienceRestriction>" if audience else ""
        name_format = f' Format="{values.format}"' if values.format else ""
        template = signature_template(values.assertion_id, values.algorithm, values.digest) if signature else ""
        return (
            f'<saml:Assertion xmlns:saml="{SAML}" ID="{values.assertion_id}" Version="2.0"'
            f' IssueInstant="{time(values.issued_s)}"><saml:Issuer>{values.issuer}</saml:Issuer>{template}'
            f"<saml:Subject><saml:NameID{name_format}>{values.subject}</saml:NameID>"
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData'
            f'{in_response_to} Recipient="{recipient}" NotOnOrAfter="{time(values.not_after_s)}"/>'
            f"</saml:SubjectConfirmation>{values.subject_content}</saml:Subject>"
            f'<saml:Conditions NotBefore="{time(values.not_before_s)}" NotOnOrAfter="{time(values.not_after_s)}">'
            f"{restriction}{values.condition}</saml:Conditions>"
            f'<saml:AuthnStatement AuthnInstant="{time(values.issued_s)}" {values.session}><saml:AuthnContext>'
            "<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>"
            "</saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>"
            '<saml:Attribute Name="uid"><saml:AttributeValue>ada</saml:AttributeValue></saml:Attribute>'
            f"{values.attributes}</saml:AttributeStatement></saml:Assertion>"
        )

    def signed(self, values: Assertion | None = None, *, key: ServiceKey | None = None) -> str:
        """Return a signed assertion."""
        values = values or Assertion()
        return self.sign(self.assertion(values), "Assertion", values.assertion_id, key=key)

    def response(
        self,
        content: str,
        *,
        signed: bool = False,
        response_id: str = "_r1",
        extensions: str = "",
        issuer: str = ISSUER,
    ) -> str:
        """Return a response with this content, whose signature covers the whole response or is missing."""
        template = signature_template(response_id, RSA_SHA256, SHA256) if signed else ""
        text = (
            f'<samlp:Response xmlns:samlp="{SAMLP}" ID="{response_id}" Version="2.0"'
            f' IssueInstant="{format_time(datetime.now(UTC))}" Destination="{self.callback}"'
            f' InResponseTo="{self.request_id}"><saml:Issuer xmlns:saml="{SAML}">{issuer}</saml:Issuer>{template}'
            f'{extensions}<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>'
            f"</samlp:Status>{content}</samlp:Response>"
        )
        return self.sign(text, "Response", response_id) if signed else text

    def sign(self, text: str, element: str, element_id: str, *, key: ServiceKey | None = None) -> str:
        """Fill in the template of the signature of the element with this id."""
        namespace = SAML if element == "Assertion" else SAMLP
        with tempfile.TemporaryDirectory() as folder:
            key_file, document = Path(folder, "key.pem"), Path(folder, "document.xml")
            key_file.write_text((key or self.key).private_key)
            document.write_text(text)
            command = ["xmlsec1", "--sign", "--privkey-pem", str(key_file), "--id-attr:ID", f"{namespace}:{element}"]
            options = ["--node-id", element_id, "--output", "-", str(document)]
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
        return done.stdout.partition("?>")[2].strip()

    def form(self, text: str) -> SamlForm:
        """Return the form that brings a response to Greenroom."""
        encoded = base64.b64encode(text.encode()).decode()
        return SamlForm(self.callback, {"SAMLResponse": encoded, "RelayState": self.relay_state})


def signature_template(element_id: str, algorithm: str, digest: str) -> str:
    """Return a signature without values, which covers the element with this id."""
    return (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>'
        f'<ds:SignatureMethod Algorithm="{algorithm}"/><ds:Reference URI="#{element_id}"><ds:Transforms>'
        f'<ds:Transform Algorithm="{DS}enveloped-signature"/><ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/>'
        "</ds:Signature>"
    )


def signature_in(text: str) -> str:
    """Return the first signature in a text."""
    found = SIGNATURE_PATTERN.search(text)
    assert found, text
    return found[0]
