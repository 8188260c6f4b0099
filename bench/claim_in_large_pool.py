"""One claim with 20,000 staged sessions to choose from, against one with 20."""

from __future__ import annotations

import time

import psycopg

from bench.database import add_sessions, as_the_api, claim_one, server
from bench.table import Figure, median, spread
from greenroom.db.database import Database

FEW = 20
MANY = 20_000
CLAIMS = 15
"""Of a round; fewer than `FEW`."""
ROUNDS = 12


async def _claims_ms(dsn: str) -> list[float]:
    """Milliseconds of each claim, one after the other, on a connection that has made others before."""
    db = Database(dsn, application_name="bench", max_size=1)
    await db.open()
    taken: list[float] = []
    for number in range(CLAIMS):
        start = time.perf_counter()
        await claim_one(db, number)
        taken.append((time.perf_counter() - start) * 1000)
    await db.close()
    return taken[5:]  # from the sixth on the statements are prepared


def _stage(dsn: str, count: int) -> None:
    """A pool of `count` sessions, and the statistics an autovacuum would have made."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in ("DELETE FROM launches", "DELETE FROM session_steps", "DELETE FROM sessions"):
            connection.execute(statement.encode())
        add_sessions(dsn, count)
        for table in ("sessions", "session_steps", "launches"):
            connection.execute(f"VACUUM ANALYZE {table}".encode())


def run() -> list[Figure]:
    """Rounds of both are interleaved; each begins with its pool full."""
    few: list[float] = []
    many: list[float] = []
    with server() as cluster:
        for _ in range(ROUNDS):
            for taken, count in ((few, FEW), (many, MANY)):
                _stage(cluster.dsn, count)
                taken.extend(as_the_api(_claims_ms(cluster.dsn)))
    return [
        Figure(
            f"claim with {MANY} staged sessions, p50", median(many), median(few), "ms", f"with {FEW}", len(many),
            f"{spread(many)}; {spread(few)}", many, few, goal=1.5,
        )
    ]  # fmt: skip
