"""Checks of a cluster: a supported version, the namespace, and the permissions of the Agent in the namespace."""

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

OLDEST_VERSION: Final = (1, 20)
"""The oldest supported version of Kubernetes, major and minor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePermission:
    """The verbs for one resource that the account of this Agent needs, and their purpose."""

    resource: str
    verbs: tuple[str, ...]
    purpose: str
    group: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


REQUIRED_PERMISSIONS: Final = (
    ResourcePermission(
        resource="pods",
        verbs=("create", "get", "list", "watch", "patch", "delete"),
        purpose="session Pods, which are found by their labels",
    ),
    ResourcePermission(
        resource="pods/exec",
        verbs=("create", "get"),
        purpose="the commands first_launch, go and assign, and the files of a session",
    ),
    ResourcePermission(resource="pods/log", verbs=("get",), purpose="the last log lines of a session that ended"),
    ResourcePermission(
        resource="secrets",
        verbs=("create", "get", "list", "watch", "patch", "delete"),
        purpose="the credential and the variables of a session, and the registry log-in",
    ),
    ResourcePermission(
        resource="persistentvolumeclaims",
        verbs=("create", "get", "list", "patch", "delete"),
        purpose="profiles of users",
    ),
    ResourcePermission(resource="resourcequotas", verbs=("list",), purpose="the remaining resources of the namespace"),
)
FILTER_PERMISSIONS: Final = (
    ResourcePermission(
        resource="networkpolicies",
        group="networking.k8s.io",
        verbs=("create", "get", "list", "patch", "delete"),
        purpose="the network restriction of a session under a web filter",
    ),
    ResourcePermission(
        resource="services",
        verbs=("create", "get", "patch", "delete"),
        purpose="the stable address of a web filter",
    ),
)
"""Additional permissions of an Agent whose sessions can be under a web filter."""
EVENT_PERMISSIONS: Final = (
    ResourcePermission(
        resource="events", verbs=("list",), purpose="the reason why a node does not create a session's container"
    ),
)
"""Optional permissions. Without them, the error of a slow start does not contain the reason."""


async def check_requirements(cluster: Cluster) -> str:
    """Check that this Agent can use the cluster, and return the version of the cluster.

    Raises:
        RuntimeUnavailable: the Agent cannot use the cluster. The message contains the remedy.
    """
    answer = await cluster.request_json("version")
    version = str(answer.get("gitVersion") or "")
    if problem := version_problem(version):
        raise RuntimeUnavailable(problem)
    if missing := await _missing_permissions(cluster, REQUIRED_PERMISSIONS):
        raise RuntimeUnavailable(
            f"This Agent lacks permissions in the namespace {cluster.namespace}: {', '.join(missing)}. Bind its service"
            " account to a role with these verbs."
        )
    await _require_namespace(cluster)
    return version


async def _require_namespace(cluster: Cluster) -> None:
    """Check with the dry run of a creation that the namespace exists. Other requests do not show a missing namespace:
    Kubernetes returns empty lists and grants permissions.
    """
    secret: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "gr-check-"}}
    try:
        await cluster.request_json(f"api/v1/namespaces/{cluster.namespace}/secrets?dryRun=All", secret)
    except StartError:
        return  # a quota refuses the object, so the namespace exists


def version_problem(version: str) -> str:
    """Return the reason why a cluster of this version cannot be used, as a sentence; empty = it can."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None:
        return f"The cluster reports the version {version!r}, which is not a version of Kubernetes."
    if (int(numbers[1]), int(numbers[2])) < OLDEST_VERSION:
        return f"The cluster has Kubernetes {version}; sessions need {OLDEST_VERSION[0]}.{OLDEST_VERSION[1]} or newer."
    return ""


async def is_permitted(
    cluster: Cluster, verb: str, resource: str, group: str = "", *, in_namespace: bool = True
) -> bool:
    """Return True if this Agent's account has this permission."""
    resource, _, subresource = resource.partition("/")
    attributes: Json = {"verb": verb, "resource": resource, "group": group}
    if subresource:
        attributes["subresource"] = subresource
    if in_namespace:
        attributes["namespace"] = cluster.namespace
    review: Json = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await cluster.request_json("apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    status: Json = answer.get("status") or {}
    return bool(status.get("allowed"))


async def _missing_permissions(cluster: Cluster, required: Sequence[ResourcePermission]) -> list[str]:
    """Return the permissions that the account lacks, each as a verb and a resource."""
    pairs = [(verb, permission) for permission in required for verb in permission.verbs]
    checks = (is_permitted(cluster, verb, permission.resource, permission.group) for verb, permission in pairs)
    results = zip(pairs, await asyncio.gather(*checks), strict=True)
    return [f"{verb} {permission.full_name}" for (verb, permission), is_granted in results if not is_granted]


DEFAULT_CLASS_ANNOTATION: Final = "storageclass.kubernetes.io/is-default-class"
"""Annotation of the storage class that the cluster uses for claims without a class."""


async def find_limitations(cluster: Cluster, storage_class: str, runtime_classes: Collection[str]) -> list[str]:
    """Return a sentence for each feature that some sessions cannot use in this cluster. Features that this account may
    not check are omitted.
    """
    limitations: list[str] = []
    if missing := await _missing_permissions(cluster, FILTER_PERMISSIONS):
        limitations.append(
            "Sessions under a web filter do not start: this Agent lacks permissions in the namespace"
            f" {cluster.namespace}: {', '.join(missing)}."
        )
    if missing := await _missing_permissions(cluster, EVENT_PERMISSIONS):
        limitations.append(
            "The Agent cannot report why a node does not start a session, and an image that a node pulls for more than"
            f" five minutes counts as stuck: this Agent lacks permissions in the namespace {cluster.namespace}:"
            f" {', '.join(missing)}."
        )
    if await is_permitted(cluster, "list", "storageclasses", "storage.k8s.io", in_namespace=False):
        classes = await cluster.list_global(StorageClass)
        limitations += storage_limitations(storage_class, {_name(item): _annotations(item) for item in classes})
    if runtime_classes and await is_permitted(cluster, "list", "runtimeclasses", "node.k8s.io", in_namespace=False):
        existing = {item.metadata.name for item in await cluster.list_global(RuntimeClass) if item.metadata}
        if absent := sorted(set(runtime_classes) - existing):
            limitations.append(
                f"The cluster has no runtime class {', '.join(absent)} (GREENROOM_RUNTIME_CLASSES). Sessions that"
                " request it do not start."
            )
    return limitations


def storage_limitations(storage_class: str, classes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the reasons why no volume for a persistent profile can be created. `storage_class`: empty = the default
    class. `classes`: the classes of the cluster with their annotations.
    """
    names = ", ".join(sorted(classes)) or "none"
    if storage_class and storage_class not in classes:
        problem = f"The cluster has no storage class {storage_class} (GREENROOM_KUBE_STORAGE_CLASS); it has: {names}."
        return [f"{problem} Sessions with a persistent profile do not start."]
    if not storage_class and not any(
        annotations.get(DEFAULT_CLASS_ANNOTATION) == "true" for annotations in classes.values()
    ):
        remedy = "Name one in GREENROOM_KUBE_STORAGE_CLASS, or sessions with a persistent profile do not start."
        return [f"The cluster has no default storage class; it has: {names}. {remedy}"]
    return []


def _name(storage_class: StorageClass) -> str:
    return (storage_class.metadata.name or "") if storage_class.metadata is not None else ""


def _annotations(storage_class: StorageClass) -> dict[str, str]:
    """Return the annotations of a storage class. The client has no types for its mappings."""
    return cast("Any", storage_class.metadata).annotations or {}


async def check_cluster(settings: KubernetesSettings, runtime_classes: Collection[str] = ()) -> list[str]:
    """Check a cluster as an Agent with these settings does. Return a sentence for each feature that some sessions
    cannot use.

    Raises:
        SetupError: the settings or the kubeconfig cannot be used.
        RuntimeUnavailable: the Agent cannot use the cluster.
    """
    cluster = Cluster(settings)
    await cluster.open()
    try:
        await check_requirements(cluster)
        return await find_limitations(cluster, settings.kube_storage_class, runtime_classes)
    finally:
        await cluster.close()
