"""The files with which one web filter adds secrets to requests: a certificate authority, a certificate and the headers.

The secrets and the key of the certificate are only in memory (/dev/shm), and only the account of the filter can read
them. Squid cannot read the key of the authority. All files are removed with the filter.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from greenroom.core.errors import GreenroomError
from greenroom.core.named_secrets import FilterSecret, names_of_certificate
from greenroom.kit.certificates import Authority, key_to_pem, new_authority, new_key


class FilterError(GreenroomError, code="web-filter-down"):
    """The web filter cannot run on this host."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user id and the group id of an account."""

    uid: int
    gid: int


MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 -- checked before use
AUTHORITY_NAME: Final = "Greenroom web filter of one session"
CERTIFICATE_DAYS: Final = 30
RENEW_AFTER_S: Final = 15 * 86_400
SQUID_WITHOUT_TLS: Final = (
    "The session has secrets, but the squid of this host does not support TLS: install the package squid-openssl"
    " instead."
)


class SecretFiles:
    """The files of one filter: the authority in `folder`, and Squid's files in memory."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        self._authority_file = folder / "authority.json"
        self._owner = owner
        self.folder = _memory_folder(folder)

    @property
    def headers_file(self) -> Path:
        """The part of Squid's configuration that adds the secrets to requests."""
        return self.folder / "secrets.conf"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def in_use(self) -> bool:
        """True if Squid has secrets, also a Squid that an earlier process of this Agent started."""
        return self.headers_file.exists()

    def authority(self) -> Authority:
        """Return the certificate authority of this filter. The first call creates it."""
        try:
            return msgspec.json.decode(self._authority_file.read_bytes(), type=Authority)
        except FileNotFoundError:
            authority = new_authority(AUTHORITY_NAME, datetime.now(UTC))
        self._authority_file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        _write(self._authority_file, msgspec.json.encode(authority), uid=os.geteuid())
        return authority

    def write(self, secrets: Sequence[FilterSecret], text: str) -> bool:
        """Write the files that changed. `text` is the configuration of the headers. Return True if a file changed.
        Raises FilterError: the folder in memory belongs to another account.
        """
        if not secrets:
            was_in_use = self.in_use
            self.remove()
            return was_in_use
        self._make_folder()
        renewed = self._renew(names_of_certificate(secrets))
        if self.in_use and self.headers_file.read_text() == text:
            return renewed
        _write(self.headers_file, text.encode(), uid=self._owner.uid)
        return True

    def _renew(self, names: list[str]) -> bool:
        listing = self.folder / "names.json"
        try:
            is_recent = time.time() - self.certificate.stat().st_mtime < RENEW_AFTER_S
            if is_recent and msgspec.json.decode(listing.read_bytes()) == names:
                return False
        except FileNotFoundError:
            pass  # there is no certificate yet
        key = new_key()
        chain = self.authority().sign(key.public_key(), names, CERTIFICATE_DAYS, datetime.now(UTC))
        _write(self.certificate, (chain + key_to_pem(key)).encode(), uid=self._owner.uid)
        _write(listing, msgspec.json.encode(names), uid=os.geteuid())
        return True

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700)
        except FileExistsError:
            status = self.folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                raise FilterError(f"{self.folder} is not a folder of this account; remove it.") from None
        os.chown(self.folder, os.geteuid(), self._owner.gid)
        self.folder.chmod(0o750)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _memory_folder(folder: Path) -> Path:
    return MEMORY_FOLDER / f"greenroom-secrets-{folder.name}"


def forget_secrets(filters: Path) -> None:
    """Remove the in-memory files of the filters whose folders are in `filters`. The Agent and the filters must have
    ended."""
    for folder in filters.glob("*/"):
        shutil.rmtree(_memory_folder(folder), ignore_errors=True)


def _write(file: Path, content: bytes, *, uid: int) -> None:
    """Replace a file with one that only the account `uid` can read. Readers never see a part of the content."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        output.write(content)
    os.chown(part, uid, -1)
    part.replace(file)


def require_tls(program: str) -> None:
    """Check that this Squid supports TLS. Raises FilterError: it was built without OpenSSL."""
    version_text = subprocess.run([program, "-v"], check=False, capture_output=True, text=True, timeout=10).stdout
    if "--with-openssl" not in version_text:
        raise FilterError(SQUID_WITHOUT_TLS)
