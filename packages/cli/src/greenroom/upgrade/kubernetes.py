"""`greenroom upgrade --kubernetes`: replace the workloads of a deployment by those of a kustomization.

Each workload is replaced by a rollout of Kubernetes. Until the *post* migrations, a failure undoes the rollouts. Every
step can be repeated, so an upgrade that was killed can be run again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import yaml

from greenroom.backup.create import BackupOptions
from greenroom.backup.kubernetes import POLL_S, PULL_WITHIN_S, KubernetesDeployment, Tools, back_up
from greenroom.backup.overlay import DATABASE, container_of, image_of, kind_and_name, name_of
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.versions import Version
from greenroom.db.migrate import before_new_code, migrations, plan
from greenroom.kit.program import version
from greenroom.up.progress import Progress
from greenroom.upgrade.execute import READY_WITHIN_S, UpgradeResult
from greenroom.upgrade.kubernetes_plan import (
    KINDS,
    REVISION,
    KubernetesPlan,
    RunningWorkload,
    applied_objects,
    live_pods,
    new_pods_of,
    plan_kubernetes_upgrade,
    ready_pods,
    return_commands,
    rollout_state,
)
from greenroom.upgrade.outcome import last_step, not_returned, returned

log = structlog.get_logger(__name__)

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost=100"
"""An annotation with which Kubernetes 1.22 and newer remove a Pod after the others."""
_READ_DATABASE: Final = """
import json, os, psycopg
with psycopg.connect(os.environ["GREENROOM_DATABASE_URL"]) as connection:
    applied = dict(connection.execute("SELECT name, checksum FROM schema_migrations").fetchall())
    primaries = [row[0] for row in connection.execute(
        "SELECT instance_id FROM zone_leases JOIN managers USING (manager_id) WHERE expires_at > clock_timestamp()"
    ).fetchall()]
print(json.dumps({"applied": applied, "primaries": primaries}))
"""


@dataclass(frozen=True, slots=True)
class ReplacedWorkload:
    """A workload that the upgrade replaced. `revision` is the number of its previous template."""

    workload: Mapping[str, Any]
    revision: str


@dataclass(slots=True, kw_only=True)
class KubernetesUpgrade:
    """A planned upgrade to the version of this program. `primaries` contains the Pods of the Primaries."""

    deployment: KubernetesDeployment
    plan: KubernetesPlan
    primaries: list[str]
    progress: Progress
    replaced: list[ReplacedWorkload] = field(default_factory=list[ReplacedWorkload])

    @property
    def _previous(self) -> str:
        return str(self.plan.roles.current)

    def run(self, folder: Path, backup: BackupOptions | None) -> UpgradeResult:
        """Execute the plan. A backup with the options `backup` is written into the folder; it is required if the
        deployment has a database.

        Raises:
            SetupError: a step failed; the message states which version runs.
        """
        if backup is None:
            self._replace_all()
            return UpgradeResult(previous=self._previous, new=version(), backup="", back=[])
        with self.deployment.tools(self.progress) as tools:
            created = back_up(self.deployment, tools, folder, backup, self.progress)
            back = self._store_objects(created.file)
            with self.progress.step("Applying the migrations before the roles"):
                self._migrate_before(tools)
            self._replace_all()
            self._finish(tools)
        return UpgradeResult(previous=self._previous, new=version(), backup=str(created.file), back=back)

    def _store_objects(self, backup: Path) -> list[str]:
        """Store the objects of the previous version as a kustomization next to its backup. Return the commands that
        return to both; none after an interrupted upgrade, which already changed the objects."""
        if self.plan.roles.interrupted or self._previous == version():
            return []
        listed = self.deployment.kubectl.list(KINDS)
        folder = backup.with_suffix(".kubernetes")
        folder.mkdir(mode=0o700)
        (folder / "objects.yaml").write_text(yaml.safe_dump_all(applied_objects(listed)))
        (folder / "kustomization.yaml").write_text("resources: [objects.yaml]\n")
        return return_commands(backup, folder, self.deployment.keys, self.deployment.kubectl.context)

    def _migrate_before(self, tools: Tools) -> None:
        try:
            tools.run("greenroom", "migrate", "--pre")
        except SetupError as error:
            raise SetupError(f"{error.message} Nothing was changed; Greenroom {self._previous} runs.") from error

    def _finish(self, tools: Tools) -> None:
        """Apply the migrations that the previous version does not support. Raises SetupError: one failed."""
        with last_step(), self.progress.step("Applying the migrations after the roles"):
            tools.run("greenroom", "migrate")
            self.deployment.replace_job()

    def _replace_all(self) -> None:
        """Replace the workloads, and check their versions. Raises SetupError: one failed, and all returned."""
        overlay, kubectl = self.deployment.overlay, self.deployment.kubectl
        try:
            kubectl.apply(overlay.other_objects)
            for pod in live_pods(self._listed("kasm-manager")):
                if name_of(pod) in self.primaries:
                    kubectl.run("annotate", f"pod/{name_of(pod)}", DELETION_COST, "--overwrite")
            for workload in overlay.workloads:
                with self.progress.step(f"Replacing {name_of(workload)}"):
                    self._replace(workload)
            for workload in overlay.workloads:
                self._check_versions(workload, version())
        except GreenroomError as error:
            self._return_and_raise(error)

    def _replace(self, workload: Mapping[str, Any]) -> None:
        kubectl = self.deployment.kubectl
        before = kubectl.get(kind_and_name(workload))
        # Recorded first, because the cluster may apply the workload although its answer is lost.
        self.replaced.append(ReplacedWorkload(workload, self._revision(before)))
        kubectl.apply([workload])
        if kubectl.get(kind_and_name(workload))["metadata"]["generation"] == before["metadata"]["generation"]:
            self.replaced.pop()
        self._wait(workload)
        self._check_versions(workload, version())

    def _revision(self, workload: Mapping[str, Any]) -> str:
        """Return the number of the newest template of a workload."""
        if workload["kind"] == "Deployment":
            return workload["metadata"]["annotations"][REVISION]
        name = workload["status"]["updateRevision"]
        return str(self.deployment.kubectl.get(f"controllerrevision/{name}")["revision"])

    def _wait(self, workload: Mapping[str, Any]) -> None:
        """Wait until the rollout of a workload is complete.

        Raises:
            SetupError: no further Pod was ready within `READY_WITHIN_S` after the pull of its image, or the pull took
                longer than `PULL_WITHIN_S`.
        """
        name, ready = name_of(workload), 0
        now_s = time.monotonic()
        end_s, pull_end_s = now_s + READY_WITHIN_S, now_s + PULL_WITHIN_S
        while True:
            current = self.deployment.kubectl.get(kind_and_name(workload))
            pods = new_pods_of(current, self._listed(name))
            state = rollout_state(current, pods)
            if not state.problem:
                return
            now_s = time.monotonic()
            if state.ready > ready:
                ready, end_s, pull_end_s = state.ready, now_s + READY_WITHIN_S, now_s + PULL_WITHIN_S
            if state.is_pulling and now_s < pull_end_s:
                end_s = now_s + READY_WITHIN_S
            if now_s > end_s:
                reported = self._last_log_line(pods, container_of(workload))
                raise SetupError(
                    f"{name} is not ready after {READY_WITHIN_S:g} s: {state.problem.rstrip('.')}.{reported}"
                )
            time.sleep(POLL_S)

    def _listed(self, name: str) -> list[dict[str, Any]]:
        return list_of_workload(self.deployment, name)

    def _last_log_line(self, pods: list[dict[str, Any]], container: str) -> str:
        for pod in (name_of(one) for one in pods if name_of(one) not in ready_pods([one])):
            try:
                line = self.deployment.kubectl.run("logs", pod, f"--container={container}", "--tail=1").strip()
            except SetupError:
                log.info("the Pod has no log", pod=pod)
                continue
            return f" The log of {pod} ends with: {line}" if line else ""
        return ""

    def _check_versions(self, workload: Mapping[str, Any], expected: str) -> None:
        """Check that all ready Pods of a workload have the version `expected`. Raises SetupError: one has another."""
        name = name_of(workload)
        for reported in read_versions(self.deployment, workload):
            if reported != expected:
                raise SetupError(f"{name} reports the version {reported} in place of {expected}.")

    def _return_and_raise(self, cause: GreenroomError) -> None:
        """Undo the rollouts after the error `cause`, the last one first, and raise an error.

        Raises:
            SetupError: always; the message contains that of `cause` and the running version.
        """
        kubectl = self.deployment.kubectl
        log.warning("the upgrade failed; the workloads return to the previous version", reason=cause.message)
        try:
            for one in reversed(self.replaced):
                target = kind_and_name(one.workload)
                with self.progress.step(f"Returning {name_of(one.workload)} to {self._previous}"):
                    kubectl.run("rollout", "undo", target, f"--to-revision={one.revision}")
                    if name_of(one.workload) == DATABASE and not ready_pods(self._listed(DATABASE)):
                        # A StatefulSet does not replace a Pod that is not ready.
                        kubectl.run("delete", "pods", f"--selector=app.kubernetes.io/name={DATABASE}")
                    self._wait(one.workload)
            left = self._others_than(self._previous)
        except GreenroomError as error:
            remedy = "Remove the cause, and run the upgrade again."
            raise not_returned(cause.message, self._previous, error.message, remedy) from error
        if left:
            raise SetupError(
                f"The upgrade failed: {cause.message} An interrupted upgrade had already replaced {' and '.join(left)};"
                " remove the cause, and run the upgrade again."
            ) from cause
        raise returned(cause.message, f"Greenroom {self._previous}") from cause

    def _others_than(self, expected: str) -> list[str]:
        """Return the names of the workloads with a ready Pod of another version."""
        workloads = self.deployment.overlay.workloads
        return [name_of(one) for one in workloads if {*read_versions(self.deployment, one)} - {expected}]


def list_of_workload(deployment: KubernetesDeployment, name: str) -> list[dict[str, Any]]:
    """Return the Pods and ReplicaSets of a workload."""
    return deployment.kubectl.list("replicasets,pods", f"--selector=app.kubernetes.io/name={name}")


def read_versions(deployment: KubernetesDeployment, workload: Mapping[str, Any]) -> list[str]:
    """Return the version of each ready Pod of a workload. The files of a container cannot change, so the installed
    version is that of its process."""
    pods = ready_pods(list_of_workload(deployment, name_of(workload)))
    reported = [deployment.kubectl.exec(pod, container_of(workload), "greenroom", "--version") for pod in pods]
    return [line.strip().rpartition(" ")[2] for line in reported]


def planned_kubernetes_upgrade(deployment: KubernetesDeployment, progress: Progress) -> KubernetesUpgrade:
    """Return the planned upgrade of a deployment to the version of this program. Nothing is changed.

    Raises:
        SetupError: the deployment cannot be upgraded to this version.
    """
    running: list[RunningWorkload] = []
    for workload in deployment.overlay.workloads:
        if found := deployment.kubectl.get(kind_and_name(workload)):
            rollout = rollout_state(found, new_pods_of(found, list_of_workload(deployment, name_of(workload))))
            running.append(
                RunningWorkload(
                    name=name_of(workload),
                    image=image_of(found),
                    versions=tuple(read_versions(deployment, workload)),
                    is_rolled_out=not rollout.problem,
                )
            )
    facts = _read_database(deployment) if deployment.overlay.has_database else None
    pending = [] if facts is None else [migration.name for migration in plan(migrations(), facts.applied)]
    pre = before_new_code(pending)
    planned = plan_kubernetes_upgrade(Version.parse(version()), deployment.overlay, running, pre, pending)
    return KubernetesUpgrade(
        deployment=deployment, plan=planned, primaries=[] if facts is None else facts.primaries, progress=progress
    )


class UpgradeFacts(msgspec.Struct, frozen=True):
    """The applied migrations (name → checksum), and the instance ids of the Primaries, which are names of Pods."""

    applied: dict[str, str]
    primaries: list[str]


def _read_database(deployment: KubernetesDeployment) -> UpgradeFacts:
    """Return what a Pod of the api reads from the database.

    Raises:
        SetupError: no Pod of the api is ready, or the database does not answer.
    """
    pods = ready_pods(list_of_workload(deployment, "kasm-api"))
    if not pods:
        raise SetupError("No Pod of kasm-api is ready; only a deployment that works can be upgraded.")
    reported = deployment.kubectl.exec(pods[0], "api", "python3", "-c", _READ_DATABASE)
    return msgspec.json.decode(reported, type=UpgradeFacts)
