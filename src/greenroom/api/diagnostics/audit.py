"""The audit: every change by an administrator is a log row with the values before and after.

Refused attempts are also logged: a missing permission for a change, a wrong secret of an API key.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Self

from fastapi import Request
from fastapi.encoders import jsonable_encoder

from greenroom.api.security import Caller, client_address
from greenroom.core.access.group_settings import value_text
from greenroom.core.installation import Installation
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.masking import masked, masked_difference
from greenroom.core.rate_limits import RepeatCounter, source_of
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets

REPEAT_WINDOW_S: Final = 60.0
"""Further refusals of the same kind within this time are logged as one row with their number."""

_NOUNS: Final = {
    "agent": "Agent",
    "agent-credential": "Agent credential",
    "api-key": "API key",
    "manager": "Manager",
    "scim-client": "SCIM client",
    "sign-on-provider": "sign-on provider",
}
"""Kind of object → its noun. The noun of each other kind is the kind with spaces in place of hyphens."""


def change_sentence(actor: str, code: LogCode, name: str) -> str:
    """Return the sentence about a change: "ada created zone eu". `code` is as in `CallerChange.audit`."""
    kind, _, verb = code.rpartition("-")
    noun = _NOUNS.get(kind) or kind.replace("-", " ")
    return f"{actor} {verb} {noun} {name}"


@dataclass(frozen=True, slots=True)
class CallerChange:
    """A change that a caller requests, with the database, the log and the settings that it needs."""

    caller: Caller
    db: Database
    logs: LogWriter
    secrets: Secrets
    config: ApiConfig
    installation: Installation
    """The settings of the installation at the time of the request."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the change of a request whose caller was authenticated."""
        state = request.app.state
        return cls(request.state.caller, state.db, state.logs, state.secrets, state.config, state.snapshot.installation)

    def audit(
        self,
        code: LogCode,
        name: str,
        *,
        before: LogDetails | None = None,
        after: LogDetails | None = None,
        zone_name: str | None = None,
    ) -> None:
        """Log the change: "admin@greenroom.local changed zone eu: proxy_port 443 → 8443".

        `code` is `<kind>-created`, `-changed` or `-deleted`. `before` has the old values (for a deletion, all values),
        `after` the new values. Only differences are logged. Secrets are logged without their values.
        """
        kind, _, verb = code.rpartition("-")
        old: LogDetails = jsonable_encoder(before or {})
        new: LogDetails = jsonable_encoder(after or {})
        changes = ""
        if verb == "changed":
            old, new = masked_difference(old, new)
            if not new:
                return
            changes = ": " + "; ".join(f"{field} {_short(old[field])} → {_short(new[field])}" for field in new)
        else:
            old, new = masked("", old), masked("", new)
        self.logs.write(
            code,
            change_sentence(self.caller.name, code, name) + changes,
            user_id=self.caller.user_id,
            username=self.caller.username,
            zone_name=zone_name,
            details={"who": self.caller.name, "before": old, "after": new},
            object_kind=kind,
            object_name=name,
            urgent=True,
        )


@dataclass(frozen=True, slots=True)
class _RefusalKind:
    """A kind of refusals: refusals with the same code, subject and requester are counted together."""

    code: LogCode
    subject: str
    requester: str
    user_id: str | None = None
    username: str | None = None


class RefusalLog:
    """Writes log rows of refusals: the first refusal of a kind at once, and the number of further refusals later."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._repeats = RepeatCounter[_RefusalKind](REPEAT_WINDOW_S)

    async def run(self) -> None:
        """Write the counts of further refusals when their minute is over, forever."""
        while True:
            await asyncio.sleep(REPEAT_WINDOW_S / 4)
            self.write_due(time.monotonic())

    def write_due(self, now_s: float) -> None:
        for kind, repeats in self._repeats.due(now_s):
            count_text = "once more" if repeats.count == 1 else f"{repeats.count} more times"
            details: LogDetails = {"count": repeats.count} | ({"names": repeats.names} if repeats.names else {})
            if kind is None:
                message = f"{repeats.count} more refusals of different kinds, the last: {repeats.latest}"
                self._logs.write(LogCode.PERMISSION_DENIED, message, details=details)
            else:
                message = f"{repeats.latest} ({count_text} since the last row)"
                self._logs.write(kind.code, message, user_id=kind.user_id, username=kind.username, details=details)

    def log_forbidden_change(self, request: Request, reason: str) -> None:
        """Log that the caller requested a change without permission."""
        caller: Caller = request.state.caller
        # The template of the route, because with ids every attempt would be another kind.
        path = request.scope["route"].path
        message = f"{caller.name} from {client_address(request)} may not {request.method} {request.url.path}: {reason}"
        subject = f"{request.method} {path}"
        self._write(
            _RefusalKind(LogCode.PERMISSION_DENIED, subject, caller.name, caller.user_id, caller.username), message
        )

    def log_wrong_key(self, request: Request, key_id: str) -> None:
        """Log that an existing API key was used with a wrong secret, from another network, or while it was
        disabled or expired."""
        client_ip = client_address(request)
        message = f"The API key {key_id} was refused to {client_ip}: wrong secret or address, disabled or expired"
        self._write(_RefusalKind(LogCode.API_KEY_REFUSED, key_id, client_ip), message)

    def log_wrong_scim_token(self, request: Request, client: str | None) -> None:
        """Log that a token of SCIM was refused. `client` is the disabled or expired SCIM client; None = there is no
        client with this token."""
        client_ip = client_address(request)
        cause = f"the SCIM client {client} is disabled or expired" if client else "no SCIM client has it"
        message = f"A SCIM token was refused to {client_ip}: {cause}"
        self._write(_RefusalKind(LogCode.SCIM_TOKEN_REFUSED, client or "", source_of(client_ip)), message)

    def log_failed_login(self, request: Request, username: str, second_factor_problem: str = "") -> None:
        """Log a wrong password, or the reason why a second factor was refused."""
        client_ip = client_address(request)
        reason = f": the second factor was refused ({second_factor_problem})" if second_factor_problem else ""
        kind = "second factor" if second_factor_problem else "password"
        message = f"A log-in as {username} from {client_ip} failed{reason}"
        self._write(_RefusalKind(LogCode.LOGIN_FAILED, kind, source_of(client_ip)), message, username)

    def log_wrong_link(self, request: Request) -> None:
        """Log that a link that is not valid was used for a log-in."""
        client_ip = client_address(request)
        message = f"A log-in by link from {client_ip} failed"
        self._write(_RefusalKind(LogCode.LOGIN_FAILED, "link", source_of(client_ip)), message)

    def log_refused_sign_on(self, request: Request, provider: str, reason: str, cause: str) -> None:
        """Log a refused log-in through a provider. `reason` is a code, `cause` is a sentence for administrators."""
        client_ip = client_address(request)
        message = f"A log-in through {provider} from {client_ip} was refused ({reason}): {cause}"
        self._write(_RefusalKind(LogCode.SIGN_ON_REFUSED, f"{provider} {reason}", source_of(client_ip)), message)

    def log_throttled_client(self, request: Request, attempt: str) -> None:
        """Log that a client continues after too many wrong passwords, links or keys; `attempt` describes the next
        attempt.
        """
        client_ip = client_address(request)
        message = f"Too many failed attempts: {attempt} from {client_ip}"
        self._write(_RefusalKind(LogCode.LOGIN_THROTTLED, "throttled", source_of(client_ip)), message, attempt)

    def log_wrong_address(self, request: Request, session_id: str) -> None:
        """Log that a connect address that is not valid was used."""
        client_ip = client_address(request)
        message = f"A connect address was refused to {client_ip}, for session {session_id}"
        self._write(_RefusalKind(LogCode.STREAM_REFUSED, "connect address", client_ip), message)

    def log_wrong_share(self, request: Request, share_id: str) -> None:
        """Log that a link of a share that is not valid was used."""
        client_ip = client_address(request)
        message = f"A link to a shared session was refused to {client_ip}, share {share_id}"
        self._write(_RefusalKind(LogCode.STREAM_REFUSED, "share link", client_ip), message)

    def _write(self, kind: _RefusalKind, message: str, name: str = "") -> None:
        if self._repeats.must_log(kind, time.monotonic(), message, name):
            self._logs.write(kind.code, message, user_id=kind.user_id, username=kind.username)


def _short(value: object) -> str:
    text = "(none)" if value is None else value_text(value)
    return text if len(text) <= 80 else text[:77] + "…"
