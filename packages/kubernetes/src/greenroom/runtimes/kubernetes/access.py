"""The requirements of the Agent in a cluster: a supported version, a namespace, and permissions in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from lightkube.resources.node_v1 import RuntimeClass
from lightkube.resources.storage_v1 import StorageClass

from greenroom.runtimes.contract import RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes.cluster import Cluster, Json
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

OLDEST: Final = (1, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Verbs for one resource, and their purpose."""

    resource: str
    verbs: tuple[str, ...]
    purpose: str
    group: str = ""

    @property
    def named(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


NEEDS: Final = (
    Need(
        resource="pods",
        verbs=("create", "get", "list", "watch", "patch", "delete"),
        purpose="session Pods, which are found by their labels",
    ),
    Need(
        resource="pods/exec",
        verbs=("create", "get"),
        purpose="the commands first_launch, go and assign, and the files of a session",
    ),
    Need(resource="pods/log", verbs=("get",), purpose="the last log lines of a session that ended"),
    Need(
        resource="secrets",
        verbs=("create", "get", "list", "watch", "patch", "delete"),
        purpose="the credential and the variables of a session, and the registry log-in",
    ),
    Need(
        resource="persistentvolumeclaims",
        verbs=("create", "get", "list", "patch", "delete"),
        purpose="profiles of users",
    ),
    Need(resource="resourcequotas", verbs=("list",), purpose="the remaining resources of the namespace"),
)
FILTER_NEEDS: Final = (
    Need(
        resource="networkpolicies",
        group="networking.k8s.io",
        verbs=("create", "get", "list", "patch", "delete"),
        purpose="the network restriction of a session under a web filter",
    ),
    Need(
        resource="services",
        verbs=("create", "get", "patch", "delete"),
        purpose="the stable address of a web filter",
    ),
)
"""Additional needs of an Agent whose sessions may be under a web filter."""
REASON_NEEDS: Final = (
    Need(resource="events", verbs=("list",), purpose="the reason why a node does not create a session's container"),
)
"""Optional needs, without which sessions still start."""


async def check(cluster: Cluster) -> str:
    """Check that the cluster can serve this Agent, and return the cluster's version.

    Raises:
        RuntimeUnavailable: it cannot; the sentence contains the remedy.
    """
    said = await cluster.ask("version")
    version = str(said.get("gitVersion") or "")
    if problem := version_problem(version):
        raise RuntimeUnavailable(problem)
    if missing := await _missing(cluster, NEEDS):
        raise RuntimeUnavailable(
            f"This Agent lacks permissions in the namespace {cluster.namespace}: {', '.join(missing)}. Bind its service"
            " account to a role with these verbs."
        )
    await _require_namespace(cluster)
    return version


async def _require_namespace(cluster: Cluster) -> None:
    """Check that the namespace exists with a dry run. Lists of a missing namespace are empty, and permissions in it can
    be granted: only the creation of an object fails."""
    secret: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "gr-check-"}}
    try:
        await cluster.ask(f"api/v1/namespaces/{cluster.namespace}/secrets?dryRun=All", secret)
    except StartError:
        return  # the quota is used up: the namespace exists


def version_problem(version: str) -> str:
    """The reason why a cluster of this version cannot be used, as a sentence; empty = it can."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None:
        return f"The cluster reports the version {version!r}, which is not a version of Kubernetes."
    if (int(numbers[1]), int(numbers[2])) < OLDEST:
        return f"The cluster has Kubernetes {version}; sessions need {OLDEST[0]}.{OLDEST[1]} or newer."
    return ""


async def may(cluster: Cluster, verb: str, resource: str, group: str = "", *, in_namespace: bool = True) -> bool:
    """Return True if this Agent's account has this permission."""
    resource, _, part = resource.partition("/")
    attributes: Json = {"verb": verb, "resource": resource, "group": group}
    if part:
        attributes["subresource"] = part
    if in_namespace:
        attributes["namespace"] = cluster.namespace
    review: Json = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await cluster.ask("apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    status: Json = answer.get("status") or {}
    return bool(status.get("allowed"))


async def _missing(cluster: Cluster, needs: Sequence[Need]) -> list[str]:
    asked = [(need, verb) for need in needs for verb in need.verbs]
    allowed = await asyncio.gather(*(may(cluster, verb, need.resource, need.group) for need, verb in asked))
    return [f"{verb} {need.named}" for (need, verb), is_allowed in zip(asked, allowed, strict=True) if not is_allowed]


DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
"""Annotation of the storage class of claims that name none."""


async def lacking(cluster: Cluster, storage_class: str, runtime_classes: Collection[str]) -> list[str]:
    """Return a sentence for each thing that some sessions will lack. Things that this account may not read are left
    out.
    """
    remarks: list[str] = []
    if missing := await _missing(cluster, FILTER_NEEDS):
        remarks.append(
            f"Sessions under a web filter do not start: this Agent may not {', '.join(missing)} in the namespace"
            f" {cluster.namespace}."
        )
    if missing := await _missing(cluster, REASON_NEEDS):
        remarks.append(
            "The Agent cannot report why a node does not start a session, and an image that a node pulls for more than"
            f" five minutes counts as stuck: this Agent may not {', '.join(missing)} in the namespace"
            f" {cluster.namespace}."
        )
    if await may(cluster, "list", "storageclasses", "storage.k8s.io", in_namespace=False):
        found = await cluster.list_global(StorageClass)
        remarks += storage_remarks(storage_class, {_name(of): _annotations(of) for of in found})
    if runtime_classes and await may(cluster, "list", "runtimeclasses", "node.k8s.io", in_namespace=False):
        there = {one.metadata.name for one in await cluster.list_global(RuntimeClass) if one.metadata}
        if absent := sorted(set(runtime_classes) - there):
            remarks.append(
                f"The cluster has no runtime class {', '.join(absent)} (GREENROOM_RUNTIME_CLASSES). Sessions that"
                " request it do not start."
            )
    return remarks


def storage_remarks(wanted: str, classes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The reasons why homes cannot be created; `classes` are the storage classes with their annotations, `wanted` is
    empty for the default one."""
    names = ", ".join(sorted(classes)) or "none"
    if wanted and wanted not in classes:
        missing = f"The cluster has no storage class {wanted} (GREENROOM_KUBE_STORAGE_CLASS), it has: {names}."
        return [f"{missing} Sessions with a persistent profile do not start."]
    if not wanted and not any(noted.get(DEFAULT_CLASS) == "true" for noted in classes.values()):
        what_to_do = "Name one in GREENROOM_KUBE_STORAGE_CLASS, or sessions with a persistent profile do not start."
        return [f"The cluster has no default storage class, it has: {names}. {what_to_do}"]
    return []


def _name(of: StorageClass) -> str:
    return (of.metadata.name or "") if of.metadata is not None else ""


def _annotations(of: StorageClass) -> dict[str, str]:
    """The annotations of a storage class; the client leaves the types of its mappings open."""
    return cast("Any", of.metadata).annotations or {}


async def examined(settings: KubernetesSettings, runtime_classes: Collection[str] = ()) -> list[str]:
    """Check a cluster as an Agent with these settings would; returns a sentence for each thing that some sessions will
    lack.

    Raises:
        SetupError: the settings or the kubeconfig cannot be used.
        RuntimeUnavailable: the cluster does not serve this Agent.
    """
    cluster = Cluster(settings)
    await cluster.open()
    try:
        await check(cluster)
        return await lacking(cluster, settings.kube_storage_class, runtime_classes)
    finally:
        await cluster.close()
