"""A database with the data of a large installation, the api on it, and the cost of its requests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import psutil
from tests.support.crowd import Crowd, fill
from tests.support.plans import NotingDatabase

from greenroom.api.app import create_app
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.kit.serving import collect_rarely
from greenroom.up.installation import ensure_first_data
from greenroom.up.postgres import PostgresCluster

KEY: Final = ("abcdefghijkl", "the secret half")
WARM_UP_REQUESTS: Final = 6
"""The number of requests that are not measured: statements are prepared after the fifth use."""


@dataclass
class Cost:
    """The cost of a request: milliseconds of CPU and of the clock, and the rows and pages that its statements read."""

    cpu_ms: float = 0.0
    ms: list[float] = field(default_factory=list[float])
    rows: int = 0
    pages: int = 0


@dataclass
class Installation:
    """A filled database, and the api on it."""

    db: NotingDatabase
    api: httpx2.AsyncClient
    postmaster: psutil.Process

    def cpu_s(self) -> float:
        """CPU seconds of this process and of PostgreSQL."""
        own_s = time.process_time()
        postmaster_times = self.postmaster.cpu_times()
        servers = sum(_process_cpu_s(process.pid) for process in self.postmaster.children())
        return own_s + servers + postmaster_times.children_user + postmaster_times.children_system

    async def measure_cost(self, send: Callable[[], Awaitable[object]], repeats: int) -> Cost:
        for _ in range(WARM_UP_REQUESTS):
            await send()
        self.db.noted = []
        await send()
        readings = await self.db.readings()
        cost = Cost(rows=sum(reading.rows for reading in readings), pages=sum(reading.pages for reading in readings))
        start_cpu_s = self.cpu_s()
        for _ in range(repeats):
            start = time.perf_counter()
            await send()
            cost.ms.append((time.perf_counter() - start) * 1000)
        cost.cpu_ms = (self.cpu_s() - start_cpu_s) * 1000 / repeats
        return cost

    async def read(self, path: str) -> None:
        (await self.api.get(f"/api/v1/{path}")).raise_for_status()


def _process_cpu_s(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:  # it ended meanwhile
        return 0.0


@asynccontextmanager
async def open_installation(cluster: PostgresCluster, crowd: Crowd | None) -> AsyncIterator[Installation]:
    """Start the api on a cluster; `crowd` is the data to fill it with first, None if it is filled already."""
    if crowd is not None:
        db_to_fill = NotingDatabase(cluster.dsn, application_name="bench", statement_timeout_ms=0)
        await db_to_fill.open()
        await ensure_first_data(
            db_to_fill, image="desktop", admin_password_hash="", key_id=KEY[0], key_secret_hash=secret_digest(KEY[1])
        )
        await fill(db_to_fill, crowd)
        await db_to_fill.close()
    db = NotingDatabase(cluster.dsn, application_name="bench", max_size=1, statement_timeout_ms=60_000)
    await db.open()
    config = ApiConfig(database_url=cluster.dsn, secret_key_file=Path("unused"))
    app = create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api"))
    postmaster = psutil.Process(int((cluster.data / "postmaster.pid").read_text().split()[0]))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="https://127.0.0.1:8443", auth=httpx2.BasicAuth(*KEY)
    ) as api:
        collect_rarely()
        yield Installation(db, api, postmaster)
    await db.close()
