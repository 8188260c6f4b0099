"""Routes of the audit: the list of events, and the export as JSON lines. Reading the audit is itself an event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, Field

from greenroom.api.bodies import Text, View
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import MAX_SEARCH, Paging
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, requires
from greenroom.core.audit import ChainedEvent, Result, read_details
from greenroom.core.listing import SortOrder, Word, order_of, words_of
from greenroom.core.log_codes import LogCode
from greenroom.core.syslog import event_object
from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import AUDIT_EVENTS, NEWEST_FIRST, read_end
from greenroom.db.diagnostics.changes import read_actor_names
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.listing import Conditions
from greenroom.kit.repeats import RepeatFilter

LOG_INTERVAL_S: Final = 1800.0
"""The reading of the audit by a caller is logged once in this time, not for each page."""
EXPORT_ROWS: Final = 1000


class AuditEventView(View, row=ChainedEvent, without={"details", "hash"}):
    """An event of the audit: a change or an access, and the caller that requested it."""

    event_id: int
    result: Result
    details: Annotated[
        dict[str, Any],
        Field(
            description="for a change: the values `before` and `after`, without secrets. `unreadable`: the stored text,"
            " if it cannot be decoded"
        ),
    ]
    hash: Annotated[str, Field(description="HMAC of this event and of all events before it, hexadecimal")]
    key_name: Annotated[str | None, Field(description="present name of the API key, if an API key is the actor")]
    on_behalf_of_name: Annotated[str | None, Field(description="present name of the user `on_behalf_of`")]

    @classmethod
    def of_event(cls, event: ChainedEvent, names: Mapping[str, str]) -> AuditEventView:
        """Return the view of an event. `names` are the present names of API keys and users by their ids."""
        return cls.of(
            event,
            details=read_details(event.details),
            hash=event.hash.hex(),
            key_name=names.get(event.actor_id or "") if event.actor_kind == "key" else None,
            on_behalf_of_name=names.get(event.on_behalf_of or ""),
        )


class AuditQuery(BaseModel):
    """The filter of events."""

    actor: Annotated[Text | None, Field(description="name of the caller, for example a user name")] = None
    code: Annotated[Text | None, Field(description="for example group-changed")] = None
    result: Result | None = None
    object_id: Annotated[Text | None, Field(description="id of the changed object")] = None
    request_id: Annotated[Text | None, Field(description="value of X-Request-Id of an answer")] = None
    since: Annotated[AwareDatetime | None, Field(description="events from this time on")] = None
    until: Annotated[AwareDatetime | None, Field(description="events before this time")] = None

    def conditions(self, words: Sequence[Word] = ()) -> Conditions:
        """Return the conditions of the rows, which also have all the words."""
        return AUDIT_EVENTS.matching(words, **{name: getattr(self, name) for name in AUDIT_EVENTS.filters})


class AuditListQuery(AuditQuery):
    """The filter and the order of a list of events."""

    q: Annotated[
        str,
        Field(max_length=MAX_SEARCH, description="only events with all these words; `actor:ada` searches one column"),
    ] = ""
    sort: Annotated[str, Field(description="column; with - in front for descending order")] = str(NEWEST_FIRST)
    count: Annotated[
        bool, Field(description="return the number of events in X-Total-Count; 10000+ = at least 10,000")
    ] = False


class AuditReadLog:
    """Writes log rows about callers who read the audit; one instance per process."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._repeats = RepeatFilter(LOG_INTERVAL_S)

    def log_access(self, caller: Caller) -> None:
        """Write a row, unless the last row for this caller is less than `LOG_INTERVAL_S` old."""
        if self._repeats.must_log(caller.name):
            write_access(self._logs, LogCode.AUDIT_VIEWED, caller, "reads the audit")


def write_access(logs: LogWriter, code: LogCode, caller: Caller, action: str) -> None:
    """Write a log row about a caller who reads the audit. The row is stored before the api answers."""
    logs.write(code, f"{caller.name} {action}", user_id=caller.user_id, username=caller.username, urgent=True)


router = api_router("diagnostics")

Reader = Annotated[Caller, requires("audit_view")]


@router.get("/audit")
async def list_audit_events(
    *,
    db: Db,
    page: Paging,
    query: Annotated[AuditListQuery, Query()],
    caller: Reader,
    request: Request,
) -> list[AuditEventView]:
    """List events of the audit, newest first unless the request sets another order."""
    request.app.state.audit_read_log.log_access(caller)
    conditions = query.conditions(words_of(query.q, AUDIT_EVENTS.columns))
    if query.count:
        page.set_total(await AUDIT_EVENTS.count(db, conditions, "time"))
    found = await page.read(db, AUDIT_EVENTS, conditions, order_of(query.sort, AUDIT_EVENTS.orders))
    names = await read_actor_names(db, found)
    return [AuditEventView.of_event(event, names) for event in found]


@router.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}, "description": "one event per line, oldest first"}},
)
async def export_audit(db: Db, logs: Logs, query: Annotated[AuditQuery, Query()], caller: Reader) -> StreamingResponse:
    """Return the events as JSON lines, oldest first. The last line has the head of the chain, for `greenroom audit
    verify --expect`."""
    write_access(logs, LogCode.AUDIT_EXPORTED, caller, "exports the audit")
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(export_lines(db, query), media_type="application/x-ndjson", headers=headers)


async def export_lines(db: Database, query: AuditQuery) -> AsyncIterator[bytes]:
    """Yield the lines of an export."""
    head = await read_end(db)
    order, after = SortOrder("time"), None
    while True:
        page = await AUDIT_EVENTS.read(db, query.conditions(), order=order, after=after, limit=EXPORT_ROWS)
        for event in page.rows:
            yield msgspec.json.encode(event_object(event)) + b"\n"
        if page.end is None:
            break
        after = page.end
    yield msgspec.json.encode({"head": str(head) if head else None}) + b"\n"
