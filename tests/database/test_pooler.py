"""A pooler in front of the database is refused at every check of the address, also if it is added later."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from tests.database.pooler import pooled
from tests.support.processes import free_port
from tests.support.scratch import passing_folder
from tests.support.waiting import eventually

from greenroom.core.errors import SetupError
from greenroom.db.connections import refuse_pooler
from greenroom.kit.secrets import Secrets
from greenroom.up import commands, doctor

THROUGH_ONE = "names a pooler, which uses another session for each transaction"


async def test_a_transaction_pooler_is_refused(dsn: str, tmp_path: Path):
    await refuse_pooler(dsn)
    async with pooled(dsn, tmp_path) as address:
        with pytest.raises(SetupError, match=THROUGH_ONE):
            await refuse_pooler(address)


async def test_doctor_refuses_it(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layout: Any = None
    async with pooled(dsn, tmp_path) as address:
        for module in (commands, doctor):
            monkeypatch.setattr(module, "site_of", lambda _: SimpleNamespace(dsn=address))
        with pytest.raises(SetupError, match=THROUGH_ONE):
            await commands._doctor(layout)


async def test_the_api_ends_when_one_is_in_front_of_a_database_that_was_away_at_first(dsn: str, tmp_path: Path):
    Secrets.create_file(tmp_path / "key")
    with passing_folder("gr-pooled-") as folder:
        port = free_port()
        environment = os.environ | {
            "GREENROOM_DATABASE_URL": make_conninfo(dsn, host=str(folder), port="6432"),
            "GREENROOM_SECRET_KEY_FILE": str(tmp_path / "key"),
            "GREENROOM_API_PORT": str(port),
        }
        api = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "greenroom", "api"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert api.stdout is not None
        reading = asyncio.create_task(api.stdout.read())
        try:
            async with asyncio.timeout(60):
                await eventually(lambda: listens(port))
                async with pooled(dsn, folder):
                    assert await api.wait() == 1
            # The api's other connections use the pooler too, so the check may get the same session again. It then finds
            # that the pooler discards the options.
            assert "The database URL names a pooler, which" in (await reading).decode()
        finally:
            if api.returncode is None:
                api.kill()
                await api.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True
