"""The chain of the audit in the database: every manipulation by a superuser is found; the service role can only add."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, Final

import pytest
from psycopg.errors import InsufficientPrivilege
from tests.database.manipulations import DAYS, MANIPULATIONS, PER_DAY, Manipulation, values_of_manipulation
from tests.support.postgres import incompressible_text

from greenroom.core.audit import AuditEvent, Link
from greenroom.db.access.lifecycle import lock_access
from greenroom.db.database import Database
from greenroom.db.diagnostics import audit
from greenroom.db.diagnostics.audit import AuditWriter, append_events, delete_old_days, verify, verify_chain
from greenroom.db.diagnostics.audit_operations import BegunOperations
from greenroom.db.diagnostics.audit_recovery import append_unknown
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.migrate import OWNER_ROLE, SERVICE_ROLE
from greenroom.kit.secrets import Secrets
from greenroom.manager.tasks.rounds import Retention

SECRETS: Final = Secrets(bytes(32))


def event(number: int) -> AuditEvent:
    return AuditEvent(
        code=f"group-{number % 3}",
        message=f"alice changed group {number}",
        operation="PATCH /api/v1/groups/{group_id}",
        interface="console",
        actor_kind="user",
        actor_id=f"u{number}",
        actor_name="alice",
        on_behalf_of="carol",
        address="192.0.2.1",
        object_kind="group",
        object_id=f"g{number}",
        object_name=f"Group {number}",
        details=f'{{"before":{{"x":{number}.0}},"after":{{"x":1e300}}}}',
        request_id=f"r{number}",
    )


async def write_days(db: Database, monkeypatch: pytest.MonkeyPatch, *, first_days_ago: int) -> None:
    """Write `PER_DAY` events for each of `DAYS` days."""
    real = audit.append

    for day in range(DAYS):

        def append_earlier(*arguments: Any, now: Any, days_ago: int = first_days_ago - day, **more: Any) -> Any:
            return real(*arguments, now=now - timedelta(days=days_ago), **more)

        monkeypatch.setattr(audit, "append", append_earlier)
        async with db.transaction() as connection:
            await append_events(connection, SECRETS, [event(day * PER_DAY + n) for n in range(PER_DAY)])
    monkeypatch.setattr(audit, "append", real)


@pytest.fixture
async def service(dsn: str) -> AsyncIterator[Database]:
    """The database for api and Managers with a separate role."""
    database = Database(dsn.replace(f"user={OWNER_ROLE}", f"user={SERVICE_ROLE}"), application_name="greenroom test")
    await database.open()
    yield database
    await database.close()


async def problem_of(db: Database, **options: Any) -> str | None:
    return (await verify(db, SECRETS, **options)).problem


async def test_writers_in_parallel_leave_one_intact_chain(db: Database, dsn: str):
    others = [Database(dsn, application_name="greenroom test") for _ in range(3)]
    for other in others:
        await other.open()
    writers = [AuditWriter(each, SECRETS) for each in (db, *others)]

    async def write(writer: AuditWriter) -> None:
        for number in range(20):
            writer.add(event(number))
            await writer.flush()

    await asyncio.gather(*map(write, writers))
    for other in others:
        await other.close()
    result = await verify(db, SECRETS)
    assert (result.problem, result.checked) == (None, 80)


async def test_events_do_not_wait_for_a_change_of_groups(db: Database):
    writer = AuditWriter(db, SECRETS)
    writer.add(event(1))
    async with db.transaction() as connection:
        await lock_access(connection, alone=True)
        await writer.flush()
        assert await db.fetch("SELECT count(*) AS n FROM audit_events") == [{"n": 1}]


async def test_a_nul_and_half_a_character_can_be_stored_and_verified(db: Database):
    writer = AuditWriter(db, SECRETS)
    writer.add(AuditEvent(code="x", message="a\0b\ud800", interface="api", actor_kind="none"))
    await writer.flush()
    assert await db.fetch("SELECT message FROM audit_events") == [{"message": "ab?"}]
    assert await problem_of(db) is None


class RolledBackError(Exception):
    """Undoes a manipulation."""


async def problem_after(db: Database, manipulation: Manipulation, values: dict[str, Any]) -> str:
    """The problem that the verification finds after a manipulation, which is undone."""
    problem = ""
    with suppress(RolledBackError):
        async with db.transaction() as connection:
            for statement in manipulation.statements:
                await connection.execute(statement, values)
            problem = (await verify_chain(connection, SECRETS)).problem or ""
            raise RolledBackError
    return problem


async def test_a_thousand_random_manipulations_by_a_superuser_are_found(db: Database, monkeypatch: pytest.MonkeyPatch):
    await write_days(db, monkeypatch, first_days_ago=DAYS - 1)
    assert await problem_of(db) is None
    rng = Random(35)  # noqa: S311 -- a test repeats its manipulations
    missed: list[tuple[Manipulation, str]] = []
    for number in range(1000):
        manipulation, values = MANIPULATIONS[number % len(MANIPULATIONS)], values_of_manipulation(rng)
        problem = await problem_after(db, manipulation, values)
        name = f" {values[manipulation.first]} " if manipulation.first else ""
        if not problem or name not in problem:
            missed.append((manipulation, problem))
    assert missed == []
    assert await problem_of(db) is None


async def test_days_can_be_verified_alone_and_a_recorded_event_detects_a_restored_state(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    await write_days(db, monkeypatch, first_days_ago=DAYS - 1)
    rows = await db.fetch("SELECT day FROM audit_seals ORDER BY day")
    second = rows[1]["day"]
    result = await verify(db, SECRETS, first_day=second, last_day=second)
    assert (result.problem, result.checked, result.last.event_id) == (None, PER_DAY, 2 * PER_DAY)
    await db.write("UPDATE audit_events SET message = 'nothing' WHERE event_id = 3")
    assert await problem_of(db, first_day=second) is None
    assert "Event 3 " in str(await problem_of(db, last_day=second))


async def test_a_recorded_event_detects_an_older_state_of_the_tables(db: Database):
    writer = AuditWriter(db, SECRETS)
    for number in (1, 2):
        writer.add(event(number))
        await writer.flush()
        if number == 1:
            await db.write("CREATE TABLE old_head AS SELECT * FROM audit_head")
    recorded = (await verify(db, SECRETS)).last
    assert await problem_of(db, expected=recorded) is None
    await db.write("DELETE FROM audit_events WHERE event_id = 2")
    await db.write("DELETE FROM audit_head")
    await db.write("INSERT INTO audit_head SELECT * FROM old_head")
    assert await problem_of(db) is None, "only the record outside of the installation shows it"
    assert "does not contain event 2" in str(await problem_of(db, expected=Link.parse(str(recorded))))


async def test_events_after_the_loss_of_the_head_do_not_hide_the_loss(db: Database):
    writer = AuditWriter(db, SECRETS)
    for number in range(5):
        writer.add(event(number))
    await writer.flush()
    await db.write("DELETE FROM audit_events WHERE event_id > 3")
    await db.write("DELETE FROM audit_head")
    writer.add(event(9))
    await writer.flush()
    assert "Event 4 " in str(await problem_of(db))


async def test_the_service_role_adds_events_and_deletes_only_old_days(
    db: Database, service: Database, monkeypatch: pytest.MonkeyPatch
):
    await write_days(service, monkeypatch, first_days_ago=39)  # a day may end during the test
    writer = AuditWriter(service, SECRETS)
    writer.add(event(1))
    await writer.flush()
    for statement in (
        "UPDATE audit_events SET message = ''",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "DELETE FROM audit_seals",
        "DELETE FROM audit_head",
        "SELECT delete_audit_events((SELECT min(day) FROM audit_seals))",
    ):
        with pytest.raises(InsufficientPrivilege):
            await service.write(statement)  # pyright: ignore[reportArgumentType]
    assert await delete_old_days(service, SECRETS, 40) == []
    await db.write("INSERT INTO settings (name, value) VALUES ('audit_hold', 'true')")
    with pytest.raises(InsufficientPrivilege, match="must be kept"):
        await delete_old_days(service, SECRETS, 1)
    await db.write("DELETE FROM settings")
    assert len(await delete_old_days(service, SECRETS, 1)) == DAYS
    result = await verify(service, SECRETS)
    assert (result.problem, result.checked) == (None, 1 + DAYS)
    deleted = await db.fetch("SELECT count(*) AS n FROM audit_events WHERE code = 'audit-deleted'")
    assert deleted == [{"n": DAYS}]


async def test_an_event_cannot_be_put_into_a_deleted_day(db: Database, monkeypatch: pytest.MonkeyPatch):
    await write_days(db, monkeypatch, first_days_ago=40)
    AuditWriter(db, SECRETS)
    async with db.transaction() as connection:
        await append_events(connection, SECRETS, [event(1)])
        await connection.execute("CREATE TABLE kept AS SELECT * FROM audit_events")
    await delete_old_days(db, SECRETS, 36)
    await db.write("INSERT INTO audit_events SELECT * FROM kept WHERE event_id = 2")
    assert await problem_of(db) == "Event 2 was inserted."


async def test_a_primary_deletes_old_days_unless_there_is_a_legal_hold(db: Database, monkeypatch: pytest.MonkeyPatch):
    await write_days(db, monkeypatch, first_days_ago=400)
    async with db.transaction() as connection:
        await append_events(connection, SECRETS, [event(1)])
    await db.write("INSERT INTO settings (name, value) VALUES ('audit_hold', 'true')")
    await Retention(db, SECRETS, LogWriter(db, "manager"), lambda: True).round()
    first = "SELECT min(event_id) AS id FROM audit_events"
    assert await db.fetch(first) == [{"id": 1}]
    await db.write("DELETE FROM settings")
    await Retention(db, SECRETS, LogWriter(db, "manager"), lambda: True).round()
    assert await db.fetch(first) == [{"id": DAYS * PER_DAY + 1}]
    assert await problem_of(db) is None


async def test_a_process_notices_that_the_chain_lost_an_event_that_it_stored(db: Database):
    first, second = AuditWriter(db, SECRETS), AuditWriter(db, SECRETS)

    async def store(writer: AuditWriter, number: int) -> None:
        writer.add(event(number))
        await writer.flush()

    async def noticed() -> list[str]:
        return [
            row["message"][:38] for row in await db.fetch("SELECT message FROM logs WHERE code = 'audit-rolled-back'")
        ]

    await store(first, 1)
    await db.write("CREATE TABLE old_head AS SELECT * FROM audit_head")
    await store(first, 2)
    await store(second, 3)
    assert await noticed() == []
    await db.write("DELETE FROM audit_events WHERE event_id > 1")
    await db.write("DELETE FROM audit_head")
    await db.write("INSERT INTO audit_head SELECT * FROM old_head")
    assert await problem_of(db) is None, "the older state is intact"
    for writer, number in ((first, 4), (second, 5), (first, 6), (second, 7)):
        await store(writer, number)
    assert await noticed() == ["The audit was set back: event 2 was st", "The audit was set back: event 3 was st"]
    reports = await db.fetch("SELECT event_id FROM audit_events WHERE code = 'audit-rolled-back'")
    assert len(reports) == 2
    assert await problem_of(db) is None


async def test_verification_doubts_an_intact_chain_that_is_empty_or_too_short(db: Database):
    assert (await verify(db, SECRETS)).doubt is None, "the installation is new"
    await db.write("UPDATE installation SET created = created - interval '2 hours'")
    assert "is empty" in str((await verify(db, SECRETS)).doubt)
    async with db.transaction() as connection:
        await append_events(connection, SECRETS, [event(1)])
    assert (await verify(db, SECRETS)).doubt is None
    await db.write("INSERT INTO audit_deliveries (target, last_id) VALUES ('syslog', 2)")
    assert "Event 2 was delivered" in str((await verify(db, SECRETS)).doubt)


async def test_an_event_that_an_index_cannot_hold_delays_no_other(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit, "storable_event", lambda event: event)
    writer = AuditWriter(db, SECRETS)
    for number, object_id in enumerate(("a", incompressible_text(4000), "b")):
        writer.add(replace(event(number), object_id=object_id))
    await writer.flush()
    stored = await db.fetch("SELECT object_id, message, actor_id FROM audit_events ORDER BY event_id")
    assert [(row["object_id"], row["actor_id"]) for row in stored] == [("a", "u0"), (None, "u1"), ("b", "u2")]
    assert stored[1]["message"] == "The event group-1 was refused in its full form: ProgramLimitExceeded"
    assert await problem_of(db) is None


async def test_an_operation_that_an_index_cannot_hold_delays_no_other_after_a_restart(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    for name in ("audit_operations", "audit"):
        monkeypatch.setattr(f"greenroom.db.diagnostics.{name}.storable_event", lambda event: event)
    operations = BegunOperations(db, SECRETS)
    for number, object_id in enumerate(("a", incompressible_text(4000), "b")):
        await operations.begin(str(uuid.uuid4()), replace(event(number), object_id=object_id))
    await db.write("UPDATE audit_operations SET alive = alive - interval '1 hour'")
    await append_unknown(db, SECRETS)
    stored = await db.fetch("SELECT object_id FROM audit_events ORDER BY object_id")
    assert [row["object_id"] for row in stored] == ["a", "b", None]
    assert await db.fetch("SELECT FROM audit_operations") == []


async def test_an_event_with_long_fields_is_stored(db: Database):
    writer = AuditWriter(db, SECRETS)
    writer.add(
        replace(
            event(1),
            object_id=incompressible_text(4000),
            actor_name="\U0001f600" * 4000,
            code=incompressible_text(4000),
        )
    )
    await writer.flush()
    (stored,) = await db.fetch("SELECT length(object_id) AS length, details FROM audit_events")
    assert stored == {"length": 279, "details": event(1).details}
    assert await problem_of(db) is None


async def test_the_intact_events_after_a_changed_one_are_counted(db: Database):
    writer = AuditWriter(db, SECRETS)
    writer.add(*(event(number) for number in range(9)))
    await writer.flush()
    await db.write("UPDATE audit_events SET message = 'x' WHERE event_id IN (3, 6)")
    found = await verify(db, SECRETS)
    assert str(found.problem).startswith("Event 3 ")
    assert (found.checked, found.last.event_id, found.later, found.later_intact) == (2, 2, 6, 5)
