"""Who changed what: every change by an administrator is a log row with the values before and after.

So is what was tried and refused: a missing permission for something that changes, a wrong secret of an API key.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any, Final, Literal

from fastapi import Request
from fastapi.encoders import jsonable_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.api.security import Caller, client_address
from greenroom.core.masking import difference, masked
from greenroom.core.settings import shown
from greenroom.db.logs import LogWriter

Verb = Literal["created", "changed", "deleted"]

REPEAT_S: Final = 60.0
"""The same refusal of the same caller is written once in this time."""
MAX_REMEMBERED: Final = 1000


def audit(
    logs: LogWriter,
    caller: Caller,
    verb: Verb,
    noun: str,
    name: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    zone_name: str | None = None,
) -> None:
    """Write the row `<noun>-<verb>`, in lower case: "admin@greenroom.local changed zone eu: proxy_port 443 → 8443".

    Args:
        logs: where to.
        caller: who did it.
        verb: what he did.
        noun: kind of thing, e.g. `zone`.
        name: of the thing, as people know it.
        before: the old values (or the whole of what was deleted).
        after: the new values; of a change only what differs is written. Secrets are named, never shown.
        zone_name: the zone it is or belongs to, where it has one.
    """
    old: dict[str, Any] = jsonable_encoder(before or {})
    new: dict[str, Any] = jsonable_encoder(after or {})
    what = ""
    if verb == "changed":
        old, new = difference(old, new)
        if not new:
            return
        what = ": " + "; ".join(f"{field} {_short(old[field])} → {_short(new[field])}" for field in new)
    else:
        old, new = masked("", old), masked("", new)
    logs.write(
        "INFO",
        f"{noun.lower().replace(' ', '-')}-{verb}",
        f"{caller.name} {verb} {noun} {name}{what}",
        user_id=caller.user_id,
        username=caller.username,
        zone_name=zone_name,
        details={"who": caller.name, "before": old, "after": new},
        pressing=True,
    )


class AuditBeforeAnswer:
    """ASGI middleware: who is told that his change is done finds its row stored, also if this process ends at once.

    Args:
        app: the application behind it.
        logs: where `audit` writes to.
    """

    def __init__(self, app: ASGIApp, *, logs: LogWriter) -> None:
        self._app = app
        self._logs = logs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def after_the_row(message: Message) -> None:
            if message["type"] == "http.response.start" and self._logs.pressing:
                await self._logs.flush()
            await send(message)

        await self._app(scope, receive, after_the_row)


class Refusals:
    """Log rows of what was refused to somebody, each at most once in `REPEAT_S`: a flood of attempts is no flood."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def forbidden(self, request: Request, reason: str) -> None:
        """The caller asked for a change that he may not make."""
        caller: Caller = request.state.caller
        path = request.scope["route"].path  # the template: ids would make every attempt another one
        message = f"{caller.name} from {client_address(request)} may not {request.method} {request.url.path}: {reason}"
        self._write("permission-denied", (caller.name, f"{request.method} {path}"), message, caller)

    def wrong_key(self, request: Request, key_id: str) -> None:
        """An API key that exists was shown with another secret, or after its end."""
        client_ip = client_address(request)
        message = f"The API key {key_id} was refused to {client_ip}: wrong secret, disabled or expired"
        self._write("api-key-refused", (key_id, client_ip), message)

    def throttled(self, request: Request, username: str) -> None:
        """Somebody goes on guessing a password after too many wrong ones."""
        client_ip = client_address(request)
        message = f"Too many failed log-ins as {username} from {client_ip}"
        self._write("login-throttled", (f"log-in as {username.lower()}", client_ip), message)

    def wrong_address(self, request: Request, session_id: str) -> None:
        """A connect address opens nothing (any more)."""
        client_ip = client_address(request)
        message = f"A connect address was refused to {client_ip}, for session {session_id}"
        self._write("stream-refused", ("connect address", client_ip), message)

    def _write(self, code: str, what: tuple[str, str], message: str, caller: Caller | None = None) -> None:
        now = time.monotonic()
        last = self._seen.pop(what, None)
        self._seen[what] = now if last is None or now - last >= REPEAT_S else last
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        if self._seen[what] == now:
            user_id, username = (caller.user_id, caller.username) if caller else (None, None)
            self._logs.write("WARNING", code, message, user_id=user_id, username=username)


def _short(value: object) -> str:
    text = "(none)" if value is None else shown(value)
    return text if len(text) <= 80 else text[:77] + "…"
