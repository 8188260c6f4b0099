"""The instance's own certificate authority and the gateway's certificate."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from greenroom.core.errors import SetupError
from greenroom.up.account import Account
from greenroom.up.layout import Layout, write_text

CA_DAYS: Final = 3650
SERVER_DAYS: Final = 397
RENEW_DAYS: Final = 30
"""A certificate with less left is made again at the next `up`."""


def ensure_authority(layout: Layout) -> None:
    """Make the authority once; its key stays with the caller, its certificate is `ca_file`."""
    key_file = layout.tls / "ca.key"
    if key_file.exists() and layout.ca_file.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Greenroom instance authority")])
    certificate = (
        _builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_text(key_file, _pem(key), 0o600)
    write_text(layout.ca_file, _pem(certificate), 0o644)


def ensure_certificate(layout: Layout, account: Account, hosts: Sequence[str], now: datetime) -> tuple[Path, Path]:
    """The gateway's certificate (with the authority's) and key, made again when they lapse soon or `hosts` changed.

    Args:
        layout: where they lie.
        account: who owns the key: nginx runs as it.
        hosts: host names and addresses under which the gateway is reached.
        now: decides about renewal.
    """
    certificate_file, key_file = layout.gateway / "server.pem", layout.gateway / "server.key"
    if certificate_file.exists() and key_file.exists() and not _needs_renewal(certificate_file, hosts, now):
        return certificate_file, key_file
    authority_key = serialization.load_pem_private_key((layout.tls / "ca.key").read_bytes(), None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise SetupError(f"{layout.tls / 'ca.key'} is not the authority's key; restore it from a backup.")
    authority = x509.load_pem_x509_certificate(layout.ca_file.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    certificate = (
        _builder(subject, authority.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    write_text(key_file, _pem(key), 0o600, account)
    write_text(certificate_file, _pem(certificate) + layout.ca_file.read_text(), 0o644, account)
    return certificate_file, key_file


def copy_given(layout: Layout, account: Account, certificate: Path, key: Path) -> tuple[Path, Path]:
    """Copy the certificate and key the administrator brought to where the gateway can read them.

    Raises:
        SetupError: they cannot be read, or do not belong together.
    """
    check_pair(certificate, key)
    copies = layout.gateway / "given.pem", layout.gateway / "given.key"
    write_text(copies[0], certificate.read_text(), 0o644, account)
    write_text(copies[1], key.read_text(), 0o600, account)
    return copies


def check_pair(certificate: Path, key: Path) -> None:
    """Refuse a certificate and a key that do not belong together.

    Raises:
        SetupError: with what is wrong.
    """
    try:
        public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(f"--tls-cert {certificate} and --tls-key {key} cannot be read: {error}") from error
    encoding = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*encoding) != private.public_key().public_bytes(*encoding):
        raise SetupError(f"--tls-key {key} is not the key of --tls-cert {certificate}.")


def _needs_renewal(file: Path, hosts: Sequence[str], now: datetime) -> bool:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    wanted = [_general_name(host) for host in hosts]
    return list(names) != wanted or certificate.not_valid_after_utc - now < timedelta(days=RENEW_DAYS)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _pem(thing: ec.EllipticCurvePrivateKey | x509.Certificate) -> str:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM).decode()
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
