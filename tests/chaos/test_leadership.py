"""Random faults of the Managers of a zone, one after the other, and the writes of the Primaries meanwhile
(docs/explanation/protocols.md §1).

A run is a seed: `CHAOS_SEED=7 CHAOS_S=600 script/test chaos` repeats one, for longer. Random pauses alone prove little;
the tests with named stops are in tests/database and tests/host. This finds additional combinations.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.support import history
from tests.support.faults import BadLine, bad_line
from tests.support.managers import Fleet, primary_is
from tests.support.postgres import PostgresServer
from tests.support.scratch import passing_folder
from tests.support.waiting import eventually

from greenroom.core.errors import GreenroomError
from greenroom.core.events import ChangeEvent, Topic
from greenroom.db.database import Database
from greenroom.db.fleet.managers import find_manager, set_enabled
from greenroom.db.migrate import migrate
from greenroom.up.postgres import PostgresCluster

NAMES = ("one", "two", "three", "four")
SEED = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))
DURATION_S = float(os.environ.get("CHAOS_S", "45"))


class Chaos:
    """The faults; each leaves every Manager able to work again."""

    def __init__(self, server: PostgresServer, db: Database, fleet: Fleet, line: BadLine, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 -- a run can be repeated
        self._server = server
        self._db = db
        self._fleet = fleet
        self._line = line
        self.faults: list[tuple[str, Callable[[str], Awaitable[None]]]] = [
            ("kill", self._kill),
            ("freeze", self._freeze),
            ("disable", self._disable),
            ("disable by SQL", self._disable_by_sql),
            ("terminate", self._terminate),
            ("late answers", self._late_answers),
            ("swallow", self._swallow),
            ("cut LISTEN", self._cut_listen),
            ("restart PostgreSQL", self._restart_postgresql),
        ]

    async def _pause(self) -> None:
        """Shorter and longer than the leadership, which is 3 s."""
        await asyncio.sleep(self.random.choice((0.1, 1.0, 2.5, 4.5)))

    async def _kill(self, name: str) -> None:
        manager = self._fleet.managers[name]
        manager.kill(self.random.choice((signal.SIGKILL, signal.SIGTERM)))
        await manager.ended()
        manager.start()

    async def _freeze(self, name: str) -> None:
        self._fleet.managers[name].freeze()
        await self._pause()
        self._fleet.managers[name].thaw()

    async def _disable(self, name: str) -> None:
        manager_id = await find_manager(self._db, name)
        assert manager_id is not None
        await set_enabled(self._db, manager_id, enabled=False)
        await self._pause()
        await set_enabled(self._db, manager_id, enabled=True)

    async def _disable_by_sql(self, name: str) -> None:
        await self._db.write("UPDATE managers SET enabled = false WHERE instance_id = %s", (name,))
        await self._pause()
        await self._db.write("UPDATE managers SET enabled = true WHERE instance_id = %s", (name,))

    async def _terminate(self, name: str) -> None:
        await self._db.write(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            (f"greenroom {self.random.choice(('leadership', 'listen', 'manager'))} {name}",),
        )

    async def _late_answers(self, name: str) -> None:
        self._line.hold(f"greenroom leadership {name}", "answers")
        await self._pause()
        self._line.release(f"greenroom leadership {name}")

    async def _swallow(self, name: str) -> None:
        names = [f"greenroom {part} {name}" for part in ("leadership", "listen", "manager")]
        for each in names:
            self._line.hold(each, "questions")
        await self._pause()
        for each in names:
            self._line.release(each)

    async def _cut_listen(self, name: str) -> None:
        self._line.cut(f"greenroom listen {name}")
        await self._pause()
        self._line.mend(f"greenroom listen {name}")

    async def _restart_postgresql(self, name: str) -> None:
        del name
        self._server.stop()
        await self._server.start()


@pytest.fixture
async def chaos(cluster: PostgresCluster, tmp_path: Path) -> AsyncIterator[tuple[Chaos, Database, Fleet]]:
    with passing_folder("gr-pg-own-") as folder:
        server = PostgresServer(folder, install=cluster.install)
        await server.start()
        await migrate(server.dsn)
        db = Database(server.dsn, application_name="greenroom test")
        await db.open()
        await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
        await history.record(db)
        (tmp_path / "line").mkdir()
        async with bad_line(server.dsn, tmp_path / "line") as line:
            fleet = Fleet(line.dsn, tmp_path)
            for name in NAMES:
                await fleet.start(name)
            yield Chaos(server, db, fleet, line, SEED), db, fleet
            fleet.close()
        await db.close()
        server.stop()


@pytest.mark.timeout(DURATION_S + 180)
async def test_in_any_case_no_write_is_stale_and_no_term_has_two_holders(
    chaos: tuple[Chaos, Database, Fleet],
):
    faults, db, fleet = chaos
    print(f"CHAOS_SEED={SEED} CHAOS_S={DURATION_S:g}")  # noqa: T201 -- shown with a failure, and by -s
    done: list[str] = []
    provoking = asyncio.create_task(_provoke(db))
    end = time.monotonic() + DURATION_S
    while time.monotonic() < end:
        what, fault = faults.random.choice(faults.faults)
        # The Primary is hit more often than the others
        primary = (await _leadership_holder(db)) or NAMES[0]
        name = primary if faults.random.random() < 0.7 else faults.random.choice(NAMES)
        done.append(f"{what} {name}")
        await fault(name)
        await asyncio.sleep(faults.random.uniform(0, 1))
    provoking.cancel()
    await primary_is(db, *NAMES)
    entries = await history.read(db)
    print(  # noqa: T201 -- for who runs it
        f"{len(done)} faults, {entries[-1].term} terms, {len(entries)} entries: {', '.join(done)}"
    )
    assert history.problems(entries) == []

    async def all_alive() -> bool:
        rows = await db.fetch(
            "SELECT 1 FROM managers WHERE enabled AND last_reported > clock_timestamp() - interval '3 seconds'"
        )
        return len(rows) == len(NAMES)

    await eventually(all_alive, 30)
    assert all(manager.process is not None and manager.process.poll() is None for manager in fleet.managers.values())


async def _leadership_holder(db: Database) -> str | None:
    try:
        row = await db.fetch_one("SELECT instance_id FROM zone_leases JOIN managers USING (manager_id)")
    except GreenroomError:
        return None
    return None if row is None else str(row["instance_id"])


async def _provoke(db: Database) -> None:
    """Let a Manager that believes that it is Primary write as often as it can."""
    while True:
        await db.notify(ChangeEvent(Topic.ZONE))
        await asyncio.sleep(0.05)
