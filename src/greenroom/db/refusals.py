"""A server of the database that answers, but refuses the login: the whole process waits longer and longer for it, and
says so each time. A password that is wrong stays wrong, and each attempt costs the server as much as a right one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import psycopg
import structlog

from greenroom.core.rate_limits import Backoff

log = structlog.get_logger(__name__)

BACKOFF: Final = Backoff(first_s=1.0, max_s=15.0)
_REFUSED: Final = re.compile(
    r"FATAL:\s+(.*(?:authentication failed|no pg_hba\.conf entry|is not permitted to log in|does not exist).*)"
)
"""libpq has no code for it, only the server's sentence; in another language it is as if the server were away."""


class RefusedError(psycopg.OperationalError):
    """The server refuses the login."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    sentence: str
    in_a_row: int
    again_at_s: float


class Refusals:
    """Those of one process, by connection string of a single server."""

    def __init__(self) -> None:
        self._last: dict[str, _Refusal] = {}

    def due_in_s(self, server: str) -> float:
        """Until the server may be asked again."""
        last = self._last.get(server)
        return max(0.0, last.again_at_s - time.monotonic()) if last else 0.0

    def why(self, servers: Iterable[str]) -> str:
        """What those of them that refuse the login said last, at any address of their names; empty if none does."""
        return "; ".join(
            last.sentence
            for server in servers
            for refusing, last in self._last.items()
            if refusing == server or refusing.startswith(f"{server} hostaddr=")
        )

    def require_due(self, server: str) -> None:
        """Raises RefusedError: it is too early to ask again."""
        if self.due_in_s(server) > 0:
            raise RefusedError(self._last[server].sentence)

    def failed(self, server: str, name: str, error: psycopg.OperationalError) -> psycopg.OperationalError:
        """The error to raise for one of an attempt, which is remembered if it is a refusal."""
        found = _REFUSED.search(str(error))
        if found is None:
            self._last.pop(server, None)
            return error
        last = self._last.get(server)
        if last and self.due_in_s(server) > 0:  # another attempt that was begun as early has said so
            return RefusedError(last.sentence)
        in_a_row = last.in_a_row + 1 if last else 1
        pause_s = BACKOFF.delay_s(in_a_row)
        sentence = (
            f"{name} refuses the login: {found[1].strip()}; check user, password and database in the database URL"
        )
        self._last[server] = _Refusal(sentence, in_a_row, time.monotonic() + pause_s)
        log.warning("the database refuses the login", reason=sentence, again_in_s=pause_s)
        return RefusedError(sentence)

    def accepted(self, server: str) -> None:
        self._last.pop(server, None)
