"""Managers while PostgreSQL is restarted and gone (PROTOCOLS §1; R10), with a database server of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from tests.integration.agents import joined, row, session, user
from tests.integration.managers import Fleet, eventually, lease, manager_here, primary_is

from greenroom.db.database import Database
from greenroom.db.migrate import migrate
from greenroom.testing.processes import answers
from greenroom.up.postgres import Cluster


class Server:
    """A PostgreSQL that can be stopped at any moment."""

    def __init__(self, template: Cluster, folder: Path) -> None:
        os.chown(folder, template.account.uid, template.account.gid)
        self.cluster = Cluster(template.install, folder, 5433, template.account)
        self.cluster.create()
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        root = os.getuid() == 0
        self.process = subprocess.Popen(  # noqa: ASYNC220 -- returns at once
            self.cluster.command("fsync=off", "max_connections=100"),
            user=self.cluster.account.uid if root else None,
            group=self.cluster.account.gid if root else None,
            extra_groups=[] if root else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C"},
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await psycopg.AsyncConnection.connect(self.cluster.dsn)).close()
                    return
                except psycopg.OperationalError:
                    await asyncio.sleep(0.05)

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """SIGQUIT is `-m immediate`: as after a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)


@pytest.fixture
async def server(cluster: Cluster) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="gr-pg-own-", dir="/tmp") as folder:
        server = Server(cluster, Path(folder))
        await server.start()
        await migrate(server.cluster.dsn)
        yield server
        server.stop()


@pytest.fixture
async def own(server: Server) -> AsyncIterator[Database]:
    db = Database(server.cluster.dsn, application_name="greenroom test")
    await db.open()
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    yield db
    await db.close()


async def test_over_a_crash_of_postgresql_the_primary_keeps_its_term(server: Server, own: Database, tmp_path: Path):
    fleet = Fleet(server.cluster.dsn, tmp_path)
    try:
        await fleet.start("one")
        before = await primary_is(own, "one")
        await fleet.start("two")
        for _ in range(3):
            server.stop()
            await server.start()
            after = await primary_is(own, "one", timeout_s=5)
            assert after["term"] == before["term"]
        await answers(fleet.urls["one"] + "/health", 200)
    finally:
        fleet.close()


async def test_postgresql_gone_for_long_ends_no_manager_and_no_session(server: Server, own: Database, tmp_path: Path):
    fleet = Fleet(server.cluster.dsn, tmp_path)
    quick = {"agent_missing_s": 2, "session_lost_s": 3, "agent_dead_s": 4, "guardian_interval_s": 0.2}
    try:
        await fleet.start("two", unhealthy_after_s="2")
        async with manager_here(fleet, "one", **quick) as door:
            agent = await joined(own, door)
            session_id = await session(own, agent, fleet.key_file, status="running", user_id=await user(own))
            await agent.check_in()
            server.stop()
            assert not (await agent.check_in()).fresh
            await answers(fleet.urls["two"] + "/health", 500)
            await asyncio.sleep(8)
            await server.start()
            await answers(fleet.urls["two"] + "/health", 200, timeout_s=4)

            async def fresh() -> bool:
                return (await agent.check_in()).fresh

            await eventually(fresh)
            assert (await row(own, session_id))["status"] == "running"
            assert [a["status"] for a in await own.fetch("SELECT status FROM agents")] != ["dead"]

            async def has_primary() -> bool:
                return (await lease(own))["primary"] is not None

            await eventually(has_primary)
        process = fleet.managers["two"].process
        assert process is not None
        assert process.poll() is None
    finally:
        fleet.close()
