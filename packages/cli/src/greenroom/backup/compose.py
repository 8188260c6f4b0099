"""Backup and restore of a deployment with Docker Compose. The file has the same format as that of one machine.

A restore creates a new database, whose passwords are those of the restored `installation/`. The replaced database and
files remain in a subfolder.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from greenroom.backup.contents import REPLACED_PREFIX, UPGRADE_LOCK_NAME, Header, check_form
from greenroom.backup.create import (
    BackupOptions,
    BackupSource,
    CreatedBackup,
    audit_at,
    backup_lock,
    recorded_backup,
    write_backup,
)
from greenroom.backup.database import PostgresTools, read_installed_database
from greenroom.backup.encryption import DecryptionKey, read_backup_key
from greenroom.backup.reading import DUMP_FILE, VerifiedBackup, check_file, extract_file
from greenroom.backup.restore import (
    RestoredBackup,
    check_homes,
    extraction_folder,
    homes_to_keep,
    movable_entries,
    move_into_place,
    names_in,
    recorded_restore,
)
from greenroom.core.errors import SetupError
from greenroom.core.versions import Version, check_backup_version
from greenroom.up.compose import (
    DATABASE,
    ComposeFiles,
    check_account,
    compose_command,
    database_dsn,
    image_version,
    role_containers,
    run_program,
    wait_until_ready,
)
from greenroom.up.deployment import FOLDER, Deployment
from greenroom.up.layout import Layout, exclusive_lock, mounts_below
from greenroom.up.progress import Progress
from greenroom.up.recorded import record_at

_DSN: Final = "host=/tmp user=postgres dbname=greenroom"
"""The database for its administrator, in the container of the database."""


@dataclass(frozen=True, slots=True)
class ContainerTools(PostgresTools):
    """Runs pg_dump and pg_restore in the container of the database, as the administrator of the database."""

    @classmethod
    def find(cls) -> ContainerTools:
        """Return the programs in the running container. Raises SetupError: the container does not answer."""
        return cls(Path(run_program("docker", "exec", DATABASE, "sh", "-c", "echo /usr/lib/postgresql/*/bin").strip()))

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command that runs a program in the container. Restored tables belong to the role greenroom."""
        role = ["--role=greenroom"] if program == "pg_restore" and "--list" not in arguments else []
        return ["docker", "exec", "--interactive", DATABASE, str(self.folder / program), *role, *arguments]


def create_compose_backup(folder: Path, options: BackupOptions, progress: Progress) -> CreatedBackup:
    """Write a backup of the deployment of this host into a folder, and verify it. The deployment can run.

    Raises:
        SetupError: there is no deployment with a running database, or a reason of `create_backup`.
    """
    check_account()
    deployment = Deployment(FOLDER)
    if not (deployment.installation / "installation.key").exists():
        raise SetupError(f"There is no deployment in {deployment.folder}.")
    layout = Layout(deployment.folder)
    dsn = database_dsn(deployment)
    database = read_installed_database(dsn)
    tools = ContainerTools.find()
    source = BackupSource(
        form="compose", data=layout.data, database=database, dump=partial(tools.dump, _DSN), listing=tools.listing
    )
    with backup_lock(layout), recorded_backup(audit_at(dsn, deployment.installation / "installation.key"), folder):
        return write_backup(source, folder, options, progress)


@dataclass(frozen=True, slots=True)
class ComposeRestore:
    """The restore of a backup to this host, which the compose files then start. With `replace`, the host may have a
    deployment, which must be stopped. `homes`: those of the backup replace existing homes."""

    files: ComposeFiles
    replace: bool
    homes: bool = False
    folder: Path = FOLDER

    def check(self, file: Path, decryption_key: DecryptionKey) -> RestoredBackup:
        """Check the whole backup and the host, without changes. Raises SetupError: the backup cannot be restored."""
        check_account()
        self._check_folder()
        verified = check_file(file, decryption_key, self._check_header)
        return RestoredBackup(verified, kept_homes=homes_to_keep(self.folder, replaces=self.homes))

    def restore(self, file: Path, decryption_key: DecryptionKey, progress: Progress) -> RestoredBackup:
        """Restore a backup. The database runs afterwards. A restore that fails leaves the files as they were.

        Raises:
            SetupError: a container or an upgrade runs, the folder has contents, or the backup cannot be used.
        """
        check_account()
        self._check_folder()
        if running := [name for name, container in role_containers().items() if container.status == "running"]:
            raise SetupError(f"{running[0]} runs; stop the deployment with: {compose_command()} stop")
        key = read_backup_key(file, decryption_key)
        layout = Layout(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (
                exclusive_lock(layout, self.folder / UPGRADE_LOCK_NAME, "upgrade"),
                backup_lock(layout),
                extraction_folder(layout) as extracted,
            ):
                kept = homes_to_keep(self.folder, replaces=self.homes)
                with progress.step("Decrypting and checking the backup"):
                    verified = self._extract(file, key, extracted.data, homes=not kept)
                replaced = move_into_place(extracted, layout, datetime.now(UTC), kept)
                with self._undo_after_error(replaced, kept):
                    self._restore_database(progress)
                (self.folder / DUMP_FILE).unlink()
            deployment = Deployment(self.folder)
            key_file = deployment.installation / "installation.key"
            record_at(database_dsn(deployment), key_file, recorded_restore(verified.header))
        except OSError as error:
            raise SetupError(f"The backup cannot be restored to {self.folder}: {error.strerror or error}.") from error
        return RestoredBackup(verified, replaced, kept)

    def _check_folder(self) -> None:
        names = [name for name in names_in(self.folder) if not name.startswith(REPLACED_PREFIX)]
        if names and not self.replace:
            raise SetupError(f"{self.folder} already contains a deployment; specify --replace to replace it.")
        if names and (mounts := mounts_below(self.folder)):
            raise SetupError(
                f"{mounts[0]} is a mount in {self.folder}; unmount it, and mount it again after the restore."
            )

    def _check_header(self, header: Header) -> None:
        check_form(header, "compose")
        images = self.files.images()
        if DATABASE not in images:
            raise SetupError(
                f"The compose files in {self.files.folder} define no {DATABASE}; restore on the host with the database."
            )
        check_backup_version(Version.parse(header.version), image_version(images[DATABASE]))
        check_homes(header, replaces=self.homes)

    def _extract(self, file: Path, key: str, folder: Path, *, homes: bool) -> VerifiedBackup:
        verified = extract_file(file, key, folder, self._check_header, homes=homes)
        if not (folder / "installation/installation.key").exists():
            raise SetupError("The backup contains no installation/installation.key, so it cannot be restored.")
        return verified

    def _restore_database(self, progress: Progress) -> None:
        with progress.step("Creating the database"):
            self.files.run_once("setup")
            self.files.start(DATABASE)
            wait_until_ready(DATABASE)
        with progress.step("Restoring the database"):
            ContainerTools.find().restore(_DSN, self.folder / DUMP_FILE)
            self.files.run_once("migrate")

    @contextmanager
    def _undo_after_error(self, replaced: Path | None, kept: Sequence[PurePosixPath]) -> Generator[None]:
        """Remove the restored files, and move the replaced files back, if the block fails."""
        try:
            yield
        except BaseException:
            try:
                self.files.compose("stop", DATABASE)
            finally:
                self._undo(replaced, kept)
            raise

    def _undo(self, replaced: Path | None, kept: Sequence[PurePosixPath]) -> None:
        for path in (self.folder / entry for entry in movable_entries(self.folder, kept)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if replaced is not None:
            for entry in movable_entries(replaced, kept):
                (replaced / entry).rename(self.folder / entry)
            shutil.rmtree(replaced)  # it contains only empty folders
