"""The launch of a staged session through gateway and HTTP until the reply: compared with a bare claim, and by eight
clients.

The Agent's host is simulated: the reply waits for no container, and real ones would allow few samples. All else is as
in production: TLS, nginx, the api, PostgreSQL with fsync, a Manager that refills the pool in the meantime.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvloop
from tests.support import rows

from bench.instance import Instance, instance
from bench.line import Line
from bench.table import Figure, median, percentile, spread
from greenroom.core.events import ChangeEvent
from greenroom.db.database import Database
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim

POOL = 60
SAMPLES = 100
"""The number of samples of each kind, with one client."""
PAUSE_S = 0.1
"""The time between two samples with one client, in which the pool is refilled."""
CLIENTS = 8
ROUNDS = 10
EACH = 6
"""Launches of each of the eight clients in a round, one right after the other while the pool is being refilled."""
P99_MS = 25.0


async def _open(dsn: str) -> Database:
    db = Database(dsn, application_name="bench", max_size=1)
    await db.open()
    return db


async def _bare(db: Database, config: str, config_hash: str, user_id: str) -> float:
    """Milliseconds of a claim by the product's function, on a connection that has been used before."""
    start = time.perf_counter()
    wanted = rows.claim(config, rows.session_user(user_id), config_hash=config_hash)
    claimed = await claim(db, wanted, LedgerLine(), max_sessions=100)
    elapsed_ms = (time.perf_counter() - start) * 1000
    assert isinstance(claimed, ClaimedSession), claimed
    # Without the second event the pool would be refilled later than after the others.
    await db.notify(ChangeEvent.agent(claimed.agent_id), ChangeEvent.staging(config))
    return elapsed_ms


def _launched(line: Line, image_id: str, user_id: str) -> float:
    """Milliseconds until the reply."""
    start = time.perf_counter()
    line.launch(image_id, user_id)
    return (time.perf_counter() - start) * 1000


def _each_launched(image_id: str, line: Line, user_ids: list[str]) -> list[float]:
    return [_launched(line, image_id, user_id) for user_id in user_ids]


def run() -> list[Figure]:
    """Measure one client first, launches and bare claims in turn; then eight clients, each launching again after
    each reply."""
    with instance(runtime="simulated") as running:
        image_id, config = running.desktop()["image_id"], running.stage(POOL)
        return [_one_client(running, image_id, config), _eight_clients(running, image_id, config)]


def _one_client(running: Instance, image_id: str, config: str) -> Figure:
    line, config_hash = Line(running), running.claimable_hash(config)
    http: list[float] = []
    bare: list[float] = []
    warm = 10
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        db = runner.run(_open(running.facts["database_url"]))
        for number, user in enumerate(running.many_users(2 * (SAMPLES + warm))):
            if number == 2 * warm:
                http, bare = [], []
            time.sleep(PAUSE_S)
            if number % 2:
                bare.append(runner.run(_bare(db, config, config_hash, user)))
            else:
                http.append(_launched(line, image_id, user))
        runner.run(db.close())
    return Figure(
        "staged launch through gateway and HTTP, 1 client, p50", median(http), median(bare), "ms",
        "the claim in the database alone", len(http), f"{spread(http)}; bare {spread(bare)}", http, bare, goal=8,
    )  # fmt: skip


def _eight_clients(running: Instance, image_id: str, config: str) -> Figure:
    taken: list[float] = []
    for number in range(ROUNDS + 1):
        running.end_assigned()
        running.await_current(config, POOL)
        users = running.many_users(CLIENTS * EACH)
        lines = [Line(running) for _ in range(CLIENTS)]
        shares = [users[which::CLIENTS] for which in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            rounds = list(pool.map(partial(_each_launched, image_id), lines, shares))
        if number:  # the first round opens the api's connections and prepares its statements
            taken += [ms for of_one in rounds for ms in of_one]
    return Figure(
        f"staged launch through gateway and HTTP, {CLIENTS} clients, p99", percentile(taken, 99), P99_MS, "ms",
        "the goal", len(taken), spread(taken), taken, goal=1,
    )  # fmt: skip
