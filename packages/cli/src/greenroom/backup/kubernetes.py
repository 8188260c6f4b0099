"""Back up a deployment on Kubernetes.

A Pod with the image of the api and the password of the database owner runs `pg_dump` (`greenroom.backup.pod`). The dump
goes through `kubectl exec` to this machine, which encrypts it. The files of the backup are the folder of the keys
(`greenroom setup kubernetes --folder`) and the identities of the Agents, which are Secrets in the cluster.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from greenroom.backup.create import BackupOptions, BackupSource, CreatedBackup, recorded_backup, write_backup
from greenroom.backup.database import CHUNK_BYTES, DumpListing, InstalledDatabase, listing_of
from greenroom.backup.overlay import JOB, SETUP_SECRET, TOOLS_CONTAINER, TOOLS_POD, Overlay, image_of, tools_pod
from greenroom.backup.pod import DIGEST_BYTES
from greenroom.core.audit import AuditEvent
from greenroom.core.errors import SetupError
from greenroom.kit.certificates import names_in
from greenroom.kit.program import version
from greenroom.up.deployment import caller_deployment, kubernetes_secrets
from greenroom.up.kubectl import Kubectl, current_context, render
from greenroom.up.progress import Progress

PULL_WITHIN_S: Final = 600.0
"""The time limit of the pull of an image."""
JOB_WITHIN_S: Final = 600.0
POLL_S: Final = 1.0
IDENTITIES_FILE: Final = "kubernetes-identities.json"
"""The file of a backup with the Secrets that identify the Agents."""
GATEWAY_SERVICE: Final = "kasm-proxy"
_IDENTITY: Final = re.compile(r"greenroom-agent-.+-identity")
_MODULE: Final = ("python3", "-m", "greenroom.backup.pod")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesDeployment:
    """A deployment on Kubernetes: its objects, the folder with its keys, and the program that reaches the cluster."""

    overlay: Overlay
    keys: Path
    kubectl: Kubectl

    @classmethod
    def open(cls, folder: Path, keys: Path, context: str | None) -> KubernetesDeployment:
        """Render the kustomization in `folder`. Without `context`, the deployment keeps the current context, also if
        the administrator selects another one meanwhile.

        Raises:
            SetupError: it is not a deployment, or kubectl is missing.
        """
        overlay = Overlay.parse(folder, render(folder))
        kubectl = Kubectl(namespace=overlay.namespace, context=context or current_context())
        return cls(overlay=overlay, keys=keys, kubectl=kubectl)

    def _apply_secrets(self) -> None:
        """Create or update the Secrets of the roles from the folder of the keys. Certificates keep their names.

        Raises:
            SetupError: the folder has no keys, or the cluster refuses the Secrets.
        """
        certificate = self.keys / "installation/server.pem"
        try:
            hosts = hosts_of(certificate.read_text())
        except OSError as error:
            raise SetupError(
                f"{certificate} cannot be read ({error.strerror}); specify with --keys the folder of greenroom setup"
                " kubernetes --folder."
            ) from error
        secrets = kubernetes_secrets(caller_deployment(self.keys), self.overlay.namespace, hosts, datetime.now(UTC))
        self.kubectl.apply(secrets["items"])

    @contextmanager
    def tools(self, progress: Progress, *, any_version: bool = False) -> Generator[Tools]:
        """Run the Pod for work on the database for the duration of the block, with the image of the kustomization. The
        image must have the version of this program, unless `any_version`. The Secrets of the roles are created or
        updated before. That with the password of the database owner is deleted after the block, because only the Pod
        and the Job of the migrations need it.

        Raises:
            SetupError: another backup, restore or upgrade runs, or the Pod does not start with this program's version.
        """
        pod = json.dumps(tools_pod(self.overlay.job)).encode()
        self.check_unused()
        self._apply_secrets()
        try:
            self.kubectl.run("create", "--filename=-", stdin=pod)
        except SetupError:
            self.check_unused()  # the other command needs the Secret
            self.kubectl.run("delete", f"secret/{SETUP_SECRET}", "--ignore-not-found")
            raise
        try:
            tools = Tools(self.kubectl)
            with progress.step(f"Starting the Pod {TOOLS_POD}"):
                tools.wait_until_ready()
                if not any_version:
                    tools.check_version(image_of(self.overlay.job))
            yield tools
        finally:
            self.kubectl.run("delete", f"pod/{TOOLS_POD}", f"secret/{SETUP_SECRET}", "--ignore-not-found")

    def check_unused(self) -> None:
        """Check that no Pod of `tools` exists. Raises SetupError: another backup, restore or upgrade runs."""
        if self.kubectl.get(f"pod/{TOOLS_POD}"):
            names = (f"pod/{TOOLS_POD}", f"secret/{SETUP_SECRET}", "--ignore-not-found")
            raise SetupError(
                "Another backup, restore or upgrade of this deployment runs; wait until it ends. If none runs, delete"
                f" its Pod and its Secret with: {shlex.join([*self.kubectl.command, 'delete', *names])}"
            )

    def replace_job(self) -> None:
        """Run the Job that migrates the database. Raises SetupError: it is not complete in time."""
        self.kubectl.run("delete", f"job/{JOB}", "--ignore-not-found")
        self.kubectl.apply([self.overlay.job])
        arguments = ("--for=condition=Complete", f"job/{JOB}", f"--timeout={JOB_WITHIN_S:g}s")
        self.kubectl.run("wait", *arguments, timeout_s=JOB_WITHIN_S + POLL_S)

    def identities(self) -> bytes:
        """Return the Secrets that identify the Agents of this namespace, without the fields of the cluster."""
        found = [one for one in self.kubectl.list("secrets") if _IDENTITY.fullmatch(one["metadata"]["name"])]
        for one in found:
            one["metadata"] = {key: one["metadata"][key] for key in ("name", "labels") if key in one["metadata"]}
        return json.dumps(found).encode()


def hosts_of(certificate: str) -> list[str]:
    """Return the names for which an administrator requested the gateway's certificate. They precede the names of the
    Services."""
    names = (str(name.value) for name in names_in(certificate))
    return list(takewhile(lambda name: name != GATEWAY_SERVICE, names))


@dataclass(frozen=True, slots=True)
class Tools:
    """Works on the database in the Pod `TOOLS_POD`."""

    kubectl: Kubectl

    def wait_until_ready(self) -> None:
        """Wait until the Pod runs. Raises SetupError: it does not run within `PULL_WITHIN_S`."""
        end_s = time.monotonic() + PULL_WITHIN_S
        while (problem := pod_problem(self.kubectl.get(f"pod/{TOOLS_POD}"))) is not None:
            if problem.is_final or time.monotonic() > end_s:
                raise SetupError(f"The Pod {TOOLS_POD} does not start: {problem.text}.")
            time.sleep(POLL_S)

    def check_version(self, image: str) -> None:
        """Check that the Pod has the version of this program. Raises SetupError: it has another one."""
        reported = self.run("greenroom", "--version").strip().rpartition(" ")[2]
        if reported != version():
            raise SetupError(
                f"The image {image} contains Greenroom {reported}, and this program is {version()}; use the program,"
                " the images and the kustomization of the same version."
            )

    def run(self, *command: str, timeout_s: float = 3600.0) -> str:
        """Return the output of a command in the Pod. Raises SetupError: it failed."""
        return self.kubectl.exec(TOOLS_POD, TOOLS_CONTAINER, *command, timeout_s=timeout_s)

    def describe(self) -> InstalledDatabase:
        """Return the properties of the database."""
        return msgspec.json.decode(self.run(*_MODULE, "describe"), type=InstalledDatabase)

    def store_event(self, event: AuditEvent, folder: Path, failure: str) -> None:
        """Store an event of a backup. Raises SetupError: the database cannot be reached, or refuses it."""
        arguments = [msgspec.json.encode(event).decode(), str(folder), *filter(None, [failure])]
        self.run(*_MODULE, "record", *arguments)

    def dump(self, write: Callable[[bytes], object], without_rows_of: Iterable[str]) -> None:
        """Pass a dump of the database to `write`. Raises SetupError: pg_dump failed, or a part of the dump was lost."""
        check = DigestCheck(write)
        command = (*_MODULE, "dump", *without_rows_of)
        with self.kubectl.stream(TOOLS_POD, TOOLS_CONTAINER, *command, stdout=subprocess.PIPE) as process:
            while data := process.stdout.read(CHUNK_BYTES):
                check.feed(data)
        check.close()

    def listing(self) -> AbstractContextManager[DumpListing]:
        """Run the program that lists the dump of a block. Raises SetupError: as for `listing_of`."""
        return listing_of(partial(self.kubectl.stream, TOOLS_POD, TOOLS_CONTAINER, *_MODULE, "list"))

    def restore(self, dump: IO[bytes], *, replace: bool) -> None:
        """Restore a dump. Raises SetupError: the database has tables and `replace` is False, or pg_restore failed."""
        command = (*_MODULE, "restore", *(["--replace"] if replace else []))
        with self.kubectl.stream(TOOLS_POD, TOOLS_CONTAINER, *command, stdin=dump, stdout=subprocess.DEVNULL):
            pass


@dataclass(slots=True)
class DigestCheck:
    """Passes the data of a dump to `write`, and compares its digest with the digest after it."""

    write: Callable[[bytes], object]
    _end: bytes = b""
    _digest: Any = field(default_factory=hashlib.sha256)

    def feed(self, data: bytes) -> None:
        data = self._end + data
        data, self._end = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
        self._digest.update(data)
        self.write(data)

    def close(self) -> None:
        """Check the digest. Raises SetupError: data was lost or changed."""
        if self._digest.digest() != self._end:
            raise SetupError("A part of the dump was lost on the way from the cluster; run the command again.")


@dataclass(frozen=True, slots=True)
class PodProblem:
    """The reason why a Pod is not ready. `is_pulling`: its node may still pull an image. `is_final`: it never will be
    ready."""

    text: str
    is_pulling: bool = False
    is_final: bool = False


def pod_problem(pod: dict[str, Any]) -> PodProblem | None:
    """Return the reason why a Pod is not ready; None if it is ready."""
    if not pod:
        return PodProblem("it was deleted", is_final=True)
    status = pod.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    if conditions.get("Ready", {}).get("status") == "True":
        return None
    if status.get("phase") in {"Failed", "Succeeded"}:
        return PodProblem(f"it ended ({status.get('reason') or status['phase']})", is_final=True)
    if (scheduled := conditions.get("PodScheduled", {})).get("status") == "False":
        return PodProblem(scheduled.get("message") or "no node accepts it")
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for container in containers:
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in {None, "PodInitializing", "ContainerCreating"}:
            return PodProblem(f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ."))
    has_started = any(one.get("state", {}).keys() & {"running", "terminated"} for one in containers)
    return PodProblem("it is not ready" if has_started else "its node creates it", is_pulling=not has_started)


def create_kubernetes_backup(
    deployment: KubernetesDeployment, folder: Path, options: BackupOptions, progress: Progress
) -> CreatedBackup:
    """Write a backup of a running deployment into a folder, and verify it. If its Pod starts, the backup is recorded.

    Raises:
        SetupError: the database or the folder cannot be used, or the verification failed.
    """
    with deployment.tools(progress) as tools, recorded_backup(tools.store_event, folder):
        return back_up(deployment, tools, folder, options, progress)


def back_up(
    deployment: KubernetesDeployment, tools: Tools, folder: Path, options: BackupOptions, progress: Progress
) -> CreatedBackup:
    """Write and verify a backup with a running Pod. Raises SetupError: see `create_kubernetes_backup`."""
    source = BackupSource(
        form="kubernetes",
        data=deployment.keys,
        database=tools.describe(),
        dump=tools.dump,
        listing=tools.listing,
        other_files={IDENTITIES_FILE: deployment.identities()},
    )
    return write_backup(source, folder, options, progress)
