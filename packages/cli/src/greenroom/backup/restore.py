"""`greenroom restore`: check a backup, and restore it into a new DATA, or with `replace` into an existing one.

A restore extracts all files into DATA/restoring and restores the database before it moves an existing file.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from greenroom.backup.contents import (
    LOCK_NAME,
    REPLACED_PREFIX,
    RESTORING_NAME,
    UPGRADE_LOCK_NAME,
    Header,
    check_form,
    is_home,
)
from greenroom.backup.create import backup_lock
from greenroom.backup.database import (
    PostgresTools,
    check_contents,
    check_migrations,
    drop_replaced_tables,
    empty_database,
    renew_installation_id,
    running_database,
    server_version,
)
from greenroom.backup.encryption import DecryptionKey, read_backup_key
from greenroom.backup.reading import DUMP_FILE, VerifiedBackup, check_file, extract_file
from greenroom.core.errors import SetupError
from greenroom.core.versions import Version, check_backup_version
from greenroom.db.migrate import migrate
from greenroom.kit.program import version
from greenroom.up import checks
from greenroom.up.account import service_accounts
from greenroom.up.layout import DataLock, Layout, check_folder, check_reachable, mounts_below, write_json
from greenroom.up.options import stored_settings
from greenroom.up.processes import end_all, find_instance_processes
from greenroom.up.progress import Progress
from greenroom.up.recorded import HostCommand, record_at
from greenroom.up.site import LEFTOVERS_TIMEOUT_S

IGNORED_NAMES: Final = frozenset({"lock", LOCK_NAME, UPGRADE_LOCK_NAME, RESTORING_NAME})
"""Entries of DATA that a restore neither moves nor counts as content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreTarget:
    """The target of a restore. `database_url` is the address of the database to restore to; None = the database in the
    settings of the backup. With `replace`, DATA and the database may have contents. `homes`: those of the backup
    replace existing homes. `as_copy`: the restored instance gets an installation id of its own, so that it can run
    beside its original."""

    layout: Layout
    database_url: str | None
    replace: bool
    homes: bool = False
    as_copy: bool = False


@dataclass(frozen=True, slots=True)
class RestoredBackup:
    """The result of a restore, or of the check of a backup."""

    verified: VerifiedBackup
    replaced: Path | None = None
    """The folder with the replaced files; None = no file was replaced."""
    kept_homes: Sequence[PurePosixPath] = ()
    """The folders with homes that remained in place, so the homes of the backup were not restored."""


def check_backup(file: Path, decryption_key: DecryptionKey, target: RestoreTarget) -> RestoredBackup:
    """Check the whole backup and the target, without changes. The function does not check the database in the settings
    of the backup.

    Raises:
        SetupError: the backup cannot be restored to the target.
    """
    _check_target(target)
    if target.database_url is not None:
        check_contents(target.database_url, replace=target.replace)
    verified = check_file(file, decryption_key, partial(_check_header, target))
    return RestoredBackup(verified, kept_homes=homes_to_keep(target.layout.data, replaces=target.homes))


def _check_header(target: RestoreTarget, header: Header) -> None:
    check_form(header, "instance")
    check_supported(header)
    check_homes(header, replaces=target.homes)


def _check_original(target: RestoreTarget, header: Header) -> None:
    """Refuse a second instance with the installation id of a running one. Raises SetupError: there would be one."""
    folders = () if target.as_copy else checks.running_folders()
    if (original := checks.instance_with_id(header.installation_id, target.layout.data, folders)) is not None:
        raise SetupError(
            f"The original of this backup is running in {original}; restore a copy beside it with --as-copy, or stop"
            f" the original with `greenroom down --data {shlex.quote(str(original))}`."
        )


def check_homes(header: Header, *, replaces: bool) -> None:
    """Check that a backup contains the homes that should replace existing homes. Raises SetupError: it does not."""
    if replaces and not header.homes:
        raise SetupError("The backup contains no homes; leave out --homes, so that existing homes remain.")


def check_supported(header: Header) -> None:
    """Check that this version can restore the backup. Raises SetupError: the backup is of a newer version."""
    check_backup_version(Version.parse(header.version), Version.parse(version()))
    check_migrations(header.migrations)


def _check_target(target: RestoreTarget) -> None:
    """Refuse a DATA with contents, unless the contents are an instance that may be replaced."""
    layout = target.layout
    checks.check_path(layout.data)
    names = names_in(layout.data)
    if all(name.startswith(REPLACED_PREFIX) for name in names):
        return
    if not (layout.data / RESTORING_NAME).exists() and _replaced_instance(layout) == layout:
        check_folder(layout)  # not after an interrupted restore, which may have moved some files
    if not target.replace:
        raise SetupError(
            f"{layout.data} already contains an instance; specify another --data, or --replace to replace it."
        )
    if mounts := mounts_below(layout.data):
        raise SetupError(f"{mounts[0]} is a mount in {layout.data}; unmount it, and mount it again after the restore.")


def names_in(data: Path) -> list[str]:
    """Return the names of the entries of DATA that a restore replaces, in alphabetical order."""
    return sorted({entry.name for entry in data.iterdir()} - IGNORED_NAMES) if data.exists() else []


def homes_to_keep(data: Path, *, replaces: bool) -> list[PurePosixPath]:
    """Return the folders with homes in DATA, relative to it, which a restore does not move. `replaces`: the homes of
    the backup replace them, so none is kept."""
    folders = (path for pattern in ("*", "agent/*/*") for path in data.glob(pattern) if path.is_dir())
    homes = [path for path in folders if is_home(PurePosixPath(path.relative_to(data))) and any(path.iterdir())]
    return [] if replaces else [PurePosixPath(path.relative_to(data)) for path in homes]


def _replaced_instance(layout: Layout) -> Layout:
    """Return the layout of the instance that a restore replaces. An interrupted restore may have moved the files of the
    instance from DATA to a subfolder."""
    folders = [layout.data, *sorted(layout.data.glob(f"{REPLACED_PREFIX}*"), reverse=True)]
    return next((candidate for candidate in map(Layout, folders) if candidate.instance.exists()), layout)


async def restore_backup(
    file: Path, decryption_key: DecryptionKey, target: RestoreTarget, progress: Progress
) -> RestoredBackup:
    """Restore a backup. A restore that fails leaves the target as it was.

    Raises:
        SetupError: the target is running or has contents, or the backup cannot be used.
    """
    _check_target(target)
    key = read_backup_key(file, decryption_key)
    layout = target.layout
    now = datetime.now(UTC)
    try:
        with _lock_data(layout), backup_lock(layout):
            _check_target(target)  # an instance may have been created since the first check
            await end_all(lambda: find_instance_processes(layout.data), LEFTOVERS_TIMEOUT_S)
            with extraction_folder(layout) as extracted:
                kept = homes_to_keep(layout.data, replaces=target.homes)
                with progress.step("Decrypting and checking the backup"):
                    verified = await asyncio.to_thread(_extract, file, key, extracted, target, homes=not kept)
                _adapt_settings(extracted, target)
                external_url = stored_settings(extracted).database_url
                with nullcontext() if external_url is None else empty_database(external_url, replace=target.replace):
                    await _restore_database(extracted, progress, verified.header, as_copy=target.as_copy)
                    record = {"time": now.isoformat(), "created": verified.header.created.isoformat()}
                    write_json(extracted.restored, record, 0o600)
                    replaced = move_into_place(extracted, layout, now, kept)
            if external_url is not None:
                drop_replaced_tables(external_url)
    except OSError as error:
        raise SetupError(f"The backup cannot be restored to {layout.data}: {error.strerror or error}.") from error
    return RestoredBackup(verified, replaced, kept)


@contextmanager
def _lock_data(layout: Layout) -> Generator[None]:
    """Lock DATA; create DATA if it is missing. If the block fails and DATA contains only lock files, remove the lock
    file of backups, and remove DATA if it is new.

    Raises:
        SetupError: the instance is running.
    """
    is_new = not layout.data.exists()
    lock = DataLock.take(layout)
    try:
        layout.data.chmod(0o711)
        yield
    except BaseException:
        if {entry.name for entry in layout.data.iterdir()} <= {layout.lock.name, LOCK_NAME}:
            (layout.data / LOCK_NAME).unlink(missing_ok=True)
            if is_new:
                shutil.rmtree(layout.data)
        raise
    finally:
        lock.release()


@contextmanager
def extraction_folder(layout: Layout) -> Generator[Layout]:
    """Yield the layout of a new folder in DATA, which is removed if the block fails."""
    extracted = Layout(layout.data / RESTORING_NAME)
    shutil.rmtree(extracted.data, ignore_errors=True)
    try:
        extracted.data.mkdir(mode=0o700)  # `Layout.create` sets the final mode after the extraction of the files
        yield extracted
    except BaseException:
        shutil.rmtree(extracted.data, ignore_errors=True)
        raise


def _extract(file: Path, key: str, extracted: Layout, target: RestoreTarget, *, homes: bool) -> VerifiedBackup:
    def check_header(header: Header) -> None:
        _check_header(target, header)
        _check_original(target, header)

    accounts = service_accounts()  # creates missing accounts, which then own extracted files
    verified = extract_file(file, key, extracted.data, check_header, homes=homes)
    check_reachable(extracted, accounts)
    extracted.create(accounts)
    check_folder(extracted)
    return verified


def _adapt_settings(extracted: Layout, target: RestoreTarget) -> None:
    """Adapt the restored settings to this machine: the address of the database, and the paths of the certificate and
    key if this machine does not have this certificate.

    Raises:
        SetupError: the settings name an external database that does not belong to the replaced instance.
    """
    settings = stored_settings(extracted)
    if target.database_url is not None:
        settings = replace(settings, database_url=target.database_url)
    elif target.replace and settings.database_url not in (
        None,
        stored_settings(_replaced_instance(target.layout)).database_url,
    ):
        raise SetupError(
            "The instance of the backup used an external database, which is not that of the replaced instance; specify"
            " the database to replace with --database-url."
        )
    if settings.tls_cert is not None and not Path(settings.tls_cert).exists():
        names = ("restored.pem", "restored.key")
        for copy, name in zip(extracted.custom_certificate, names, strict=True):
            shutil.copy2(copy, extracted.tls / name)
        certificate, key = (str(target.layout.tls / name) for name in names)
        settings = replace(settings, tls_cert=certificate, tls_key=key)
    write_json(extracted.instance, settings.stored(), 0o600)


def recorded_restore(header: Header) -> HostCommand:
    """Return the command as the audit of the restored database records it."""
    return HostCommand(name="restore", action=f"restored the backup of {header.created:%Y-%m-%d %H:%M} UTC")


async def _restore_database(extracted: Layout, progress: Progress, header: Header, *, as_copy: bool) -> None:
    """Restore the dump into the database of the settings, and migrate the database. `as_copy`: see `RestoreTarget`."""
    dump = extracted.data / DUMP_FILE
    async with running_database(extracted, progress) as dsn:
        with progress.step("Restoring the database"):
            tools = PostgresTools.of_server(server_version(dsn))
            await asyncio.to_thread(tools.restore, dsn, dump)
            await migrate(dsn, may_skip=True)
            await asyncio.to_thread(record_at, dsn, extracted.key_file, recorded_restore(header))
            if as_copy:
                await asyncio.to_thread(renew_installation_id, dsn)
                extracted.installation_id.unlink(missing_ok=True)
                for identity in extracted.data.glob("agent/*/identity.json"):
                    identity.unlink()  # the Agents join again, and get the new id
    dump.unlink()


def move_into_place(extracted: Layout, layout: Layout, now: datetime, kept: Sequence[PurePosixPath]) -> Path | None:
    """Move the existing files of DATA into a subfolder, then the restored files into DATA. Return the subfolder; None =
    DATA was empty. The folders `kept` stay in place. An instance can start only with instance.json, so this file is
    moved away first and into place last. If a move fails, all moves are undone.
    """
    existing = movable_entries(layout.data, kept)
    replaced = layout.data / f"{REPLACED_PREFIX}{now:%Y%m%dT%H%M%SZ}" if existing else None
    moves: list[tuple[Path, Path]] = []
    if replaced is not None:
        replaced.mkdir(mode=0o700)
        existing_in_order = sorted(existing, key=lambda path: str(path) != layout.instance.name)
        moves += [(layout.data / path, replaced / path) for path in existing_in_order]
    restored_in_order = sorted(
        movable_entries(extracted.data, kept), key=lambda path: str(path) == layout.instance.name
    )
    moves += [(extracted.data / path, layout.data / path) for path in restored_in_order]
    completed: list[tuple[Path, Path]] = []
    try:
        for source, destination in moves:
            destination.parent.mkdir(parents=True, exist_ok=True)
            source.rename(destination)
            completed.append((source, destination))
    except OSError:
        for source, destination in reversed(completed):
            destination.rename(source)
        if replaced is not None:
            shutil.rmtree(replaced)  # it contains only empty folders
        raise
    shutil.rmtree(extracted.data, ignore_errors=True)  # the restore is complete
    return replaced


def movable_entries(folder: Path, kept: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Return the entries of DATA that a restore moves, relative to it. A folder in `kept` is not moved, and of a folder
    that contains one, only the other entries are moved."""

    def entries(path: PurePosixPath) -> Iterator[PurePosixPath]:
        if path not in kept:
            if any(path in home.parents for home in kept):
                for entry in sorted((folder / path).iterdir()):
                    yield from entries(path / entry.name)
            else:
                yield path

    names = (name for name in names_in(folder) if not name.startswith(REPLACED_PREFIX))
    return [entry for name in names for entry in entries(PurePosixPath(name))]
