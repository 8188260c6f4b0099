"""An Agent restarts while neither Manager nor api answers: known viewers may still view its desktops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.support.played import Served, make_certificate, serve
from tests.support.processes import answers
from tests.support.real_agents import AgentProcess, session_id
from tests.support.scripted_manager import ScriptedManager, World, spec
from tests.support.waiting import eventually

from greenroom.wire.messages import Authorised
from greenroom.wire.viewers import StreamRequest, StreamVerdict

USER = "0f6e8a52-0000-4000-8000-0000000000aa"


@pytest.fixture
def world() -> World:
    return World(hold_s=0.3)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    """Admit every viewer with the token `good`."""

    async def stream(request: Request) -> Response:
        question = msgspec.json.decode(await request.body(), type=StreamRequest)
        verdict = StreamVerdict(allow=question.token == "good", user_id=USER, epoch=1, reason="no")
        return Response(msgspec.json.encode(verdict))

    make_certificate(tmp_path)
    served = await serve(Starlette(routes=[Route("/api/internal/stream", stream, methods=["POST"])]), tls=tmp_path)
    yield served
    await served.stop()


@pytest.fixture
async def agent(manager: ScriptedManager, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    process = AgentProcess(tmp_path, manager, GREENROOM_CA_FILE=str(tmp_path / "cert.pem"))
    yield process
    process.close()


async def test_known_viewers_return_after_a_restart_unless_revoked(
    world: World, manager: ScriptedManager, agent: AgentProcess, api: Served
):
    session = session_id()
    may_view = Authorised(user_id=USER, epoch=1)
    made = msgspec.to_builtins(spec(allow_origin=("127.0.0.1",), upstream_auth=api.address))
    await world.want(session, spec=made, authorised=may_view)
    agent.start()
    await world.until(lambda: world.is_usable(session))
    route = str(world.registrations[0].agent_id).replace("-", "")[:8]

    async def status(token: str) -> int:
        headers = {"X-Original-URI": f"/desktop/{route}/{session}/", "Cookie": f"greenroom_viewer={token}"}
        async with httpx2.AsyncClient(timeout=20) as client:
            return (await client.get(f"{agent.url}/authorise", headers=headers)).status_code

    assert [await status("good"), await status("bad")] == [200, 401]
    port = int(manager.url.rsplit(":", 1)[1])
    await manager.stop()
    await api.stop()
    agent.kill()
    await agent.ended()
    agent.start()
    await answers(f"{agent.url}/__healthcheck", 200)

    async def has_looked_at_its_host() -> bool:
        return await status("good") != 403

    await eventually(has_looked_at_its_host)
    assert [await status("good"), await status("other")] == [200, 503]

    await world.want(session, authorised=Authorised(user_id=USER, epoch=2))
    world.managers.clear()
    await manager.start(port)
    await world.until(lambda: world.is_usable(session) and world.observed[session].generation == 2)
    assert await status("good") == 503
