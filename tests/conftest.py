"""Fixtures shared by all tests: a real PostgreSQL per worker, a fresh database per test."""

from __future__ import annotations

import ast
import asyncio
import gc
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
import structlog
from tests.selection.record import load_durations
from tests.support.scratch import new_folder

from greenroom.db.database import Database
from greenroom.db.migrate import migrate
from greenroom.kit.accounts import ensure_system_account
from greenroom.up.account import Account
from greenroom.up.postgres import PostgresCluster, copy_binaries

pytest_plugins = ["tests.images", "tests.versions"]

# A counterexample is found, not made small: mutants are found hundreds of times, and a defect can be looked at with
# `--hypothesis-profile=shrink`. `fast` is for script/check, `deep` for a run over night.
found = (hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate)
for profile, examples in (("fast", 15), ("ci", 150), ("deep", 3000)):
    hypothesis.settings.register_profile(
        profile, max_examples=examples, deadline=None, phases=found, report_multiple_bugs=False
    )
hypothesis.settings.register_profile("shrink", deadline=None)
hypothesis.settings.load_profile("ci")

for name in [n for n in os.environ if n.startswith("GREENROOM_")]:
    del os.environ[name]

_parse = ast.parse


def _parse_undisturbed(*arguments: Any, **options: Any) -> ast.AST:
    """`ast.parse` without the garbage collector: a finalizer that fails meanwhile has its traceback shown, for which
    Python 3.11 parses source again, and that ends the outer call in a SystemError (CPython issue 106905).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _parse(*arguments, **options)
    finally:
        if was_enabled:
            gc.enable()


ast.parse = _parse_undisturbed

# Tracebacks with all local variables hold the event loop up for seconds on a busy machine, also inside transactions.
structlog.get_config()["processors"][-1].exception_formatter = structlog.dev.plain_traceback

# A run in the background inherits an ignored SIGINT and would hand it down to the processes it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Reset the log after each test: a command that a test runs in its process changes its level."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Measure no coverage of mutants: they are no part of the product, and the measurement doubles their time."""
    if item.get_closest_marker("mutant"):
        item.add_marker("no_cover")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the longest files first if several processes share the files, so that all processes end at the same time.

    Each test of a file that was not recorded is assumed to take as long as the mean test of the recorded files among
    these.
    """
    if hasattr(config, "workerinput"):
        numbers = Counter(item.nodeid.partition("::")[0] for item in items)
        recorded = {file: seconds for file, seconds in load_durations().items() if file in numbers}
        mean_s = sum(recorded.values()) / (sum(numbers[file] for file in recorded) or 1)
        seconds = {file: recorded.get(file, number * mean_s) for file, number in numbers.items()}
        items.sort(key=lambda item: -seconds[item.nodeid.partition("::")[0]])


def _test_account() -> str | None:
    """An ordinary account for PostgreSQL when the tests run as root (postgres refuses root)."""
    if os.getuid() != 0:
        return None
    return ensure_system_account("greenroom").pw_name


@pytest.fixture(scope="session")
def cluster() -> Iterator[PostgresCluster]:
    """A running PostgreSQL 18 with fsync off; its database `template_greenroom` is migrated."""
    account = Account(_test_account())
    folder = new_folder("gr-pg-")
    os.chown(folder, account.uid, account.gid)
    install = folder / "install"
    copy_binaries(install)
    cluster = PostgresCluster(install, folder, 5432, account)
    cluster.create()
    # Tests create separate databases, and drop them while PostgreSQL may be vacuuming them.
    cluster.execute_without_server("ALTER ROLE greenroom CREATEDB", "GRANT pg_signal_backend TO greenroom")
    server = subprocess.Popen(
        cluster.command("fsync=off", "full_page_writes=off", "max_connections=200"),
        user=account.uid if os.getuid() == 0 else None,
        group=account.gid if os.getuid() == 0 else None,
        extra_groups=[] if os.getuid() == 0 else None,
        cwd="/",
        stderr=(folder / "log").open("w"),
        stdout=subprocess.DEVNULL,
        env={"LC_ALL": "C"},
    )
    try:
        _wait(cluster.dsn)
        with psycopg.connect(cluster.dsn, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_greenroom")
        asyncio.run(migrate(cluster.dsn.replace("dbname=greenroom", "dbname=template_greenroom")))
        yield cluster
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder)


def _wait(dsn: str) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(dsn).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@pytest.fixture
def dsn(cluster: PostgresCluster) -> Iterator[str]:
    """Connection string of a fresh, migrated database, dropped afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template_greenroom STRATEGY FILE_COPY'.encode())
    yield cluster.dsn.replace("dbname=greenroom", f"dbname={name}")
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def db_limits() -> dict[str, Any]:
    """The limits of `db`, for modules whose tests need other limits than the product's."""
    return {}


@pytest.fixture
async def db(dsn: str, db_limits: dict[str, Any]) -> AsyncIterator[Database]:
    """An open pool on a fresh, migrated database."""
    database = Database(dsn, application_name="greenroom test", **db_limits)
    await database.open()
    yield database
    await database.close()
