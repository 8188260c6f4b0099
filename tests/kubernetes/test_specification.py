"""The settings of a workspace beyond the image: a runtime class, folders of the node, claims, a registry with a
log-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.sessions_host import Namespace
from tests.support import registry as registries
from tests.support.kubernetes.cluster import Cluster
from tests.support.registry import PASSWORD, USER, Registry
from tests.support.runtime_hosts import OPENBOX, new_id, shell, spec

from greenroom.core.workspace.session_spec import Mount
from greenroom.runtimes.contract import SESSION, Credentials, HostRuntime, PullError, StartError
from greenroom.runtimes.host_folders import HostFolders


@pytest.fixture
async def host(kubernetes: Cluster, namespace: str, tmp_path: Path, openbox_image: str) -> AsyncIterator[Namespace]:
    kubernetes.load_image(openbox_image)
    host = Namespace(kubernetes, namespace, tmp_path)
    host.folders = HostFolders(allowed=[str(tmp_path / "shared")])
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Namespace) -> HostRuntime:
    return await host.open()


@pytest.fixture
def runtime_class(kubernetes: Cluster, namespace: str) -> Iterator[str]:
    """A runtime class of the nodes; it is their default runtime under another name."""
    kubernetes.apply(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": namespace},
            "handler": "docker",
        },
        namespace=namespace,
    )
    yield namespace
    kubernetes.kubectl("delete", "runtimeclass", namespace)


def pod_of(kubernetes: Cluster, session_id: str) -> dict[str, Any]:
    (pod,) = kubernetes.get("pods", "--all-namespaces", f"--selector={SESSION}={session_id}")["items"]
    spec_of_pod: dict[str, Any] = pod["spec"]
    return spec_of_pod


async def test_a_session_has_the_runtime_class_of_its_workspace(
    kubernetes: Cluster, host: Namespace, runtime_class: str
):
    host.runtime_classes = (runtime_class, "is-not-there")
    runtime = await host.open()
    session_id, _, _ = await host.started(runtime, run_config={"runtime": runtime_class})
    assert pod_of(kubernetes, session_id)["runtimeClassName"] == runtime_class
    with pytest.raises(StartError, match="is-not-there"):
        await host.started(runtime, run_config={"runtime": "is-not-there"})


async def test_a_folder_of_the_node_is_mounted_if_it_is_allowed_and_no_other_one(host: Namespace, runtime: HostRuntime):
    course = host.folder / "shared/course"
    course.mkdir(parents=True)
    (course / "read me").write_text("welcome")
    (host.folder / "secret").mkdir()
    mounts = (
        Mount(source=str(course), target="/course", read_only=True),
        Mount(source=str(host.folder / "shared"), target="/shared"),
    )
    (host.folder / "shared").chmod(0o777)
    session_id, _, _ = await host.started(runtime, mounts=mounts)
    assert await shell(runtime, session_id, "cat '/course/read me'") == (0, "welcome")
    assert (await shell(runtime, session_id, "touch /course/new"))[0] != 0
    assert await shell(runtime, session_id, "echo mine > /shared/new") == (0, "")
    assert (host.folder / "shared/new").read_text() == "mine\n"
    with pytest.raises(StartError, match="may not be mounted"):
        await host.started(runtime, mounts=(Mount(source=str(host.folder / "secret"), target="/secret"),))


async def test_a_claim_is_mounted_by_its_name(
    kubernetes: Cluster, namespace: str, host: Namespace, runtime: HostRuntime
):
    folder = host.folder / "volume"
    (folder / "course").mkdir(parents=True)
    (folder / "course/read me").write_text("welcome")
    amount = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"claimRef": {"namespace": namespace, "name": "courses"}, "hostPath": {"path": str(folder)}}
    asked = {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteMany"], "storageClassName": ""}
    kubernetes.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {**amount, **volume},
        },
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "courses"}, "spec": asked},
        namespace=namespace,
    )
    try:
        mounts = (Mount(source="/claims/courses/course", target="/course", read_only=True),)
        session_id, _, _ = await host.started(runtime, mounts=mounts)
        assert await shell(runtime, session_id, "cat '/course/read me'") == (0, "welcome")
    finally:
        kubernetes.kubectl("delete", "persistentvolume", namespace, "--wait=false")


@pytest.fixture
def registry(kubernetes: Cluster, tmp_path: Path) -> Iterator[Registry]:
    """A registry that both nodes reach, filled by the first."""
    started = registries.started(tmp_path / "registry", kubernetes.host, kubernetes.nodes[0].docker_url)
    yield started
    for node in kubernetes.nodes:
        for name in node.docker("images", "--format={{.Repository}}:{{.Tag}}", f"{started.host}/*").split():
            node.docker("rmi", "--force", name)
    started.close()


async def test_an_image_comes_from_a_registry_with_the_workspaces_log_in_and_not_without(
    kubernetes: Cluster, runtime: HostRuntime, host: Namespace, registry: Registry
):
    image = registry.push_copy(OPENBOX, "desktop:1")
    with pytest.raises(PullError, match=r"desktop:1 could not be fetched: .*(unauthorized|no basic auth)"):
        async for _ in runtime.pull(image):
            pass
    assert [progress async for progress in runtime.pull(image, Credentials(user=USER, password=PASSWORD))][-1] == 100
    for node in kubernetes.nodes:
        session_id, wanted = new_id(), spec(image, run_config={"node_selector": {"kubernetes.io/hostname": node.name}})
        await runtime.create(session_id, wanted)
        await runtime.start(session_id)
        assert pod_of(kubernetes, session_id)["nodeName"] == node.name
        await runtime.remove(session_id)
