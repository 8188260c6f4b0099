"""`greenroom audit verify`, and the events of commands on the host and of Managers."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.support import rows
from tests.support.agents import HttpDoor, joined, session
from tests.support.managers import KEY, Fleet
from tests.support.waiting import eventually
from typer.testing import CliRunner, Result

from greenroom.cli.main import app
from greenroom.core.audit import AuditEvent
from greenroom.core.errors import SetupError
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import append_events, verify
from greenroom.db.diagnostics.audit_recovery import append_unknown
from greenroom.kit.secrets import Secrets
from greenroom.up.recorded import HostCommand, record, record_at, recorded
from greenroom.wire.messages import LogLine


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    Secrets.create_file(tmp_path / "installation.key")
    return tmp_path / "installation.key"


@pytest.fixture
async def stored(db: Database, key_file: Path) -> list[AuditEvent]:
    """Three events, the last by a command on the host."""
    events = [AuditEvent(code="login", message="x", interface="api", actor_kind="user") for _ in range(2)]
    async with db.transaction() as connection:
        await append_events(connection, Secrets.from_file(key_file), events)
    command = HostCommand(
        name="users reset-password", action="set a password", code="user-changed", object_kind="user", object_name="ada"
    )
    await record(db, key_file, command)
    return events


async def verified(dsn: str, key_file: Path, *options: str) -> Result:
    """The result of the command, which runs in a thread because it has its own loop."""
    call = ["audit", "verify", "--database-url", dsn, "--key-file", str(key_file), *options]
    return await asyncio.to_thread(CliRunner().invoke, app, call)


@pytest.mark.usefixtures("stored")
async def test_the_command_names_the_first_changed_event(db: Database, dsn: str, key_file: Path):
    intact = await verified(dsn, key_file)
    assert (intact.exit_code, intact.stdout.splitlines()[0]) == (0, "3 events are intact."), intact.output
    head = intact.stdout.splitlines()[1].removeprefix("Head: ")
    assert (await verified(dsn, key_file, "--expect", head)).exit_code == 0
    await db.write("INSERT INTO audit_deliveries (target, last_id) VALUES ('syslog', 99)")
    short = await verified(dsn, key_file)
    assert (short.exit_code, "but the chain ends at event 3" in short.stdout) == (3, True)
    await db.write("DELETE FROM audit_deliveries")
    await db.write("UPDATE audit_events SET actor_name = 'bob' WHERE event_id = 2")
    changed = await verified(dsn, key_file, "--json")
    answer: dict[str, Any] = json.loads(changed.stdout)
    assert (changed.exit_code, "Event 2 " in answer["problem"]) == (1, True)


@pytest.mark.usefixtures("stored")
async def test_a_command_on_the_host_is_an_event_with_the_account(db: Database):
    row = await db.fetch_one("SELECT * FROM audit_events ORDER BY event_id DESC LIMIT 1")
    assert row is not None
    assert (row["actor_kind"], row["operation"]) == ("host", "greenroom users reset-password")
    assert (row["code"], row["object_kind"], row["object_name"]) == ("user-changed", "user", "ada")


async def events_of_commands(db: Database) -> list[dict[str, Any]]:
    return await db.fetch("SELECT operation, result, actor_name, message FROM audit_events ORDER BY event_id")


async def test_a_failed_command_is_one_event_with_the_person_behind_sudo(
    db: Database, key_file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SUDO_USER", "ada")
    command = HostCommand(name="upgrade", action="upgraded the installation")
    with pytest.raises(SetupError):
        async with recorded(db, key_file, command):
            raise SetupError("A role does not start.")
    assert await events_of_commands(db) == [
        {
            "operation": "greenroom upgrade",
            "result": "failed",
            "actor_name": "ada",
            "message": "ada on the host upgraded the installation: A role does not start.",
        }
    ]
    assert await db.fetch("SELECT operation_id FROM audit_operations") == []


class CommandKilledError(BaseException):
    """In place of a kill."""


async def test_a_killed_command_leaves_an_event(db: Database, key_file: Path):
    with pytest.raises(CommandKilledError):
        async with recorded(db, key_file, HostCommand(name="upgrade", action="upgraded the installation")):
            raise CommandKilledError
    await db.write("UPDATE audit_operations SET alive = alive - interval '1 minute'")
    await append_unknown(db, Secrets.from_file(key_file))
    (event,) = await events_of_commands(db)
    assert (event["operation"], event["result"]) == ("greenroom upgrade", "unknown")
    assert (await verify(db, Secrets.from_file(key_file))).problem is None


@pytest.mark.parametrize("result", ["done", "failed"])
async def test_a_command_whose_event_cannot_be_stored_warns_and_keeps_its_result(
    db: Database, key_file: Path, capsys: pytest.CaptureFixture[str], *, result: str
):
    await db.write("ALTER TABLE audit_events ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    expected = pytest.raises(SetupError, match="does not start") if result == "failed" else nullcontext()
    with expected:
        async with recorded(db, key_file, HostCommand(name="upgrade", action="upgraded the installation")):
            if result == "failed":
                raise SetupError("A role does not start.")
    assert f"could not store the event upgrade with the result {result}" in capsys.readouterr().err
    await db.write("ALTER TABLE audit_events DROP CONSTRAINT full_disk")
    await db.write("UPDATE audit_operations SET alive = alive - interval '1 minute'")
    await append_unknown(db, Secrets.from_file(key_file))
    assert [event["result"] for event in await events_of_commands(db)] == ["unknown"]


async def test_a_command_without_the_key_prints_that_there_is_no_event(
    db: Database, dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    await asyncio.to_thread(record_at, dsn, tmp_path / "missing.key", HostCommand(name="backup", action="backs up"))
    assert "The audit has no event of this command" in capsys.readouterr().err
    assert await events_of_commands(db) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--from", "March"], "is no day"), (["--expect", "12"], "has the form")],
)
async def test_a_wrong_option_is_refused(dsn: str, key_file: Path, options: list[str], said: str):
    refused = await verified(dsn, key_file, *options)
    assert refused.exit_code != 0
    assert said in refused.output.replace("\n", " ")


async def test_an_opened_stream_that_an_agent_reports_is_an_event(db: Database, dsn: str, tmp_path: Path):
    await rows.zone(db, "default")
    fleet = Fleet(dsn, tmp_path)
    try:
        await fleet.start("one")
        agent = await joined(db, HttpDoor(fleet.urls["one"]))
        session_id = await session(db, agent)
        line = LogLine(at=time.time(), level="INFO", code="stream-opened", message="opened", session_id=session_id)
        await agent.check_in(logs=[line], once=True)

        async def events() -> list[dict[str, Any]]:
            return await db.fetch("SELECT object_id, actor_kind FROM audit_events WHERE code = 'stream-opened'")

        await eventually(events)
        assert await events() == [{"object_id": session_id, "actor_kind": "agent"}]
        assert await db.fetch("SELECT 1 AS n FROM audit_events WHERE code = 'agent-registered'") == [{"n": 1}]
        assert (await verify(db, Secrets(KEY))).problem is None
    finally:
        fleet.close()
