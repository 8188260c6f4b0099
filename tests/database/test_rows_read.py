"""A page of a list is read from an index: the amount of data read does not grow with the tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx2
import pytest
from tests.database.api.client import KEY, Client
from tests.support.crowd import Crowd, fill, id_of
from tests.support.lists import offered
from tests.support.plans import NotingDatabase

from greenroom.api.app import create_app
from greenroom.core.log_codes import LogCode
from greenroom.db import listing
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.today import read_fleet
from greenroom.db.pool.configs import list_configs
from greenroom.db.session.deadlines import has_work
from greenroom.db.workspace.images import list_images
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.up.installation import ensure_first_data

SOME: Final = Crowd(
    agents=10, users=200, images=40, pools=160, staged=1, live=400, ended=6000, logs=6000, requests=6000
)
MOST: Final = 1500
"""The maximum number of rows for a page of ten: those of the page, of joined tables, and of live objects."""


@pytest.fixture
async def filled(dsn: str) -> AsyncIterator[NotingDatabase]:
    noting = NotingDatabase(dsn, application_name="test", max_size=1, statement_timeout_ms=60_000)
    await noting.open()
    await ensure_first_data(
        noting, image="desktop", admin_password_hash="", key_id=KEY[0], key_secret_hash=secret_digest(KEY[1])
    )
    await fill(noting, SOME)
    await noting.write("INSERT INTO filter_policies (name) SELECT 'policy ' || n FROM generate_series(1, 20) n")
    noting.noted = []
    yield noting
    await noting.close()


async def test_a_page_reads_little(filled: NotingDatabase, dsn: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listing, "MAX_COUNTED", 500)
    config = ApiConfig(database_url=dsn, secret_key_file=Path("unused"))
    app = create_app(config, filled, Secrets(bytes(32)), LogWriter(filled, "api"))
    read: dict[str, int] = {}
    async with Client(
        transport=httpx2.ASGITransport(app), base_url="https://127.0.0.1:8443", auth=httpx2.BasicAuth(*KEY)
    ) as client:
        for path in offered(of_many=10, of_few=10):
            filled.noted = []
            await client.read(f"/api/v1/{path}")
            read[path] = sum(each.rows for each in await filled.readings())
    assert {path: rows for path, rows in read.items() if rows > MOST} == {}


@pytest.mark.parametrize("read_page", [list_configs, list_images])
async def test_what_is_shown_of_each_is_read_for_those_of_the_page_alone(
    filled: NotingDatabase, read_page: Callable[..., Awaitable[object]]
):
    await read_page(filled, limit=2)
    (page,) = await filled.readings()
    await read_page(filled)
    (whole,) = await filled.readings()
    assert page.rows < whole.rows / 4, (page.rows, whole.rows)


async def test_a_round_at_rest_reads_what_lives_once_at_most(filled: NotingDatabase):
    assert not await has_work(filled, id_of("zone"), missing_s=15, cpu_overcommit=16)
    (asked,) = await filled.readings()
    assert asked.rows <= SOME.live + 5 * SOME.agents


async def test_today_reads_the_newest_rows_of_short_pools_alone(filled: NotingDatabase):
    await filled.write("UPDATE staging_configs SET num_sessions = num_sessions + 1")
    await filled.write(
        "INSERT INTO logs (level, component, code, message, staging_config_id)"
        " SELECT 'WARNING', 'manager', %s, 'the pool is short', staging_config_id FROM staging_configs",
        (LogCode.STAGING_SHORTFALL,),
    )
    filled.noted = []
    fleet = await read_fleet(filled)
    assert {pool.since is None for pool in fleet.pools} == {False}
    queries = [query for query, _ in filled.noted]
    read = [each.rows for query, each in zip(queries, await filled.readings(), strict=True) if "FROM logs" in query]
    assert sum(read) <= 2 * SOME.pools, "one row of each pool, and none of the log's other rows"
