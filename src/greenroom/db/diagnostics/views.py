"""The data of Diagnostics: log rows, requests to Managers, and the rows that belong to containers and volumes.

Each request whose answer is not 2xx has a row; requests with a 2xx answer are counted by Agent and minute. Gateways
report the requests to Managers that the gateways answered themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.listing import SortOrder
from greenroom.core.log_codes import LogCode
from greenroom.core.session.leftovers import KnownRows, RuntimeObject
from greenroom.core.workspace.homes import HomeId
from greenroom.db.database import Database
from greenroom.db.diagnostics.batches import WaitingRows, inserting
from greenroom.db.diagnostics.logs import LogRow, LogWriter
from greenroom.db.listing import Conditions, ListColumn, ListDefinition
from greenroom.db.rows import column_list, columns_of

FLUSH_S: Final = 0.5
MINUTE_POLL_S: Final = 2.0
"""Interval at which the end of a minute is detected while no request is reported."""
MAX_QUEUED: Final = 20_000
"""Maximum number of queued rows; at the end of a minute there is a row for each Agent of a Manager."""


@dataclass(slots=True, kw_only=True)
class RequestRow:
    """One request to a Manager, or `count` requests of one minute; `duration_ms` is then the longest duration."""

    time: datetime
    agent_id: str | None
    manager_instance_id: str
    method: str
    path: str
    status: int
    duration_ms: float
    count: int = 1


_COLUMNS: Final = column_list(columns_of(RequestRow))
_INSERT: Final[LiteralString] = (
    "INSERT INTO manager_requests (" + _COLUMNS + ")"
    " SELECT " + _COLUMNS + " FROM jsonb_populate_recordset(NULL::manager_requests, %(rows)s)"
)


class RequestLog:
    """Collects requests and writes them in batches. The queue has a limit; dropped rows are counted."""

    def __init__(self, db: Database, manager_instance_id: str, logs: LogWriter) -> None:
        self._manager = manager_instance_id
        self._logs = logs
        insert = inserting(db, _INSERT, asdict)
        self._rows = WaitingRows[RequestRow](
            db, insert, component="manager", row_name="request rows", max_rows=MAX_QUEUED
        )
        self._writing = asyncio.Lock()
        self._minute = datetime.min.replace(tzinfo=UTC)
        self._counted: dict[tuple[str | None, str, str, int], RequestRow] = {}
        """The 2xx requests of this minute."""

    @property
    def dropped(self) -> int:
        return self._rows.dropped

    @property
    def waited_s(self) -> float:
        return self._rows.waited_s

    def add(self, agent_id: str | None, method: str, path: str, status: int, duration_ms: float) -> None:
        """Add a request to the next batch; a 2xx request is added to the count of its Agent and minute."""
        now = datetime.now(UTC)
        row = RequestRow(
            time=now,
            agent_id=agent_id,
            manager_instance_id=self._manager,
            method=method,
            path=path,
            status=status,
            duration_ms=duration_ms,
        )
        if not 200 <= status < 300:
            self._rows.add(row)
            return
        self._begin_minute(now.replace(second=0, microsecond=0))
        counted = self._counted.setdefault((agent_id, method, path, status), row)
        if counted is row:
            row.time = self._minute
        else:
            counted.count += 1
            counted.duration_ms = max(counted.duration_ms, duration_ms)

    def _begin_minute(self, minute: datetime) -> None:
        if minute <= self._minute:
            return
        for row in self._counted.values():
            self._rows.add(row)
        self._minute, self._counted = minute, {}

    async def run(self) -> None:
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(MINUTE_POLL_S):
                        await self._rows.wait_for_rows()
                await asyncio.sleep(FLUSH_S)
                self._begin_minute(datetime.now(UTC).replace(second=0, microsecond=0))
                await asyncio.shield(self.flush())  # a canceled write would lose its rows
        finally:
            self._begin_minute(datetime.max.replace(tzinfo=UTC))
            await self.flush()

    async def flush(self) -> None:
        async with self._writing:
            if await self._rows.write() and (number := self._rows.newly_dropped()):
                sentence = f"{number} requests of Agents at {self._manager} are missing in the list of requests."
                self._logs.write(LogCode.MANAGER_REQUESTS_DROPPED, sentence)


async def add_gateway_requests(db: Database, requests: Sequence[RequestRow]) -> None:
    """Store requests for Diagnostics. Their `agent_id` comes from the caller and is not checked."""
    await db.write(_INSERT, {"rows": Jsonb(list(requests))})


NEWEST_FIRST: Final = SortOrder("id", descending=True)
"""The order of log rows and of requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLogRow(LogRow):
    """A stored log row."""

    log_id: int
    staging_config_title: str | None
    """Workspace and zone of the staging config at the time of the row."""


LOGS: Final = ListDefinition(
    row_type=StoredLogRow,
    select="l.log_id, l.time, l.level, l.component, l.code, l.message, l.zone_name, l.session_id::text,"
    " l.user_id::text, coalesce(l.username, u.username) AS username, l.staging_config_id::text,"
    " l.staging_config_title, l.setting, l.details",
    source="FROM logs l LEFT JOIN users u USING (user_id)",
    key="l.log_id",
    key_type="bigint",
    columns={"id": ListColumn("l.log_id", "bigint")},
    order=NEWEST_FIRST,
    filters={
        "component": "l.component = %(component)s",
        "code": "l.code = %(code)s",
        "since": "l.time >= %(since)s",
        "until": "l.time < %(until)s",
        "zone_name": "l.zone_name = %(zone_name)s",
        "user_id": "l.user_id = %(user_id)s",
        "session_id": "l.session_id = %(session_id)s",
        "staging_config_id": "l.staging_config_id = %(staging_config_id)s",
    },
)


_LEVELS: Final[Mapping[str, LiteralString]] = {
    "INFO": "l.level <> 'DEBUG'",
    "WARNING": "l.level IN ('WARNING', 'ERROR')",
    "ERROR": "l.level = 'ERROR'",
}
"""A level and above, as in the indexes logs_warnings and logs_errors."""


def log_conditions(*, level: str | None, q: str | None, **values: object) -> Conditions:
    """Return the conditions for log rows. `level` includes higher levels; the text `q` is searched in the message,
    ignoring case. `values` are the values of the filters of `LOGS`. None = any."""
    conditions = LOGS.matching(**values)
    if level is not None and level in _LEVELS:
        conditions.add(_LEVELS[level])
    if q is not None:
        conditions.word_conditions.append("strpos(lower(l.message), lower(%(q)s)) > 0")
        conditions.values["q"] = q
    return conditions


@dataclass(slots=True, kw_only=True)
class StoredRequestRow(RequestRow):
    """A stored request."""

    request_id: int


REQUESTS: Final = ListDefinition(
    row_type=StoredRequestRow,
    select="r.request_id, r.time, r.agent_id::text, r.manager_instance_id, r.method, r.path, r.status, r.duration_ms,"
    " r.count",
    source="FROM manager_requests r",
    key="r.request_id",
    key_type="bigint",
    columns={"id": ListColumn("r.request_id", "bigint")},
    order=NEWEST_FIRST,
    filters={
        "status": "r.status = %(status)s",
        "agent_id": "r.agent_id = %(agent_id)s",
        "manager_instance_id": "r.manager_instance_id = %(manager_instance_id)s",
        "since": "r.time >= %(since)s",
        "until": "r.time < %(until)s",
    },
)


_REFUSED: Final[LiteralString] = "r.status NOT BETWEEN 200 AND 299"
"""The condition of the index manager_requests_refused."""


def request_conditions(*, status: int | None, refused: bool | None, **values: object) -> Conditions:
    """Return the conditions for requests. `refused`: True = only answers that are not 2xx, False = only 2xx answers.
    `values` are the values of the other filters of `REQUESTS`. None = any."""
    conditions = REQUESTS.matching(status=status, **values)
    if refused or (refused is None and not 200 <= (status or 200) <= 299):
        conditions.add(_REFUSED)
    elif refused is not None:
        conditions.add("r.status BETWEEN 200 AND 299")
    return conditions


async def read_known_rows(db: Database, objects: Sequence[RuntimeObject]) -> KnownRows:
    """Read the rows that belong to these objects of a container runtime. The caller must list the objects before, so
    that the row of each object is found."""
    homes = [item.home for item in objects if item.home is not None]
    row = await db.fetch_one(
        "SELECT (SELECT coalesce(jsonb_object_agg(session_id, agent_id), '{}') FROM sessions"
        "  WHERE session_id::text = ANY(%(sessions)s) AND agent_id IS NOT NULL AND status <> 'deleted') AS sessions,"
        " (SELECT coalesce(jsonb_agg(agent_id), '[]') FROM agents) AS agents,"
        " (SELECT coalesce(jsonb_agg(jsonb_build_array(user_id, image_id)), '[]') FROM homes"
        "  WHERE user_id::text = ANY(%(users)s)) AS homes,"
        " (SELECT coalesce(jsonb_agg(user_id), '[]') FROM users WHERE user_id::text = ANY(%(users)s)) AS users",
        {"sessions": [item.session_id for item in objects], "users": [home.user_id for home in homes]},
    )
    assert row is not None, "a SELECT without a FROM has one row"  # noqa: S101
    return KnownRows(
        sessions=row["sessions"],
        agents=frozenset(row["agents"]),
        homes=frozenset(HomeId(user_id, image_id) for user_id, image_id in row["homes"]),
        users=frozenset(row["users"]),
    )
