"""Unusable log-ins: one sentence each from `up`, `doctor` and the Agent; and supported log-in programs."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from lightkube.config.models import UserExec
from lightkube.resources.core_v1 import Pod
from tests.support.waiting import eventually

from greenroom.agent import host
from greenroom.agent.app import AgentHealth
from greenroom.agent.host import HostServices
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.kit.config import AgentConfig
from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.kubernetes import log_in
from greenroom.runtimes.kubernetes.access import check_cluster
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.kubeconfig import load_config
from greenroom.runtimes.kubernetes.log_in import LogInProgram
from greenroom.runtimes.kubernetes.settings import KubernetesSettings as Where

VERSION = "client.authentication.k8s.io/v1"
NOWHERE = "http://127.0.0.1:9"


def kubeconfig(folder: Path, user: object, server: str = NOWHERE) -> Path:
    """Write a kubeconfig as JSON, which is also YAML."""
    file = folder / "config"
    context = {"cluster": "c", "user": "u", "namespace": "desks"}
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "here", "context": context}],
        "current-context": "here",
    }
    file.write_text(json.dumps(content))
    return file


def program(script: str, version: str = VERSION) -> dict[str, object]:
    return {"exec": {"apiVersion": version, "command": "sh", "args": ["-c", script]}}


def prints(answer: object) -> str:
    return f"printf %s {shlex.quote(json.dumps(answer))}"


@pytest.mark.parametrize(
    ("user", "error", "sentence"),
    [
        (
            program(prints({"status": {"clientCertificateData": "c", "clientKeyData": "k"}})),
            RuntimeUnavailable,
            "The log-in program sh of the kubeconfig returns a client certificate, which is not supported",
        ),
        (program("echo Please log in"), RuntimeUnavailable, "did not answer with an ExecCredential"),
        (program("echo null"), RuntimeUnavailable, "did not answer with an ExecCredential"),
        (program(prints({"status": {}})), RuntimeUnavailable, "returned no token"),
        (program(prints({"status": {"token": "two\nlines"}})), RuntimeUnavailable, "invalid characters"),
        (program("echo 'your session\nhas ended.' >&2; exit 3"), RuntimeUnavailable, "failed: your session has ended"),
        (program("exit 3"), RuntimeUnavailable, "failed: exit code 3"),
        (
            {"exec": {"apiVersion": VERSION, "command": "/no/such/program"}},
            RuntimeUnavailable,
            "/no/such/program of the kubeconfig cannot be run: No such file or directory",
        ),
        (program("true", version="v7"), SetupError, "names a log-in program of version 'v7'"),
        (
            {"auth-provider": {"name": "gcp"}},
            SetupError,
            r"logs in with auth-provider, .* use a log-in program \(exec\)",
        ),
        ({"client-certificate-data": "Yw=="}, SetupError, "a client certificate without its key"),
        ({"token": "two\nlines"}, SetupError, "a token with invalid characters"),
        ({"tokenFile": "/no/such/token"}, RuntimeUnavailable, "The log-in at Kubernetes failed: Token file /no/such"),
    ],
)
async def test_a_log_in_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, user: object, error: type[GreenroomError], sentence: str
):
    with pytest.raises(error, match=sentence) as raised:
        await check_cluster(Where(kube_config=kubeconfig(tmp_path, user)))
    assert raised.value.message.endswith(".")
    assert "lines" not in raised.value.message, "a token is secret"


@pytest.mark.parametrize("server", ["http://[::1", "127.0.0.1:9", "http://127.0.0.1:99999", "https://"])
def test_a_server_that_is_no_address_is_named(tmp_path: Path, server: str):
    with pytest.raises(SetupError, match="which is not an address such as https://") as raised:
        load_config(Where(kube_config=kubeconfig(tmp_path, {}, server)))
    assert repr(server) in raised.value.message


async def test_a_log_in_program_that_hangs_is_ended_with_all_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_in, "ANSWER_TIMEOUT_S", 0.5)
    held = tmp_path / "held"
    os.mkfifo(held)
    reading = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    file = kubeconfig(tmp_path, program(f"exec 3>{held}; sleep 600 & wait"))
    with pytest.raises(RuntimeUnavailable, match=r"sh of the kubeconfig did not answer within 0\.5 s"):
        await check_cluster(Where(kube_config=file))
    os.set_blocking(reading, True)
    assert await asyncio.to_thread(os.read, reading, 1) == b"", "as soon as none holds its other end"
    os.close(reading)


async def test_a_kubeconfig_of_several_files_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = kubeconfig(tmp_path, {})
    monkeypatch.setenv("KUBECONFIG", f"{file}:/home/ann/others")
    with pytest.raises(SetupError, match=f"names 2 files \\({file}, /home/ann/others\\).* GREENROOM_KUBE_CONFIG"):
        await check_cluster(Where())
    monkeypatch.setenv("KUBECONFIG", f":{file}")
    assert load_config(Where()).namespace == "desks"
    assert load_config(Where(kube_config=file)).namespace == "desks"


# One that works --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def api_server(accepted: str, tokens: list[str]) -> AsyncGenerator[str]:
    """An API server without Pods; `tokens` are the received ones."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        tokens.append(next((line[22:] for line in head.splitlines() if line.startswith("Authorization: Bearer ")), ""))
        body = json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": []})
        status = "200 OK" if tokens[-1] == accepted else "401 Unauthorized"
        kind = "Content-Type: application/json\r\nConnection: close"
        writer.write(f"HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_log_in_program_is_asked_once_for_all_that_is_asked_of_the_server(tmp_path: Path):
    asked, tokens = tmp_path / "asked", list[str]()
    script = f"echo asked >> {asked}; {prints({'status': {'token': 'a-token'}})}"
    async with api_server("a-token", tokens) as server:
        cluster = Cluster(Where(kube_config=kubeconfig(tmp_path, program(script), server)))
        await cluster.open()
        await asyncio.gather(cluster.request_json("version"), cluster.list(Pod), cluster.request_json("version"))
        await cluster.close()
    assert asked.read_text().split() == ["asked"]
    assert tokens == ["a-token"] * 3


def of(script: str, version: str = VERSION) -> LogInProgram:
    return LogInProgram(UserExec(apiVersion=version, command="sh", args=["-c", script]))


async def test_a_log_in_program_is_asked_again_when_its_token_is_refused(tmp_path: Path):
    tokens = tmp_path / "tokens"
    tokens.write_text("old\nnew\n")
    script = f"""token=$(head -n1 {tokens}); sed -i 1d {tokens}; echo '{{"status": {{"token": "'$token'"}}}}'"""
    accepted = {"Bearer old"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200 if request.headers["Authorization"] in accepted else 401)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), auth=of(script)) as client:
        assert (await client.get(NOWHERE)).status_code == 200
        accepted = {"Bearer new"}
        answers = await asyncio.gather(*(client.get(NOWHERE) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5


@pytest.mark.parametrize("version", [VERSION, f"{VERSION}beta1", f"{VERSION}alpha1"])
async def test_a_log_in_program_is_asked_in_its_own_version(version: str):
    script = r"""printf '{"status": {"token": "%s"}}' "$(printf %s "$KUBERNETES_EXEC_INFO" | tr -d ' "{}')" """
    answers = httpx2.MockTransport(lambda request: httpx2.Response(200, text=request.headers["Authorization"]))
    async with httpx2.AsyncClient(transport=answers, auth=of(script, version)) as client:
        said = (await client.get(NOWHERE)).text
    assert said == f"Bearer apiVersion:{version},kind:ExecCredential,spec:interactive:false"


# The Agent -------------------------------------------------------------------------------------------------------


async def test_the_agent_names_a_kubeconfig_that_cannot_be_used_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "RETRY_S", 0.01)
    file = kubeconfig(tmp_path, {"auth-provider": {"name": "gcp"}})
    monkeypatch.setenv("GREENROOM_KUBE_CONFIG", str(file))
    health, unused = AgentHealth(), cast("Any", None)
    work = HostServices(
        config=AgentConfig(agent_dir=tmp_path, runtime="kubernetes"),
        identity=cast("Any", SimpleNamespace(installation_id="an-installation", agent_id="an-agent")),
        manager_client=unused,
        sessions=unused,
        journal=unused,
        health=health,
        metrics=unused,
        streams_closed=unused,
    )
    running = asyncio.create_task(work.run())
    try:
        async with asyncio.timeout(10):
            await work.wait_until_inspected()
            assert health.runtime_error.startswith(f"{file} logs in with auth-provider")
            kubeconfig(tmp_path, program("exit 3"))
            await eventually(lambda: health.runtime_error.endswith("failed: exit code 3."))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
