"""The wait for Pods that keep running, in an upgrade on Kubernetes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.upgrade.test_kubernetes_plan import overlay, pod, workload

from greenroom.backup.kubernetes import KubernetesDeployment
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.kit.program import version
from greenroom.up.progress import LineProgress
from greenroom.upgrade import kubernetes
from greenroom.upgrade.kubernetes import KubernetesUpgrade
from greenroom.upgrade.kubernetes_plan import REVISION
from greenroom.upgrade.waiting import STEADY_S, SteadyProcesses

WORKLOADS = ("kasm-manager", "kasm-api", "kasm-proxy", "kasm-agent")


@dataclass
class Cluster:
    """A cluster with one Pod for each workload. `restarts` is the number of restarts of the workload's Pod at a time in
    seconds, and `has_failed` is True if the Pod is not ready at this time."""

    restarts: Callable[[str, float], int] = lambda name, now_s: 0
    has_failed: Callable[[str, float], bool] = lambda name, now_s: False
    now_s: float = 0
    applied: list[str] = field(default_factory=list[str])

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def apply(self, objects: list[dict[str, Any]]) -> None:
        self.applied += [one["metadata"]["name"] for one in objects]

    def get(self, name: str) -> dict[str, Any]:
        found = workload(name.partition("/")[2])
        found["metadata"]["annotations"] = {REVISION: "1"}
        ready = int(not self.has_failed(found["metadata"]["name"], self.now_s))
        return found | {
            "status": {"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1, "readyReplicas": ready}
        }

    def list(self, kinds: str, selector: str) -> list[dict[str, Any]]:
        name = selector.rpartition("=")[2]
        found = pod(f"{name}-1", ready=not self.has_failed(name, self.now_s))
        found["status"]["containerStatuses"][0]["restartCount"] = self.restarts(name, self.now_s)
        metadata = {"annotations": {REVISION: "1"}, "labels": {"pod-template-hash": "b"}}
        return [{"kind": "ReplicaSet", "metadata": metadata}, found]

    def exec(self, pod: str, container: str, *command: str) -> str:
        return f"greenroom, version {version()}"

    def run(self, *arguments: str) -> str:
        return "planted"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(kubernetes, "time", cluster)
    monkeypatch.setattr(kubernetes, "SteadyProcesses", lambda: SteadyProcesses(cluster.monotonic))

    def fail(self: KubernetesUpgrade, cause: GreenroomError) -> None:
        raise cause

    monkeypatch.setattr(KubernetesUpgrade, "_return_and_raise", fail)
    return cluster


def upgrade(cluster: Cluster) -> KubernetesUpgrade:
    deployment = KubernetesDeployment(overlay=overlay(*WORKLOADS), keys=Path("keys"), kubectl=cast("Any", cluster))
    return KubernetesUpgrade(
        deployment=deployment,
        plan=cast("Any", None),
        primaries=[],
        objects=[],
        progress=LineProgress(io.StringIO()),
    )


def test_each_workload_has_run_for_the_interval_before_the_next_one(cluster: Cluster):
    upgrade(cluster)._replace_all()
    assert cluster.applied == [*WORKLOADS]
    assert len(WORKLOADS) * STEADY_S <= cluster.now_s < (len(WORKLOADS) + 1) * STEADY_S


@pytest.mark.parametrize("ends_after_s", [0.5, 4, 12])
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_that_restarts_again_and_again_fails_the_upgrade(cluster: Cluster, name: str, ends_after_s: float):
    cluster.restarts = lambda of, now_s: int(now_s / ends_after_s) if of == name else 0
    with pytest.raises(SetupError, match=rf"{name}-1 does not keep running: its process ended 2 times\."):
        upgrade(cluster)._replace_all()
    assert cluster.applied[-1] == name


def test_a_pod_that_ends_while_later_workloads_are_replaced_fails_the_upgrade(cluster: Cluster):
    cluster.has_failed = lambda name, now_s: name == "kasm-manager" and now_s > 2 * STEADY_S
    with pytest.raises(SetupError, match=r"kasm-manager is not ready after 60 s: .* ends with: planted"):
        upgrade(cluster)._replace_all()
    assert cluster.applied == [*WORKLOADS]
