"""Signatures and encryption of SAML messages, with pysaml2 and its program `xmlsec1`; and the key of Greenroom.

The functions for responses start programs, so call them in a thread. pysaml2 takes 0.4 s to load, and only
installations with a SAML provider need it.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import shutil
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import unquote_plus, urlencode
from xml.etree.ElementTree import Element, tostring

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from greenroom.identity.provider import PARSE_ERRORS, ProviderFailed
from greenroom.identity.saml.documents import (
    MAX_BYTES,
    RESPONSE,
    SIGNATURE,
    SIGNATURES,
    Document,
    SamlRefused,
    parse_message,
)

PROGRAM: Final = "xmlsec1"
RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_KEY_BITS: Final = 3072
_CERTIFICATE_DAYS: Final = 3650
logging.getLogger("saml2").setLevel(logging.CRITICAL)
"""pysaml2 logs an error for each certificate that does not match, also if another one matches."""


class ServiceKey(msgspec.Struct, frozen=True):
    """The key with which Greenroom signs requests and reads encrypted assertions, as PEM, with its certificate."""

    private_key: str
    certificate: str

    @property
    def x509(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())


def new_service_key(name: str) -> ServiceKey:
    """Return a new key and its self-signed certificate. It takes 0.3 s."""
    key, now = rsa.generate_private_key(65537, _KEY_BITS), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Greenroom {name}")])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ServiceKey(private.decode(), certificate.public_bytes(Encoding.PEM).decode())


def find_program() -> str:
    """Return the path of `xmlsec1`. Raises ProviderFailed: it is not installed."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise ProviderFailed(
            f"The program {PROGRAM} is missing on the machine of the api. Install the Debian package {PROGRAM}."
        )
    return path


class _Trust:
    """The certificates of an identity provider, in the form in which pysaml2 asks for them."""

    def __init__(self, certificates: Sequence[x509.Certificate]) -> None:
        pems = [one.public_bytes(Encoding.PEM).decode().strip() for one in certificates]
        self._bodies = [(None, "\n".join(pem.splitlines()[1:-1])) for pem in pems]

    def certs(self, *_: object) -> list[tuple[None, str]]:
        """Return the certificates as base64, each with a name."""
        return self._bodies


def _security(certificates: Sequence[x509.Certificate] = ()) -> Any:
    from saml2 import sigver  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    library = cast("Any", sigver)
    backend = library.CryptoBackendXmlSec1(find_program())
    trust = _Trust(certificates)
    return library.SecurityContext(backend, metadata=trust, only_use_keys_in_metadata=True, enc_key_files=[])


def verify(document: Document, element: Element, certificates: Sequence[x509.Certificate]) -> None:
    """Check the signature of a response or an assertion in a document with a checked structure.

    Raises:
        SamlRefused: the element is not signed with one of the certificates.
        ProviderFailed: `xmlsec1` is not installed.
    """
    from saml2 import saml, samlp, sigver  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    is_response = element.tag == RESPONSE
    name, module = ("response", samlp) if is_response else ("assertion", saml)
    if element.find(SIGNATURE) is None:
        raise SamlRefused(f"The {name} is not signed.")
    security = _security(certificates)
    try:
        item = getattr(module, f"{name}_from_string")(tostring(element, encoding="unicode"))
        node_name = f"{element.tag[1:].replace('}', ':')}"
        security.check_signature(item, node_name, document.text)
    except cast("Any", sigver).SigverError as error:
        if error.args and isinstance(error.args[0], dict):  # a difference from the schema, with the whole document
            reason = re.search(r"Reason: ([^\\\n]+)", str(error))
            detail = f" ({reason[1][:200]})" if reason else ""
            raise SamlRefused(f"The {name} does not match the schema of SAML{detail}.") from None
        raise SamlRefused(
            f"The signature of the {name} matches no certificate of the identity provider.", may_be_new_key=True
        ) from error
    except PARSE_ERRORS as error:
        raise SamlRefused(f"The {name} cannot be read: {type(error).__name__}.") from error


def decrypt(document: Document, key: ServiceKey) -> Document:
    """Return the document with its encrypted assertion decrypted. Raises SamlRefused: the key cannot decrypt it."""
    from saml2 import sigver  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    try:
        text = _security().decrypt_keys(document.text, [key.private_key])
    except cast("Any", sigver).SigverError as error:
        raise SamlRefused("The assertion cannot be decrypted with the key of this provider in Greenroom.") from error
    return parse_message(text.encode())


def redirect_url(address: str, parameter: str, message: bytes, relay_state: str | None, key: ServiceKey) -> str:
    """Return the address that brings a signed message to an identity provider (binding HTTP-Redirect). `parameter` is
    `SAMLRequest` or `SAMLResponse`."""
    compressor = zlib.compressobj(wbits=-15)
    deflated = compressor.compress(message) + compressor.flush()
    values = {parameter: base64.b64encode(deflated).decode()}
    values |= {"RelayState": relay_state} if relay_state is not None else {}
    query = urlencode(values | {"SigAlg": RSA_SHA256})
    private_key = cast("rsa.RSAPrivateKey", load_pem_private_key(key.private_key.encode(), None))
    signature = private_key.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())
    signed = f"{query}&{urlencode({'Signature': base64.b64encode(signature).decode()})}"
    return f"{address}{'&' if '?' in address else '?'}{signed}"


def read_redirect(query: str, parameter: str, certificates: Sequence[x509.Certificate]) -> tuple[bytes, str | None]:
    """Return the message and the relay state of a signed redirect. `query` is the query of the address as it was sent,
    because the signature covers its exact form. Raises SamlRefused: it is not signed with one of the certificates."""
    pairs = [part.partition("=") for part in query.split("&")]
    sent = {name: value for name, _, value in pairs}
    if len(sent) != len(pairs) or not {parameter, "SigAlg", "Signature"} <= sent.keys():
        raise SamlRefused("The request is not signed, or has a parameter twice.")
    algorithm = unquote_plus(sent["SigAlg"])
    if algorithm not in SIGNATURES:
        raise SamlRefused(f"The request is signed with {algorithm[:100]!r}, which is not permitted; use SHA-256.")
    signed = "&".join(f"{name}={sent[name]}" for name in (parameter, "RelayState", "SigAlg") if name in sent)
    try:
        signature = base64.b64decode(unquote_plus(sent["Signature"]), validate=True)
        deflated = base64.b64decode(unquote_plus(sent[parameter]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SamlRefused("The request is not base64.") from error
    if not any(_is_signed(one, signature, signed.encode(), _HASHES[algorithm[-6:]]) for one in certificates):
        raise SamlRefused("The request is signed with no certificate of the identity provider.", may_be_new_key=True)
    relay_state = unquote_plus(sent["RelayState"]) if "RelayState" in sent else None
    return _inflate(deflated), relay_state


def _is_signed(certificate: x509.Certificate, signature: bytes, signed: bytes, algorithm: Any) -> bool:
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _inflate(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=-15)
    try:
        message = inflater.decompress(deflated, MAX_BYTES)
    except zlib.error as error:
        raise SamlRefused("The request is not compressed with DEFLATE.") from error
    if inflater.unconsumed_tail:
        raise SamlRefused(f"The SAML message has more than {MAX_BYTES} bytes.")
    return message
