"""The assumptions of the other tests here: this is a Kubernetes cluster, and the faults have their effects."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.support.kubernetes.cluster import Cluster, Node
from tests.support.kubernetes.tools import TOOL, loaded
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def tool(kubernetes: Cluster) -> str:
    """An image with busybox and curl, on both nodes."""
    return loaded(kubernetes, TOOL)


def pod(name: str, image: str, node: Node, *command: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeName": node.name,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "it",
                    "image": image,
                    "command": ["/usr/bin/busybox", *command],
                    "imagePullPolicy": "Never",
                    "ports": [{"containerPort": 8080}],
                    "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}},
                }
            ],
        },
    }


def ready(kubernetes: Cluster, namespace: str, name: str) -> bool:
    status = kubernetes.get("pod", name, f"--namespace={namespace}")["status"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))


def node_is_ready(kubernetes: Cluster, node: Node) -> bool:
    conditions = kubernetes.get("node", node.name)["status"]["conditions"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def test_pods_reach_each_other_on_both_nodes_by_address_and_by_the_name_of_a_service(
    kubernetes: Cluster, namespace: str, tool: str
) -> None:
    first, second = kubernetes.nodes
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "pages"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    server = pod("server", tool, first, "sh", "-c", "echo painted >index.html; exec /usr/bin/busybox httpd -f -p 8080")
    client = pod("client", tool, second, "sleep", "1000")
    kubernetes.apply(service, server, client, namespace=namespace)
    await eventually(lambda: ready(kubernetes, namespace, "server") and ready(kubernetes, namespace, "client"))
    kubernetes.publish_services(namespace)
    address = kubernetes.get("pod", "server", f"--namespace={namespace}")["status"]["podIP"]

    def asked(where: str) -> bool:
        argv = ["exec", "client", f"--namespace={namespace}", "--", "/usr/bin/curl", "-sS", "-m3", where]
        try:
            return kubernetes.kubectl(*argv) == "painted\n"
        except RuntimeError:
            return False

    assert await eventually(lambda: asked(f"http://{address}:8080/"))
    assert await eventually(lambda: asked("http://pages/"))
    async with httpx2.AsyncClient(trust_env=False) as from_the_machine:
        assert (await from_the_machine.get(f"http://{address}:8080/")).text == "painted\n"


async def test_a_node_whose_link_is_cut_is_lost_and_comes_back(kubernetes: Cluster) -> None:
    node = kubernetes.nodes[1]
    node.cut_link()
    try:
        await eventually(lambda: not node_is_ready(kubernetes, node))
    finally:
        node.mend_link()
    await eventually(lambda: node_is_ready(kubernetes, node))


async def test_pods_outlive_their_kubelet_and_the_api_server(kubernetes: Cluster, namespace: str, tool: str) -> None:
    node = kubernetes.nodes[0]
    kubernetes.apply(pod("stays", tool, node, "sleep", "1000"), namespace=namespace)
    await eventually(lambda: ready(kubernetes, namespace, "stays"))
    container = kubernetes.get("pod", "stays", f"--namespace={namespace}")["status"]["containerStatuses"][0]
    node.kill_kubelet()
    kubernetes.hold("kube-apiserver")
    kubernetes.release("kube-apiserver")
    node.start_kubelet()

    def is_same() -> bool:
        try:
            status = kubernetes.get("pod", "stays", f"--namespace={namespace}")["status"]
        except RuntimeError:
            return False
        return bool(status["containerStatuses"][0]["containerID"] == container["containerID"])

    await eventually(lambda: is_same() and node_is_ready(kubernetes, node))
