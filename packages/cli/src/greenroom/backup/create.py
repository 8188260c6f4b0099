"""`greenroom backup`: write a backup, verify it, and delete old ones."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Final

import msgspec

from greenroom.backup.contents import (
    DATA_PREFIX,
    DIGESTS_NAME,
    DUMP_PREFIX,
    FORMAT,
    HEADER_NAME,
    LOCK_NAME,
    RECORDING_TABLES,
    Header,
    backups_to_delete,
    digest_key,
    file_name,
    is_included,
    may_be_link,
    parse_tables,
)
from greenroom.backup.database import PostgresTools, read_facts, running_database
from greenroom.backup.encryption import EncryptionKey, decrypt_backup, write_encrypted
from greenroom.backup.reading import read_backup
from greenroom.core.errors import SetupError
from greenroom.up.account import SERVICE_ACCOUNT
from greenroom.up.layout import Layout, check_folder, exclusive_lock, missing_instance_error
from greenroom.up.progress import Progress

PART_BYTES: Final = 8 * 2**20
"""The size of a part of the dump."""
PART_SUFFIX: Final = ".part"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlan:
    """The options of a backup. `keep` is the number of backups that remain; None: all."""

    key: EncryptionKey
    homes: bool = False
    recordings: bool = True
    keep: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedBackup:
    """A new backup, and the files that its retention deleted."""

    file: Path
    bytes: int
    files: int
    """The number of its verified members."""
    deleted: list[str]


async def create_backup(layout: Layout, folder: Path, plan: BackupPlan, progress: Progress) -> CreatedBackup:
    """Write a verified backup of an instance, running or stopped, into a folder. The file appears when it is complete.

    Raises:
        SetupError: there is no instance, another backup runs, the folder cannot be written, or the verification failed.
    """
    check_folder(layout)
    if not layout.instance.exists():
        raise missing_instance_error(layout)
    with backup_lock(layout):
        if not layout.instance.exists():
            raise SetupError(f"A restore replaces the instance in {layout.data}; repeat the backup when it has ended.")
        async with running_database(layout, progress) as dsn:
            return await asyncio.to_thread(write_backup, layout, dsn, folder, plan, progress)


def write_backup(layout: Layout, dsn: str, folder: Path, plan: BackupPlan, progress: Progress) -> CreatedBackup:
    """Write and verify a backup of an instance whose database runs at `dsn`. Raises SetupError: as `create_backup`."""
    facts = read_facts(dsn)
    tools = PostgresTools.of_server(facts.version)
    excluded_tables = () if plan.recordings else RECORDING_TABLES
    header = Header(
        format=FORMAT,
        version=version("greenroom"),
        created=datetime.now(UTC),
        installation_id=facts.installation_id,
        postgres=facts.version,
        migrations=facts.migrations,
        tables=[table for table in facts.tables if table not in excluded_tables],
        homes=plan.homes,
        recordings=plan.recordings,
    )

    def write_archive(target: IO[bytes]) -> None:
        archive = _Archive(target)
        archive.add_bytes(HEADER_NAME, msgspec.json.encode(header))
        with archive.parts() as dump:
            tools.dump(dsn, dump.write, excluded_tables)
        for path in list_files(layout.data, homes=plan.homes):
            archive.add_file(layout.data, path)
        archive.close()

    file = folder / file_name(facts.installation_id, header.created)
    part = file.with_name(file.name + PART_SUFFIX)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for unfinished in folder.glob(f"{file.name[:18]}*{PART_SUFFIX}"):  # of this installation, whose lock is held
            unfinished.unlink()
        with _new_file(part) as target:
            with progress.step("Writing the backup"):
                own_key = write_encrypted(target, plan.key, write_archive)
                target.flush()
                os.fsync(target.fileno())
            with progress.step("Verifying the backup"):
                files = verify_backup(part, own_key, tools)
            part.rename(file)
        # A backup with a later time, by a clock that was wrong, does not count.
        names = [existing.name for existing in folder.iterdir() if existing.name <= file.name]
        deleted = _delete(folder, backups_to_delete(names, facts.installation_id, plan.keep) if plan.keep else [])
        return CreatedBackup(file=file, bytes=file.stat().st_size, files=files, deleted=deleted)
    except OSError as error:
        raise SetupError(f"The backup cannot be written to {folder}: {error.strerror or error}.") from error


def _delete(folder: Path, names: list[str]) -> list[str]:
    for name in names:
        (folder / name).unlink()
    return names


@contextmanager
def _new_file(path: Path) -> Generator[IO[bytes]]:
    """Create a file that only its owner can read; it is removed if the block fails."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "r+b") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def backup_lock(layout: Layout) -> AbstractContextManager[None]:
    """Hold the lock of backups for the duration of the block. Raises SetupError: as for `exclusive_lock`."""
    return exclusive_lock(layout, layout.data / LOCK_NAME, "backup")


def verify_backup(file: Path, key: str, tools: PostgresTools) -> int:
    """Decrypt a new backup, compare its digests, and the table of contents of its dump with the tables in its header.
    Return the number of its members.

    Raises:
        SetupError: there is a difference.
    """
    with decrypt_backup(file, key) as stream, tools.listing() as listing:
        read = read_backup(stream, listing.write)
    if (tables := parse_tables(listing.text)) != read.header.tables:
        different = sorted(set(tables) ^ set(read.header.tables))
        raise SetupError(f"The dump in the new backup is incomplete (table {different[0]}); the backup was deleted.")
    return read.members


def list_files(data: Path, *, homes: bool) -> Iterator[PurePosixPath]:
    """Yield the folders, files and symbolic links of DATA that a backup contains, a folder before its content."""
    for parent, folders, files in os.walk(data, onerror=_refuse_unreadable):
        relative = PurePosixPath(parent).relative_to(data)
        folders[:] = sorted(name for name in folders if is_included(relative / name, homes=homes))
        for name in (*folders, *sorted(files)):
            if is_included(relative / name, homes=homes):
                yield relative / name


def _refuse_unreadable(error: OSError) -> None:
    if isinstance(error, PermissionError):
        raise _unreadable_error(error.filename) from error
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):  # not deleted or replaced in the meantime
        raise error


def _unreadable_error(path: object) -> SetupError:
    return SetupError(f"This account cannot read {path}; run the command with sudo.")


def _open_regular_file(path: str, flags: int) -> int:
    """Open a file that its owner may replace with a link or a named pipe: links are not followed, pipes do not block.

    Raises:
        FileNotFoundError: it is a link by now.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(error.errno, error.strerror, path) from error
        raise


class _Archive:
    """The archive of a backup, which is written as a stream, with the digest of each member."""

    def __init__(self, target: IO[bytes]) -> None:
        self._tar = tarfile.open(  # noqa: SIM115 -- `close` closes it
            fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8"
        )
        self._digests: dict[str, str] = {}

    def add_bytes(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o600
        self._digests[name] = hashlib.sha256(data).hexdigest()
        self._tar.addfile(member, io.BytesIO(data))

    def add_file(self, data: Path, path: PurePosixPath) -> None:
        """Add a folder, a file or a symbolic link of DATA. Other kinds, and files that were deleted in the meantime,
        are left out.
        """
        try:
            if stat.S_ISSOCK((data / path).lstat().st_mode):  # tarfile has no member for a socket
                return
            member = self._tar.gettarinfo(data / path, f"{DATA_PREFIX}{path}")
            if member.issym() and not may_be_link(path):
                raise SetupError(f"{data / path} is a symbolic link; use a mount in its place, or leave out its files.")
            if not member.isreg() and not member.islnk():
                if member.isdir() or member.issym():
                    self._tar.addfile(_with_known_owner(member))
                return
            with open(data / path, "rb", opener=_open_regular_file) as source:
                if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                    return
                member.type, member.size = tarfile.REGTYPE, os.fstat(source.fileno()).st_size
                reader = _FixedSizeReader(source, member.size)
                self._tar.addfile(_with_known_owner(member), reader)
        except FileNotFoundError:
            return
        except PermissionError as error:
            raise _unreadable_error(data / path) from error
        self._digests[digest_key(member.name)] = reader.digest.hexdigest()

    @contextmanager
    def parts(self) -> Generator[_DumpParts]:
        """Yield a file whose content becomes the parts of the dump."""
        parts = _DumpParts(self.add_bytes)
        yield parts
        parts.flush()

    def close(self) -> None:
        self.add_bytes(DIGESTS_NAME, msgspec.json.encode(self._digests))
        self._tar.close()


def _with_known_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Keep only the names of the service accounts, whose ids differ between machines. Other owners keep their ids."""
    if not member.uname.startswith(SERVICE_ACCOUNT):
        member.uname = member.gname = ""
    return member


class _FixedSizeReader:
    """Reads exactly `size` bytes of a file that another process may change: an end that is missing becomes zeros."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self.digest = hashlib.sha256()
        self._source, self._left = source, size

    def read(self, size: int = PART_BYTES, /) -> bytes:
        count = min(size, self._left)
        data = self._source.read(count).ljust(count, b"\0")
        self._left -= count
        self.digest.update(data)
        return data


class _DumpParts:
    """Collects written data into members of `PART_BYTES`."""

    def __init__(self, add: Callable[[str, bytes], None]) -> None:
        self._add, self._waiting, self._count = add, bytearray(), 0

    def write(self, data: bytes) -> int:
        self._waiting += data
        if len(self._waiting) >= PART_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        self._add(f"{DUMP_PREFIX}{self._count:06}", bytes(self._waiting))
        self._count += 1
        self._waiting.clear()
