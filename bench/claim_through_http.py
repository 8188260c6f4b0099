"""The launch of a staged session through gateway and HTTP until the reply, against one bare claim in the database."""

from __future__ import annotations

import asyncio
import time
import uuid

import psycopg

from bench.instance import instance
from bench.table import Figure, median
from greenroom.db.claims import Claim, claim
from greenroom.db.database import Database

POOL = 8
ROUNDS = 4


async def _open(dsn: str) -> Database:
    db = Database(dsn, application_name="bench", max_size=1)
    await db.open()
    return db


async def _bare(db: Database, config: str, config_hash: str, user_id: str) -> float:
    """Milliseconds of one claim by the product's function, on a connection that has made others before."""
    start = time.perf_counter()
    row, why = await claim(
        db,
        Claim(
            user_id=user_id,
            staging_config_id=config,
            config_hash=config_hash,
            launch_id=str(uuid.uuid4()),
            assignment_id=str(uuid.uuid4()),
            assignment={"assignment_id": str(uuid.uuid4())},
            max_sessions=100,
            keepalive_s=3600,
        ),
    )
    elapsed_ms = (time.perf_counter() - start) * 1000
    assert row is not None, why
    return elapsed_ms


def run() -> list[Figure]:
    """Per round: half of the pool through HTTP, the other half directly."""
    http: list[float] = []
    bare: list[float] = []
    with instance() as running, asyncio.Runner() as runner:
        image_id = running.desktop()["image_id"]
        config = running.stage(POOL)
        dsn = running.facts["database_url"]
        db = runner.run(_open(dsn))
        for _ in range(ROUNDS):
            running.await_current(config, POOL)
            users = running.users(POOL)
            with psycopg.connect(dsn) as connection:
                row = connection.execute("SELECT config_hash FROM sessions WHERE claimable LIMIT 1").fetchone()
                assert row is not None
            for number, user in enumerate(users):
                if number % 2:
                    bare.append(runner.run(_bare(db, config, row[0], user)))
                else:
                    start = time.perf_counter()
                    running.post("/sessions", {"image_id": image_id, "user_id": user})
                    http.append((time.perf_counter() - start) * 1000)
            for session in running.get("/sessions"):
                if session["user_id"]:
                    running.http.delete(f"/api/v1/sessions/{session['session_id']}")
    return [
        Figure("staged launch through gateway and HTTP", median(http), median(bare), "ms", "one bare claim", len(http))
    ]
