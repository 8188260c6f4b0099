"""A Manager on a separate host whose cable is unplugged: no peer is notified, and all its connections stay open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import history
from tests.support.islands import MAINLAND, Islands
from tests.support.managers import Fleet, leadership, primary_is
from tests.support.postgres import PostgresServer
from tests.support.scratch import passing_folder
from tests.support.waiting import eventually

from greenroom.core.events import ChangeEvent, Topic
from greenroom.db.database import Database
from greenroom.db.migrate import migrate
from greenroom.up.postgres import PostgresCluster

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="network namespaces need root")


@pytest.fixture
async def islands() -> AsyncIterator[Islands]:
    islands = Islands()
    yield islands
    islands.close()


@pytest.fixture
async def server(cluster: PostgresCluster, islands: Islands) -> AsyncIterator[PostgresServer]:
    with passing_folder("gr-pg-own-") as folder:
        server = PostgresServer(folder, install=cluster.install, address=MAINLAND, prefix=islands.inside())
        await server.start()
        await migrate(server.dsn)
        yield server
        server.stop()


@pytest.fixture
async def own(server: PostgresServer) -> AsyncIterator[Database]:
    """The database, reached without the cables."""
    db = Database(server.dsn, application_name="greenroom test")
    await db.open()
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    await history.record(db)
    yield db
    await db.close()


@pytest.fixture
async def fleet(own: Database, islands: Islands, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Managers `one`, the Primary, and `two`, each on its island."""
    fleet = Fleet(f"host={MAINLAND} port=5432 user=greenroom dbname=greenroom", tmp_path)
    for name in ("one", "two"):
        address = islands.add(name)
        # 6 s: no lease ends because of a stalled machine
        fleet.make(name, *islands.inside(name), manager_host=address, lease_ttl_s="6").start()
        await eventually(lambda name=name: says(fleet, name, "registered"))
        await primary_is(own, "one")
    yield fleet
    fleet.close()
    assert history.problems(await history.read(own)) == []


async def says(fleet: Fleet, name: str, words: str) -> bool:
    return words in fleet.managers[name].log


async def last_writer(db: Database) -> str:
    return (await history.read(db))[-1].writer


async def test_a_primary_that_is_cut_off_is_replaced_and_writes_nothing_more(
    fleet: Fleet, own: Database, islands: Islands
):
    islands.pull("one")
    assert (await primary_is(own, "two"))["term"] == 2
    before = len([entry for entry in await history.read(own) if entry.writer == "one"])

    async def two_writes() -> bool:
        return await last_writer(own) == "two"

    await eventually(two_writes)
    islands.plug("one")

    async def one_reports() -> bool:
        (row,) = await own.fetch(
            "SELECT last_reported > clock_timestamp() - interval '1 second' AS now FROM managers"
            " WHERE instance_id = 'one'"
        )
        return bool(row["now"])

    await eventually(one_reports)
    for _ in range(10):
        await own.notify(ChangeEvent(Topic.ZONE))
        await asyncio.sleep(0.05)  # rounds of a Manager
    assert len([entry for entry in await history.read(own) if entry.writer == "one"]) == before
    assert (await leadership(own))["term"] == 2
    fleet.managers["two"].kill()
    assert (await primary_is(own, "one"))["term"] == 3


async def test_a_primary_cut_off_briefly_goes_on_or_hands_over_once(fleet: Fleet, own: Database, islands: Islands):
    islands.pull("one")
    await asyncio.sleep(1)  # less than a lease
    islands.plug("one")
    before = len(await history.read(own))

    async def writes_again() -> bool:
        return len(await history.read(own)) > before

    await eventually(writes_again)
    assert (await leadership(own))["term"] in (1, 2)
