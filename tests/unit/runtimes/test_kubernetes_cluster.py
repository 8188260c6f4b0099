"""The connection to a cluster: messages about unusable kubeconfigs, and the meaning of the server's refusals."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from lightkube.resources.core_v1 import Pod

from greenroom.core.errors import GreenroomError, SetupError
from greenroom.runtimes.contract import ContainerConflict, ContainerMissing, RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes.access import version_problem
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.errors import ApiGone, translated
from greenroom.runtimes.kubernetes.kubeconfig import load_config
from greenroom.runtimes.kubernetes.objects import metadata
from greenroom.runtimes.kubernetes.settings import KubernetesSettings as Where

KUBECONFIG = """
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {}}]
contexts: [{name: here, context: {cluster: c, user: u, namespace: desks}}]
current-context: here
"""
NO_RIGHT = (
    'pods is forbidden: User "system:serviceaccount:desks:agent" cannot create resource "pods" in API group "" in the'
    ' namespace "desks"'
)


def file_with(folder: Path, content: str) -> Path:
    file = folder / "config"
    file.write_text(content)
    return file


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("just words", "is not a kubeconfig: "),
        ("[]", "is not a kubeconfig: "),
        ("{clusters: [", "not YAML"),
        ("current-context: here", "'clusters' is missing"),
        (KUBECONFIG.replace("current-context: here", ""), "No current context"),
        (KUBECONFIG.replace("current-context: here", "current-context: there"), "there"),
        (KUBECONFIG.replace("user: u,", "user: v,"), "'v' is missing"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: str, why: str):
    file = file_with(tmp_path, content)
    with pytest.raises(SetupError, match=why) as raised:
        load_config(Where(kube_config=file))
    assert str(file) in raised.value.message
    assert raised.value.message.endswith(".")


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(SetupError, match="nothing"):
        load_config(Where(kube_config=tmp_path / "nothing"))


def test_settings_go_before_the_file(tmp_path: Path):
    file = file_with(tmp_path, KUBECONFIG % "http://127.0.0.1:9")
    assert load_config(Where(kube_config=file)).namespace == "desks"
    assert load_config(Where(kube_config=file, kube_namespace="others")).namespace == "others"


async def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path):
    file = file_with(tmp_path, KUBECONFIG % "http://127.0.0.1:9")
    cluster = Cluster(Where(kube_config=file), timeout_s=1)
    await cluster.open()
    with pytest.raises(RuntimeUnavailable, match="does not answer"):
        await cluster.request_json("version")
    await cluster.close()


@pytest.mark.parametrize(
    ("code", "said", "read_only", "meaning"),
    [
        (401, "Unauthorized", False, RuntimeUnavailable),
        (403, NO_RIGHT, True, RuntimeUnavailable),
        (403, 'pods "a" is forbidden: violates PodSecurity', True, RuntimeUnavailable),
        (403, 'pods "a" is forbidden: exceeded quota: desks', False, StartError),
        (404, 'pods "gr-a" not found', False, ContainerMissing),
        (404, 'namespaces "desks" not found', False, RuntimeUnavailable),
        (409, "already exists", False, ContainerConflict),
        (410, "too old resource version", True, ApiGone),
        (422, "spec is invalid", False, StartError),
        (422, "spec is invalid", True, RuntimeUnavailable),
        (500, "etcd", False, RuntimeUnavailable),
    ],
)
async def test_what_the_server_answers_is_an_error_of_the_contract(
    code: int, said: str, read_only: bool, meaning: type[Exception]
):
    request = httpx2.Request("GET", "http://cluster/")
    answer = httpx2.Response(code, request=request)
    with pytest.raises(meaning):
        async with translated(read_only=read_only):
            raise httpx2.HTTPStatusError(said, request=request, response=answer)


async def refused(said: str, meaning: type[GreenroomError]) -> str:
    """The message about a change that the server has answered with 403 Forbidden."""
    request = httpx2.Request("POST", "http://cluster/")
    with pytest.raises(meaning) as raised:
        async with translated():
            raise httpx2.HTTPStatusError(said, request=request, response=httpx2.Response(403, request=request))
    return raised.value.message


@pytest.mark.parametrize(
    "said",
    [
        'pods "gr-a" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes (volume "volume-0")',
        'pods "gr-a" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi',
        'pods "gr-a" is forbidden: failed quota: desks: must specify limits.cpu for: session',
        'pods "gr-a" is forbidden: pod rejected: RuntimeClass "gvisor" not found',
        'admission webhook "validation.gatekeeper.sh" denied the request: [only-ours] image is of another registry',
    ],
    ids=["Pod security", "LimitRange", "quota", "RuntimeClass", "webhook"],
)
async def test_what_the_cluster_forbids_fails_the_start_with_the_servers_own_text(said: str):
    assert await refused(said, StartError) == f"Kubernetes refused: {said}."


@pytest.mark.parametrize(
    ("said", "what_to_do"),
    [
        (NO_RIGHT, "give its account the verbs"),
        (f'{NO_RIGHT}: RBAC: role.rbac.authorization.k8s.io "desks" not found', "give its account the verbs"),
        (
            'pods "gr-a" is forbidden: unable to create new content in namespace desks because it is being terminated',
            "at present",
        ),
        ('pods "gr-a" is forbidden: status unknown for quota: desks, resources: limits.memory', "at present"),
        ('secrets "gr-a" is forbidden: not yet ready to handle request', "at present"),
    ],
    ids=["no verb", "no role", "namespace", "new quota", "new server"],
)
async def test_what_is_forbidden_for_another_reason_fails_no_session(said: str, what_to_do: str):
    message = await refused(said, RuntimeUnavailable)
    assert said in message
    assert what_to_do in message


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("v1.20.2", ""),
        ("v1.33.1-eks-5d4a", ""),
        ("v1.19.9", "1.20 or newer"),
        ("gentle", "not a version"),
        ("", "not a version"),
    ],
)
def test_a_cluster_must_have_a_known_version(version: str, problem: str):
    assert (problem in version_problem(version)) if problem else not version_problem(version)


async def test_the_output_of_a_pod_is_asked_of_our_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """For a Pod with several containers the server answers none without a name."""
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params["container"])
        return httpx2.Response(200, text="2026-01-01T00:00:00Z a line\n")

    cluster = Cluster(Where(kube_config=file_with(tmp_path, KUBECONFIG % "http://127.0.0.1:9")))
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://127.0.0.1:9")
    monkeypatch.setattr(cluster, "_http_client", client)
    assert "a line" in await cluster.logs("gr-a", 50, 1.0)
    assert [line async for _, line in cluster.follow_logs("gr-filter-a", "squid", None)] == ["a line"]
    assert asked == ["session", "squid"]


async def test_a_bookmark_of_a_watch_has_a_version_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    line = b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"7"},"spec":{"containers":null}}}'
    answers = httpx2.MockTransport(lambda request: httpx2.Response(200, content=line + b"\n"))
    cluster = Cluster(Where(kube_config=file_with(tmp_path, KUBECONFIG % "http://127.0.0.1:9")))
    monkeypatch.setattr(cluster, "_http_client", httpx2.AsyncClient(transport=answers, base_url="http://127.0.0.1:9"))
    seen = [(change, metadata(pod).resourceVersion) async for change, pod in cluster.watch(Pod)]
    assert seen == [("BOOKMARK", "7")]
