"""`greenroom backup`: write a backup, verify it, and delete old backups."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Final, Self

import msgspec

from greenroom.backup.contents import (
    DATA_PREFIX,
    DIGESTS_NAME,
    DUMP_PREFIX,
    FORMAT,
    HEADER_NAME,
    LOCK_NAME,
    RECORDING_TABLES,
    Form,
    Header,
    backups_to_delete,
    digest_key,
    file_name,
    is_included,
    may_be_link,
    parse_tables,
)
from greenroom.backup.database import (
    DumpListing,
    InstalledDatabase,
    PostgresTools,
    read_installed_database,
    running_database,
    store_event,
)
from greenroom.backup.encryption import EncryptionKey, decrypt_backup, write_encrypted
from greenroom.backup.reading import read_backup
from greenroom.core.audit import AuditEvent
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.up.account import SERVICE_ACCOUNT
from greenroom.up.layout import Layout, check_folder, exclusive_lock, missing_instance_error
from greenroom.up.progress import Progress
from greenroom.up.recorded import HostCommand, has_key, print_unstored

PART_BYTES: Final = 8 * 2**20
"""The minimum size of each part of the dump except the last part."""
PART_SUFFIX: Final = ".part"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """The options of a backup. `keep` is the number of backups that remain in the folder; None = all."""

    key: EncryptionKey
    homes: bool = False
    recordings: bool = True
    keep: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSource:
    """The content of a new backup. `data` is the folder of the files, and `other_files` contains more files by their
    paths relative to it."""

    form: Form
    data: Path
    database: InstalledDatabase
    dump: Callable[[Callable[[bytes], object], Iterable[str]], None]
    """Passes a dump to the first argument, without the rows of the tables in the second argument."""
    listing: Callable[[], AbstractContextManager[DumpListing]]
    """Reads the table of contents of a dump (`PostgresTools.listing`)."""
    other_files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    follows_links: bool = False
    """True if a symbolic link of root is stored as the file that it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedBackup:
    """A new backup. `deleted` contains the names of the older backups that were deleted."""

    file: Path
    bytes: int
    members: int
    """The number of verified members in the archive."""
    deleted: list[str]


async def create_backup(layout: Layout, folder: Path, options: BackupOptions, progress: Progress) -> CreatedBackup:
    """Write a backup of a running or stopped instance into a folder, and verify it. The file then gets its final name.

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
            database = await asyncio.to_thread(read_installed_database, dsn)
            tools = PostgresTools.of_server(database.version)
            source = BackupSource(
                form="instance",
                data=layout.data,
                database=database,
                dump=partial(tools.dump, dsn),
                listing=tools.listing,
            )

            def write() -> CreatedBackup:
                with recorded_backup(audit_at(dsn, layout.key_file), folder):
                    return write_backup(source, folder, options, progress)

            return await asyncio.to_thread(write)


StoreEvent = Callable[[AuditEvent, Path, str], None]
"""Stores an event of a backup to a folder as `store_event`, in the database of its installation."""


def audit_at(dsn: str, key_file: Path) -> StoreEvent:
    """Return the function that stores events in a database that this host reaches. Without the key of the installation
    on this host, print that there is no event."""
    return partial(store_event, dsn, key_file) if has_key(key_file) else _store_nothing


def _store_nothing(_event: AuditEvent, _folder: Path, _failure: str) -> None: ...


@contextmanager
def recorded_backup(store: StoreEvent, folder: Path) -> Generator[None]:
    """Record the backup that the block writes: an event before the data is read, so that the backup contains it, and an
    event with the result. A failed backup is also a log row.

    Raises:
        SetupError: the database cannot be reached, or has no audit.
    """
    begun = HostCommand(name="backup", action=f"begins a backup to {folder}", code="backup-begun")
    store(begun.event(), folder, "")
    command = HostCommand(name="backup", action=f"backs up the installation to {folder}")

    def store_result(event: AuditEvent, failure: str = "") -> None:
        try:
            store(event, folder, failure)
        except GreenroomError as error:
            print_unstored(event, error)

    try:
        yield
    except GreenroomError as error:
        store_result(command.event("failed", f": {error.message}"), error.message)
        raise
    store_result(command.event())


def write_backup(source: BackupSource, folder: Path, options: BackupOptions, progress: Progress) -> CreatedBackup:
    """Write and verify a backup. Raises SetupError: see `create_backup`."""
    database = source.database
    excluded_tables = () if options.recordings else RECORDING_TABLES
    header = Header(
        format=FORMAT,
        version=version("greenroom"),
        installation_version=database.installation_version,
        created=datetime.now(UTC),
        installation_id=database.installation_id,
        postgres=database.version,
        migrations=database.migrations,
        tables=[table for table in database.tables if table not in excluded_tables],
        homes=options.homes,
        recordings=options.recordings,
        form=source.form,
    )

    def write_archive(target: IO[bytes]) -> None:
        with _Archive(target, follows_links=source.follows_links) as archive:
            archive.add_bytes(HEADER_NAME, msgspec.json.encode(header))
            with archive.parts() as dump:
                source.dump(dump.write, excluded_tables)
            for path in list_files(source.data, homes=options.homes):
                archive.add_file(source.data, path)
            for name, content in source.other_files.items():
                archive.add_bytes(f"{DATA_PREFIX}{name}", content)

    file = folder / file_name(database.installation_id, header.created)
    unfinished_file = file.with_name(file.name + PART_SUFFIX)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for unfinished in folder.glob(f"{file.name[:18]}*{PART_SUFFIX}"):  # left by interrupted backups
            unfinished.unlink()
        with _new_file(unfinished_file) as target:
            with progress.step("Writing the backup"):
                backup_key = write_encrypted(target, options.key, write_archive)
                target.flush()
                os.fsync(target.fileno())
            with progress.step("Verifying the backup"):
                members = verify_backup(unfinished_file, backup_key, source.listing)
            unfinished_file.rename(file)
        # Ignore backups with a later time: the clock was wrong when they were created.
        names = [existing.name for existing in folder.iterdir() if existing.name <= file.name]
        deleted = backups_to_delete(names, database.installation_id, options.keep) if options.keep else []
        for name in deleted:
            (folder / name).unlink()
        return CreatedBackup(file=file, bytes=file.stat().st_size, members=members, deleted=deleted)
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "; free space there, or specify another folder" if "No space left" in reason else ""
        raise SetupError(f"The backup cannot be written to {folder}: {reason}{remedy}.") from error


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


def verify_backup(file: Path, key: str, open_listing: Callable[[], AbstractContextManager[DumpListing]]) -> int:
    """Decrypt a new backup, check its digests, and compare the tables in its dump with those in its header. Return the
    number of its members.

    Raises:
        SetupError: there is a difference.
    """
    with decrypt_backup(file, key) as stream, open_listing() as listing:
        verified = read_backup(stream, listing.write)
    if (tables := parse_tables(listing.text)) != verified.header.tables:
        different = sorted(set(tables) ^ set(verified.header.tables))
        raise SetupError(f"The dump in the new backup is incomplete (table {different[0]}); the backup was deleted.")
    return verified.members


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
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):  # the file was deleted or replaced meanwhile
        raise error


def _unreadable_error(path: object) -> SetupError:
    return SetupError(f"This account cannot read {path}; run the command with sudo.")


def _open_without_links(path: str, flags: int) -> int:
    """Open a file, but neither follow a symbolic link nor wait at a named pipe. The owner of the file may have replaced
    the file with a link or a pipe.

    Raises:
        FileNotFoundError: the path is a symbolic link.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(error.errno, error.strerror, path) from error
        raise


class _Archive:
    """Writes the archive of a backup as a stream, and computes the digest of each member."""

    def __init__(self, target: IO[bytes], *, follows_links: bool = False) -> None:
        self._follows_links = follows_links
        self._tar = tarfile.open(  # noqa: SIM115 -- `__exit__` closes it
            fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8"
        )
        self._digests: dict[str, str] = {}

    def add_bytes(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o600
        self._digests[name] = hashlib.sha256(data).hexdigest()
        self._tar.addfile(member, io.BytesIO(data))

    def add_file(self, data: Path, path: PurePosixPath) -> None:
        """Add a folder, a file or a symbolic link of DATA. Omit other kinds of files, and files that were deleted
        meanwhile.

        Raises:
            SetupError: a link outside of homes does not name a file, or may not be followed.
        """
        try:
            if stat.S_ISSOCK((data / path).lstat().st_mode):  # tarfile has no member for a socket
                return
            member = self._tar.gettarinfo(data / path, f"{DATA_PREFIX}{path}")
            is_followed = member.issym() and not may_be_link(path)
            if is_followed:
                self._check_link(data / path, member.uid)
            elif not member.isreg() and not member.islnk():
                if member.isdir() or member.issym():
                    self._tar.addfile(_keep_service_account_names(member))
                return
            with open(data / path, "rb", opener=None if is_followed else _open_without_links) as source:
                if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                    return
                if is_followed:
                    member = self._tar.gettarinfo(arcname=member.name, fileobj=source)
                member.type, member.size = tarfile.REGTYPE, os.fstat(source.fileno()).st_size
                reader = _FixedSizeReader(source, member.size)
                self._tar.addfile(_keep_service_account_names(member), reader)
        except FileNotFoundError:
            return
        except PermissionError as error:
            raise _unreadable_error(data / path) from error
        self._digests[digest_key(member.name)] = reader.digest.hexdigest()

    def _check_link(self, path: Path, uid: int) -> None:
        """Check that a symbolic link of the account `uid` may be stored as the file that it names: another account
        could name a file that it cannot read."""
        if not self._follows_links or uid not in {0, os.geteuid()}:
            raise SetupError(f"{path} is a symbolic link; use a mount in its place, or leave out its files.")
        if not path.is_file():
            raise SetupError(
                f"{path} is a symbolic link to {path.readlink()}, which is not a file; replace the link by a file."
            )

    @contextmanager
    def parts(self) -> Generator[_DumpParts]:
        """Yield an object that adds the data written to it as the parts of the dump."""
        parts = _DumpParts(self.add_bytes)
        yield parts
        parts.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Write the digests and the end of the archive. After an error, drop the buffered data: tarfile would otherwise
        write it to the closed target when the archive is collected as garbage, and print the exception."""
        if error is None:
            self.add_bytes(DIGESTS_NAME, msgspec.json.encode(self._digests))
            self._tar.close()
        else:
            with suppress(OSError, ValueError):
                self._tar.close()


def _keep_service_account_names(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Remove the name of the owner, so that a restore uses the id of the owner. Keep the name of a service account,
    because its id differs between machines."""
    if not member.uname.startswith(SERVICE_ACCOUNT):
        member.uname = member.gname = ""
    return member


class _FixedSizeReader:
    """Reads exactly `size` bytes of a file. If another process makes the file shorter meanwhile, the rest is zeros."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self.digest = hashlib.sha256()
        self._source, self._remaining = source, size

    def read(self, size: int = PART_BYTES, /) -> bytes:
        count = min(size, self._remaining)
        data = self._source.read(count).ljust(count, b"\0")
        self._remaining -= count
        self.digest.update(data)
        return data


class _DumpParts:
    """Collects the written data, and adds a member to the archive each time `PART_BYTES` are collected."""

    def __init__(self, add_member: Callable[[str, bytes], None]) -> None:
        self._add_member, self._buffer, self._count = add_member, bytearray(), 0

    def write(self, data: bytes) -> int:
        self._buffer += data
        if len(self._buffer) >= PART_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        self._add_member(f"{DUMP_PREFIX}{self._count:06}", bytes(self._buffer))
        self._count += 1
        self._buffer.clear()
