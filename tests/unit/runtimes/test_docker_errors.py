"""The handling of errors of a Docker daemon: they cannot be provoked on a daemon that is in use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiodocker
import pytest
from aiohttp import web

from greenroom.runtimes.contract import FilterAccount, RuntimeUnavailable, StartError
from greenroom.runtimes.docker.errors import translated
from greenroom.runtimes.docker.runtime import DockerRuntime

SESSION = "5e5510a0-0000-4000-8000-000000000001"
INSTALLATION = "11111111-0000-4000-8000-000000000000"
ERROR = b'{"message": "layer store: input/output error"}'


@pytest.fixture
async def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DockerRuntime]:
    """The runtime of a daemon that fails in all requests except that for its version."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/version":
            return web.json_response({"ApiVersion": "1.41"})
        return web.Response(body=ERROR, status=500, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "docker.sock")).start()
    address = f"unix://{tmp_path}/docker.sock"
    runtime = DockerRuntime(INSTALLATION, "a", docker_host=address)
    async with aiodocker.Docker(url=address) as client:
        monkeypatch.setattr(runtime, "_client", client)
        yield runtime
    await runner.cleanup()


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
    ("address", "said"),
    [("unix:///nowhere/docker.sock", "no such file or directory"), ("tcp://127.0.0.1:9", "connection refused")],
)
async def test_an_absent_daemon_is_reported_without_text_of_a_library(address: str, said: str):
    async with aiodocker.Docker(url=address) as client:
        with pytest.raises(RuntimeUnavailable) as away:
            async with translated():
                await client.version()
    assert away.value.message == f"The Docker daemon does not answer: {said}."
