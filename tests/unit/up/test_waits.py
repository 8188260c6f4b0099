"""A start that waits for a part in vain reports the part, its last problem and the last line of its log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx2
import pytest
from tests.support.waiting import eventually

from greenroom.core.errors import SetupError
from greenroom.db.connections import TimeLimitedConnection
from greenroom.db.database import Database
from greenroom.up import health
from greenroom.up.account import Account
from greenroom.up.health import Health
from greenroom.up.instance import MAX_STARTS, Instance
from greenroom.up.layout import Layout
from greenroom.up.processes import ProcessCommand
from greenroom.up.site import Site
from greenroom.up.supervisor import Part, Supervisor


@pytest.fixture
def starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """An instance that has waited long enough for any of its parts."""
    monkeypatch.setenv("GREENROOM_READY_WITHIN_S", "0")
    layout = Layout(tmp_path)
    layout.logs.mkdir()
    instance = Instance.__new__(Instance)
    instance.site = cast("Site", SimpleNamespace(dsn="", layout=layout))
    instance.supervisor = Supervisor(tmp_path / "state.json")
    return instance


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("connection refused", r"The database does not run, or listens at another address \(connection refused\)\."),
        ("TimeoutError", r"The database cannot be used \(TimeoutError\)\."),
    ],
)
async def test_the_database(starting: Instance, monkeypatch: pytest.MonkeyPatch, said: str, reason: str):
    async def answer(_: str) -> str:
        return said

    monkeypatch.setattr(health, "database_problem", answer)
    log = starting.site.layout.log("postgres")
    log.write_text("FATAL:  could not create lock file\n")
    with pytest.raises(
        SetupError,
        match=rf"^The instance is not ready after 0 s\. postgres: {reason} Its log .*FATAL:  could not create",
    ):
        await starting._wait_for_database()


async def test_an_agent_that_its_manager_does_not_know(starting: Instance, monkeypatch: pytest.MonkeyPatch):
    async def states(*_: object) -> list[Health]:
        return [
            Health(name="api", role="api", ok=True, detail="answers"),
            Health(name="agent-default at the Manager", role="agent", ok=False, detail="not registered"),
        ]

    monkeypatch.setattr(health, "check_all", states)
    starting.db = cast("Database", None)
    starting.site.layout.log("agent-default").write_text("certificate verify failed\n")
    async with httpx2.AsyncClient() as http:
        with pytest.raises(
            SetupError, match=r"not registered Its log .*agent-default\.log ends with: certificate verify"
        ):
            await starting._wait_until_healthy(http)


async def test_a_part_whose_program_is_missing_is_given_up_at_once(starting: Instance, tmp_path: Path):
    command = ProcessCommand(
        argv=("true",), environment={}, folder=tmp_path / "absent", account=Account(None), log=tmp_path / "api.log"
    )
    starting.supervisor.run(Part(name="api", role="api", command=lambda: command))
    await eventually(starting.supervisor.failed_task)
    with pytest.raises(SetupError, match=r"^api cannot be started: No such file or directory: .*absent"):
        starting._raise_if_failed()


async def test_a_part_that_ends_again_and_again_is_given_up(starting: Instance):
    starting.supervisor.parts = [
        Part(name="api", role="api", command=lambda: pytest.fail("it runs"), starts=MAX_STARTS, last_exit="ended")
    ]
    with pytest.raises(SetupError, match=r"^api does not start \(ended\)\. Its log .* ends with: \(no output\)"):
        starting._raise_if_failed()


async def test_an_error_without_text_is_a_reason(monkeypatch: pytest.MonkeyPatch):
    async def silent(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        raise TimeoutError

    monkeypatch.setattr(TimeLimitedConnection, "connect", silent)
    assert await health.database_problem("") == "TimeoutError"
