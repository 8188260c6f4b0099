"""`greenroom upgrade --kubernetes`: replace the workloads of a deployment by those of a kustomization.

Each workload is replaced by a rollout of Kubernetes. Until the *post* migrations, a failure undoes the rollouts. Every
step can be repeated, so an upgrade that was killed can be run again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import yaml

from greenroom.backup.create import BackupOptions
from greenroom.backup.kubernetes import POLL_S, PULL_WITHIN_S, KubernetesDeployment, back_up
from greenroom.backup.overlay import DATABASE, container_of, image_of, kind_and_name, name_of
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.versions import Version
from greenroom.db.fleet.managers import MANAGER_IS_LIVE
from greenroom.db.migrate import before_new_code, migrations, plan
from greenroom.kit.program import version
from greenroom.up.progress import Progress
from greenroom.upgrade.kubernetes_plan import (
    KINDS,
    KubernetesPlan,
    RunningWorkload,
    applied_objects,
    live_pods,
    new_pods_of,
    plan_kubernetes_upgrade,
    plan_object_return,
    ready_pods,
    restarts_of,
    return_commands,
    rollout_state,
)
from greenroom.upgrade.outcome import UpgradeResult, last_step, not_returned, returned
from greenroom.upgrade.plan import refuse_other_managers
from greenroom.upgrade.waiting import READY_WITHIN_S, SteadyProcesses

log = structlog.get_logger(__name__)

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost=100"
"""An annotation with which Kubernetes 1.22 and newer remove a Pod after the others."""
_FACTS: Final = (
    "SELECT json_build_object("
    "'applied', (SELECT json_object_agg(name, checksum) FROM schema_migrations), "
    "'primaries', (SELECT coalesce(json_agg(instance_id), '[]') FROM zone_leases JOIN managers USING (manager_id)"
    " WHERE expires_at > clock_timestamp()), "
    "'hosts', (SELECT coalesce(json_object_agg(instance_id, hostname), '{}') FROM managers m"
    f" WHERE {MANAGER_IS_LIVE}))::text"
)
_QUERY: Final = """
import os, sys, psycopg
with psycopg.connect(os.environ["GREENROOM_DATABASE_URL"]) as connection:
    print(connection.execute(sys.argv[1]).fetchone()[0])
"""


@dataclass(slots=True, kw_only=True)
class KubernetesUpgrade:
    """A planned upgrade to the version of this program. `primaries` contains the Pods of the Primaries, and `objects`
    the objects before the upgrade."""

    deployment: KubernetesDeployment
    plan: KubernetesPlan
    primaries: list[str]
    objects: list[dict[str, Any]]
    progress: Progress

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
            back = self._store_objects(created.file, backup.key.passphrase_file)
            try:
                with self.progress.step("Applying the migrations before the roles"):
                    tools.run("greenroom", "migrate", "--pre")
            except SetupError as error:
                raise SetupError(f"{error.message} Nothing was changed; Greenroom {self._previous} runs.") from error
            self._replace_all()
            with last_step(), self.progress.step("Applying the migrations after the roles"):
                tools.run("greenroom", "migrate")
                self.deployment.replace_job()
        return UpgradeResult(previous=self._previous, new=version(), backup=str(created.file), back=back)

    def _store_objects(self, backup: Path, passphrase_file: str) -> list[str]:
        """Store the objects of the previous version as a kustomization next to its backup. Return the commands that
        return to both; none after an interrupted upgrade, which already changed the objects."""
        if self.plan.roles.interrupted or self._previous == version():
            return []
        folder = backup.with_suffix(".kubernetes")
        folder.mkdir(mode=0o700)
        (folder / "objects.yaml").write_text(yaml.safe_dump_all(applied_objects(self.objects).values()))
        (folder / "kustomization.yaml").write_text("resources: [objects.yaml]\n")
        keys, context = self.deployment.keys, self.deployment.kubectl.context
        return return_commands(backup, passphrase_file, folder, keys, context)

    def _replace_all(self) -> None:
        """Replace the workloads, and check their versions. Raises SetupError: one failed, and all returned."""
        overlay, kubectl, processes = self.deployment.overlay, self.deployment.kubectl, SteadyProcesses()
        try:
            kubectl.apply(overlay.other_objects)
            for pod in live_pods(self._listed("kasm-manager")):
                if name_of(pod) in self.primaries:
                    kubectl.run("annotate", f"pod/{name_of(pod)}", DELETION_COST, "--overwrite")
            for workload in overlay.workloads:
                with self.progress.step(f"Replacing {name_of(workload)}"):
                    kubectl.apply([workload])
                    self._wait(workload, processes)
                    self._check_version(workload)
            for workload in overlay.workloads:  # a Pod may have ended while later workloads were replaced
                self._wait(workload, processes)
                self._check_version(workload)
        except GreenroomError as error:
            self._return_and_raise(error)

    def _wait(self, workload: Mapping[str, Any], processes: SteadyProcesses) -> None:
        """Wait until the rollout of a workload is complete, and its Pods keep running. `processes` knows since when.

        Raises:
            SetupError: no further Pod was ready within `READY_WITHIN_S` after the pull of its image, the pull took
                longer than `PULL_WITHIN_S`, or a Pod does not keep running.
        """
        name, ready = name_of(workload), 0
        now_s = time.monotonic()
        end_s, pull_end_s = now_s + READY_WITHIN_S, now_s + PULL_WITHIN_S
        while True:
            current = self.deployment.kubectl.get(kind_and_name(workload))
            pods = new_pods_of(current, self._listed(name))
            state = rollout_state(current, pods)
            try:
                not_steady = [text for pod in pods if (text := processes.problem(name_of(pod), restarts_of(pod)))]
            except SetupError as error:
                raise SetupError(f"{error.message}{self._last_log_line(pods, container_of(workload))}") from error
            if not state.problem and not not_steady:
                return
            now_s = time.monotonic()
            if state.ready > ready:
                ready, end_s, pull_end_s = state.ready, now_s + READY_WITHIN_S, now_s + PULL_WITHIN_S
            if state.is_pulling and now_s < pull_end_s:
                end_s = now_s + READY_WITHIN_S
            if state.problem and now_s > end_s:
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

    def _check_version(self, workload: Mapping[str, Any]) -> None:
        """Check that all ready Pods of a workload have the new version. Raises SetupError: one has another."""
        for reported in read_versions(self.deployment, workload):
            if reported != version():
                raise SetupError(f"{name_of(workload)} reports the version {reported} in place of {version()}.")

    def _return_and_raise(self, cause: GreenroomError) -> None:
        """Apply the previous objects after the error `cause`, the last replaced workload first, and raise an error.
        `kubectl rollout undo` would keep the new object as the one that was applied, which the next upgrade stores.

        Raises:
            SetupError: always; the message contains that of `cause` and the running version.
        """
        kubectl, overlay = self.deployment.kubectl, self.deployment.overlay
        applied = applied_objects(self.objects)
        generations = {kind_and_name(one): one["metadata"].get("generation") for one in self.objects}
        log.warning("the upgrade failed; the workloads return to the previous version", reason=cause.message)
        try:
            with self.progress.step(f"Returning the objects to {self._previous}"):
                changed, created = plan_object_return(self.objects, overlay)
                kubectl.apply(changed)
                if created:
                    kubectl.run("delete", *created, "--ignore-not-found")
            for workload in reversed(overlay.workloads):
                name = kind_and_name(workload)
                is_replaced = kubectl.get(name)["metadata"]["generation"] != generations[name]
                kubectl.apply([applied[name]])
                if is_replaced:
                    with self.progress.step(f"Returning {name_of(workload)} to {self._previous}"):
                        self._wait_for_return(workload)
            left = [
                name_of(one) for one in overlay.workloads if {*read_versions(self.deployment, one)} - {self._previous}
            ]
        except GreenroomError as error:
            remedy = "Remove the cause, and run the upgrade again."
            raise not_returned(cause.message, self._previous, error.message, remedy) from error
        if left:
            raise SetupError(
                f"The upgrade failed: {cause.message} An interrupted upgrade had already replaced {' and '.join(left)};"
                " remove the cause, and run the upgrade again."
            ) from cause
        raise returned(cause.message, f"Greenroom {self._previous}") from cause

    def _wait_for_return(self, workload: Mapping[str, Any]) -> None:
        if name_of(workload) == DATABASE and not ready_pods(self._listed(DATABASE)):
            # A StatefulSet does not replace a Pod that is not ready.
            self.deployment.kubectl.run("delete", "pods", f"--selector=app.kubernetes.io/name={DATABASE}")
        self._wait(workload, SteadyProcesses())


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
    objects = deployment.kubectl.list(",".join(KINDS))
    applied = applied_objects(objects)
    found = {kind_and_name(one): one for one in objects}
    running: list[RunningWorkload] = []
    for workload in deployment.overlay.workloads:
        if current := found.get(name := kind_and_name(workload)):
            rollout = rollout_state(current, new_pods_of(current, list_of_workload(deployment, name_of(workload))))
            running.append(
                RunningWorkload(
                    name=name_of(workload),
                    image=image_of(current),
                    applied_image=image_of(applied[name]) if name in applied else "",
                    versions=tuple(read_versions(deployment, workload)),
                    is_rolled_out=not rollout.problem,
                )
            )
    facts, pending = UpgradeFacts({}, [], {}), list[str]()
    if deployment.overlay.has_database:
        facts = _read_database(deployment)
        refuse_other_managers(facts.hosts, [name_of(one) for one in list_of_workload(deployment, "kasm-manager")])
        pending = [migration.name for migration in plan(migrations(), facts.applied)]
    pre = before_new_code(pending)
    return KubernetesUpgrade(
        deployment=deployment,
        plan=plan_kubernetes_upgrade(Version.parse(version()), deployment.overlay, running, pre, pending),
        primaries=facts.primaries,
        objects=objects,
        progress=progress,
    )


class UpgradeFacts(msgspec.Struct, frozen=True):
    """The applied migrations (name → checksum), the instance ids of the Primaries, which are names of Pods, and the
    running Managers (instance id → host)."""

    applied: dict[str, str]
    primaries: list[str]
    hosts: dict[str, str]


def _read_database(deployment: KubernetesDeployment) -> UpgradeFacts:
    """Return what a Pod of the api reads from the database.

    Raises:
        SetupError: no Pod of the api is ready, or the database does not answer.
    """
    pods = ready_pods(list_of_workload(deployment, "kasm-api"))
    if not pods:
        raise SetupError("No Pod of kasm-api is ready; only a deployment that works can be upgraded.")
    reported = deployment.kubectl.exec(pods[0], "api", "python3", "-c", _QUERY, _FACTS)
    return msgspec.json.decode(reported, type=UpgradeFacts)
