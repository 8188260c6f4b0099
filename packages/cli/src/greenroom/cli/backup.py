"""`greenroom backup` and `greenroom restore`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.instance import Compose, Data, Json, external_database, require_one_form
from greenroom.cli.kubernetes import Context, Keys, Kubernetes, back_up_deployment, open_deployment, restore_deployment
from greenroom.cli.output import print_local_result
from greenroom.cli.services import OwnerUrl, Services, ServicesFolder, services_database
from greenroom.core.errors import SetupError
from greenroom.core.text import size
from greenroom.up.options import KEYS_FOLDER

if TYPE_CHECKING:
    from greenroom.backup.encryption import EncryptionKey

PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File with the passphrase in its first line.")
]
Recipients = Annotated[
    list[str] | None,
    typer.Option("--recipient", help="Public key of age or ssh, instead of a passphrase; repeat it for several."),
]


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder for the backup.", file_okay=False, resolve_path=True)],
    *,
    data: Data,
    compose: Compose = None,
    kubernetes: Kubernetes = None,
    keys: Keys = None,
    context: Context = None,
    services: Services = False,
    services_folder: ServicesFolder = KEYS_FOLDER,
    database_url: OwnerUrl = None,
    passphrase_file: PassphraseFile = None,
    recipient: Recipients = None,
    homes: Annotated[
        bool, typer.Option("--homes", help="Include persistent profiles and home folders in DATA.")
    ] = False,
    recordings: Annotated[bool, typer.Option(help="Include the recordings of leases.")] = True,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Delete all but the newest KEEP backups of this installation in the folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write an encrypted backup of the instance into a folder, and verify it. The instance may run.

    The backup contains the database, keys, certificates and settings.
    """
    from greenroom.backup.compose import create_compose_backup  # noqa: PLC0415
    from greenroom.backup.create import BackupOptions, create_backup  # noqa: PLC0415
    from greenroom.backup.services import back_up_services  # noqa: PLC0415
    from greenroom.up import log  # noqa: PLC0415
    from greenroom.up.layout import Layout  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415

    require_one_form(compose, kubernetes, services=services, database_url=database_url)
    log.configure_for_command("backup")
    external_url = external_database(database_url)  # starts the program again, so it precedes the passphrase
    key = backup_key(passphrase_file, recipient)
    options = BackupOptions(key=key, homes=homes, recordings=recordings, keep=keep)
    if kubernetes is not None:
        created = back_up_deployment(open_deployment(kubernetes, keys, context), folder, options)
    elif compose is not None:
        created = create_compose_backup(folder, options, stderr_progress())
    elif services:
        url = services_database(external_url)
        created = back_up_services(services_folder, url, folder, options, stderr_progress())
    else:
        created = asyncio.run(create_backup(Layout(data), folder, options, stderr_progress()))
    print_local_result(
        {"file": str(created.file), "bytes": created.bytes, "deleted": created.deleted},
        f"{created.file} ({size(created.bytes)}, {created.members} verified parts)",
        *(f"Deleted the older backup {name}." for name in created.deleted),
        as_json=as_json,
    )


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.", dir_okay=False, exists=True, resolve_path=True)],
    *,
    data: Data,
    compose: Compose = None,
    kubernetes: Kubernetes = None,
    keys: Keys = None,
    context: Context = None,
    services: Services = False,
    services_folder: ServicesFolder = KEYS_FOLDER,
    passphrase_file: PassphraseFile = None,
    identity: Annotated[
        Path | None, typer.Option(help="File with the private key of a recipient.", dir_okay=False, exists=True)
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(help="External PostgreSQL to restore to; also GREENROOM_DATABASE_URL.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an existing instance, and the contents of an external database.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the whole backup; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into a new instance, which `greenroom up` then starts.

    With --replace, the files of an existing instance are moved to DATA/replaced-TIME.
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

    require_one_form(compose, kubernetes, services=services)
    external_url = external_database(database_url)
    log.configure_for_command("restore")
    os.umask(0o022)
    decryption_key = DecryptionKey(
        passphrase=None if passphrase_file is None else _read_passphrase(passphrase_file),
        identities=None if identity is None else identity.read_text(errors="replace"),
        ask=_read_passphrase if sys.stdin.isatty() else None,
    )
    target = RestoreTarget(layout=Layout(data), database_url=external_url, replace=replace)
    restored_to = f"Restored to {data}. Start it with: greenroom up --data {data}"
    if kubernetes is not None:
        deployment = open_deployment(kubernetes, keys, context)
        restored = restore_deployment(file, decryption_key, deployment, replace=replace, dry_run=dry_run)
        restored_to = f"Restored to the namespace {deployment.overlay.namespace}."
    elif compose is not None:
        deployment = ComposeRestore(ComposeFiles(compose), replace=replace)
        restored = (
            deployment.check(file, decryption_key)
            if dry_run
            else deployment.restore(file, decryption_key, stderr_progress())
        )
        restored_to = f"Restored to {FOLDER}. Start it in {compose} with: {compose_command()} up -d"
    elif services:
        url = services_database(external_url)
        restored = (
            check_services_backup(file, decryption_key, url, replace=replace)
            if dry_run
            else asyncio.run(
                restore_services(file, decryption_key, services_folder, url, stderr_progress(), replace=replace)
            )
        )
        restored_to = "Restored to the database. Start the services of this version on each machine with systemctl."
    elif dry_run:
        restored = check_backup(file, decryption_key, target)
    else:
        restored = asyncio.run(restore_backup(file, decryption_key, target, stderr_progress()))
    header, replaced = restored.header, None if restored.replaced is None else str(restored.replaced)
    facts = {"created": header.created.isoformat(), "version": header.version, "homes": header.homes}
    backup_line = (
        f"Backup of {header.created:%Y-%m-%d %H:%M} UTC, version {header.version}, PostgreSQL {header.postgres},"
        f" {'with' if header.homes else 'without'} homes, {'with' if header.recordings else 'without'} recordings:"
        f" {restored.members} verified parts."
    )
    homes_note = "" if header.homes else " This folder also contains the homes, because the backup contains none."
    replaced_line = f"The replaced files are in {replaced}; delete this folder when they are not needed.{homes_note}"
    print_local_result(
        {**facts, "recordings": header.recordings, "dry_run": dry_run, "replaced": replaced},
        backup_line,
        *([replaced_line] if replaced is not None else []),
        "Nothing was changed." if dry_run else restored_to,
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
    return EncryptionKey(passphrase=passphrase, recipients=recipient or ())


def _read_passphrase(file: Path | None = None, *, confirm: bool = False) -> str:
    """Return the passphrase: the first line of the file, or the input in the terminal. Raises SetupError: the
    passphrase is empty, or there is neither a file nor a terminal."""
    if file is not None:
        try:
            text = file.read_text().partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"The passphrase cannot be read from {file}: {error}.") from error
    elif sys.stdin.isatty():
        text = str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
    else:
        raise SetupError("A backup is encrypted; specify --passphrase-file or --recipient.")
    if not text:
        raise SetupError(f"The passphrase in {file} is empty.")
    return text
