"""The addresses of a server's name, looked up anew for each attempt: a name may stand for several servers, of which
another takes writes in a moment, and it may move to another server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

LOOKUP_S: Final = 10.0
"""Longest wait for one; the resolver asks its second name server after 5 s."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    began_s: float = field(default_factory=time.monotonic)
    found: Future[list[str]] = field(default_factory=Future[list[str]])

    def is_under_way(self) -> bool:
        return not self.found.done() and time.monotonic() < self.began_s + LOOKUP_S


_last: Final[dict[tuple[str, str], _Lookup]] = {}


async def addresses_of(server: str) -> list[str]:
    """The addresses of the name in a connection string of one server; none where it has no name to look up.

    Who asks while a name is being looked up waits for the same answer, so that a slow resolver is not asked by all, and
    answers a search that began before the last one ended. A thread of its own waits: no other work needs it.

    Raises:
        psycopg.OperationalError: there are none, or the resolver does not answer in time.
    """
    parts = conninfo_to_dict(server)
    host, port = str(parts.get("host") or ""), str(parts.get("port") or "5432")
    if parts.get("hostaddr") or not _is_name(host):
        return []
    lookup = _last.get((host, port))
    if lookup is None or not lookup.is_under_way():
        lookup = _last[host, port] = _Lookup()
        lookup.found.set_running_or_notify_cancel()  # it goes on when one who waits stops
        threading.Thread(target=_look_up, args=(host, port, lookup.found), name="lookup", daemon=True).start()
    try:
        async with asyncio.timeout(LOOKUP_S):
            return await asyncio.wrap_future(lookup.found)
    except TimeoutError as error:
        raise psycopg.OperationalError(f"no address of {host} was found within {LOOKUP_S:g} s") from error
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


def _look_up(host: str, port: str, found: Future[list[str]]) -> None:
    try:
        answers = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP, type=socket.SOCK_STREAM)
        found.set_result(list(dict.fromkeys(str(answer[4][0]) for answer in answers)))
    except BaseException as error:  # noqa: BLE001 -- it is raised where the answer is waited for
        found.set_exception(error)
