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

from bench.api_connection import ApiConnection
from bench.instance import Instance, run_instance
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
LAUNCHES_PER_CLIENT = 6
"""Launches of each of the eight clients in a round, one right after the other while the pool is being refilled."""
P99_MS = 25.0


async def _open(dsn: str) -> Database:
    db = Database(dsn, application_name="bench", max_size=1)
    await db.open()
    return db


async def _claim_ms(db: Database, config_id: str, config_hash: str, user_id: str) -> float:
    """Milliseconds of a claim by the product's function, on a connection that has been used before."""
    start = time.perf_counter()
    request = rows.claim(config_id, rows.session_user(user_id), config_hash=config_hash)
    claimed = await claim(db, request, LedgerLine(), max_sessions=100)
    elapsed_ms = (time.perf_counter() - start) * 1000
    assert isinstance(claimed, ClaimedSession), claimed
    # Without the second event the pool would be refilled later than after the others.
    await db.notify(ChangeEvent.agent(claimed.agent_id), ChangeEvent.staging(config_id))
    return elapsed_ms


def _launch_ms(connection: ApiConnection, image_id: str, user_id: str) -> float:
    """Milliseconds until the reply."""
    start = time.perf_counter()
    connection.launch(image_id, user_id)
    return (time.perf_counter() - start) * 1000


def _launch_each(image_id: str, connection: ApiConnection, user_ids: list[str]) -> list[float]:
    return [_launch_ms(connection, image_id, user_id) for user_id in user_ids]


def run() -> list[Figure]:
    """Measure one client first, launches and bare claims in turn; then eight clients, each launching again after
    each reply."""
    with run_instance(runtime="simulated") as instance:
        image_id, config_id = instance.find_desktop()["image_id"], instance.stage(POOL)
        return [_one_client(instance, image_id, config_id), _eight_clients(instance, image_id, config_id)]


def _one_client(instance: Instance, image_id: str, config_id: str) -> Figure:
    connection, config_hash = ApiConnection(instance), instance.claimable_hash(config_id)
    http_ms: list[float] = []
    bare_ms: list[float] = []
    warm_up = 10
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        db = runner.run(_open(instance.facts["database_url"]))
        for number, user in enumerate(instance.create_users(2 * (SAMPLES + warm_up))):
            if number == 2 * warm_up:
                http_ms, bare_ms = [], []
            time.sleep(PAUSE_S)
            if number % 2:
                bare_ms.append(runner.run(_claim_ms(db, config_id, config_hash, user)))
            else:
                http_ms.append(_launch_ms(connection, image_id, user))
        runner.run(db.close())
    return Figure(
        "staged launch through gateway and HTTP, 1 client, p50", median(http_ms), median(bare_ms), "ms",
        "the claim in the database alone", len(http_ms), f"{spread(http_ms)}; bare {spread(bare_ms)}", http_ms,
        bare_ms, goal=8,
    )  # fmt: skip


def _eight_clients(instance: Instance, image_id: str, config_id: str) -> Figure:
    samples_ms: list[float] = []
    for number in range(ROUNDS + 1):
        instance.end_assigned()
        instance.wait_for_claimable(config_id, POOL)
        users = instance.create_users(CLIENTS * LAUNCHES_PER_CLIENT)
        connections = [ApiConnection(instance) for _ in range(CLIENTS)]
        users_by_client = [users[client::CLIENTS] for client in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            rounds = list(pool.map(partial(_launch_each, image_id), connections, users_by_client))
        if number:  # the first round opens the api's connections and prepares its statements
            samples_ms += [ms for client_samples in rounds for ms in client_samples]
    return Figure(
        f"staged launch through gateway and HTTP, {CLIENTS} clients, p99", percentile(samples_ms, 99), P99_MS, "ms",
        "the goal", len(samples_ms), spread(samples_ms), samples_ms, goal=1,
    )  # fmt: skip
