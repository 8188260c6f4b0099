"""The options `--kubernetes` of `greenroom upgrade`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.output import print_plan
from greenroom.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from greenroom.backup.create import BackupOptions, CreatedBackup
    from greenroom.backup.encryption import DecryptionKey
    from greenroom.backup.kubernetes import KubernetesDeployment
    from greenroom.backup.restore import RestoredBackup
    from greenroom.upgrade.outcome import UpgradeResult

Kubernetes = Annotated[
    Path | None,
    typer.Option(
        "--kubernetes",
        exists=True,
        file_okay=False,
        resolve_path=True,
        help="Use the deployment on Kubernetes; the folder contains its kustomization.",
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, resolve_path=True, help="With --kubernetes: the folder of greenroom setup kubernetes."
    ),
]
Context = Annotated[str | None, typer.Option(help="With --kubernetes: context of kubectl's configuration.")]


def open_deployment(folder: Path, keys: Path | None, context: str | None) -> KubernetesDeployment:
    """Return the deployment of the kustomization in `folder`.

    Raises:
        SetupError: it is not a deployment, kubectl is missing, or the deployment has a database and there are no keys.
    """
    from greenroom.backup.kubernetes import KubernetesDeployment  # noqa: PLC0415

    deployment = KubernetesDeployment.open(folder, keys or folder, context)
    if keys is None and deployment.overlay.has_database:
        raise SetupError("Specify with --keys the folder that greenroom setup kubernetes created.")
    return deployment


def upgrade_deployment(
    deployment: KubernetesDeployment,
    folder: Path | None,
    backup: Callable[[], BackupOptions],
    *,
    dry_run: bool,
    as_json: bool,
) -> UpgradeResult | None:
    """Upgrade a deployment, or with `dry_run` print the plan. Return None if nothing was upgraded.

    Raises:
        SetupError: the deployment cannot be upgraded, or a step failed.
    """
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415
    from greenroom.upgrade.kubernetes import planned_kubernetes_upgrade  # noqa: PLC0415

    planned = planned_kubernetes_upgrade(deployment, stderr_progress())
    if dry_run:
        print_plan(planned.plan, as_json=as_json)
        return None
    typer.echo("\n".join(planned.plan.lines()), err=True)
    if planned.plan.is_empty:
        return None
    keys = deployment.keys
    folder = folder or keys.with_name(f"{keys.name}-backups")
    return planned.run(folder, backup() if deployment.overlay.has_database else None)


def back_up_deployment(deployment: KubernetesDeployment, folder: Path, options: BackupOptions) -> CreatedBackup:
    """Write a backup of a deployment. Raises SetupError: the database or the folder cannot be used."""
    from greenroom.backup.kubernetes import create_kubernetes_backup  # noqa: PLC0415
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415

    return create_kubernetes_backup(deployment, folder, options, stderr_progress())


def restore_deployment(
    file: Path, key: DecryptionKey, deployment: KubernetesDeployment, *, replace: bool, dry_run: bool
) -> RestoredBackup:
    """Restore a backup of a deployment, or with `dry_run` check it. Raises SetupError: it cannot be restored."""
    from greenroom.backup.kubernetes_restore import (  # noqa: PLC0415
        check_kubernetes_backup,
        restore_kubernetes_backup,
    )
    from greenroom.up.progress import stderr_progress  # noqa: PLC0415

    if dry_run:
        return check_kubernetes_backup(file, key)
    return restore_kubernetes_backup(file, key, deployment, stderr_progress(), replace=replace)
