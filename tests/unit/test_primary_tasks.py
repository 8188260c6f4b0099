"""Tasks of a Primary are isolated from each other: an error of one stops only that task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from greenroom.core.errors import GreenroomError, LeaseLost, StatementCanceled, Unavailable
from greenroom.core.events import ChangeEvent
from greenroom.core.log_codes import LogCode
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.manager.tasks import context as isolation
from greenroom.manager.tasks import rounds as manager_rounds
from greenroom.manager.tasks.context import (
    FIRST_BACKOFF_S,
    MAX_BACKOFF_S,
    PrimaryContext,
    RoundEvents,
    TaskFailures,
    Tasks,
)
from greenroom.manager.tasks.rounds import PrimaryRounds


class Logs:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def write(self, code: LogCode, message: str, **_fields: Any) -> None:
        self.rows.append((code.level, code, message))


class Database:
    def __init__(self) -> None:
        self.announced: list[set[str]] = []
        self.is_due = True

    async def fetch_one(self, _query: str, _params: object) -> dict[str, bool]:
        return {"is_due": self.is_due}

    async def notify(self, *events: ChangeEvent) -> None:
        self.announced.append({str(event) for event in events})


@pytest.fixture
def db() -> Database:
    return Database()


@pytest.fixture
def logs() -> Logs:
    return Logs()


@pytest.fixture
def context(db: Database, logs: Logs) -> PrimaryContext:
    separate = Tasks(TaskFailures(), cast("LogWriter", logs))
    fence, news = SimpleNamespace(term=1, zone_key=1), RoundEvents(cast("Any", db), cast("LogWriter", logs))
    config = SimpleNamespace(agent_missing_s=15.0, cpu_overcommit=1.0)
    made = SimpleNamespace(db=db, logs=logs, fence=fence, events=news, tasks=separate, zone_id="z", config=config)
    return cast("PrimaryContext", made)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tasks that were done; the real tasks are replaced."""
    names: list[str] = []

    def task(name: str) -> manager_rounds.Task:
        async def run(_ctx: PrimaryContext) -> None:
            names.append(name)

        return run

    for kind in (manager_rounds.TASKS, manager_rounds.UPKEEP):
        for name in kind:
            monkeypatch.setitem(kind, name, task(name))
    return names


def failing(error: Exception) -> manager_rounds.Task:
    async def run(_ctx: PrimaryContext) -> None:
        raise error

    return run


@pytest.mark.parametrize("error", [ValueError("no such status"), StatementCanceled("too slow"), KeyError("cores")])
async def test_a_failed_task_is_logged_with_its_reason_and_the_others_go_on(
    error: Exception, context: PrimaryContext, logs: Logs, done: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(manager_rounds.TASKS, "agents", failing(error))
    monkeypatch.setattr(isolation, "boottime_s", lambda: 0.0)
    rounds = PrimaryRounds()
    for _ in range(5):
        await rounds.run(context)
    assert set(done) == {*manager_rounds.TASKS, *manager_rounds.UPKEEP} - {"agents"}
    assert context.tasks.failures.tasks == ["agents"]
    ((level, code, message),) = logs.rows  # it backs off meanwhile
    assert (level, code) == ("ERROR", "primary-task-failed")
    assert str(error) in message


async def test_a_round_in_which_nothing_is_due_looks_at_the_agenda_of_pools_alone(
    context: PrimaryContext, db: Database, done: list[str]
):
    db.is_due = False
    rounds = PrimaryRounds()
    await rounds.run(context)
    assert done == ["pools", *manager_rounds.UPKEEP]
    await rounds.run(context)
    assert done[-1] == "pools"


async def test_a_task_that_failed_is_tried_again_although_nothing_is_due(
    context: PrimaryContext, db: Database, done: list[str], monkeypatch: pytest.MonkeyPatch
):
    now_s = 0.0
    monkeypatch.setattr(isolation, "boottime_s", lambda: now_s)
    context.tasks.failures.record_failure("expiry")
    db.is_due, now_s = False, FIRST_BACKOFF_S
    await PrimaryRounds().run(context)
    assert "expiry" in done
    assert context.tasks.failures.tasks == []


@pytest.mark.parametrize("error", [LeaseLost(), Unavailable()])
async def test_the_end_of_the_term_or_of_the_database_ends_the_round(
    error: GreenroomError, context: PrimaryContext, done: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(manager_rounds.TASKS, "agents", failing(error))
    with pytest.raises(type(error)):
        await PrimaryRounds().run(context)
    assert (done, context.tasks.failures.tasks) == ([], [])


async def test_a_tasks_work_is_announced_before_the_next_even_if_it_failed(
    context: PrimaryContext, db: Database, done: list[str], monkeypatch: pytest.MonkeyPatch
):
    async def half_done(ctx: PrimaryContext) -> None:
        ctx.events.add(ChangeEvent.session("s"), ChangeEvent.agent("a"))
        raise ValueError("another row")

    announced: list[list[set[str]]] = []

    async def look(_ctx: PrimaryContext) -> None:
        announced.append(list(db.announced))

    first, second, *_ = manager_rounds.TASKS
    monkeypatch.setitem(manager_rounds.TASKS, first, half_done)
    monkeypatch.setitem(manager_rounds.TASKS, second, look)
    await PrimaryRounds().run(context)
    assert announced == [[{"primary:1"}, {"session:s", "agent:a"}]]


async def test_a_primary_that_can_do_nothing_does_not_finish_its_round(
    context: PrimaryContext, done: list[str], monkeypatch: pytest.MonkeyPatch
):
    """It hangs then and resigns, so that another Manager can try, such as one of the previous version."""
    for name in manager_rounds.TASKS:
        monkeypatch.setitem(manager_rounds.TASKS, name, failing(TypeError("a defect")))
    rounds = PrimaryRounds()
    for _ in range(2):
        with pytest.raises(GreenroomError, match="All tasks of the Primary fail"):
            await rounds.run(context)


def test_the_back_off_grows_and_is_forgotten_when_the_row_is_gone(monkeypatch: pytest.MonkeyPatch):
    now_s = 0.0
    monkeypatch.setattr(isolation, "boottime_s", lambda: now_s)
    failures = TaskFailures()
    backoffs = [failures.record_failure("pools", "one") for _ in range(8)]
    assert backoffs[:3] == [FIRST_BACKOFF_S, 2 * FIRST_BACKOFF_S, 4 * FIRST_BACKOFF_S]
    assert max(backoffs) == backoffs[-1] == MAX_BACKOFF_S
    assert failures.in_backoff("pools", "one")
    assert not failures.in_backoff("pools", "another")
    assert not failures.in_backoff("pools")
    now_s = MAX_BACKOFF_S
    assert not failures.in_backoff("pools", "one")
    assert failures.tasks == ["pools"]
    now_s = MAX_BACKOFF_S + isolation.FORGOTTEN_AFTER_S
    assert failures.tasks == []
    assert failures.record_failure("pools", "one") == FIRST_BACKOFF_S
    failures.record_success("pools", "one")
    assert failures.tasks == []


async def test_an_item_that_ended_well_is_progress_of_a_long_task(
    context: PrimaryContext, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(isolation, "boottime_s", lambda: 7.0)
    async with context.tasks.isolated("agents"):
        async with context.tasks.isolated("agents", "one of thousands"):
            pass
        assert context.tasks.failures.last_success_at_s == 7.0
