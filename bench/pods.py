"""Sessions as Pods of two nodes: the first frame and a refill compared with `kubectl run` of the same image, a claim
compared with Docker's.

KUBERNETES_CLUSTER names a cluster that `script/kubernetes up` has started; without it, one is created for the run. All
of its programs, and Greenroom, share the same two cores.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import psycopg
from tests.support.kubernetes.cluster import Cluster, running_cluster

from bench import baseline
from bench.api_connection import ApiConnection
from bench.instance import Instance, run_instance, wait
from bench.session_stream import open_stream, wait_until_open
from bench.table import Figure, median, spread
from greenroom.runtimes.probe import Prober

IMAGE: Final = "greenroom/desktop:openbox"
POOL: Final = 3
SAMPLES: Final = 9
REFILL_SESSIONS: Final = 8
ROUNDS: Final = 3
PAUSE_S: Final = 1.0
CORES: Final = 0.1
"""The cores of each session: all sessions of the pool must fit on two nodes on two cores."""
MEMORY: Final = 512 << 20
QUOTA: Final = {"requests.cpu": "16", "requests.memory": "64Gi"}


@dataclass(frozen=True, slots=True)
class PlainPods:
    """Pods created with `kubectl run`, with the resources of a session's Pod and without Greenroom."""

    cluster: Cluster
    namespace: str

    async def run(self, name: str) -> str:
        """Create a Pod; returns host:port of its page once its container is ready."""
        shm = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(512 << 20)}}
        limits = {"cpu": f"{round(CORES * 1000)}m", "memory": str(MEMORY)}
        container: dict[str, Any] = {
            "name": name,
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "VNC_PW", "value": baseline.SPEC.credential}],
            "resources": {"requests": limits, "limits": {"memory": limits["memory"]}},
            "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108 -- in the container
        }
        spec = {
            "containers": [container],
            "volumes": [shm],
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
        }
        await self._kubectl(
            "run", name, f"--image={IMAGE}", "--restart=Never", f"--overrides={json.dumps({'spec': spec})}"
        )
        await self._kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        return f"{await self._kubectl('get', 'pod', name, '--output=jsonpath={.status.podIP}')}:{baseline.SPEC.port}"

    async def remove(self, names: list[str]) -> None:
        await self._kubectl("delete", "pod", *names, "--grace-period=0", "--force")

    async def _kubectl(self, *arguments: str) -> str:
        argv = [f"{self.cluster.layout.folder}/binaries/kubectl", f"--kubeconfig={self.cluster.kubeconfig}"]
        process = await asyncio.create_subprocess_exec(
            *argv, f"--namespace={self.namespace}", *arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, arguments
        return output.decode()


@contextmanager
def run_on_pods(cluster: Cluster) -> Generator[tuple[Instance, str]]:
    """Greenroom on this machine, whose sessions are Pods of a namespace."""
    with cluster.namespace("bench") as namespace:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "desks"}, "spec": {"hard": QUOTA}}
        cluster.apply(quota, namespace=namespace)
        settings = {"GREENROOM_KUBE_CONFIG": str(cluster.kubeconfig), "GREENROOM_KUBE_NAMESPACE": namespace}
        settings["GREENROOM_DESKTOP_IMAGE"] = IMAGE
        with run_instance(runtime="kubernetes", environment=settings) as instance:
            wait(lambda: _has_image(instance), 60)
            yield reduce_resources(instance), namespace


def _has_image(instance: Instance) -> bool:
    """True if the nodes have the image, as an advance Pod has shown; nothing is launched before."""
    with psycopg.connect(instance.facts["database_url"]) as connection:
        return connection.execute("SELECT 1 FROM agent_images WHERE state = 'present'").fetchone() is not None


def reduce_resources(instance: Instance) -> Instance:
    """Reduce the resources of the desktop so that many fit on two cores."""
    changes = {"cores": CORES, "memory": MEMORY}
    instance.http.patch(f"/api/v1/images/{instance.find_desktop()['image_id']}", json=changes).raise_for_status()
    return instance


def run() -> list[Figure]:
    """Measure Docker's claims first, in a separate instance; then the Pods."""
    with running_cluster() as cluster:
        cluster.load_image(IMAGE)
        with run_instance(environment={"GREENROOM_DESKTOP_IMAGE": IMAGE}) as instance:
            docker = _measure_staged(reduce_resources(instance))
        with run_on_pods(cluster) as (instance, namespace):
            plain = PlainPods(cluster, namespace)
            on_demand_ms, plain_ms = _measure_on_demand(instance, plain)
            staged = _measure_staged(instance)
            own_s, plain_s = _measure_refills(instance, plain)
    return [
        Figure(
            "Pods: on demand to first frame", median(on_demand_ms), median(plain_ms), "ms", "kubectl run, same image",
            len(on_demand_ms), f"{spread(on_demand_ms)}; {spread(plain_ms)}", on_demand_ms, plain_ms, goal=1.2,
        ),
        Figure(
            "Pods: click to first frame, staged", median(staged.frame_ms), median(on_demand_ms), "ms",
            "on demand, same image", SAMPLES, f"{spread(staged.frame_ms)}", staged.frame_ms, on_demand_ms, goal=0.15,
        ),
        Figure(
            "Pods: launch of a staged session until the reply", median(staged.reply_ms), median(docker.reply_ms), "ms",
            "the same on Docker", SAMPLES, f"{spread(staged.reply_ms)}; {spread(docker.reply_ms)}",
            staged.reply_ms, docker.reply_ms, goal=1.2,
        ),
        Figure(
            "Pods: launch of a staged session until its stream may be opened", median(staged.open_ms),
            median(docker.open_ms), "ms", "the same on Docker", SAMPLES,
            f"{spread(staged.open_ms)}; {spread(docker.open_ms)}", staged.open_ms, docker.open_ms,
        ),
        Figure(
            f"Pods: refill, {REFILL_SESSIONS} sessions", 60 * REFILL_SESSIONS / median(own_s),
            60 * REFILL_SESSIONS / median(plain_s), "a minute", f"{REFILL_SESSIONS} kubectl run at once", ROUNDS,
            f"{spread(own_s)} s; {spread(plain_s)} s", goal=0.85, more_is_better=True,
        ),
    ]  # fmt: skip


def _measure_on_demand(instance: Instance, plain: PlainPods) -> tuple[list[float], list[float]]:
    """Milliseconds of Greenroom's Pods and of plain Pods, in turn; the first of each is not counted."""
    image_id = instance.find_desktop()["image_id"]
    own_ms, plain_ms = list[float](), list[float]()
    for user in instance.create_users(SAMPLES + 1):
        connection, events = ApiConnection(instance), ApiConnection(instance).events()
        start = time.perf_counter()
        session = connection.request("POST", "/sessions", {"image_id": image_id, "user_id": user})["session_id"]
        open_stream(instance, connection, events, session)
        own_ms.append((time.perf_counter() - start) * 1000)
        instance.end_all()
        plain_ms.append(asyncio.run(_plain_ms(plain)))
        time.sleep(PAUSE_S)
    return own_ms[1:], plain_ms[1:]


async def _plain_ms(plain: PlainPods) -> float:
    (name,) = baseline.new_names(1)
    prober = Prober()
    start = time.perf_counter()
    address = await plain.run(name)
    await baseline.wait_until_painted(prober, address, is_alone=True)
    await baseline.receive_frame(address)
    taken_ms = (time.perf_counter() - start) * 1000
    await plain.remove([name])
    await prober.close()
    return taken_ms


@dataclass(frozen=True, slots=True)
class StagedTimes:
    """Milliseconds from the request: until the reply, until the stream may be opened, until the first frame."""

    reply_ms: list[float]
    open_ms: list[float]
    frame_ms: list[float]


def _measure_staged(instance: Instance) -> StagedTimes:
    """Launch one session after the other, each with a full pool at rest; the first is not counted."""
    config_id, image_id = instance.stage(POOL), instance.find_desktop()["image_id"]
    times = StagedTimes([], [], [])
    for number, user in enumerate(instance.create_users(2 * SAMPLES + 1)):
        instance.wait_for_claimable(config_id, POOL)
        time.sleep(PAUSE_S)
        connection, events = ApiConnection(instance), ApiConnection(instance).events()
        start = time.perf_counter()
        session = connection.launch(image_id, user)["session_id"]
        reply_ms = (time.perf_counter() - start) * 1000
        if number % 2:
            wait_until_open(connection, events, session)
            times.open_ms.append((time.perf_counter() - start) * 1000)
        elif number:
            open_stream(instance, connection, events, session)
            times.frame_ms.append((time.perf_counter() - start) * 1000)
        if number:
            times.reply_ms.append(reply_ms)
        connection.request("DELETE", f"/sessions/{session}")
    instance.http.delete(f"/api/v1/staging-configs/{config_id}").raise_for_status()
    instance.end_all()
    return times


def _measure_refills(instance: Instance, plain: PlainPods) -> tuple[list[float], list[float]]:
    """Seconds of rounds of Greenroom's Pods and of plain Pods, in turn."""
    own_s, plain_s = list[float](), list[float]()
    config_id = instance.create_staging_config(instance.find_desktop()["image_id"], 0)
    for _ in range(ROUNDS):
        plain_s.append(asyncio.run(_plain_refill_s(plain)))
        connection, events = ApiConnection(instance), ApiConnection(instance).events()
        start = time.perf_counter()
        connection.request("PATCH", f"/staging-configs/{config_id}", {"num_sessions": REFILL_SESSIONS})
        events.wait_for(config_id, partial(_is_full, connection, config_id))
        own_s.append(time.perf_counter() - start)
        connection.request("PATCH", f"/staging-configs/{config_id}", {"num_sessions": 0})
        wait(lambda: not instance.get("/sessions"), 120)
    return own_s, plain_s


def _is_full(connection: ApiConnection, config_id: str) -> bool:
    return connection.request("GET", f"/staging-configs/{config_id}")["num_current_sessions"] >= REFILL_SESSIONS


async def _plain_refill_s(plain: PlainPods) -> float:
    names, prober = baseline.new_names(REFILL_SESSIONS), Prober()

    async def run_pod(name: str) -> None:
        await baseline.wait_until_painted(prober, await plain.run(name), is_alone=False)

    start = time.perf_counter()
    await asyncio.gather(*map(run_pod, names))
    taken_s = time.perf_counter() - start
    await plain.remove(names)
    await prober.close()
    return taken_s
