"""The capacity of a namespace for sessions, from its quotas and its nodes. This module sends no requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from lightkube.models.core_v1 import Taint
from lightkube.resources.core_v1 import Node, Pod, ResourceQuota
from lightkube.utils.quantity import parse_quantity

CORE_QUOTAS: Final = ("requests.cpu", "cpu", "limits.cpu")
MEMORY_QUOTAS: Final = ("requests.memory", "memory", "limits.memory")
"""The names of the limits in a `ResourceQuota` that apply to the requests of Pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An amount of cores and memory."""

    cores: float
    memory_bytes: int

    def __add__(self, other: Amount) -> Amount:
        return Amount(cores=self.cores + other.cores, memory_bytes=self.memory_bytes + other.memory_bytes)

    def minimum(self, other: Amount) -> Amount:
        """Return the minimum of each resource."""
        memory_bytes = min(self.memory_bytes, other.memory_bytes)
        return Amount(cores=min(self.cores, other.cores), memory_bytes=memory_bytes)

    def without(self, other: Amount) -> Amount:
        """Return the difference of both amounts, at least zero."""
        memory_bytes = max(0, self.memory_bytes - other.memory_bytes)
        return Amount(cores=max(0.0, self.cores - other.cores), memory_bytes=memory_bytes)


NOTHING: Final = Amount(cores=0.0, memory_bytes=0)
UNLIMITED: Final = Amount(cores=float("inf"), memory_bytes=1 << 62)
"""The amount of resources without a known limit."""
CLUSTER_TAINT_PREFIXES: Final = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
)
"""Prefixes of the keys of taints that the cluster sets: on nodes that are cordoned, not ready or short of a resource,
and on control-plane nodes. Administrators set all other taints, for Pods that tolerate them.
"""


def requests_of_pods(pods: Iterable[Pod]) -> Amount:
    """Return the sum of the requests of Pods that have not ended."""
    total = NOTHING
    for pod in pods:
        if pod.status is not None and pod.status.phase in {"Succeeded", "Failed"}:
            continue
        for container in pod.spec.containers if pod.spec else ():
            requests = mapping_of(container.resources, "requests")
            total += Amount(
                cores=quantity_value(requests.get("cpu")), memory_bytes=int(quantity_value(requests.get("memory")))
            )
    return total


def total_of_quotas(quotas: Sequence[ResourceQuota], session_requests: Amount) -> Amount:
    """Return the total amount for sessions: the smallest unused part of a quota, plus the requests of the present
    sessions. A resource without a quota has the amount of `UNLIMITED`.
    """
    unused_cores, unused_bytes = _remaining(quotas, CORE_QUOTAS), _remaining(quotas, MEMORY_QUOTAS)
    return Amount(
        cores=UNLIMITED.cores if unused_cores is None else max(0.0, unused_cores) + session_requests.cores,
        memory_bytes=UNLIMITED.memory_bytes
        if unused_bytes is None
        else int(max(0.0, unused_bytes)) + session_requests.memory_bytes,
    )


def _remaining(quotas: Sequence[ResourceQuota], names: Sequence[str]) -> float | None:
    remaining: list[float] = []
    for quota in quotas:
        limits, used = mapping_of(quota.status, "hard"), mapping_of(quota.status, "used")
        if quota.spec is not None and (quota.spec.scopes or quota.spec.scopeSelector):
            continue  # the quota applies only to some Pods
        remaining += [quantity_value(limits[name]) - quantity_value(used.get(name)) for name in names if name in limits]
    return min(remaining, default=None)


def allocatable_of_nodes(nodes: Iterable[Node]) -> Amount:
    """Return the allocatable amount of all nodes that are ready and schedulable. Nodes with a taint of an administrator
    are included, because workspaces can have tolerations.
    """
    total = NOTHING
    for node in nodes:
        conditions = (node.status.conditions if node.status else None) or []
        is_ready = any(condition.type == "Ready" and condition.status == "True" for condition in conditions)
        if node.spec is not None and (node.spec.unschedulable or any(map(_is_set_by_cluster, node.spec.taints or []))):
            continue
        if is_ready and node.status is not None:
            allocatable = mapping_of(node.status, "allocatable")
            total += Amount(
                cores=quantity_value(allocatable.get("cpu")),
                memory_bytes=int(quantity_value(allocatable.get("memory"))),
            )
    return total


def _is_set_by_cluster(taint: Taint) -> bool:
    """Return True if the cluster set the taint, and the taint keeps Pods away."""
    return taint.effect != "PreferNoSchedule" and taint.key.startswith(CLUSTER_TAINT_PREFIXES)


def unlimited_resources(amount: Amount) -> list[str]:
    """Return the names of the resources without a known limit, as in a quota."""
    cores = ["requests.cpu"] if amount.cores >= UNLIMITED.cores else []
    return cores + (["requests.memory"] if amount.memory_bytes >= UNLIMITED.memory_bytes else [])


def mapping_of(resource: object, name: str) -> Mapping[str, object]:
    """Return a mapping that is an attribute of a Kubernetes object; empty if there is none. The client has no types for
    mappings.
    """
    return cast("Mapping[str, object] | None", getattr(resource, name, None)) or {}


def quantity_value(quantity: object) -> float:
    """Return the value of a quantity such as `500m` or `2Gi`; 0 for None."""
    if quantity is None:
        return 0.0
    parsed = parse_quantity(str(quantity))
    return float(parsed) if parsed is not None else 0.0
