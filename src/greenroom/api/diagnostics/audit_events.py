"""Events of the audit: each request that changes something leaves one event for each change, also if it was refused.

Log rows of security events that a request writes become its events (`LogWriter.on_security_row`). If there is none, the
request leaves an event with the name of its operation. Rows that are written outside of a request are events of the
process. After the authorization and before the change, the operation is stored as begun, so that it leaves an event
even if this process is killed (`db.diagnostics.audit_operations`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.api.csrf import SAFE_METHODS
from greenroom.api.problems import is_published
from greenroom.core.audit import AuditEvent, Result
from greenroom.core.errors import DatabaseUnavailable, GreenroomError, StatementCanceled
from greenroom.core.log_codes import LOGIN_CODES, LogCode
from greenroom.db.diagnostics.audit import AuditWriter, event_of_row
from greenroom.db.diagnostics.logs import LogRow, LogWriter
from greenroom.kit.stops import hold_if_armed

if TYPE_CHECKING:
    from greenroom.api.security import Caller


REQUEST_ID_HEADER: Final = "X-Request-Id"
WITHOUT_EVENT: Final = re.compile(
    r"/mcp|/adapters/.*"  # they send requests to /api/v1, which have their own events
    r"|/api/internal/.*"  # gateways ask whether a viewer may open a stream; opened streams are events
    r"|.*/keepalives?"  # repeated while a page is open
    r"|/api/v1/connect(/control)?"  # the page of a session reads the state of the session
    r"|/api/v1/leases/\{lease_id\}/actions"  # many in a second; recordings contain them
    r"|/api/v1/shares/\{share_id\}/(invitation|return)"  # reads
    r"|/api/v1/diagnostics/leftovers|.*/(test|preview|\.search)|/api/public/(get_.*|system_info)"  # queries
    r"|/api/v1/sign-on/\{provider_name\}/start"  # the browser goes to the provider; its return is a log-in
)
"""Routes with a changing method that leave no event, unless they write a security row."""

CHANGING_READS: Final = re.compile(r"/api/v1/sign-on/\{provider_name\}/(callback|frontchannel-logout)")
"""Routes with the method GET that change something."""

FORWARDING: Final = ("mcp", "sdk")
"""Interfaces that send requests to routes of `/api/v1` within the process."""


@dataclass(slots=True)
class RequestAudit:
    """A running request: its id, its interface, and its log rows that become events."""

    request_id: str
    interface: str
    rows: list[LogRow] = field(default_factory=list[LogRow])
    is_open: bool = True
    """False after the answer began; later rows are events of the process."""
    operation_id: str | None = None
    """The id of the operation, after it was stored as begun."""


_current: Final[ContextVar[RequestAudit | None]] = ContextVar("audited request", default=None)


def current_request_id() -> str | None:
    """Return the id of the request that runs in this context."""
    current = _current.get()
    return current.request_id if current else None


def row_receiver(writer: AuditWriter) -> Callable[[LogRow], None]:
    """Return a function that makes an event of each security row: of the request that wrote it, or of the process."""

    def receive(row: LogRow) -> None:
        current = _current.get()
        if current is not None and current.is_open:
            current.rows.append(row)
        else:
            writer.add(event_of_row(row, interface="system"))

    return receive


async def begin_operation(request: Request) -> None:
    """Store that the operation of this request begins, if it leaves an event. Declarations of access call it when the
    caller may call the route. Raises Unavailable: the database cannot be reached."""
    current, path = _current.get(), request.scope["route"].path
    if current is None or current.operation_id or not current.is_open or not may_change(request.method, path):
        return
    fields = _fields(current, request.scope, "unknown")
    event = _operation_event(fields, request.scope, ": the process ended before it stored the result")
    operation_id = str(uuid.uuid4())  # requests of a tool have the same request id
    writer: AuditWriter = request.app.state.audit
    await writer.operations.begin(operation_id, event)
    current.operation_id = operation_id


class AuditMiddleware:
    """ASGI middleware that gives each request an id, and stores its events and log rows before the answer is sent."""

    def __init__(self, app: ASGIApp, *, logs: LogWriter, writer: AuditWriter) -> None:
        self._app = app
        self._logs = logs
        self._writer = writer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        outer = _current.get()
        if outer is not None and outer.interface in FORWARDING:
            request = RequestAudit(outer.request_id, outer.interface)
        else:
            request = RequestAudit(str(uuid.uuid4()), _interface_of(scope["path"]))
        token = _current.set(request)

        async def send_after_events(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request.request_id
                await self._finish(request, scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_after_events)
        finally:
            if request.is_open:  # the answer of an unexpected error is sent by another middleware
                await self._finish(request, scope, 500)
            _current.reset(token)

    async def _finish(self, request: RequestAudit, scope: Scope, status: int) -> None:
        request.is_open = False
        if request.operation_id:
            await hold_if_armed("audit.before_event")
        try:
            events = request_events(request, scope, status)
        except Exception:
            if request.operation_id:
                self._writer.operations.forget(request.operation_id)  # it leaves an event of the result `unknown`
            raise
        self._writer.add(*events, operation_id=request.operation_id)
        if events:
            await self._writer.flush()
        if self._logs.urgent:  # after the events: consoles read both again when the log changed
            await self._logs.flush()


def _interface_of(path: str) -> str:
    """Return the interface of a path. Requests to /api/v1 with a cookie are the console, which `request_events`
    checks."""
    for prefix, interface in (("/api/scim/", "scim"), ("/mcp", "mcp"), ("/adapters/", "sdk")):
        if path.startswith(prefix):
            return interface
    return "public" if is_published(path) else "api"


def request_events(request: RequestAudit, scope: Scope, status: int) -> list[AuditEvent]:
    """Return the events of a request that was answered with `status`."""
    state = scope.get("state", {})
    error: GreenroomError | None = state.get("error")
    status = error.http_status if error is not None else status
    result: Result = "done" if status < 400 else "refused" if status in (401, 403, 429) else "failed"
    if request.operation_id and _may_be_committed(error, status):
        result = "unknown"
    rows = request.rows[:1] if status == 403 else request.rows
    fields = _fields(request, scope, result)
    if rows:
        return [_of_row(row, fields, scope) for row in rows]
    route = scope.get("route")
    if route is None or fields["actor_kind"] == "none" or not leaves_event(scope["method"], route.path):
        return []
    event = _operation_event(fields, scope, f": {error.message}" if error is not None else "")
    return [replace(event, code=str(LogCode.PERMISSION_DENIED)) if status == 403 else event]


def _may_be_committed(error: GreenroomError | None, status: int) -> bool:
    """True if the request ended with an error that can occur during or after the commit of its change: the database was
    lost, or the error was not expected."""
    return isinstance(error, (DatabaseUnavailable, StatementCanceled)) or (error is None and status >= 500)


def _fields(request: RequestAudit, scope: Scope, result: Result) -> dict[str, Any]:
    """Return the fields of all events of a request."""
    state = scope.get("state", {})
    caller: Caller | None = state.get("caller")
    is_console = request.interface == "api" and caller is not None and caller.kind == "user"
    return _actor(caller, state) | {
        "result": result,
        "operation": f"{scope['method']} {getattr(scope.get('route'), 'path', scope['path'])}",
        "interface": "console" if is_console else request.interface,
        "address": scope["client"][0] if scope.get("client") else None,
        "request_id": request.request_id,
    }


def _operation_event(fields: dict[str, Any], scope: Scope, end: str) -> AuditEvent:
    """Return the event of a request without a security row. `end` is the end of its message."""
    name = str(scope["route"].name)
    kind, object_id = _object_of(scope)
    actor = fields["actor_name"] or "A client without a log-in"
    return AuditEvent(
        code=name.replace("_", "-"),
        message=f"{actor}: {name.replace('_', ' ')} {object_id or ''}".strip() + end,
        object_kind=kind,
        object_id=object_id,
        **fields,
    )


def leaves_event(method: str, path: str) -> bool:
    """Return True if a request to this route leaves an event also without a security row."""
    return method not in SAFE_METHODS and WITHOUT_EVENT.fullmatch(path) is None


def may_change(method: str, path: str) -> bool:
    """Return True if a request to this route may change something that the audit records."""
    return leaves_event(method, path) or CHANGING_READS.fullmatch(path) is not None


def _actor(caller: Caller | None, state: dict[str, Any]) -> dict[str, Any]:
    if caller is not None:
        on_behalf_of = caller.owner_id if caller.owner_id != caller.user_id else None
        return {
            "actor_kind": caller.kind,
            "actor_id": caller.user_id or caller.key_id,
            "actor_name": caller.name,
            "on_behalf_of": on_behalf_of,
        }
    if lease_id := state.get("lease_id"):
        return {"actor_kind": "lease", "actor_id": lease_id, "actor_name": f"lease {lease_id}"}
    return {"actor_kind": "none", "actor_name": None}


def _object_of(scope: Scope) -> tuple[str | None, str | None]:
    """Return kind and id of the last object in the path: `/groups/{group_id}/users/{user_id}` names a user."""
    for name, value in reversed(scope.get("path_params", {}).items()):
        if name.endswith("_id"):
            return name.removesuffix("_id").replace("_", "-"), str(value)
    return None, None


def _changed_id(kind: str, row: LogRow, scope: Scope) -> str | None:
    """Return the id of a changed object of this kind: from the path, or, for a new object, from its values."""
    name, path = f"{kind.replace('-', '_')}_id", scope.get("path_params", {})
    value = path.get(name) or next(iter(path.values()), None) or row.details.get("after", {}).get(name)
    return None if value is None else str(value)


def _of_row(row: LogRow, fields: dict[str, Any], scope: Scope) -> AuditEvent:
    """Return the event of a log row. The user of a log-in is its actor."""
    event = event_of_row(row, interface=fields["interface"])
    if event.result == "refused":
        fields = fields | {"result": "refused"}
    if row.code in LOGIN_CODES and fields["actor_kind"] == "none":
        user = {"actor_kind": "user", "actor_id": row.user_id, "actor_name": row.username, "interface": "console"}
        fields = fields | user
    object_id = event.object_id if row.object_kind is None else _changed_id(row.object_kind, row, scope)
    return replace(event, object_id=object_id, **fields)
