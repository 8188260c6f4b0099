"""The events of a namespace: changes that are missed while no watch is active are found by a new list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from lightkube import AsyncClient

from greenroom.agent.app import AgentHealth
from greenroom.agent.session import inventory
from greenroom.agent.session.inventory import Inventory
from greenroom.runtimes.contract import SESSION, ContainerEvent
from greenroom.runtimes.kubernetes.changes import Changes
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.settings import KubernetesSettings as Where

KUBECONFIG = """
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: here, context: {cluster: c, user: u, namespace: desks}}]
current-context: here
"""
LABELS = {SESSION: "a"}
LONG_AGO = "2020-01-01T00:00:00Z"
TOO_OLD = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "message": "too old resource version",
    "code": 410,
}


def about(version: str) -> dict[str, Any]:
    return {"name": "gr-a", "uid": "uid", "labels": LABELS, "resourceVersion": version}


def silent_pod() -> dict[str, Any]:
    """A Pod whose node reported that it is ready, and then nothing for years."""
    container = {"name": "session", "image": "i", "imageID": "i", "ready": True, "restartCount": 0}
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": LONG_AGO}
    seen = {"phase": "Running", "podIP": "10.0.0.5", "conditions": [ready], "containerStatuses": [container]}
    return {"metadata": about("1"), "spec": {"containers": []}, "status": seen}


class Server:
    """An API server whose watches send nothing; that of `kind` sends this line, once, when it `goes_on`."""

    def __init__(self, *pods: dict[str, Any], kind: str, line: dict[str, Any], code: int = 200) -> None:
        self.pods = pods
        self.kind = kind
        self.line = line
        self.code = code
        self.goes_on = asyncio.Event()
        self.refuses_deletions = ""

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        kind = request.url.path.split("/")[5]
        if request.method == "DELETE":
            self.goes_on.set()
            return httpx2.Response(403, json={"kind": "Status", "message": self.refuses_deletions, "code": 403})
        if "watch" not in request.url.params:
            items = self.pods if kind == "pods" else ()
            return httpx2.Response(200, json={"kind": "List", "metadata": {"resourceVersion": "1"}, "items": [*items]})
        await (self.goes_on if kind == self.kind else asyncio.Event()).wait()
        self.goes_on.clear()
        return httpx2.Response(self.code, content=self._lines())

    async def _lines(self) -> AsyncGenerator[bytes]:
        yield json.dumps(self.line).encode() + b"\n"
        if self.code == 200:
            await asyncio.Event().wait()


def changes(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Changes:
    file = folder / "config"
    file.write_text(KUBECONFIG)
    cluster, transport = Cluster(Where(kube_config=file)), httpx2.MockTransport(server)
    plain = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:9")
    monkeypatch.setattr(cluster, "_http_client", plain)
    monkeypatch.setattr(cluster, "_lightkube", AsyncClient(cluster._config, namespace="desks", transport=transport))
    return Changes(cluster, LABELS)


@pytest.mark.parametrize("kind", ["pods", "secrets"])
@pytest.mark.parametrize(("line", "code"), [(TOO_OLD, 410), ({"type": "ERROR", "object": TOO_OLD}, 200)])
async def test_events_end_when_some_were_missed_so_that_all_is_looked_at_at_once(
    *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, line: dict[str, Any], code: int
):
    monkeypatch.setattr(inventory, "RETRY_S", 0.0)
    server = Server(kind=kind, line=line, code=code)

    class Runtime:
        def events(self) -> AsyncGenerator[ContainerEvent]:
            return changes(tmp_path, monkeypatch, server).run()

    health = AgentHealth()
    agent_inventory = Inventory(cast("Any", Runtime()), cast("Any", None), "an-agent", health)
    watching = asyncio.create_task(agent_inventory.watch())
    try:
        server.goes_on.set()
        async with asyncio.timeout(10):
            await agent_inventory.outdated.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert health.runtime_error == ""


async def test_a_silent_pod_whose_deletion_is_refused_ends_no_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = {"type": "ADDED", "object": {"metadata": about("2")}}
    server = Server(silent_pod(), kind="secrets", line=made)
    server.refuses_deletions = 'admission webhook "keeps.example.org" denied the request: nothing is deleted here'
    async with asyncio.timeout(10), aclosing(changes(tmp_path, monkeypatch, server).run()) as events:
        assert await anext(events) == ContainerEvent(session_id="a", kind="create")
