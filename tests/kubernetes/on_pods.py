"""`greenroom up` whose sessions are Pods of the test cluster, and the acceptance tests that apply there as on
Docker."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from tests.acceptance.instance import Instance, wait_for
from tests.support.kubernetes.cluster import Cluster

from greenroom.runtimes.contract import SESSION

QUOTA: Final = {"requests.cpu": "16", "requests.memory": "64Gi"}
"""The quota of its namespace, more than the nodes have."""

IMAGE_WITHIN_S: Final = 60.0


class InstanceOnPods(Instance):
    """An instance whose Agent uses a namespace, in which each session has a Pod instead of a container."""

    def __init__(self, cluster: Cluster, namespace: str, **environment: str) -> None:
        settings = {"GREENROOM_RUNTIME": "kubernetes", "GREENROOM_KUBE_CONFIG": str(cluster.kubeconfig)}
        super().__init__(GREENROOM_KUBE_NAMESPACE=namespace, **settings, **environment)
        self._cluster = cluster
        self._namespace = namespace

    def containers(self) -> list[str]:
        return [pod["metadata"]["uid"] for pod in self._pods(SESSION)]

    def containers_of(self, session_id: str) -> list[str]:
        return [pod["metadata"]["uid"] for pod in self._pods(f"{SESSION}={session_id}")]

    def sessions_of_containers(self) -> list[str]:
        return [pod["metadata"]["labels"][SESSION] for pod in self._pods(SESSION)]

    def _pods(self, selector: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._cluster.get(
            "pods", f"--namespace={self._namespace}", f"--selector={selector}"
        )["items"]
        return found


@contextmanager
def instance_on_pods(cluster: Cluster, **environment: str) -> Iterator[Instance]:
    """A started instance; it is ended and removed in any case, and leaves no Pod."""
    with cluster.namespace("up") as namespace:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "desks"}, "spec": {"hard": QUOTA}}
        cluster.apply(quota, namespace=namespace)
        instance = InstanceOnPods(cluster, namespace, **environment)
        try:
            instance.up()
            present = "SELECT 1 FROM agent_images WHERE state = 'present'"
            wait_for(lambda: instance.sql(present), "a Pod has shown that the nodes have the image", IMAGE_WITHIN_S)
            yield instance
        finally:
            instance.remove()
        assert cluster.get("pods", f"--namespace={namespace}")["items"] == []


def same(suite: ModuleType, *, without: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The tests and fixtures of a module of tests/acceptance, without those that cannot hold on Pods, with the reason
    for each.

    Raises:
        AssertionError: one is left out that there is not.
    """
    own = {name: thing for name, thing in vars(suite).items() if getattr(thing, "__module__", "") == suite.__name__}
    left_out = set(without or {})
    assert left_out <= own.keys(), left_out - own.keys()
    kept = {name: thing for name, thing in own.items() if name not in left_out and not inspect.isclass(thing)}
    return {"pytestmark": getattr(suite, "pytestmark", []), **kept}
