"""The database servers: the look-up of their addresses before each attempt to connect, and their refusals of logins."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict

from greenroom.core.rate_limits import Backoff

LOOKUP_TIMEOUT_S: Final = 10.0
"""Longest wait for one look-up; the resolver tries its second name server after 5 s."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    began_s: float = field(default_factory=time.monotonic)
    addresses: Future[list[str]] = field(default_factory=Future[list[str]])

    def is_in_progress(self) -> bool:
        return not self.addresses.done() and time.monotonic() < self.began_s + LOOKUP_TIMEOUT_S


_lookups: Final[dict[tuple[str, str], _Lookup]] = {}
"""(host, port) → the last look-up of this name."""


async def addresses_of(server: str) -> list[str]:
    """Return the addresses of the host name in the connection string of one server; empty if it has no host name.

    Simultaneous callers with the same name share one look-up, so that a slow resolver gets only one request. A separate
    thread waits for the resolver, so that no other work is delayed. Raises psycopg.OperationalError: the name has no
    address, or the resolver does not answer in time.
    """
    parts = conninfo_to_dict(server)
    host, port = str(parts.get("host") or ""), str(parts.get("port") or "5432")
    if parts.get("hostaddr") or not _is_name(host):
        return []
    lookup = _lookups.get((host, port))
    if lookup is None or not lookup.is_in_progress():
        lookup = _lookups[host, port] = _Lookup()
        lookup.addresses.set_running_or_notify_cancel()  # the look-up continues if one of the callers is canceled
        threading.Thread(target=_look_up, args=(host, port, lookup.addresses), name="lookup", daemon=True).start()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            return await asyncio.wrap_future(lookup.addresses)
    except TimeoutError as error:
        raise psycopg.OperationalError(f"no address of {host} was found within {LOOKUP_TIMEOUT_S:g} s") from error
    except (OSError, UnicodeError) as error:
        raise psycopg.OperationalError(f"no address of {host} was found: {error}") from error


def _is_name(host: str) -> bool:
    if not host or host.startswith(("/", "@")):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _look_up(host: str, port: str, result: Future[list[str]]) -> None:
    try:
        answers = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP, type=socket.SOCK_STREAM)
        result.set_result(list(dict.fromkeys(str(answer[4][0]) for answer in answers)))
    except BaseException as error:  # noqa: BLE001 -- it is raised in the waiting callers
        result.set_exception(error)


log = structlog.get_logger(__name__)

BACKOFF: Final = Backoff(first_s=1.0, max_s=15.0)
_REFUSED: Final = re.compile(
    r"FATAL:\s+(.*(?:authentication failed|no pg_hba\.conf entry|is not permitted to log in|does not exist).*)"
)
"""libpq has no code for a refusal, only the message of the server. With a message in another language, the refusal is
not recognized, and the server is treated as unreachable."""


class RefusedError(psycopg.OperationalError):
    """The server refuses the login."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    sentence: str
    consecutive: int
    retry_at_s: float


class Refusals:
    """The refusals of logins that one process has received, by the connection string of a single server."""

    def __init__(self) -> None:
        self._last: dict[str, _Refusal] = {}

    def due_in_s(self, server: str) -> float:
        """Return the seconds until the server may be tried again."""
        last = self._last.get(server)
        return max(0.0, last.retry_at_s - time.monotonic()) if last else 0.0

    def messages(self, servers: Iterable[str]) -> str:
        """Return the last refusals of these servers, at any of their addresses, as a text; empty if there is none."""
        return "; ".join(
            last.sentence
            for server in servers
            for refusing, last in self._last.items()
            if refusing == server or refusing.startswith(f"{server} hostaddr=")
        )

    def require_due(self, server: str) -> None:
        """Check that the pause after the last refusal of a server is over. Raises RefusedError: it is not over."""
        if self.due_in_s(server) > 0:
            raise RefusedError(self._last[server].sentence)

    def record_failure(self, server: str, name: str, error: psycopg.OperationalError) -> psycopg.OperationalError:
        """Store a failed attempt to connect if the server refused the login; returns the error to raise."""
        match = _REFUSED.search(str(error))
        if match is None:
            self._last.pop(server, None)
            return error
        last = self._last.get(server)
        if last and self.due_in_s(server) > 0:  # a simultaneous attempt has already stored it
            return RefusedError(last.sentence)
        consecutive = last.consecutive + 1 if last else 1
        pause_s = BACKOFF.delay_s(consecutive)
        sentence = (
            f"{name} refuses the login: {match[1].strip()}; check user, password and database in the database URL"
        )
        self._last[server] = _Refusal(sentence, consecutive, time.monotonic() + pause_s)
        log.warning("the database refuses the login", reason=sentence, again_in_s=pause_s)
        return RefusedError(sentence)

    def record_success(self, server: str) -> None:
        """Forget the refusal of a server that has accepted a login."""
        self._last.pop(server, None)
