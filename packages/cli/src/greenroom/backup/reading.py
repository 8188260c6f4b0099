"""Reads the decrypted data of a backup, checks every digest, and extracts the files."""

from __future__ import annotations

import hashlib
import os
import pwd
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

import msgspec

from greenroom.backup.contents import (
    DATA_PREFIX,
    DIGESTS_NAME,
    DUMP_PREFIX,
    HEADER_NAME,
    Header,
    check_member,
    digest_key,
    digest_problem,
    is_home,
    read_header,
)
from greenroom.backup.encryption import DAMAGED_HINT, DecryptionKey, decrypt_backup, read_backup_key
from greenroom.core.errors import SetupError

DUMP_FILE: Final = "database.dump"
CHUNK_BYTES: Final = 2**20
PERMISSION_BITS: Final = 0o1777
"""The permissions that are restored: without set-user-id and set-group-id, because a file may get another owner."""


@dataclass(frozen=True, slots=True)
class VerifiedBackup:
    """A backup whose digests are correct. `members` is the number of its members with a digest."""

    header: Header
    members: int


def check_file(file: Path, decryption_key: DecryptionKey, check_header: Callable[[Header], None]) -> VerifiedBackup:
    """Decrypt and check a whole backup. Raises SetupError: see `read_backup`, or the key does not decrypt it."""
    with decrypt_backup(file, read_backup_key(file, decryption_key)) as stream:
        return read_backup(stream, lambda _: None, check_header=check_header)


def extract_file(
    file: Path, key: str, folder: Path, check_header: Callable[[Header], None], *, homes: bool = True
) -> VerifiedBackup:
    """Decrypt a backup, check it, and extract its files into a folder, and its dump to the file `DUMP_FILE` there.

    Raises:
        SetupError: see `read_backup`.
    """
    with (folder / DUMP_FILE).open("wb") as dump, decrypt_backup(file, key) as stream:
        (folder / DUMP_FILE).chmod(0o600)
        return read_backup(stream, dump.write, check_header=check_header, folder=folder, homes=homes)


def read_backup(
    stream: IO[bytes],
    write_dump: Callable[[bytes], object],
    *,
    check_header: Callable[[Header], None] = lambda _: None,
    folder: Path | None = None,
    homes: bool = True,
) -> VerifiedBackup:
    """Read a backup to its end and check it.

    Args:
        stream: the decrypted data.
        write_dump: receives the parts of the database dump.
        check_header: receives the header before all other data; raises SetupError to refuse the backup.
        folder: the target folder of the files of DATA; None = the files are checked and not extracted.
        homes: False = the homes and persistent profiles are checked and not extracted.

    Raises:
        SetupError: the backup is damaged, not from Greenroom, or refused by `check_header`.
    """
    digests: dict[str, str] = {}
    expected: dict[str, str] = {}
    header: Header | None = None
    extractor = _DataExtractor(folder, homes=homes)
    links: set[str] = set()
    try:
        with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8") as archive:
            for member in archive:
                check_member(member, links)
                source = archive.extractfile(member) if member.isreg() else None
                if header is None:
                    data = source.read() if source and member.name == HEADER_NAME else b""
                    header = read_header(data)
                    check_header(header)
                    digests[member.name] = hashlib.sha256(data).hexdigest()
                elif source and member.name == DIGESTS_NAME:
                    expected = msgspec.json.decode(source.read(), type=dict[str, str])
                elif source and member.name.startswith(DUMP_PREFIX):
                    digests[member.name] = _copy_and_hash(source, write_dump)
                elif member.name.startswith(DATA_PREFIX) and (digest := extractor.extract(member, source)) is not None:
                    digests[digest_key(member.name)] = digest
    except (tarfile.TarError, msgspec.MsgspecError) as error:
        raise SetupError(f"The backup cannot be read ({error}): {DAMAGED_HINT}") from error
    problem = digest_problem(expected, digests)
    if header is None or problem is not None:
        raise SetupError(f"The backup is incomplete ({problem or 'it has no header'}): {DAMAGED_HINT}")
    extractor.set_folder_attributes()
    return VerifiedBackup(header, len(digests))


def _copy_and_hash(source: IO[bytes], write: Callable[[bytes], object]) -> str:
    """Pass the data of a member to `write`, and return its digest."""
    digest = hashlib.sha256()
    while data := source.read(CHUNK_BYTES):
        digest.update(data)
        write(data)
    return digest.hexdigest()


class _DataExtractor:
    """Extracts the files of DATA into `folder`, and computes their digests. Without a folder, and for homes without
    `homes`, it only computes the digests."""

    def __init__(self, folder: Path | None, *, homes: bool) -> None:
        self._folder, self._homes = folder, homes
        self._folders: list[tuple[Path, tarfile.TarInfo]] = []

    def extract(self, member: tarfile.TarInfo, source: IO[bytes] | None) -> str | None:
        """Extract a member. Return the digest if the member is a file, else None."""
        name = member.name.removeprefix(DATA_PREFIX)
        if self._folder is None or (not self._homes and is_home(PurePosixPath(name))):
            return None if source is None else _copy_and_hash(source, lambda _: None)
        path = self._folder / name
        if member.isdir():
            path.mkdir(mode=0o700)
            self._folders.append((path, member))
        elif member.issym():
            path.symlink_to(member.linkname)
            _set_owner(path, member)
        elif source is not None:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                digest = _copy_and_hash(source, target.write)
            _set_attributes(path, member)
            return digest
        return None

    def set_folder_attributes(self) -> None:
        """Set the modes and owners of the folders, after all files: a mode may forbid writes to its folder."""
        for path, member in reversed(self._folders):
            _set_attributes(path, member)


def _set_attributes(path: Path, member: tarfile.TarInfo) -> None:
    _set_owner(path, member)
    path.chmod(member.mode & PERMISSION_BITS)
    os.utime(path, (member.mtime, member.mtime))


def _set_owner(path: Path, member: tarfile.TarInfo) -> None:
    """Set the owner of a file if this process is root: a known account by its name, another account by its id."""
    if os.geteuid() != 0:
        return
    try:
        account = pwd.getpwnam(member.uname)
        os.lchown(path, account.pw_uid, account.pw_gid)
    except KeyError:
        os.lchown(path, member.uid, member.gid)
