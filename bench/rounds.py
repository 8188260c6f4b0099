"""A round of the Primary and a claim in a large installation, compared with a small one.

At rest there is one round per second, as in a Manager; half a minute of rounds includes every periodic task.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from tests.support import rows
from tests.support.crowd import LARGE, ONE_PAGE, Crowd, id_of
from tests.support.system import primary_of

from bench.database import run_empty_server, run_on_api_loop
from bench.installations import Installation, open_installation
from bench.table import Figure, Point, median, spread
from greenroom.core.pool.agenda import MAX_POOLS, POLL_S
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.manager.tasks.rounds import PrimaryRounds
from greenroom.up.postgres import PostgresCluster

AT_REST: Final = {
    pools: replace(ONE_PAGE, pools=pools, images=max(120, pools // 8), staged=5, live=120 + 5 * pools)
    for pools in (10, 100, 1000)
}
"""Number of pools → an installation without any other load."""
GOAL_MS: Final = 200.0
CLAIMS: Final = 40
ROUNDS: Final = 15
"""In the first ten rounds of a term all pools are examined."""


async def _idle_cpu_ms(crowd: Crowd, cluster: PostgresCluster) -> float:
    """Milliseconds of CPU of Primary and PostgreSQL per second."""
    async with open_installation(cluster, crowd) as installation:
        ctx, rounds = await primary_of(installation.db, id_of("zone")), PrimaryRounds()
        for _ in range(4 + crowd.pools // MAX_POOLS):  # rounds of a new term, in which all pools are examined
            await rounds.run(ctx)
        start_cpu_s, start = installation.cpu_s(), time.monotonic()
        while time.monotonic() < start + POLL_S + 2:
            await rounds.run(ctx)
            await asyncio.sleep(1)
        return (installation.cpu_s() - start_cpu_s) * 1000 / (time.monotonic() - start)


async def _rounds_ms(installation: Installation) -> list[float]:
    """Milliseconds of the first round of a term, in which all pools are planned, and of the following rounds."""
    ctx, rounds, samples_ms = await primary_of(installation.db, id_of("zone")), PrimaryRounds(), list[float]()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        await rounds.run(ctx)
        samples_ms.append((time.perf_counter() - start) * 1000)
    return samples_ms


async def claims_ms(installation: Installation) -> list[float]:
    """Milliseconds of claims of sessions of different pools."""
    samples_ms: list[float] = []
    for number in range(CLAIMS):
        pool = id_of("pool", number)
        request = rows.claim(
            pool, rows.session_user(id_of("user", number)), config_hash=await rows.config_hash(installation.db, pool)
        )
        start = time.perf_counter()
        claimed = await claim(installation.db, request, LedgerLine(), max_sessions=100)
        samples_ms.append((time.perf_counter() - start) * 1000)
        assert isinstance(claimed, ClaimedSession), claimed
    return samples_ms[10:]  # from the sixth on the statements are prepared


async def _measure_large(small: PostgresCluster, large: PostgresCluster) -> list[Figure]:
    async with (
        open_installation(large, LARGE) as installation,
        open_installation(small, ONE_PAGE) as small_installation,
    ):
        rounds, claims = await _rounds_ms(installation), await claims_ms(installation)
        small_claims = await claims_ms(small_installation)
    later_rounds = rounds[1:]
    return [
        Figure("first planning round of a new Primary, 1000 pools", rounds[0], GOAL_MS, "ms", "the goal", 1, goal=1.0),
        Figure(
            "later planning rounds, 1000 pools, median", median(later_rounds), GOAL_MS, "ms", "the goal",
            len(later_rounds), spread(later_rounds), goal=1.0,
        ),
        Figure(
            "later planning rounds, 1000 pools, slowest", max(later_rounds), GOAL_MS, "ms", "the goal",
            len(later_rounds), goal=1.0,
        ),
        Figure(
            "claim of a staged session, 1000 pools, p50", median(claims), median(small_claims), "ms",
            "in a small installation", len(claims), f"{spread(claims)}; {spread(small_claims)}", claims, small_claims,
            goal=1.2,
        ),
    ]  # fmt: skip


def run() -> list[Figure]:
    """Measure the rounds at rest first, each on a separate cluster."""
    at_rest: list[Figure] = []
    for pools, crowd in AT_REST.items():
        with run_empty_server() as cluster:
            ms = run_on_api_loop(_idle_cpu_ms(crowd, cluster))
        point = Point("Primary and PostgreSQL at rest", pools)
        with_ten_pools = at_rest[0].product if at_rest else ms
        name = f"CPU time per second while idle, {pools} pools"
        at_rest.append(
            Figure(name, ms, with_ten_pools, "ms", "with 10 pools", 1, goal=2.0 if at_rest else None, point=point)
        )
    with run_empty_server() as small, run_empty_server() as large:
        return [*at_rest, *run_on_api_loop(_measure_large(small, large))]
