"""Managers are disabled, drained, replaced by a newer version and enabled, one after the other, under a steady load."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio
from tests.host.deployed import Host, Zone, deployed_zone, own_database
from tests.support import rows
from tests.support.agents import joined
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.core.errors import GreenroomError
from greenroom.core.versions import Version, next_series
from greenroom.db.database import Database
from greenroom.kit.program import version
from greenroom.up.postgres import PostgresCluster
from greenroom.wire.messages import Answer, CheckIn, Register

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEXT = str(Version(*next_series(Version.parse(version())), 0))
NEWER = """
import msgspec
from importlib import metadata
import greenroom.manager.app as app
metadata.version = lambda name, known=metadata.version: "NEXT" if name == "greenroom" else known(name)

class Newer:
    def encode(self, message):
        body = msgspec.to_builtins(message)
        for part in [body, *(body.get("desired") or []), *body.get("managers", []), *body.get("commands", [])]:
            part["of_a_later_version"] = {"a": 1}
        return msgspec.json.encode(body)

app._encoder = Newer()
from greenroom.cli.main import main
main()
""".replace("NEXT", NEXT)
"""A Manager of the next version: it reports that version, and its messages have fields that are unknown to the
others."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zone(cluster: PostgresCluster) -> AsyncIterator[Zone]:
    async with own_database(cluster) as db, deployed_zone(db, "one", "two", "three", agents=2) as zone:
        yield zone


class Load:
    """Launches a session, runs a command in it and ends it, repeatedly; stores the errors."""

    def __init__(self, zone: Zone, workers: int = 2) -> None:
        self._zone = zone
        self._workers = workers
        self._ending = False
        self.done = Counter[str]()
        self.wrong: list[str] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._ending = True
        await asyncio.gather(*self._tasks)

    async def rounds(self, number: int) -> None:
        """Wait for this number of additional rounds."""
        before = self.done["rounds"]

        async def made() -> bool:
            return self.done["rounds"] >= before + number

        await eventually(made, 60)

    async def _work(self) -> None:
        while not self._ending:
            try:
                session_id = await self._zone.launch()
                await self._zone.running(session_id)
                answer = await self._zone.command(session_id, "echo", session_id)
                assert answer["output"] == f"{session_id}\n", answer
                await self._zone.end(session_id)
            except (AssertionError, GreenroomError, TimeoutError, OSError) as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
            self.done["rounds"] += 1


async def drain(zone: Zone, name: str) -> None:
    """Disable it and wait until nothing is routed to it: each of its Agents was answered 503 and reports elsewhere."""
    manager_id = await zone.manager_id(name)

    async def agents() -> set[str]:
        rows = (await zone.api.get("/api/v1/agents")).json()
        return {row["agent_id"] for row in rows if row["manager_id"] == manager_id}

    had = await agents()
    await zone.enable(name, False)

    async def is_left() -> bool:
        return not await agents()

    async def all_were_refused() -> bool:
        path = f"/api/v1/diagnostics/manager-requests?status=503&manager_instance_id={name}"
        return {row["agent_id"] for row in (await zone.api.get(path)).json()} >= had

    await eventually(is_left)
    await eventually(all_were_refused)


async def versions(zone: Zone) -> dict[str, str]:
    return {m["instance_id"]: m["version"] for m in (await zone.api.get("/api/v1/managers")).json()}


@pytest.mark.timeout(400)
async def test_three_managers_are_replaced_without_a_failed_call(zone: Zone):
    await zone.all_report_to_primary()
    old = set((await versions(zone)).values())
    assert NEXT not in old
    async with Load(zone) as load:
        await load.rounds(4)
        for name in zone.fleet.managers:
            manager = zone.fleet.managers[name]
            await drain(zone, name)
            manager.kill(signal.SIGTERM)
            assert await manager.ended() == 0
            manager.code = NEWER
            manager.start()
            await zone.answers_disabled(name)
            await zone.enable(name, True)
            await load.rounds(4)
    assert load.wrong == []
    assert set((await versions(zone)).values()) == {NEXT}
    assert [host.failed_calls for host in zone.hosts] == [0, 0]
    assert all(_left_at_503(host) for host in zone.hosts)
    created = sum((host.creations for host in zone.hosts), Counter[str]())
    assert set(created.values()) == {1}
    assert sum(sum(host.commands.values()) for host in zone.hosts) == load.done["rounds"]
    assert await zone.containers() == set()


def _left_at_503(host: Host) -> bool:
    return host.value("failovers_total", reason="unavailable") >= 1


def extended(value: Any) -> Any:
    """A message of a later version: every object has an additional field."""
    if isinstance(value, dict):
        parts = cast("dict[str, Any]", value)
        return {key: extended(part) for key, part in parts.items()} | {"of_a_later_version": {"x": [1]}}
    return [extended(part) for part in cast("list[Any]", value)] if isinstance(value, list) else value


async def test_an_agent_of_a_later_version_is_understood_by_a_manager(cluster: PostgresCluster, tmp_path: Any):
    async with own_database(cluster) as db:
        await rows.zone(db, "default")
        async with manager_here(Fleet(db.dsn, tmp_path)) as door:
            agent = await joined(db, door)
            body = extended(msgspec.to_builtins(agent.message()))
            assert isinstance(body, dict)
            assert (await agent.post("/v1/check-in", body)).status_code == 200
            registration = extended(
                msgspec.to_builtins(
                    Register(
                        machine_id=agent.machine_id,
                        hostname="h",
                        place=agent.place,
                        agent_id=agent.agent_id,
                        credential=agent.credential,
                    )
                )
            )
            assert (await agent.post("/v1/register", registration)).status_code == 200
            assert await _is_known(db, agent.agent_id)


async def _is_known(db: Database, agent_id: str) -> bool:
    return bool(await db.fetch("SELECT 1 FROM agents WHERE agent_id = %s AND incarnation = 2", (agent_id,)))


async def test_fields_of_a_later_version_are_passed_over_in_every_message():
    answer = Answer(db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0)
    text = msgspec.json.encode(extended(msgspec.to_builtins(answer)))
    assert msgspec.json.decode(text, type=Answer) == answer
    assert CheckIn.__struct_config__.forbid_unknown_fields is False
