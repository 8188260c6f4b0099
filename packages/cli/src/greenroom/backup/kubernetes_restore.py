"""Restore a backup of a deployment on Kubernetes: its database, the folder of its keys, and its Agents' identities.

The api and the Managers stop during the restore. Agents, gateways and sessions continue. The roles then run with the
objects and the images of the kustomization, so the kustomization of an older version returns to this version.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from greenroom.backup.contents import Header, check_form
from greenroom.backup.encryption import DecryptionKey, decrypt_backup, read_backup_key
from greenroom.backup.kubernetes import IDENTITIES_FILE, POLL_S, KubernetesDeployment
from greenroom.backup.overlay import DATABASE, kind_and_name, name_of
from greenroom.backup.reading import VerifiedBackup, read_backup
from greenroom.backup.restore import RestoredBackup, check_supported
from greenroom.core.errors import SetupError
from greenroom.up.progress import Progress

STOPPED: Final = ("kasm-api", "kasm-manager")
"""The Deployments that use the database."""
STOP_WITHIN_S: Final = 180.0
START_WITHIN_S: Final = 600.0
ACCOUNT_WITHIN_S: Final = 60.0
INSTALLATION_KEY: Final = "installation/installation.key"
PASSWORD: Final = "installation/database.password"  # noqa: S105 -- the name of a file


def check_kubernetes_backup(file: Path, key: DecryptionKey) -> RestoredBackup:
    """Decrypt and check a whole backup. Raises SetupError: it is damaged, or not of a deployment on Kubernetes."""
    with decrypt_backup(file, read_backup_key(file, key)) as stream:
        verified = read_backup(stream, lambda _: None, check_header=_check_header)
    return RestoredBackup(verified)


def restore_kubernetes_backup(
    file: Path, key: DecryptionKey, deployment: KubernetesDeployment, progress: Progress, *, replace: bool
) -> RestoredBackup:
    """Restore a backup. With `replace`, the database may contain tables, which are replaced.

    Raises:
        SetupError: the backup is damaged, belongs to another installation than the keys or the cluster, or a step
            failed. After a failure before the end of the restore of the database, the roles run with the database from
            before.
    """
    backup_key = read_backup_key(file, key)
    if deployment.kubectl.get(f"deployment/{STOPPED[0]}") and not replace:
        raise SetupError(
            f"The namespace {deployment.overlay.namespace} already contains a deployment; replace its data with"
            " --replace."
        )
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=deployment.keys.parent) as folder:
        extracted, dump = Path(folder, "data"), Path(folder, "database.dump")
        with progress.step("Decrypting and checking the backup"):
            verified = _extract(file, backup_key, extracted, dump)
        _check_installation(deployment, extracted)
        deployment.check_unused()
        identities = json.loads((extracted / IDENTITIES_FILE).read_bytes())
        workloads = deployment.overlay.workloads
        deployment.kubectl.apply(deployment.overlay.other_objects)
        if not deployment.keys.exists():
            (extracted / IDENTITIES_FILE).unlink()
            extracted.rename(deployment.keys)
        _wait_for_account(deployment)
        with deployment.tools(progress, any_version=True) as tools, _stopped_roles(deployment, progress):
            _restore_identities(deployment, identities)
            _start(deployment, [one for one in workloads if name_of(one) == DATABASE], progress)
            with progress.step("Restoring the database"), dump.open("rb") as source:
                tools.restore(source, replace=replace)
            with progress.step("Completing the database"):
                deployment.replace_job()
        _start(deployment, workloads, progress)
    return RestoredBackup(verified)


def _check_header(header: Header) -> None:
    check_form(header, "kubernetes")
    check_supported(header)


def _extract(file: Path, key: str, folder: Path, dump: Path) -> VerifiedBackup:
    folder.mkdir(mode=0o700)
    with dump.open("wb") as target, decrypt_backup(file, key) as stream:
        dump.chmod(0o600)
        return read_backup(stream, target.write, check_header=_check_header, folder=folder)


def _check_installation(deployment: KubernetesDeployment, extracted: Path) -> None:
    """Check that the folder of the keys and the namespace are empty, or belong to the installation of the backup.

    Raises:
        SetupError: one belongs to another installation.
    """
    key = deployment.keys / INSTALLATION_KEY
    if deployment.keys.exists() and (
        not key.exists() or key.read_bytes() != (extracted / INSTALLATION_KEY).read_bytes()
    ):
        raise SetupError(
            f"The keys in {deployment.keys} are not those of the backup; specify with --keys another folder, which the"
            " restore creates."
        )
    stored = deployment.kubectl.get(f"secret/{DATABASE}").get("data", {}).get("password")
    if stored is not None and base64.b64decode(stored) != (extracted / PASSWORD).read_bytes():
        raise SetupError(
            f"The namespace {deployment.overlay.namespace} contains another installation; restore the backup into"
            " another cluster, or uninstall this installation first."
        )


def _wait_for_account(deployment: KubernetesDeployment) -> None:
    """Wait until a new namespace has the account `default`, without which Kubernetes accepts no Pod.

    Raises:
        SetupError: it has none within `ACCOUNT_WITHIN_S`.
    """
    end_s = time.monotonic() + ACCOUNT_WITHIN_S
    while not deployment.kubectl.get("serviceaccount/default"):
        if time.monotonic() > end_s:
            raise SetupError(
                f"The namespace {deployment.overlay.namespace} has no ServiceAccount default after"
                f" {ACCOUNT_WITHIN_S:g} s; check the controllers of the cluster, and repeat the command."
            )
        time.sleep(POLL_S)


def _restore_identities(deployment: KubernetesDeployment, identities: list[dict[str, object]]) -> None:
    """Create the Secrets that identify the Agents, if they do not exist."""
    listed = {name_of(one) for one in deployment.kubectl.list("secrets")}
    for one in identities:
        if name_of(one) not in listed:
            deployment.kubectl.run("create", "--filename=-", stdin=json.dumps(one).encode())


@contextmanager
def _stopped_roles(deployment: KubernetesDeployment, progress: Progress) -> Generator[None]:
    """Stop the roles that use the database. If the block fails, start them again, also if an interrupted restore had
    stopped them.

    Raises:
        SetupError: their Pods did not end within `STOP_WITHIN_S`.
    """
    kubectl = deployment.kubectl
    found = [one for name in STOPPED if (one := kubectl.get(f"deployment/{name}"))]
    try:
        with progress.step(f"Stopping {' and '.join(STOPPED)}"):
            for one in found:
                kubectl.run("scale", kind_and_name(one), "--replicas=0")
            end_s = time.monotonic() + STOP_WITHIN_S
            while kubectl.list("pods", f"--selector=app.kubernetes.io/name in ({', '.join(STOPPED)})"):
                if time.monotonic() > end_s:
                    raise SetupError(f"The Pods of {' and '.join(STOPPED)} did not end within {STOP_WITHIN_S:g} s.")
                time.sleep(POLL_S)
        yield
    except BaseException:
        for one in found:
            kubectl.run("scale", kind_and_name(one), f"--replicas={one['spec'].get('replicas') or 1}")
        raise


def _start(deployment: KubernetesDeployment, workloads: Iterable[Mapping[str, Any]], progress: Progress) -> None:
    """Apply workloads, and wait until they are ready. Raises SetupError: one is not within `START_WITHIN_S`."""
    for workload in workloads:
        with progress.step(f"Starting {name_of(workload)}"):
            deployment.kubectl.apply([workload])
            arguments = ("status", kind_and_name(workload), f"--timeout={START_WITHIN_S:g}s")
            deployment.kubectl.run("rollout", *arguments, timeout_s=START_WITHIN_S + POLL_S)
