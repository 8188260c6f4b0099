"""A PostgreSQL of our own with a pool in it, for figures that need no instance."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
import uvloop

from greenroom.db.database import Database
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.db.migrate import migrate
from greenroom.testing import rows
from greenroom.up.postgres import Account, Cluster, copy_binaries

T = TypeVar("T")

USERS = 5000
CONFIG = uuid.UUID(int=1)

_SEED: Final = """
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
  '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 6000, 24,
  true, true, true, true, true, true, true, true);
"""

_SESSIONS: Final = """
INSERT INTO sessions (session_id, zone_id, image_id, agent_id, user_id, staging_config_id, status, spec,
  credential_encrypted, spec_hash, cores, memory, expires)
  SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001',
         ('00000000-0000-0000-0000-' || lpad((n %% 8 + 1)::text, 12, '0'))::uuid,
         CASE WHEN %(ended)s THEN ('00000000-0000-0000-0000-' || lpad((n %% %(users)s + 1)::text, 12, '0'))::uuid END,
         '00000000-0000-0000-0000-000000000001', CASE WHEN %(ended)s THEN 'deleted' ELSE 'running' END,
         '{}', '', '', 0.1, 1, now() + interval '1 day' FROM generate_series(1, %(count)s) n
"""


@contextmanager
def server() -> Generator[Cluster]:
    """A migrated PostgreSQL with users, eight Agents and one pool without sessions."""
    with empty_server() as cluster:
        with psycopg.connect(cluster.dsn, autocommit=True) as connection:
            connection.execute(_SEED.format(users=USERS).encode())
        yield cluster


@contextmanager
def empty_server() -> Generator[Cluster]:
    """A migrated PostgreSQL with its defaults (fsync on) on a unix socket."""
    account = Account("greenroom")
    folder = Path(tempfile.mkdtemp(prefix="gr-bench-", dir="/tmp"))
    shutil.chown(folder, account.uid, account.gid)
    folder.chmod(0o755)
    copy_binaries(folder / "install")
    cluster = Cluster(folder / "install", folder, 5432, account)
    cluster.create()
    process = subprocess.Popen(
        cluster.command(), user=account.uid, group=account.gid, extra_groups=[], cwd="/", stderr=subprocess.DEVNULL
    )
    try:
        _wait(cluster.dsn)
        asyncio.run(migrate(cluster.dsn))
        yield cluster
    finally:
        process.send_signal(signal.SIGINT)  # clients that are still connected are cut off
        process.wait(20)
        shutil.rmtree(folder)


def add_sessions(dsn: str, count: int, *, ended: bool = False) -> None:
    """So many claimable sessions, or ended ones of users."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_SESSIONS, {"ended": ended, "count": count, "users": USERS})


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


def as_the_api(work: Coroutine[Any, Any, T]) -> T:
    """Run it on the event loop that the api has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def claim_one(db: Database, number: int) -> None:
    """A claim by the product's function, by user `number` (from 0)."""
    user = rows.session_user(str(uuid.UUID(int=0))[:-12] + f"{number + 1:012d}")
    claimed = await claim(db, rows.claim(str(CONFIG), user), LedgerLine(), max_sessions=100)
    assert isinstance(claimed, ClaimedSession), claimed
