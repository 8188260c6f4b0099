"""A command in a Pod whose connection ends unexpectedly raises only errors of the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from httpx2.websockets import HTTPXWSException
from websockets.asyncio.server import ServerConnection, serve

from greenroom.core.workspace.session_spec import Exec
from greenroom.runtimes.contract import ExecResult, RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes import exec as kubernetes_exec
from greenroom.runtimes.kubernetes.cluster import EXEC_PROTOCOL, Cluster
from greenroom.runtimes.kubernetes.exec import OutputTail, run_exec, run_script
from greenroom.runtimes.kubernetes.settings import KubernetesSettings as Where

KUBECONFIG = """
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%s"}}]
users: [{name: u, user: {}}]
contexts: [{name: here, context: {cluster: c, user: u, namespace: desks}}]
current-context: here
"""
POD = "gr-a"
LARGE = b"x" * (4 << 20)
"""More than the buffers of a connection whose other end does not read."""

Answer = Callable[[ServerConnection], Awaitable[None]]


async def drops(connection: ServerConnection) -> None:
    connection.transport.abort()


async def closes(connection: ServerConnection) -> None:
    await connection.close(1011, "the node went away")


async def refuses(connection: ServerConnection) -> None:
    await connection.send(b'\x03{"status":"Failure","message":"no such container"}')
    await connection.wait_closed()


async def writes_text(connection: ServerConnection) -> None:
    await connection.send("this is no channel")
    await connection.wait_closed()


def says(text: str) -> Answer:
    async def answer(connection: ServerConnection) -> None:
        await connection.send(b"\x01" + text.encode())
        await connection.send(b'\x03{"status":"Success"}')
        await connection.wait_closed()

    return answer


@asynccontextmanager
async def pod(folder: Path, *answers: Answer) -> AsyncGenerator[Cluster]:
    """An API server whose connections to a Pod are answered in turn; the last answer is repeated."""
    left = list(answers)

    async def handle(connection: ServerConnection) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(connection)

    async with serve(handle, "127.0.0.1", 0, subprotocols=[EXEC_PROTOCOL]) as server:  # type: ignore[list-item]
        file = folder / "config"
        file.write_text(KUBECONFIG % next(iter(server.sockets)).getsockname()[1])
        cluster = Cluster(Where(kube_config=file))
        await cluster.open()
        try:
            yield cluster
        finally:
            await cluster.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_exec, "POLL_S", 0.05)


def command(deadline_s: float) -> Exec:
    return Exec(argv=("true",), deadline_s=deadline_s)


@pytest.mark.parametrize("answer", [drops, closes, refuses, writes_text])
async def test_a_look_at_a_lost_command_that_fails_leaves_open_how_it_goes(tmp_path: Path, answer: Answer):
    async with pod(tmp_path, drops, answer) as cluster:
        with pytest.raises(RuntimeUnavailable, match="state of the command is unknown: the connection was lost"):
            await run_exec(cluster, POD, command(1.0))


@pytest.mark.parametrize("answer", [drops, closes])
async def test_a_command_whose_connection_is_lost_is_followed_to_its_end(tmp_path: Path, answer: Answer):
    async with pod(tmp_path, answer, drops, says("begun\n"), says("3\n")) as cluster:
        result = await run_exec(cluster, POD, command(20.0))
    assert result == ExecResult(exit_code=3, output="", output_complete=False)


async def test_a_command_that_was_lost_before_it_began_was_not_begun(tmp_path: Path):
    async with pod(tmp_path, closes, says("none\n")) as cluster:
        with pytest.raises(StartError, match="not started: the connection was lost"):
            await run_exec(cluster, POD, command(20.0))


async def test_a_command_that_the_node_refuses_was_not_run(tmp_path: Path):
    async with pod(tmp_path, refuses) as cluster:
        with pytest.raises(StartError, match="no such container"):
            await run_exec(cluster, POD, command(20.0))


@pytest.mark.parametrize("answer", [drops, closes])
async def test_a_pod_that_goes_away_while_it_is_given_files_is_a_lost_connection(tmp_path: Path, answer: Answer):
    async with pod(tmp_path, answer) as cluster:
        with pytest.raises(HTTPXWSException) as raised:
            await run_script(cluster, POD, "true", OutputTail(), LARGE)
    assert "xxx" not in str(raised.value)
