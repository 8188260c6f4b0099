"""Log rows for Diagnostics, written in batches from a queue of limited length; dropped rows are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, LiteralString, TypedDict, Unpack

import structlog

from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LEVELS, Level, LogCode, LogDetails, is_security_event
from greenroom.core.text import MAX_NAME, one_line
from greenroom.db.database import Database
from greenroom.db.diagnostics.batches import WaitingRows, inserting, storable
from greenroom.db.rows import values_of

log = structlog.get_logger(__name__)

MAX_QUEUED: Final = 10_000
FLUSH_S: Final = 0.2

_INSERT: Final[LiteralString] = """
INSERT INTO logs (time, level, component, code, message, zone_name, session_id, user_id, username, staging_config_id,
    staging_config_title, setting, details, security)
SELECT r.time, r.level, r.component, r.code, r.message, r.zone_name, r.session_id, concerned.user_id,
       coalesce(r.username, (SELECT u.username FROM users u WHERE u.user_id = concerned.user_id)), r.staging_config_id,
       (SELECT i.friendly_name || ' in zone ' || z.zone_name FROM staging_configs c JOIN images i USING (image_id)
          JOIN zones z ON z.zone_id = c.zone_id WHERE c.staging_config_id = r.staging_config_id),
       r.setting, r.details, r.security
  FROM jsonb_populate_recordset(NULL::logs, %(rows)s) r,
       LATERAL (SELECT coalesce(r.user_id, (SELECT s.user_id FROM sessions s
                WHERE s.session_id = r.session_id AND r.username IS NULL)) AS user_id) concerned
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of Diagnostics; `message` is a sentence for people, `code` is stable.

    The statement that writes the row adds facts that are needed after the objects of the row are deleted: the user of a
    session, the name of a user, and the workspace and zone of a staging config.
    """

    level: Level
    component: str
    code: str
    message: str
    zone_name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    username: str | None = None
    staging_config_id: str | None = None
    setting: str | None = None
    details: LogDetails = field(default_factory=LogDetails)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    object_kind: str | None = None
    """Kind and name of the changed object, for the audit only."""
    object_name: str | None = None


class LogFields(TypedDict, total=False):
    """Optional fields of a `LogRow`."""

    zone_name: str | None
    session_id: str | None
    user_id: str | None
    username: str | None
    staging_config_id: str | None
    setting: str | None
    details: LogDetails
    time: datetime
    object_kind: str | None
    object_name: str | None


class LogWriter:
    """Collects rows and writes them `FLUSH_S` after the first row. At most `MAX_QUEUED` rows wait while the database
    cannot be reached. Rows without a zone get `zone_name`, if it is not empty."""

    def __init__(self, db: Database, component: str, zone_name: str = "") -> None:
        self._db = db
        self._component = component
        self.zone_name = zone_name
        insert = inserting(db, _INSERT, _to_json, _reduced)
        self._rows = WaitingRows[LogRow](db, insert, component=component, row_name="log rows", max_rows=MAX_QUEUED)
        self._writing = asyncio.Lock()
        self.urgent = False
        """True while a queued row must be stored before the api answers the request that caused it."""
        self.counts: dict[str, int] = dict.fromkeys(LEVELS, 0)
        self.on_security_row: Callable[[LogRow], None] | None = None
        """Gets each row of a security event, for the audit."""

    @property
    def dropped(self) -> int:
        return self._rows.dropped

    @property
    def waited_s(self) -> float:
        return self._rows.waited_s

    def write(
        self,
        code: LogCode,
        message: str,
        *,
        level: Level | None = None,
        urgent: bool = False,
        **fields: Unpack[LogFields],
    ) -> None:
        """Queue a row and write it to the log of this process. `level` replaces the level of the code. `urgent`: the
        row is stored before the api answers the request that caused it."""
        level = level or code.level
        self.urgent |= urgent
        message = one_line(message)
        fields.setdefault("zone_name", self.zone_name or None)
        getattr(log, level.lower())(message, code=str(code), **{k: v for k, v in fields.items() if v is not None})
        self.add(LogRow(level=level, component=self._component, code=str(code), message=message, **fields))

    def add(self, row: LogRow) -> None:
        """Queue one row; if the queue is full, this row is dropped and counted."""
        self.counts[row.level] += 1
        if self.on_security_row is not None and is_security_event(row.component, row.code, row.details):
            self.on_security_row(row)
        self._rows.add(row)

    async def run(self) -> None:
        """Write queued rows until this task is canceled, and then the remaining rows."""
        try:
            while True:
                await self._rows.wait_for_rows()
                await asyncio.sleep(FLUSH_S)
                await asyncio.shield(self.flush())  # a canceled write would lose its rows
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write queued rows; they stay queued while the database cannot be reached."""
        async with self._writing:
            self.urgent = False
            if not await self._rows.write():
                return
        await self._db.notify(ChangeEvent(Topic.LOGS))
        if number := self._rows.newly_dropped():
            lost = f"{number} log rows of this {self._component} were lost"
            self.write(LogCode.LOG_ROWS_DROPPED, f"{lost}: too many rows waited, or they could not be stored.")


def _to_json(row: LogRow) -> dict[str, Any]:
    return values_of(LogRow, row) | {
        "message": storable(one_line(row.message)),
        "username": storable(row.username),
        "details": storable(row.details),
        "security": is_security_event(row.component, row.code, row.details),
    }


def _reduced(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row that cannot be stored without its ids, names and details."""
    kept = {name: row[name] for name in ("time", "level", "component", "message", "security")}
    return kept | {"code": row["code"][:MAX_NAME], "details": {}}
