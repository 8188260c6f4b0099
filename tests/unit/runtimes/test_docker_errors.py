"""The handling of errors of a Docker daemon: they cannot be provoked on a daemon that is in use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import aiodocker
import pytest
from aiohttp import web

from greenroom.runtimes.contract import FilterAccount, RuntimeUnavailable, StartError
from greenroom.runtimes.docker import daemon
from greenroom.runtimes.docker.errors import translated
from greenroom.runtimes.docker.runtime import DockerRuntime

SESSION = "5e5510a0-0000-4000-8000-000000000001"
INSTALLATION = "11111111-0000-4000-8000-000000000000"
NOT_FROZEN = b'{"message": "Cannot pause container: OCI runtime pause failed: unable to freeze: unknown"}'
NOT_PAUSED = b'{"message": "Container desk is not paused"}'
ERROR = b'{"message": "layer store: input/output error"}'


@asynccontextmanager
async def daemon_with(folder: Path, answer: Callable[[], web.Response]) -> AsyncGenerator[str]:
    """The address of a daemon that gives this answer to all requests except that for its version."""

    async def answered(request: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"}) if request.path == "/version" else answer()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answered)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "docker.sock")).start()
    yield f"unix://{folder}/docker.sock"
    await runner.cleanup()


def refusal(body: bytes) -> web.Response:
    return web.Response(body=body, status=500, content_type="application/json")


@pytest.fixture
async def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DockerRuntime]:
    """The runtime of a daemon that fails in all requests except that for its version."""
    async with daemon_with(tmp_path, lambda: refusal(ERROR)) as address:
        runtime = DockerRuntime(INSTALLATION, "a", docker_host=address)
        async with aiodocker.Docker(url=address) as client:
            monkeypatch.setattr(runtime, "_client", client)
            yield runtime


async def first_event(runtime: DockerRuntime) -> None:
    async for _ in runtime.events():
        return


QUESTIONS: dict[str, Callable[[DockerRuntime], Awaitable[object]]] = {
    "open": lambda runtime: runtime.open(),
    "list": lambda runtime: runtime.list(),
    "inspect": lambda runtime: runtime.inspect(SESSION),
    "start, which looks first": lambda runtime: runtime.start(SESSION),
    "logs": lambda runtime: runtime.logs(SESSION),
    "events": first_event,
    "images": lambda runtime: runtime.images(),
    "image": lambda runtime: runtime.image("desk:1"),
    "capacity": lambda runtime: runtime.capacity(),
    "filter networks": lambda runtime: runtime.filter_networks(),
}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_daemon_whose_answer_is_an_error_does_not_work_now(failing: DockerRuntime, question: str):
    with pytest.raises(RuntimeUnavailable, match="The Docker daemon answers with an error: layer store"):
        await QUESTIONS[question](failing)


async def test_a_change_that_fails_in_the_daemon_is_refused_with_its_reason(failing: DockerRuntime):
    with pytest.raises(StartError, match="Docker refused: layer store: input/output error"):
        await failing.open_filter_network("p", FilterAccount(uid=1))
    with pytest.raises(StartError, match="Docker refused: no such device"):
        async with translated():
            raise aiodocker.DockerError(500, "no such device")


@pytest.mark.parametrize(
    ("body", "failures", "requests", "succeeds"),
    [(NOT_FROZEN, 2, 3, True), (NOT_FROZEN, 9, 3, False), (ERROR, 2, 1, False)],
    ids=["a freeze that fails twice", "a freeze that always fails", "another error"],
)
async def test_only_a_failed_freeze_is_tried_again(
    tmp_path: Path, body: bytes, failures: int, requests: int, succeeds: bool
):
    answers = [refusal(body) for _ in range(failures)] + [web.Response(status=204)]
    count = len(answers)
    async with daemon_with(tmp_path, lambda: answers.pop(0)) as address, aiodocker.Docker(url=address) as client:
        with nullcontext() if succeeds else pytest.raises(aiodocker.DockerError):
            await daemon.pause(client, "desk")
    assert count - len(answers) == requests


@pytest.mark.parametrize(("status", "succeeds"), [("running", True), ("exited", False)])
async def test_a_refused_resume_succeeds_only_if_the_container_runs(tmp_path: Path, status: str, succeeds: bool):
    answers = [refusal(NOT_PAUSED), web.json_response({"State": {"Status": status}})]
    async with daemon_with(tmp_path, lambda: answers.pop(0)) as address, aiodocker.Docker(url=address) as client:
        with nullcontext() if succeeds else pytest.raises(aiodocker.DockerError, match="is not paused"):
            await daemon.unpause(client, "desk")
    assert answers == []


@pytest.mark.parametrize(
    ("address", "said"),
    [("unix:///nowhere/docker.sock", "no such file or directory"), ("tcp://127.0.0.1:9", "connection refused")],
)
async def test_an_absent_daemon_is_reported_without_text_of_a_library(address: str, said: str):
    async with aiodocker.Docker(url=address) as client:
        with pytest.raises(RuntimeUnavailable) as away:
            async with translated():
                await client.version()
    assert away.value.message == f"The Docker daemon does not answer: {said}."
