"""The instance's own certificate authority and the certificate of the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from greenroom.core.errors import SetupError
from greenroom.kit.certificates import (
    Authority,
    general_name,
    is_pair,
    key_to_pem,
    names_in,
    new_authority,
    new_key,
    validity,
)
from greenroom.up.account import Account
from greenroom.up.layout import Layout, write_text
from greenroom.up.options import Settings

SERVER_DAYS: Final = 397
RENEW_DAYS: Final = 30
"""A certificate that is valid for fewer days is renewed."""


def ensure_authority(layout: Layout) -> None:
    """Create the authority, if it is missing. The caller owns its key; `ca_file` is its certificate."""
    key_file = layout.tls / "ca.key"
    if key_file.exists() and layout.ca_file.exists():
        return
    authority = new_authority("Greenroom instance authority", datetime.now(UTC))
    write_text(key_file, authority.key, 0o600)
    write_text(layout.ca_file, authority.certificate, 0o644)


def ensure_certificates(layout: Layout, settings: Settings, account: Account, now: datetime) -> None:
    """Renew the instance's certificate if it expires soon; copy the administrator's certificate if it was replaced.

    Raises:
        SetupError: a file cannot be read, or certificate and key do not belong together.
    """
    ensure_certificate(layout, account, settings.served_hosts, now)
    if settings.tls_cert is not None and settings.tls_key is not None:
        copy_custom_certificate(layout, account, Path(settings.tls_cert), Path(settings.tls_key))


def ensure_certificate(layout: Layout, account: Account, hosts: Sequence[str], now: datetime) -> tuple[Path, Path]:
    """Return the files of the gateway's certificate (with that of the authority) and key. They are renewed if the
    certificate expires soon or `hosts` has changed.

    `account` owns the key: nginx runs as this account.

    Raises:
        SetupError: the authority's key cannot be used.
    """
    authority = layout.ca_file, layout.tls / "ca.key"
    return ensure_pair(authority, layout.certificate[0].with_suffix(""), hosts, now, account)


def ensure_pair(
    authority: tuple[Path, Path], name: Path, hosts: Sequence[str], now: datetime, account: Account | None = None
) -> tuple[Path, Path]:
    """Return `name`.pem (with the authority's certificate) and `name`.key. They are renewed if the certificate expires
    soon or `hosts` has changed.

    `authority` contains the files of its certificate and key. Duplicate `hosts` count once. `account` owns the files;
    None = the caller.

    Raises:
        SetupError: the authority's key cannot be used.
    """
    certificate_file, key_file, hosts = Path(f"{name}.pem"), Path(f"{name}.key"), list(dict.fromkeys(hosts))
    if certificate_file.exists() and key_file.exists() and not _needs_renewal(certificate_file, hosts, now):
        return certificate_file, key_file
    try:
        signer = Authority(authority[0].read_text(), authority[1].read_text())
    except OSError as error:
        raise SetupError(f"{error.filename} cannot be read ({error.strerror}); restore it from a backup.") from error
    key = new_key()
    certificate = signer.sign(key.public_key(), hosts, SERVER_DAYS, now)
    write_text(key_file, key_to_pem(key), 0o600, account)
    write_text(certificate_file, certificate, 0o644, account)
    return certificate_file, key_file


def copy_custom_certificate(layout: Layout, account: Account, certificate: Path, key: Path) -> tuple[Path, Path]:
    """Copy the administrator's certificate and key to a place where the gateway can read them, unless the copies are
    current.

    Raises:
        SetupError: a file cannot be read, or certificate and key do not belong together.
    """
    check_certificate_pair(certificate, key)
    copies = layout.custom_certificate
    for original, copy, mode in zip((certificate, key), copies, (0o644, 0o600), strict=True):
        if not copy.exists() or copy.read_bytes() != original.read_bytes():
            write_text(copy, original.read_text(), mode, account)
    return copies


def check_certificate_pair(certificate: Path, key: Path) -> None:
    """Check that a certificate and a key belong together.

    Raises:
        SetupError: a file cannot be read, or certificate and key do not belong together.
    """
    try:
        belong_together = is_pair(certificate.read_text(), key.read_text())
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(f"--tls-cert {certificate} and --tls-key {key} cannot be read: {error}") from error
    if not belong_together:
        raise SetupError(f"--tls-key {key} is not the key of --tls-cert {certificate}.")


def _needs_renewal(file: Path, hosts: Sequence[str], now: datetime) -> bool:
    certificate = file.read_text()
    until = validity(certificate)[1]
    return names_in(certificate) != [general_name(host) for host in hosts] or until - now < timedelta(days=RENEW_DAYS)
