"""The capacity of a namespace that an Agent offers, less the amounts that other Agents have reserved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Container, PodSpec, ResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod, ResourceQuota
from tests.support.kubernetes.in_memory import Namespace

from greenroom.agent.capacity import CapacityMeter
from greenroom.core.session.starts import default_start_slots
from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.kubernetes import runtime as module
from greenroom.runtimes.kubernetes.capacity import Amount, allocatable_of_nodes
from greenroom.runtimes.kubernetes.names import ObjectOwner
from greenroom.runtimes.kubernetes.runtime import KubernetesRuntime
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

GIB = 1 << 30
READY = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "8", "memory": "32Gi"}}


def quota(hard: dict[str, str], used: dict[str, str] | None = None) -> ResourceQuota:
    about = {"name": "q", "uid": "q"}
    return msgspec.convert({"metadata": about, "status": {"hard": hard, "used": used or {}}}, ResourceQuota)


def node(name: str = "n", **spec: Any) -> Node:
    return msgspec.convert({"metadata": {"name": name, "uid": name}, "spec": spec, "status": READY}, Node)


def session(name: str, agent_id: str, cores: int, gib: int) -> Pod:
    needs = ResourceRequirements(requests={"cpu": str(cores), "memory": f"{gib}Gi"})
    labels = ObjectOwner(installation_id="i", agent_id=agent_id).labels("session")
    return Pod(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=PodSpec(containers=[Container(name="session", resources=needs)]),
    )


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(agent_id: str, *objects: Any, sees_nodes: bool = False) -> KubernetesRuntime:
        namespace = Namespace(*objects)
        monkeypatch.setattr(module, "Cluster", lambda *_, **__: namespace)
        runtime = KubernetesRuntime("i", agent_id, settings=KubernetesSettings(kube_config=Path("unused")))
        monkeypatch.setattr(runtime, "_can_list_nodes", sees_nodes)
        return runtime

    return made


@pytest.mark.parametrize(
    ("hard", "missing"),
    [
        ({"requests.memory": "8Gi"}, "requests.cpu"),
        ({"limits.cpu": "8"}, "requests.memory"),
        ({"pods": "5"}, "requests.cpu and requests.memory"),
    ],
)
async def test_what_no_quota_limits_is_asked_for_and_nothing_is_offered(agent: Any, hard: dict[str, str], missing: str):
    runtime = agent("a", quota(hard))
    problem = f"limits {missing}, and .* Create a ResourceQuota with {missing}, or allow the"
    with pytest.raises(RuntimeUnavailable, match=problem):
        await runtime.capacity()
    meter = CapacityMeter(runtime, "host", lambda code, message: None)
    await meter.try_read()
    assert default_start_slots(meter.capacity.cores) == 1


async def test_what_no_quota_limits_is_that_of_the_nodes(agent: Any):
    has = await agent("a", quota({"requests.memory": "8Gi"}), node(), sees_nodes=True).capacity()
    assert (has.cores, has.memory_bytes) == (8.0, 8 * GIB)


async def test_an_agent_does_not_offer_what_sessions_of_another_have(agent: Any):
    pods = session("one", "a", 1, 1), session("two", "b", 3, 4)
    used = quota({"cpu": "10", "memory": "20Gi"}, {"cpu": "4", "memory": "5Gi"})
    has = await agent("a", used, *pods).capacity()
    assert (has.cores, has.memory_bytes) == (7.0, 16 * GIB)
    usage = await agent("a", used, *pods).host_usage()
    assert usage.memory_bytes == GIB
    has = await agent("b", used, *pods).capacity()
    assert (has.cores, has.memory_bytes) == (9.0, 19 * GIB)


async def test_of_nodes_too(agent: Any):
    pods = session("one", "a", 1, 1), session("two", "b", 3, 4)
    has = await agent("a", node(), *pods, sees_nodes=True).capacity()
    assert (has.cores, has.memory_bytes) == (5.0, 28 * GIB)


@pytest.mark.parametrize(
    ("key", "effect", "counts"),
    [
        ("desks", "NoSchedule", True),
        ("desks", "NoExecute", True),
        ("node.kubernetes.io/disk-pressure", "NoSchedule", False),
        ("node.kubernetes.io/unreachable", "NoExecute", False),
        ("node.kubernetes.io/unschedulable", "PreferNoSchedule", True),
        ("node-role.kubernetes.io/control-plane", "NoSchedule", False),
        ("node-role.kubernetes.io/desks", "NoSchedule", True),
    ],
)
def test_a_node_counts_that_an_administrator_keeps_for_pods_that_tolerate_it(key: str, effect: str, counts: bool):
    tainted = node(taints=[{"key": key, "effect": effect}])
    assert (allocatable_of_nodes([tainted]) == Amount(cores=8.0, memory_bytes=32 * GIB)) is counts
