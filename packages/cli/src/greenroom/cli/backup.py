"""`greenroom backup` and `greenroom restore`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.installation import SelectedInstallation, with_installation
from greenroom.cli.instance import Json
from greenroom.cli.kubernetes import back_up_deployment, restore_deployment
from greenroom.cli.output import print_local_result
from greenroom.core.errors import SetupError
from greenroom.core.text import size

if TYPE_CHECKING:
    from greenroom.backup.encryption import EncryptionKey
    from greenroom.backup.restore import RestoredBackup

PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File with the passphrase in its first line.", resolve_path=True),
]
Recipients = Annotated[
    list[str] | None,
    typer.Option(
        "--recipient", metavar="KEY", help="Public key of age or ssh, in place of a passphrase; may be repeated."
    ),
]

Keep = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Delete all but the newest N backups of this installation in the folder."),
]
Recordings = Annotated[bool, typer.Option(help="Include the recordings of leases and the videos of sessions.")]


@with_installation
def backup(
    folder: Annotated[Path, typer.Argument(help="Folder for the backup.", file_okay=False, resolve_path=True)],
    *,
    installation: SelectedInstallation,
    passphrase_file: PassphraseFile = None,
    recipient: Recipients = None,
    homes: Annotated[
        bool, typer.Option("--homes", help="Include home folders and persistent profiles in the data folder.")
    ] = False,
    recordings: Recordings = True,
    keep: Keep = None,
    as_json: Json = False,
) -> None:
    """Write an encrypted backup of the installation into a folder, and verify it. The installation may run.

    The backup contains the database, keys, certificates and settings. Without --passphrase-file and --recipient, the
    command asks for a passphrase.
    """
    from greenroom.backup.compose import create_compose_backup  # noqa: PLC0415
    from greenroom.backup.create import BackupOptions, create_backup  # noqa: PLC0415
    from greenroom.backup.services import back_up_services  # noqa: PLC0415
    from greenroom.up import log  # noqa: PLC0415
    from greenroom.up.layout import Layout  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415

    installation.check()
    log.configure_for_command("backup")
    url = installation.services_url() if installation.services else ""  # before the passphrase: see `url`
    options = BackupOptions(key=backup_key(passphrase_file, recipient), homes=homes, recordings=recordings, keep=keep)
    if installation.kubernetes is not None:
        created = back_up_deployment(installation.kubernetes_deployment(installation.kubernetes), folder, options)
    elif installation.compose is not None:
        created = create_compose_backup(folder, options, stderr_progress())
    elif installation.services:
        created = back_up_services(installation.keys_folder, url, folder, options, stderr_progress())
    else:
        created = asyncio.run(create_backup(Layout(installation.data), folder, options, stderr_progress()))
    print_local_result(
        {"file": str(created.file), "bytes": created.bytes, "deleted": created.deleted},
        f"{created.file} ({size(created.bytes)}, {created.members} verified parts)",
        *(f"Deleted the older backup {name}." for name in created.deleted),
        as_json=as_json,
    )


@with_installation
def restore(
    file: Annotated[Path, typer.Argument(help="The backup.", dir_okay=False, exists=True, resolve_path=True)],
    *,
    installation: SelectedInstallation,
    passphrase_file: PassphraseFile = None,
    identity: Annotated[
        Path | None, typer.Option(help="File with the private key of a recipient.", dir_okay=False, exists=True)
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the files and the database of an existing installation.")
    ] = False,
    homes: Annotated[
        bool, typer.Option("--homes", help="Replace existing homes by those of the backup; without it, they remain.")
    ] = False,
    as_copy: Annotated[
        bool, typer.Option("--as-copy", help="Give the restored instance an id of its own, to run beside its original.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the whole backup; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into a new installation, or with --replace into an existing one.

    The replaced files are moved to the folder replaced-TIME in the data folder. Without --passphrase-file and
    --identity, the command asks for the passphrase.
    """
    from greenroom.backup.compose import ComposeRestore  # noqa: PLC0415
    from greenroom.backup.encryption import DecryptionKey  # noqa: PLC0415
    from greenroom.backup.restore import RestoreTarget, check_backup, restore_backup  # noqa: PLC0415
    from greenroom.backup.services import check_services_backup, restore_services  # noqa: PLC0415
    from greenroom.up import log  # noqa: PLC0415
    from greenroom.up.compose import ComposeFiles, compose_command  # noqa: PLC0415
    from greenroom.up.deployment import FOLDER  # noqa: PLC0415
    from greenroom.up.layout import Layout  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415

    installation.check(has_own_database=True)
    if homes and (installation.services or installation.kubernetes):
        raise typer.BadParameter("--homes requires an instance or --compose; other backups contain no homes.")
    if as_copy and (installation.services or installation.kubernetes or installation.compose):
        raise typer.BadParameter("--as-copy requires an instance of greenroom up.")
    url, data, compose = installation.url, installation.data, installation.compose
    log.configure_for_command("restore")
    os.umask(0o022)
    key = DecryptionKey(
        passphrase=None if passphrase_file is None else _read_passphrase(passphrase_file),
        identities=None if identity is None else identity.read_text(errors="replace"),
        ask=_read_passphrase if sys.stdin.isatty() else None,
    )
    if installation.kubernetes is not None:
        deployment = installation.kubernetes_deployment(installation.kubernetes)
        restored = restore_deployment(file, key, deployment, replace=replace, dry_run=dry_run)
        next_step = f"Restored to the namespace {deployment.overlay.namespace}."
    elif compose is not None:
        target = ComposeRestore(ComposeFiles(compose), replace=replace, homes=homes)
        restored = target.check(file, key) if dry_run else target.restore(file, key, stderr_progress())
        next_step = f"Restored to {FOLDER}. Start it in {compose} with: {compose_command()} up -d"
    elif installation.services:
        url, folder = installation.services_url(), installation.keys_folder
        restored = (
            check_services_backup(file, key, url, replace=replace)
            if dry_run
            else asyncio.run(restore_services(file, key, folder, url, stderr_progress(), replace=replace))
        )
        next_step = "Restored to the database. Start the services of this version on each machine with systemctl."
    else:
        target = RestoreTarget(layout=Layout(data), database_url=url, replace=replace, homes=homes, as_copy=as_copy)
        restored = (
            check_backup(file, key, target)
            if dry_run
            else asyncio.run(restore_backup(file, key, target, stderr_progress()))
        )
        next_step = f"Restored to {data}. Start it with: greenroom up --data {data}"
    print_restored(restored, "Nothing was changed." if dry_run else next_step, dry_run=dry_run, as_json=as_json)


def print_restored(restored: RestoredBackup, last_line: str, *, dry_run: bool, as_json: bool) -> None:
    """Print what a restore or a check found in the backup, and `last_line`."""
    header, replaced = restored.verified.header, None if restored.replaced is None else str(restored.replaced)
    facts = {
        "created": header.created.isoformat(),
        "version": header.version,
        "installation_version": header.installation_version,
        "homes": header.homes,
    }
    installed = f"Greenroom {header.installation_version}" if header.installation_version else "an installation"
    first_line = (
        f"Backup of {installed} of {header.created:%Y-%m-%d %H:%M} UTC, written by Greenroom {header.version}:"
        f" PostgreSQL {header.postgres},"
        f" {'with' if header.homes else 'without'} homes, {'with' if header.recordings else 'without'} recordings,"
        f" {restored.verified.members} verified parts."
    )
    lines = [first_line]
    if replaced is not None:
        lines.append(f"The replaced files are in {replaced}; delete this folder when they are not needed.")
    if header.homes and restored.kept_homes:
        lines.append("The existing homes remain; --homes replaces them by those of the backup.")
    print_local_result(
        {**facts, "recordings": header.recordings, "dry_run": dry_run, "replaced": replaced},
        *lines,
        last_line,
        as_json=as_json,
    )


def backup_key(passphrase_file: Path | None, recipient: list[str] | None) -> EncryptionKey:
    """Return the key that encrypts a new backup. Ask for a passphrase if there is neither a file nor a recipient.

    Raises:
        SetupError: there is no usable passphrase.
        typer.BadParameter: there are both a passphrase file and a recipient.
    """
    from greenroom.backup.encryption import EncryptionKey  # noqa: PLC0415

    if recipient and passphrase_file:
        raise typer.BadParameter("Specify --recipient or --passphrase-file, not both.")
    passphrase = None if recipient else _read_passphrase(passphrase_file, confirm=True)
    file = "" if passphrase_file is None else str(passphrase_file)
    return EncryptionKey(passphrase=passphrase, passphrase_file=file, recipients=recipient or ())


def _read_passphrase(file: Path | None = None, *, confirm: bool = False) -> str:
    """Return the passphrase: the first line of the file, or the input in the terminal. Raises SetupError: the
    passphrase is empty, or there is neither a file nor a terminal."""
    if file is not None:
        try:
            text = file.read_text().partition("\n")[0]
        except FileNotFoundError as error:
            raise SetupError(
                f"The passphrase file {file} does not exist; write the passphrase into its first line, or specify"
                " another file with --passphrase-file."
            ) from error
        except OSError as error:
            raise SetupError(f"The passphrase file {file} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise SetupError(f"The passphrase file {file} is not text in UTF-8; specify a text file.") from error
    elif sys.stdin.isatty():
        text = str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
    else:
        raise SetupError("A backup is encrypted; specify --passphrase-file or --recipient.")
    if not text:
        raise SetupError(f"The passphrase in {file} is empty.")
    return text
