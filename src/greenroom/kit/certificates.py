"""X.509 certificates: an authority, its server certificates, and the fingerprint with which new hosts verify it.

Keys are on the curve P-256. Certificates, requests and stored keys are PEM texts.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from greenroom.core.errors import Invalid, SetupError

AUTHORITY_DAYS: Final = 3650
BACKDATING: Final = timedelta(hours=1)
"""Certificates are valid from this duration before their creation, because the clocks of machines differ."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority with its key."""

    certificate: str
    key: str = field(repr=False)

    def sign(self, public_key: ec.EllipticCurvePublicKey, hosts: Sequence[str], days: int, now: datetime) -> str:
        """Return a server certificate for host names and IP addresses, followed by the certificate of the authority.
        The certificate expires after `days`. Raises SetupError: the authority's key or certificate cannot be read."""
        try:
            signer = serialization.load_pem_private_key(self.key.encode(), None)
            issuer = x509.load_pem_x509_certificate(self.certificate.encode())
        except ValueError as error:
            raise SetupError(f"The authority's key cannot be read ({error}); restore it from a backup.") from error
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise SetupError("The authority's key is not an elliptic-curve key; restore it from a backup.")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
        certificate = (
            _builder(subject, issuer.subject, public_key, days, now)
            .add_extension(x509.SubjectAlternativeName([general_name(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        return _certificate_to_pem(certificate) + self.certificate


def new_authority(name: str, now: datetime, *, domain: str | None = None) -> Authority:
    """Return a new authority that is valid for ten years.

    With `domain`, its certificates are valid only for this domain and names below it, and for no IP addresses.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key(), AUTHORITY_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    if domain is not None:
        builder = builder.add_extension(_name_constraints(domain), critical=True)
    return Authority(_certificate_to_pem(builder.sign(key, hashes.SHA256())), key_to_pem(key))


def _name_constraints(domain: str) -> x509.NameConstraints:
    all_networks = [x509.IPAddress(ipaddress.ip_network(network)) for network in ("0.0.0.0/0", "::/0")]
    return x509.NameConstraints(permitted_subtrees=[x509.DNSName(domain)], excluded_subtrees=all_networks)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def new_certificate_request(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    """Return a certificate request for this key. The authority selects the names in the certificate."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def key_in_request(request: str) -> ec.EllipticCurvePublicKey:
    """Return the public key in a certificate request. The signature of the request proves that the sender has the
    private key. Raises Invalid: the request cannot be used."""
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        key = parsed.public_key()
        is_signed = parsed.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(f"The certificate request cannot be read: {error}.") from error
    if not is_signed or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Invalid("The certificate request must be signed by its own key, on the curve P-256.")
    return key


def general_name(host: str) -> x509.GeneralName:
    """Return the certificate name of a host name or an IP address (IPv6 with or without brackets)."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return x509.DNSName(host)


def names_in(certificate: str) -> list[x509.GeneralName]:
    """Return the host names and IP addresses in the first certificate of a PEM text."""
    extensions = x509.load_pem_x509_certificate(certificate.encode()).extensions
    return list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def validity(certificate: str) -> tuple[datetime, datetime]:
    """Return the first and the last moment at which the first certificate of a PEM text is valid. Raises ValueError:
    there is no certificate."""
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    return parsed.not_valid_before_utc, parsed.not_valid_after_utc


def is_pair(certificate: str, key: str) -> bool:
    """True if `key` belongs to the first certificate. Raises ValueError: the key or the certificate cannot be read."""
    public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    private = serialization.load_pem_private_key(key.encode(), None)
    encoding = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(*encoding) == private.public_key().public_bytes(*encoding)


def fingerprint(certificate: str) -> str:
    """Return the SHA-256 of the first certificate (DER), 64 hex digits, like `openssl x509 -fingerprint -sha256`.
    Raises ValueError: there is no certificate."""
    der = x509.load_pem_x509_certificate(certificate.encode()).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def first_certificate(text: str) -> str:
    """Return only the first certificate in a PEM text. Raises ValueError: there is no certificate."""
    return _certificate_to_pem(x509.load_pem_x509_certificate(text.encode()))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATING)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_to_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
