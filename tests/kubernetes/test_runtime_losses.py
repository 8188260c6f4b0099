"""Faults of a session in a Pod: no capacity, no node, no server, an Agent that is killed. Nothing is duplicated or
silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.kubernetes.sessions_host import Namespace
from tests.support.kubernetes.cluster import Cluster, Node
from tests.support.runtime_hosts import Host, listening, new_id, spec
from tests.support.waiting import eventually

from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.session_spec import Exec, Mount, SessionFile
from greenroom.runtimes.contract import SESSION, HomeHost, Runtime, RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes.names import home_name

KEY = SessionFile(path="/home/kasm-user/.ssh/id_rsa", content="private\n")
HOME = "/{homes}/11111111-1111-4111-8111-111111111111.22222222-2222-4222-8222-222222222222"


@pytest.fixture
async def host(kubernetes: Cluster, namespace: str, tmp_path: Path, openbox_image: str) -> AsyncIterator[Host]:
    kubernetes.load_image(openbox_image)
    host = Namespace(kubernetes, namespace, tmp_path)
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Host) -> Runtime:
    return await host.open()


async def ended(runtime: Runtime, session_id: str) -> str:
    seen = await runtime.inspect(session_id)
    return seen.ended if seen is not None and seen.state is ContainerState.EXITED else ""


async def died(runtime: Runtime, session_id: str) -> None:
    """Return at the event of its end."""
    async for event in runtime.events():
        if (event.session_id, event.kind) == (session_id, "die"):
            return


@pytest.mark.timeout(240)
async def test_a_node_that_is_lost_is_reported_and_its_session_removed_at_once(
    kubernetes: Cluster, host: Host, runtime: Runtime
):
    node = kubernetes.nodes[1]
    there = {"node_selector": {"kubernetes.io/hostname": node.name}, "tolerations": [{"operator": "Exists"}]}
    session_id, _, _ = await host.started(runtime, run_config=there)
    async with listening(runtime) as event:
        lost = asyncio.create_task(died(runtime, session_id))
        node.cut_link()
        try:
            async with asyncio.timeout(150):
                await lost
            await event(session_id, "die")
            assert node.name in await ended(runtime, session_id)
            async with asyncio.timeout(5):
                assert await runtime.logs(session_id) == ""
                await runtime.remove(session_id)
            assert await runtime.inspect(session_id) is None
        finally:
            lost.cancel()
            node.mend_link()


@pytest.mark.timeout(300)
async def test_the_runtime_removes_pods_when_all_nodes_are_silent_and_the_cluster_does_not(
    kubernetes: Cluster, namespace: str, host: Host, runtime: Runtime
):
    session_id, _, _ = await host.started(runtime)
    async with listening(runtime) as event:
        lost = asyncio.create_task(died(runtime, session_id))
        for node in kubernetes.nodes:
            node.kill_kubelet()
        try:
            async with asyncio.timeout(200):
                await lost
            await event(session_id, "die")
            assert "does not answer any more" in await ended(runtime, session_id)
            await runtime.remove(session_id)
            assert await runtime.inspect(session_id) is None
            assert kubernetes.get("pods", f"--namespace={namespace}")["items"] == []
        finally:
            lost.cancel()
            for node in kubernetes.nodes:
                node.start_kubelet()

    def are_ready() -> bool:
        conditions = [one for node in kubernetes.get("nodes")["items"] for one in node["status"]["conditions"]]
        return [one["status"] for one in conditions if one["type"] == "Ready"] == ["True", "True"]

    await eventually(are_ready)


@pytest.mark.timeout(300)
async def test_a_pod_that_its_node_evicts_is_an_end_with_the_reason(host: Host, runtime: Runtime):
    session_id, _, _ = await host.started(runtime, run_config={"shm_size": "16m"})
    async with listening(runtime) as event:
        evicted = asyncio.create_task(died(runtime, session_id))
        fill = Exec(argv=("sh", "-c", f"head -c {40 << 20} /dev/zero > /dev/shm/filled"))
        assert (await runtime.exec(session_id, fill)).exit_code == 0
        async with asyncio.timeout(200):
            await evicted
        await event(session_id, "die")
    assert "The node evicted the session: Usage of EmptyDir volume" in await ended(runtime, session_id)


async def test_a_drained_node_ends_its_session_with_a_sentence(kubernetes: Cluster, host: Host, runtime: Runtime):
    session_id, _, _ = await host.started(runtime)
    (pod,) = kubernetes.get("pods", "--all-namespaces", f"--selector={SESSION}={session_id}")["items"]
    name = pod["spec"]["nodeName"]
    async with listening(runtime) as event:
        kubernetes.kubectl("drain", name, f"--pod-selector={SESSION}={session_id}", "--force", "--delete-emptydir-data")
        try:
            await event(session_id, "die")
            assert "was drained or removed" in await ended(runtime, session_id)
        finally:
            kubernetes.kubectl("uncordon", name)


async def test_without_room_the_start_fails_with_the_reason(
    kubernetes: Cluster, namespace: str, host: Host, runtime: Runtime
):
    limits = {"requests.cpu": "70", "requests.memory": "600Mi"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "desks"}, "spec": {"hard": limits}}
    kubernetes.apply(quota, namespace=namespace)

    async def is_counted() -> bool:
        return (await runtime.capacity()).memory_bytes == 600 << 20

    await eventually(is_counted)
    large, small, second = new_id(), new_id(), new_id()
    await runtime.create(large, spec(cores=64.0, memory_bytes=16 << 20))
    with pytest.raises(StartError, match=r"No node can run the session at present: .*Insufficient cpu"):
        await runtime.start(large)
    assert kubernetes.get("pods", f"--namespace={namespace}")["items"] == [], "it holds its part of the quota"
    assert await runtime.inspect(large), "and is known, with its reason, until it is deleted"
    await runtime.create(small, spec())
    await runtime.start(small)
    assert (await runtime.capacity()).memory_bytes == 600 << 20, "what the session holds was taken off twice"
    await runtime.create(second, spec())
    with pytest.raises(StartError, match=r"quota of the namespace is used up.*600Mi"):
        await runtime.start(second)


async def test_a_pod_that_was_taken_away_is_said_to_be_gone_and_is_not_made_again(
    kubernetes: Cluster, namespace: str, host: Host, runtime: Runtime
):
    session_id, wanted, _ = await host.started(runtime)
    kubernetes.kubectl("delete", "pods", "--all", f"--namespace={namespace}")
    assert "deletion was not requested" in await ended(runtime, session_id)
    successor = await host.open()
    await successor.create(session_id, wanted)
    with pytest.raises(StartError, match="deletion was not requested"):
        await successor.start(session_id)
    assert kubernetes.get("pods", f"--namespace={namespace}")["items"] == []


async def test_what_a_killed_agent_began_the_next_one_completes(
    kubernetes: Cluster, namespace: str, host: Host, runtime: Runtime
):
    session_id, wanted = new_id(), spec()
    await runtime.create(session_id, wanted)
    await runtime.put_files(session_id, [KEY])
    killed = asyncio.create_task(runtime.start(session_id))

    def pods() -> list[dict[str, object]]:
        return kubernetes.get("pods", f"--namespace={namespace}")["items"]

    await eventually(lambda: bool(pods()))
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    successor = await host.open()
    assert (await successor.create(session_id, wanted)).state is ContainerState.CREATED, "its files are not there yet"
    first, second = await asyncio.gather(successor.start(session_id), runtime.start(session_id))
    assert first.container_id == second.container_id
    assert len(pods()) == 1
    found = await successor.exec(session_id, Exec(argv=("stat", "--format=%a %s", KEY.path)))
    assert found.output == "600 8\n"


async def test_a_command_that_runs_once_is_refused_the_second_time(host: Host, runtime: Runtime):
    session_id, _, _ = await host.started(runtime)
    command = Exec(argv=("sh", "-c", "echo again >> ~/ran; sleep 3"), deadline_s=0.5, once="an-assignment")
    assert (await runtime.exec(session_id, command)).exit_code is None
    again = await runtime.exec(session_id, command)
    assert (again.exit_code, "already begun" in again.output) == (126, True)
    assert (await runtime.exec(session_id, Exec(argv=("sh", "-c", "cat ~/ran")))).output == "again\n"


@pytest.mark.timeout(180)
async def test_without_the_server_nothing_is_concluded(kubernetes: Cluster, host: Host, runtime: Runtime):
    session_id, wanted, started = await host.started(runtime)
    kubernetes.hold("kube-apiserver")
    try:
        for call in (runtime.inspect(session_id), runtime.list(), runtime.exec(session_id, Exec(argv=("true",)))):
            with pytest.raises(RuntimeUnavailable, match="does not answer"):
                await call
        assert started.address is not None
        assert "silent" not in (await runtime.probe(started.address, wanted)).error
    finally:
        kubernetes.release("kube-apiserver")

    async def is_the_same() -> bool:
        try:
            return await runtime.inspect(session_id) == started
        except RuntimeUnavailable:
            return False

    await eventually(is_the_same)


async def test_a_home_is_a_claim_that_outlives_its_session(
    kubernetes: Cluster, namespace: str, host: Host, runtime: Runtime
):
    assert isinstance(runtime, HomeHost)
    session_id = new_id()
    wanted = spec(mounts=(Mount(source=HOME, target="/home/kasm-user", profile="Enabled"),))
    await runtime.create(session_id, wanted)
    (kept,) = await runtime.homes.list()
    assert kept.home.source == HOME
    assert await runtime.homes.in_use() == {kept.home: session_id}
    await runtime.remove(session_id)
    assert await runtime.homes.list() == [kept]
    await runtime.homes.remove(kept.home, "a-removal")
    await runtime.homes.remove(kept.home, "a-removal")
    assert await runtime.homes.list() == []


@pytest.mark.timeout(240)
async def test_a_profile_on_a_silent_node_is_not_used_twice(
    kubernetes: Cluster, namespace: str, host: Host, runtime: Runtime
):
    kubernetes.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {
                "capacity": {"storage": "100Gi"},
                "accessModes": ["ReadWriteOnce"],
                "claimRef": {"namespace": namespace, "name": home_name(host.installation_id, HOME)},
                "hostPath": {"path": f"/var/lib/greenroom-{namespace}", "type": "DirectoryOrCreate"},
            },
        },
        namespace=namespace,
    )
    silent, other = kubernetes.nodes
    profile = (Mount(source=HOME, target="/home/kasm-user", profile="Enabled"),)

    async def start_on(node: Node) -> str:
        session_id = new_id()
        there = {"node_selector": {"kubernetes.io/hostname": node.name}}
        await runtime.create(session_id, spec(mounts=profile, run_config=there))
        await runtime.start(session_id)
        return session_id

    try:
        first = await start_on(silent)
        silent.kill_kubelet()
        try:
            await runtime.remove(first)
            assert await runtime.inspect(first) is None
            with pytest.raises(StartError, match=f"may still be in use on the node {silent.name}"):
                await start_on(other)
            await runtime.remove(first)
        finally:
            silent.start_kubelet()
        await eventually(lambda: not kubernetes.get("pods", f"--namespace={namespace}")["items"], timeout_s=90.0)
        await runtime.remove(await start_on(other))
    finally:
        kubernetes.kubectl("delete", "persistentvolume", namespace, "--wait=false")
