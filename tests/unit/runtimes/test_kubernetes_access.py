"""The checks of a cluster before an Agent begins: a sentence for each missing part.

The answers are those of an API server of 1.20.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from greenroom.core.errors import SetupError
from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.kubernetes.access import (
    DEFAULT_CLASS_ANNOTATION,
    check_cluster,
    check_requirements,
    find_limitations,
    storage_limitations,
)
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.settings import KubernetesSettings as Where
from greenroom.runtimes.kubernetes.starting import UNBOUND_CLAIM_TEXT, _no_node_sentence  # pyright: ignore[reportPrivateUsage]

KUBECONFIG = """
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: here, context: {cluster: c, user: u, namespace: desks}}]
current-context: here
"""


def status(code: int, reason: str, message: str) -> httpx2.Response:
    said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return httpx2.Response(code, json={**said, "reason": reason, "code": code})


ENDING = "secrets is forbidden: unable to create new content in namespace desks because it is being terminated"
DENIED = 'admission webhook "validation.example.org" denied the request: secrets have an owner here'


class Server:
    """An API server with a namespace, for an account that has every permission except `refused`."""

    def __init__(self, *, version: str = "v1.20.2", refused: tuple[str, ...] = ()) -> None:
        self.version = version
        self.refused = refused
        self.made = httpx2.Response(201, json={"kind": "Secret"})

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/version":
            return httpx2.Response(200, json={"major": "1", "minor": "20", "gitVersion": self.version})
        if request.url.path.endswith("/selfsubjectaccessreviews"):
            asked: dict[str, Any] = json.loads(request.content)["spec"]["resourceAttributes"]
            allowed = f"{asked['verb']} {asked['resource']}" not in self.refused
            return httpx2.Response(201, json={"kind": "SelfSubjectAccessReview", "status": {"allowed": allowed}})
        assert (request.url.path, request.url.query) == ("/api/v1/namespaces/desks/secrets", b"dryRun=All")
        return self.made


def cluster_at(folder: Path, monkeypatch: pytest.MonkeyPatch, answers: Callable[..., httpx2.Response]) -> Cluster:
    file = folder / "config"
    file.write_text(KUBECONFIG)
    cluster = Cluster(Where(kube_config=file))
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answers), base_url="http://127.0.0.1:9")
    monkeypatch.setattr(cluster, "_http_client", client)
    return cluster


async def checked(folder: Path, monkeypatch: pytest.MonkeyPatch, answers: Callable[..., httpx2.Response]) -> str:
    return await check_requirements(cluster_at(folder, monkeypatch, answers))


@pytest.mark.parametrize(
    ("server", "made", "sentence"),
    [
        (Server(version="v1.19.9"), None, "has Kubernetes v1.19.9; sessions need 1.20 or newer"),
        (
            Server(refused=("patch pods", "list secrets")),
            None,
            "in the namespace desks: patch pods, list secrets. Bind its service account to a role",
        ),
        (Server(), status(404, "NotFound", 'namespaces "desks" not found'), "no such namespace: namespaces"),
        (Server(), status(403, "Forbidden", ENDING), "refuses this at present: secrets"),
        (Server(), status(403, "Forbidden", DENIED), "refuses this at present: admission webhook"),
        (lambda _: status(401, "Unauthorized", "Unauthorized"), None, "does not accept this Agent's log-in"),
        (lambda _: httpx2.Response(200, text="<html>"), None, "is not an API server of Kubernetes"),
    ],
    ids=["version", "verbs", "namespace", "ending", "webhook", "log-in", "another server"],
)
async def test_a_cluster_in_which_no_session_can_be_made_is_one_sentence(
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Callable[..., httpx2.Response],
    made: httpx2.Response | None,
    sentence: str,
):
    if made is not None:
        assert isinstance(server, Server)
        server.made = made
    with pytest.raises(RuntimeUnavailable, match=sentence) as raised:
        await checked(tmp_path, monkeypatch, server)
    assert raised.value.message.endswith(".")


async def test_a_namespace_whose_quota_is_used_up_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server = Server()
    server.made = status(403, "Forbidden", 'secrets "gr-check-1" is forbidden: exceeded quota: desks')
    assert await checked(tmp_path, monkeypatch, server) == "v1.20.2"


async def test_without_a_kubeconfig_the_file_is_named(tmp_path: Path):
    with pytest.raises(SetupError, match=str(tmp_path / "nothing")):
        await check_cluster(Where(kube_config=tmp_path / "nothing"))


DEFAULT = {"standard": {DEFAULT_CLASS_ANNOTATION: "true"}, "fast": {}}


@pytest.mark.parametrize(
    ("wanted", "classes", "remark"),
    [
        ("", DEFAULT, ""),
        ("fast", DEFAULT, ""),
        ("slow", DEFAULT, "no storage class slow (GREENROOM_KUBE_STORAGE_CLASS); it has: fast, standard."),
        ("", {"fast": {DEFAULT_CLASS_ANNOTATION: "false"}}, "no default storage class; it has: fast."),
        ("", {}, "no default storage class; it has: none."),
    ],
)
def test_a_storage_class_that_is_missing_is_named(wanted: str, classes: dict[str, dict[str, str]], remark: str):
    remarks = storage_limitations(wanted, classes)
    assert len(remarks) == bool(remark)
    assert all(remark in one for one in remarks)


def test_a_session_that_waits_for_its_home_says_where_to_look():
    said = f"0/2 nodes are available: 2 pod has {UNBOUND_CLAIM_TEXT}"
    assert "check the claim and its storage class" in _no_node_sentence(said)
    assert "claim" not in _no_node_sentence("0/2 nodes are available: 2 Insufficient cpu")


async def test_without_the_right_to_list_events_it_is_said_what_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    classes = ("list storageclasses", "list runtimeclasses")
    assert await find_limitations(cluster_at(tmp_path, monkeypatch, Server(refused=classes)), "", ()) == []
    refused = Server(refused=(*classes, "list events"))
    (remark,) = await find_limitations(cluster_at(tmp_path, monkeypatch, refused), "", ())
    assert "lacks permissions in the namespace desks: list events." in remark
    assert await checked(tmp_path, monkeypatch, Server(refused=("list events",))) == "v1.20.2", "it is not needed"
