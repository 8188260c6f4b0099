"""A private PostgreSQL for figures that need no instance."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import uvloop

from greenroom.db.migrate import migrate
from greenroom.up.account import Account
from greenroom.up.postgres import PostgresCluster, copy_binaries

T = TypeVar("T")


@contextmanager
def run_empty_server() -> Generator[PostgresCluster]:
    """A migrated PostgreSQL with its defaults (fsync on) on a unix socket."""
    account = Account("greenroom")
    folder = Path(tempfile.mkdtemp(prefix="gr-bench-", dir="/tmp"))
    shutil.chown(folder, account.uid, account.gid)
    folder.chmod(0o755)
    copy_binaries(folder / "install")
    cluster = PostgresCluster(folder / "install", folder, 5432, account)
    cluster.create()
    process = subprocess.Popen(
        cluster.command(), user=account.uid, group=account.gid, extra_groups=[], cwd="/", stderr=subprocess.DEVNULL
    )
    try:
        _wait(cluster.dsn)
        asyncio.run(migrate(cluster.dsn))
        yield cluster
    finally:
        process.send_signal(signal.SIGINT)  # closes the connections of remaining clients
        process.wait(20)
        shutil.rmtree(folder)


def _wait(dsn: str) -> None:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("PostgreSQL did not start")


def run_on_api_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the event loop of the api."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)
