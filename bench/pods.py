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

from bench import raw
from bench.instance import Instance, instance, wait
from bench.line import Line
from bench.opened import await_open, open_stream
from bench.table import Figure, median, spread
from greenroom.runtimes.probe import Prober

IMAGE: Final = "greenroom/desktop:openbox"
POOL: Final = 3
SAMPLES: Final = 9
REFILL: Final = 8
ROUNDS: Final = 3
REST_S: Final = 1.0
CORES: Final = 0.1
"""The cores of each session: all sessions of the pool must fit on two nodes on two cores."""
MEMORY: Final = 512 << 20
QUOTA: Final = {"requests.cpu": "16", "requests.memory": "64Gi"}


@dataclass(frozen=True, slots=True)
class Plain:
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
            "env": [{"name": "VNC_PW", "value": raw.SPEC.credential}],
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
        return f"{await self._kubectl('get', 'pod', name, '--output=jsonpath={.status.podIP}')}:{raw.SPEC.port}"

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
def on_pods(cluster: Cluster) -> Generator[tuple[Instance, str]]:
    """Greenroom on this machine, whose sessions are Pods of a namespace."""
    with cluster.namespace("bench") as namespace:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "desks"}, "spec": {"hard": QUOTA}}
        cluster.apply(quota, namespace=namespace)
        settings = {"GREENROOM_KUBE_CONFIG": str(cluster.kubeconfig), "GREENROOM_KUBE_NAMESPACE": namespace}
        settings["GREENROOM_DESKTOP_IMAGE"] = IMAGE
        with instance(runtime="kubernetes", environment=settings) as running:
            wait(lambda: _has_image(running), 60)
            yield light(running), namespace


def _has_image(running: Instance) -> bool:
    """True if the nodes have the image, as an advance Pod has shown; nothing is launched before."""
    with psycopg.connect(running.facts["database_url"]) as connection:
        return connection.execute("SELECT 1 FROM agent_images WHERE state = 'present'").fetchone() is not None


def light(running: Instance) -> Instance:
    """Reduce the resources of the desktop so that many fit on two cores."""
    changes = {"cores": CORES, "memory": MEMORY}
    running.http.patch(f"/api/v1/images/{running.desktop()['image_id']}", json=changes).raise_for_status()
    return running


def run() -> list[Figure]:
    """Measure Docker's claims first, in a separate instance; then the Pods."""
    with running_cluster() as cluster:
        cluster.load_image(IMAGE)
        with instance(environment={"GREENROOM_DESKTOP_IMAGE": IMAGE}) as running:
            docker = _staged(light(running))
        with on_pods(cluster) as (running, namespace):
            plain = Plain(cluster, namespace)
            on_demand, by_hand = _on_demand(running, plain)
            staged = _staged(running)
            refills = _refills(running, plain)
    return [
        Figure(
            "Pods: on demand to first frame", median(on_demand), median(by_hand), "ms", "kubectl run, same image",
            len(on_demand), f"{spread(on_demand)}; {spread(by_hand)}", on_demand, by_hand, goal=1.2,
        ),
        Figure(
            "Pods: click to first frame, staged", median(staged.frame_ms), median(on_demand), "ms",
            "on demand, same image", SAMPLES, f"{spread(staged.frame_ms)}", staged.frame_ms, on_demand, goal=0.15,
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
            f"Pods: refill, {REFILL} sessions", 60 * REFILL / median(refills[0]), 60 * REFILL / median(refills[1]),
            "a minute", f"{REFILL} kubectl run at once", ROUNDS, f"{spread(refills[0])} s; {spread(refills[1])} s",
            goal=0.85, more_is_better=True,
        ),
    ]  # fmt: skip


def _on_demand(running: Instance, plain: Plain) -> tuple[list[float], list[float]]:
    """Milliseconds of Greenroom's Pods and of plain Pods, in turn; the first of each is not counted."""
    image_id = running.desktop()["image_id"]
    ours, theirs = list[float](), list[float]()
    for user in running.many_users(SAMPLES + 1):
        line, events = Line(running), Line(running).events()
        start = time.perf_counter()
        session = line.ask("POST", "/sessions", {"image_id": image_id, "user_id": user})["session_id"]
        open_stream(running, line, events, session)
        ours.append((time.perf_counter() - start) * 1000)
        running.end_all()
        theirs.append(asyncio.run(_plain(plain)))
        time.sleep(REST_S)
    return ours[1:], theirs[1:]


async def _plain(plain: Plain) -> float:
    (name,) = raw.names(1)
    prober = Prober()
    start = time.perf_counter()
    address = await plain.run(name)
    await raw.painted(prober, address, is_alone=True)
    await raw.seen(address)
    taken_ms = (time.perf_counter() - start) * 1000
    await plain.remove([name])
    await prober.close()
    return taken_ms


@dataclass(frozen=True, slots=True)
class Staged:
    """Milliseconds from the request: until the reply, until the stream may be opened, until the first frame."""

    reply_ms: list[float]
    open_ms: list[float]
    frame_ms: list[float]


def _staged(running: Instance) -> Staged:
    """Launch one session after the other, each with a full pool at rest; the first is not counted."""
    config, image_id = running.stage(POOL), running.desktop()["image_id"]
    found = Staged([], [], [])
    for number, user in enumerate(running.many_users(2 * SAMPLES + 1)):
        running.await_current(config, POOL)
        time.sleep(REST_S)
        line, events = Line(running), Line(running).events()
        start = time.perf_counter()
        session = line.launch(image_id, user)["session_id"]
        reply_ms = (time.perf_counter() - start) * 1000
        if number % 2:
            await_open(line, events, session)
            found.open_ms.append((time.perf_counter() - start) * 1000)
        elif number:
            open_stream(running, line, events, session)
            found.frame_ms.append((time.perf_counter() - start) * 1000)
        if number:
            found.reply_ms.append(reply_ms)
        line.ask("DELETE", f"/sessions/{session}")
    running.http.delete(f"/api/v1/staging-configs/{config}").raise_for_status()
    running.end_all()
    return found


def _refills(running: Instance, plain: Plain) -> tuple[list[float], list[float]]:
    """Seconds of rounds of Greenroom's Pods and of plain Pods, in turn."""
    ours, theirs = list[float](), list[float]()
    config = running.begin_staging(running.desktop()["image_id"], 0)
    for _ in range(ROUNDS):
        theirs.append(asyncio.run(_plain_at_once(plain)))
        line, events = Line(running), Line(running).events()
        start = time.perf_counter()
        line.ask("PATCH", f"/staging-configs/{config}", {"num_sessions": REFILL})
        events.first(config, partial(_is_full, line, config))
        ours.append(time.perf_counter() - start)
        line.ask("PATCH", f"/staging-configs/{config}", {"num_sessions": 0})
        wait(lambda: not running.get("/sessions"), 120)
    return ours, theirs


def _is_full(line: Line, config: str) -> bool:
    return line.ask("GET", f"/staging-configs/{config}")["num_current_sessions"] >= REFILL


async def _plain_at_once(plain: Plain) -> float:
    names, prober = raw.names(REFILL), Prober()

    async def one(name: str) -> None:
        await raw.painted(prober, await plain.run(name), is_alone=False)

    start = time.perf_counter()
    await asyncio.gather(*map(one, names))
    taken_s = time.perf_counter() - start
    await plain.remove(names)
    await prober.close()
    return taken_s
