"""Writes and deletes rows in batches.

A row that the database refuses does not delay the other rows of a batch. Rows contain texts from unknown clients (a
user name of a failed log-in, the host name of a refused Agent), so characters that cannot be stored are removed first.
Outdated rows are deleted in small batches, so that no request waits for a lock and no statement exceeds its time limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, LiteralString, TypeVar, cast

import psycopg
import structlog
from psycopg.types.json import Jsonb

from greenroom.core.errors import DatabaseUnavailable, GreenroomError, Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.core.text import one_line, rough_duration, shortened
from greenroom.db.database import Connection, Database, refuses_values
from greenroom.kit.repeats import RepeatFilter

log = structlog.get_logger(__name__)

Row = TypeVar("Row")
Item = TypeVar("Item")
JsonRow = Mapping[str, Any]

WAIT_LIMIT_S: Final = 30.0
REPORT_INTERVAL_S: Final = 60.0
_REPORT: Final[LiteralString] = (
    "INSERT INTO logs (level, component, code, message, details) VALUES (%(level)s, %(component)s, %(code)s,"
    " %(message)s, jsonb_build_object('rows', %(rows)s::text, 'process', %(process)s::text))"
)
MAX_TEXT: Final = 8192
MAX_ROWS: Final = 500
"""The maximum number of rows in a statement, so that it ends within its time limit on a busy machine."""


def storable(value: Any, max_text: int | None = MAX_TEXT) -> Any:
    """Return `value` with storable texts at any depth: no NUL, no half of a surrogate pair, at most `max_text` long
    (None = any length). Encoded data must not be cut."""
    if isinstance(value, str):
        return value[:max_text].replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value).items()
        return {storable(name, max_text): storable(inner, max_text) for name, inner in entries}
    if isinstance(value, (list, tuple)):
        return [storable(inner, max_text) for inner in cast("Sequence[object]", value)]
    return value


class WaitingRows(Generic[Row]):
    """Rows that wait to be written, also while the database cannot be reached. At most `max_rows` rows wait; further
    rows are dropped and counted.

    `insert` writes rows and returns the number of rows that were left out. `row_name` is the name of the rows in the
    log of this process, such as "log rows". While the database refuses them, the `component` reports them in the log
    table, which the page Today shows.
    """

    def __init__(
        self,
        db: Database,
        insert: Callable[[Sequence[Row]], Awaitable[int]],
        *,
        component: str,
        row_name: str,
        max_rows: int,
    ) -> None:
        self._db = db
        self._insert = insert
        self._component = component
        self._row_name = row_name
        self._max_rows = max_rows
        self._oldest_at_s: float | None = None
        self._refusals = RepeatFilter(REPORT_INTERVAL_S)
        self._rows: list[Row] = []
        self._has_rows = asyncio.Event()
        self._reported = 0
        self.dropped = 0

    def add(self, row: Row) -> None:
        if len(self._rows) >= self._max_rows:
            self.dropped += 1
        else:
            self._rows.append(row)
            self._oldest_at_s = self._oldest_at_s or time.monotonic()
            self._has_rows.set()

    @property
    def waited_s(self) -> float:
        """The time since which the oldest row waits."""
        return 0.0 if self._oldest_at_s is None else time.monotonic() - self._oldest_at_s

    async def wait_for_rows(self) -> None:
        """Wait until there are rows."""
        await self._has_rows.wait()

    async def write(self) -> bool:
        """Write the waiting rows; returns True if there were rows and all are written."""
        is_written = False
        while self._rows:
            rows, self._rows = self._rows[:MAX_ROWS], self._rows[MAX_ROWS:]
            try:
                self.dropped += await self._insert(rows)
            except Unavailable as error:
                waiting = rows + self._rows
                self._rows = waiting[: self._max_rows]
                self.dropped += len(waiting) - len(self._rows)
                log.warning(
                    "rows wait for the database", rows=self._row_name, waiting=len(self._rows), reason=error.message
                )
                if not isinstance(error, DatabaseUnavailable):
                    await self._report(error.message)
                return False
            is_written = True
            self._oldest_at_s = time.monotonic() if self._rows else None
        self._has_rows.clear()
        return is_written

    async def _report(self, reason: str) -> None:
        """Log that the database answers but has refused the rows for `WAIT_LIMIT_S`. The row is written at once,
        because it could be the queue of log rows that waits."""
        if self.waited_s < WAIT_LIMIT_S or not self._refusals.must_log(self._row_name):
            return
        number, waited = len(self._rows), rough_duration(self.waited_s)
        message = f"{number} {self._row_name} of this {self._component} have waited to be stored for {waited}: {reason}"
        row = {
            "level": LogCode.ROWS_WAITING.level,
            "component": self._component,
            "code": LogCode.ROWS_WAITING,
            "message": one_line(shortened(message)),
            "rows": self._row_name,
            "process": self._db.application_name,
        }
        try:
            await self._db.write(_REPORT, row)
        except (GreenroomError, psycopg.Error) as error:
            log.warning("the log row about waiting rows was not stored", reason=str(error))

    def newly_dropped(self) -> int:
        """Return the number of rows that were lost since the last call."""
        number, self._reported = self.dropped - self._reported, self.dropped
        return number


def inserting(
    db: Database,
    statement: LiteralString,
    to_json: Callable[[Row], JsonRow],
    reduced: Callable[[JsonRow], JsonRow] | None = None,
) -> Callable[[Sequence[Row]], Awaitable[int]]:
    """Return a function that inserts rows with `statement`, which gets all rows as the JSON list `rows`. One statement
    for each row would cost several times as much. `reduced` is as for `insert_rows`."""
    return lambda rows: insert_rows(db, statement, [to_json(row) for row in rows], reduced)


async def insert_rows(
    db: Database,
    statement: LiteralString,
    rows: Sequence[JsonRow],
    reduced: Callable[[JsonRow], JsonRow] | None = None,
) -> int:
    """Run `statement` with all `rows`. A row that cannot be stored is stored as `reduced` returns it; without
    `reduced`, or if that is impossible too, it is omitted and logged.

    Returns the number of omitted rows. Raises Unavailable: the database cannot be reached; no row was written.
    """
    try:
        await db.write(statement, {"rows": Jsonb(rows)})
    except DatabaseUnavailable:
        raise
    except Exception:  # noqa: BLE001 -- an error of one row is logged by `_insert_one_by_one`
        return await _insert_one_by_one(db, statement, rows, reduced)
    return 0


async def _insert_one_by_one(
    db: Database,
    statement: LiteralString,
    rows: Sequence[JsonRow],
    reduced: Callable[[JsonRow], JsonRow] | None,
) -> int:
    """Insert each row with its own statement, all in one transaction: if the connection is lost, no row is written."""

    async def insert(connection: Connection, row: JsonRow) -> None:
        await connection.execute(statement, {"rows": Jsonb([row])})

    left_out = 0
    async with db.transaction() as connection:
        for row in rows:
            error = await refusal(connection, insert, row)
            if error and reduced:
                log.error("a row cannot be stored in full", reason=str(error))
                error = await refusal(connection, insert, reduced(row))
            if error:
                log.error("a row cannot be stored; it is left out", reason=str(error))
                left_out += 1
    return left_out


async def refusal(
    connection: Connection, write: Callable[[Connection, Item], Awaitable[None]], item: Item
) -> Exception | None:
    """Write an item within a transaction, and return the error if the database refuses its values. The transaction then
    continues without the writes of the item. Any other error is raised, because the item can be written later."""
    try:
        async with connection.transaction():
            await write(connection, item)
    except Exception as error:
        if refuses_values(error):
            return error
        raise
    return None


BATCH: Final = 1000
MAX_BATCHES: Final = 300
"""The maximum number of batches that one call deletes: more than a Manager writes between two calls, even if clients
send many requests that are refused. Each refusal writes a row."""
LOCK: Final = 75
"""Number of the advisory lock with which only one process deletes rows at a time."""


def deletion(
    table: LiteralString, key: LiteralString, where: LiteralString, locked: LiteralString = ""
) -> LiteralString:
    """Return a statement for `delete_in_batches` that deletes the rows of a table that meet the condition `where`.
    `key` is a column that identifies a row; `locked` is a locking clause, such as `SKIP_LOCKED`."""
    return (
        f"DELETE FROM {table} WHERE {key} = ANY(ARRAY(SELECT {key} FROM {table} WHERE {where} LIMIT %(batch)s{locked}))"
    )


SKIP_LOCKED: Final = " FOR UPDATE SKIP LOCKED"


async def delete_in_batches(db: Database, statement: LiteralString, values: Mapping[str, Any]) -> int:
    """Repeat a statement, which deletes at most `%(batch)s` rows, until it finds no more rows, `MAX_BATCHES` is
    reached, or another process deletes rows at the same time. Return the number of deleted rows. Raises
    StatementCanceled: the database canceled the statement."""
    total = 0
    for _ in range(MAX_BATCHES):
        async with db.transaction() as connection:
            cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", (LOCK,))
            row = await cursor.fetchone()
            if row is None or not row["mine"]:
                break
            number = (await connection.execute(statement, {**values, "batch": BATCH})).rowcount
        total += number
        if number < BATCH:
            break
    return total
