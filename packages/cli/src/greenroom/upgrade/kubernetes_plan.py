"""The plan of an upgrade on Kubernetes: which workloads are replaced, when a rollout is complete, and how to return."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from greenroom.backup.kubernetes import pod_problem
from greenroom.backup.overlay import DATABASE, Overlay, image_of, kind_and_name, name_of
from greenroom.core.errors import SetupError
from greenroom.core.versions import Version, check_upgrade, refuse_downgrade
from greenroom.upgrade.outcome import restore_command
from greenroom.upgrade.plan import RunningRole, UpgradePlan, plan_upgrade

ROLE_OF: Final = {"kasm-manager": "manager", "kasm-api": "api", "kasm-proxy": "gateway", "kasm-agent": "agent"}
APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation with the object that was passed to `kubectl apply`."""
REVISION: Final = "deployment.kubernetes.io/revision"
KINDS: Final = (
    *("configmap", "service", "serviceaccount", "resourcequota", "deployment", "statefulset", "job"),
    *("networkpolicy", "poddisruptionbudget", "role", "rolebinding"),
)
"""The kinds of the objects that return to the previous version. Secrets belong to the folder of the keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningWorkload:
    """A workload in the cluster: the `image` of its newest template, the `applied_image` of the last `kubectl apply`,
    and the versions that its ready Pods report. `is_rolled_out`: all Pods have the newest template."""

    name: str
    image: str
    applied_image: str
    versions: tuple[str, ...]
    is_rolled_out: bool = True

    @property
    def oldest(self) -> str | None:
        return min(self.versions, key=Version.parse, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesPlan:
    """The changes of an upgrade. `roles` is the plan of the roles and migrations; the database is replaced after the
    roles if `replaces_database`."""

    roles: UpgradePlan
    images: Mapping[str, str]
    """The new image of each workload, by its name."""
    replaces_database: bool

    @property
    def is_empty(self) -> bool:
        return self.roles.is_empty and not self.replaces_database

    def as_json(self) -> dict[str, object]:
        """Return the changes as the JSON object of `greenroom upgrade --dry-run --json`."""
        return {**self.roles.as_json(), "database": self.replaces_database}

    def lines(self) -> list[str]:
        """Return the changes as lines of text."""
        plan = self.roles
        if self.is_empty:
            return [f"The deployment runs Greenroom {plan.new}; there is nothing to upgrade."]
        database = [f"replace   {DATABASE:<15} {self.images[DATABASE]}"] if self.replaces_database else []
        return [
            f"Greenroom {plan.current} → {plan.new}",
            "backup    written and verified before the first change",
            *(f"migration {name}, before the roles" for name in plan.pre),
            *(
                f"replace   {role.name:<15} {role.version or 'unknown'} → {plan.new}  {self.images[role.name]}"
                for role in plan.roles
            ),
            *database,
            *(f"migration {name}, after all roles run {plan.new}" for name in plan.post),
        ]


def plan_kubernetes_upgrade(
    new: Version, overlay: Overlay, running: Iterable[RunningWorkload], pre: Sequence[str], pending: Sequence[str]
) -> KubernetesPlan:
    """Plan the upgrade of the `running` workloads to the images of the kustomization, which contain the version `new`.
    `pending` contains the names of all migrations that are not applied yet, and `pre` those that must be applied before
    the roles are replaced.

    Raises:
        SetupError: the versions do not permit the upgrade, a workload is missing or does not work, or the kustomization
            has the images of the previous version.
    """
    workloads = {workload.name: workload for workload in running}
    images = {name_of(one): image_of(one) for one in overlay.workloads}
    if missing := [name for name in images if name not in workloads]:
        raise SetupError(
            f"The namespace {overlay.namespace} has no {missing[0]}, which {overlay.folder} contains; use the overlay"
            " of the installation, or apply it first."
        )
    if changed := [workloads[name] for name in images if workloads[name].image != workloads[name].applied_image]:
        raise SetupError(
            f"{changed[0].name} has the image {changed[0].image} without kubectl apply, so a failed upgrade could not"
            " return to it; run kubectl apply -k with the kustomization of the running version first."
        )
    versions = [Version.parse(reported) for name in images for reported in workloads[name].versions]
    for reported in sorted(versions, reverse=True):
        refuse_downgrade(reported, new)
    for reported in sorted(versions):
        check_upgrade(reported, new)
    current = min(versions, default=new)
    old_with_new_image = [
        workloads[name]
        for name, image in images.items()
        if name in ROLE_OF and workloads[name].image == image and workloads[name].oldest not in {None, str(new)}
    ]
    if unchanged := [one.image for one in old_with_new_image if one.is_rolled_out]:
        raise SetupError(
            f"{overlay.folder} has the image {unchanged[0]} of the running version {current}; set the images of {new},"
            " with a new tag."
        )
    roles = [
        RunningRole(
            name=name,
            role=ROLE_OF[name],
            version=workloads[name].oldest,
            problem="" if workloads[name].versions else "no Pod is ready",
        )
        for name in images
        if name in ROLE_OF
    ]
    interrupted = bool(old_with_new_image) or max(versions, default=current) != current
    plan = plan_upgrade(current, new, roles, pre, pending, interrupted=interrupted)
    replaces_database = DATABASE in images and workloads[DATABASE].image != images[DATABASE]
    return KubernetesPlan(roles=plan, images=images, replaces_database=replaces_database)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """The state of a rollout. `ready` is the number of its new Pods that are ready. `is_pulling`: a node may still pull
    an image. `problem` is the reason why the rollout is not complete; empty if it is."""

    ready: int
    is_pulling: bool
    problem: str


def rollout_state(workload: Mapping[str, Any], new_pods: Sequence[dict[str, Any]]) -> RolloutState:
    """Return the state of the rollout of a Deployment or StatefulSet. `new_pods` are its Pods with the newest template.
    Pods that end do not count."""
    status, wanted = workload.get("status", {}), workload["spec"].get("replicas", 1)
    problems = [problem for pod in new_pods if (problem := pod_problem(pod)) is not None]
    ready = len(new_pods) - len(problems)
    is_observed = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
    # A StatefulSet has no availableReplicas before Kubernetes 1.22.
    counts = [status.get("updatedReplicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    if is_observed and ready == wanted and all(count == wanted for count in counts):
        return RolloutState(ready=ready, is_pulling=False, problem="")
    text = problems[0].text if problems else f"{ready} of {wanted} Pods are ready"
    is_pulling = bool(problems) and all(problem.is_pulling for problem in problems)
    return RolloutState(ready=ready, is_pulling=is_pulling, problem=text)


def new_pods_of(workload: Mapping[str, Any], listed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Pods of a workload that have its newest template and do not end. `listed` contains the Pods and
    ReplicaSets with the labels of the workload."""
    if workload["kind"] == "StatefulSet":
        label, value = "controller-revision-hash", workload.get("status", {}).get("updateRevision")
    else:
        revision = workload["metadata"].get("annotations", {}).get(REVISION)
        newest = [
            one["metadata"]["labels"]["pod-template-hash"]
            for one in listed
            if one["kind"] == "ReplicaSet" and one["metadata"].get("annotations", {}).get(REVISION) == revision
        ]
        label, value = "pod-template-hash", newest[0] if newest else None
    return [one for one in live_pods(listed) if one["metadata"].get("labels", {}).get(label) == value]


def restarts_of(pod: Mapping[str, Any]) -> int:
    """Return how often the containers of a Pod were restarted."""
    return sum(status["restartCount"] for status in pod.get("status", {}).get("containerStatuses", ()))


def live_pods(listed: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Pods that do not end."""
    return [one for one in listed if one["kind"] == "Pod" and "deletionTimestamp" not in one["metadata"]]


def ready_pods(listed: Iterable[dict[str, Any]]) -> list[str]:
    """Return the names of the Pods that are ready and do not end."""
    return [name_of(one) for one in live_pods(listed) if pod_problem(one) is None]


def applied_objects(listed: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the objects as they were passed to `kubectl apply`, by their names; other objects are left out."""
    texts = {kind_and_name(one): one["metadata"].get("annotations", {}).get(APPLIED) for one in listed}
    return {name: json.loads(text) for name, text in texts.items() if text}


def plan_object_return(before: Sequence[Mapping[str, Any]], overlay: Overlay) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the objects to apply, and the names of the objects to delete, after an upgrade has applied those of
    `overlay` that start no process. `before` contains the objects of `KINDS` before."""
    applied = applied_objects(before)
    changed = [kind_and_name(one) for one in overlay.other_objects if one["kind"].lower() in KINDS]
    created = {*changed} - {kind_and_name(one) for one in before}
    return [applied[name] for name in changed if name in applied], sorted(created)


def return_commands(backup: Path, passphrase_file: str, previous: Path, keys: Path, context: str | None) -> list[str]:
    """Return the commands that return to the objects in the folder `previous` and to the database in `backup`, which
    has this passphrase file (or none)."""
    options = ["--kubernetes", str(previous), "--keys", str(keys), *([] if context is None else ["--context", context])]
    program = f"{shlex.quote(sys.executable)} -P -m greenroom"
    return [restore_command(program, str(backup), passphrase_file, shlex.join(options))]
