"""A page of a list is read from an index: what it reads does not grow with what there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import pytest

from greenroom.core.listing import Word
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import LogFilter, RequestFilter, list_logs, list_manager_requests
from greenroom.db.launch.ledger import LaunchFilter, list_launches
from greenroom.db.pool.configs import list_configs
from greenroom.db.session.views import SessionFilter, list_sessions
from greenroom.db.workspace.images import list_images
from greenroom.testing.crowd import Crowd, fill, id_of
from greenroom.testing.plans import NotingDatabase

SOME: Final = Crowd(
    agents=10, users=200, images=40, pools=160, staged=1, live=400, ended=6000, logs=6000, requests=6000
)
LIMIT: Final = 10
MOST: Final = 600
"""Rows for a page of `LIMIT`: those of the page, of other tables that are shown with it, and of the live sessions."""

USER, IMAGE, POOL, AGENT = (id_of(kind, 7) for kind in ("user", "image", "pool", "agent"))
Read = Callable[[Database], Awaitable[object]]


@pytest.fixture
async def filled(dsn: str) -> AsyncIterator[NotingDatabase]:
    noting = NotingDatabase(dsn, application_name="test", max_size=1, statement_timeout_ms=60_000)
    await noting.open()
    await fill(noting, SOME)
    noting.noted = []
    yield noting
    await noting.close()


def sessions(**wanted: object) -> Read:
    return lambda db: list_sessions(db, SessionFilter(**wanted), limit=LIMIT)  # type: ignore[arg-type]


def launches(**wanted: object) -> Read:
    return lambda db: list_launches(db, LaunchFilter(**wanted), limit=LIMIT)  # type: ignore[arg-type]


def logs(**wanted: str) -> Read:
    return lambda db: list_logs(db, LogFilter(**wanted), before=None, limit=LIMIT)  # type: ignore[arg-type]


def requests(**wanted: object) -> Read:
    return lambda db: list_manager_requests(db, RequestFilter(**wanted), before=None, limit=LIMIT)  # type: ignore[arg-type]


PAGES: Final[dict[str, Read]] = {
    "sessions": sessions(),
    "sessions, quarantined": sessions(set_aside=True),
    "sessions, also ended": sessions(ended=True),
    "sessions, ended of a user": sessions(ended=True, user_id=USER),
    "sessions, ended of a workspace": sessions(ended=True, image_id=IMAGE),
    "sessions, ended of a pool": sessions(ended=True, staging_config_id=POOL),
    "sessions, ended of an Agent": sessions(ended=True, agent_id=AGENT),
    "sessions, only ended": sessions(ended=True, status="deleted"),
    "launches": launches(),
    "launches of a user": launches(user_id=USER),
    "launches of a workspace": launches(image_id=IMAGE),
    "launches that failed": launches(outcome="failed"),
    "logs": logs(),
    "logs, errors": logs(level="ERROR"),
    "logs, warnings": logs(level="WARNING"),
    "logs of a component that says nothing": logs(component="agent"),
    "logs of another zone": logs(zone_name="elsewhere"),
    "logs about a user": logs(user_id=USER),
    "logs about a pool": logs(staging_config_id=POOL),
    "requests": requests(),
    "requests refused": requests(refused=True),
    "requests answered 404": requests(status=404),
    "requests of an Agent": requests(agent_id=AGENT),
    "requests at another Manager": requests(manager_instance_id="none"),
}


async def test_a_page_reads_little(filled: NotingDatabase):
    read: dict[str, int] = {}
    for name, page in PAGES.items():
        await page(filled)
        read[name] = sum(each.rows for each in await filled.readings())
    assert {name: rows for name, rows in read.items() if rows > MOST} == {}


@pytest.mark.parametrize("read_page", [list_configs, list_images])
async def test_what_is_shown_of_each_is_read_for_those_of_the_page_alone(
    filled: NotingDatabase, read_page: Callable[..., Awaitable[object]]
):
    await read_page(filled, limit=2)
    (page,) = await filled.readings()
    await read_page(filled)
    (whole,) = await filled.readings()
    assert page.rows < whole.rows / 4, (page.rows, whole.rows)


async def test_words_are_looked_for_in_each_table_once(filled: NotingDatabase):
    await list_sessions(filled, SessionFilter(words=[Word("nothing")]), limit=LIMIT)
    (reading,) = await filled.readings()
    assert reading.rows < 2 * (SOME.live + SOME.users + SOME.agents)
