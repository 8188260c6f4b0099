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

from bench.database import as_the_api, empty_server
from bench.installations import Installation, installation
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
MOST_MS: Final = 200.0
CLAIMS: Final = 40
ROUNDS: Final = 15
"""In the first ten rounds of a term all pools are examined."""


async def _at_rest(crowd: Crowd, cluster: PostgresCluster) -> float:
    """Milliseconds of CPU of Primary and PostgreSQL per second."""
    async with installation(cluster, crowd) as made:
        ctx, rounds = await primary_of(made.db, id_of("zone")), PrimaryRounds()
        for _ in range(4 + crowd.pools // MAX_POOLS):  # rounds of a new term, in which all pools are examined
            await rounds.run(ctx)
        begun_s, begun = made.used_s(), time.monotonic()
        while time.monotonic() < begun + POLL_S + 2:
            await rounds.run(ctx)
            await asyncio.sleep(1)
        return (made.used_s() - begun_s) * 1000 / (time.monotonic() - begun)


async def _rounds_ms(made: Installation) -> list[float]:
    """Milliseconds of the first round of a term, in which all pools are planned, and of the following rounds."""
    ctx, rounds, taken = await primary_of(made.db, id_of("zone")), PrimaryRounds(), list[float]()
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await rounds.run(ctx)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def claims_ms(made: Installation) -> list[float]:
    """Milliseconds of claims of sessions of different pools."""
    taken: list[float] = []
    for number in range(CLAIMS):
        pool = id_of("pool", number)
        wanted = rows.claim(
            pool, rows.session_user(id_of("user", number)), config_hash=await rows.config_hash(made.db, pool)
        )
        begun = time.perf_counter()
        claimed = await claim(made.db, wanted, LedgerLine(), max_sessions=100)
        taken.append((time.perf_counter() - begun) * 1000)
        assert isinstance(claimed, ClaimedSession), claimed
    return taken[10:]  # from the sixth on the statements are prepared


async def _all(small: PostgresCluster, large: PostgresCluster) -> list[Figure]:
    async with installation(large, LARGE) as made, installation(small, ONE_PAGE) as page:
        rounds, claims, few = await _rounds_ms(made), await claims_ms(made), await claims_ms(page)
    after = rounds[1:]
    return [
        Figure("first planning round of a new Primary, 1000 pools", rounds[0], MOST_MS, "ms", "the goal", 1, goal=1.0),
        Figure(
            "later planning rounds, 1000 pools, median", median(after), MOST_MS, "ms", "the goal", len(after),
            spread(after), goal=1.0,
        ),
        Figure(
            "later planning rounds, 1000 pools, slowest", max(after), MOST_MS, "ms", "the goal", len(after), goal=1.0,
        ),
        Figure(
            "claim of a staged session, 1000 pools, p50", median(claims), median(few), "ms", "in a small installation",
            len(claims), f"{spread(claims)}; {spread(few)}", claims, few, goal=1.2,
        ),
    ]  # fmt: skip


def run() -> list[Figure]:
    """Measure the rounds at rest first, each on a separate cluster."""
    at_rest: list[Figure] = []
    for pools, crowd in AT_REST.items():
        with empty_server() as cluster:
            ms = as_the_api(_at_rest(crowd, cluster))
        point = Point("Primary and PostgreSQL at rest", pools)
        ten = at_rest[0].product if at_rest else ms
        name = f"CPU time per second while idle, {pools} pools"
        at_rest.append(Figure(name, ms, ten, "ms", "with 10 pools", 1, goal=2.0 if at_rest else None, point=point))
    with empty_server() as small, empty_server() as large:
        return [*at_rest, *as_the_api(_all(small, large))]
