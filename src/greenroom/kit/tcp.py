"""Finds established TCP connections of this host in the tables of the kernel, and ends the connections to the page of a
session.

`ss -K` aborts sockets if the kernel was built with INET_DIAG_DESTROY and this process has CAP_NET_ADMIN; this is tried
once at start. If `ss -K` does not work, the connections of other processes are shut down through copies of their
sockets: a process that may trace another process can copy its socket (`pidfd_getfd`, Linux 5.6), and `shutdown` on the
copy ends the connection for both sides. Both methods leave the container of the session connected to its network.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, Final

import psutil
import structlog

from greenroom.core.session.viewing import Connection

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""The prefix of an IPv4 address that an IPv6 socket accepted."""


def table_notation(address: bytes, port: int) -> str:
    """Return an address and a port in the notation of the kernel's tables."""
    words = (address[start : start + 4] for start in range(0, len(address), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"


def parse_established(table: str) -> Iterable[tuple[str, str]]:
    """Return (remote end, inode) of every established connection, from the text of a table."""
    rows = (line.split() for line in table.splitlines()[1:])
    return ((row[2], row[9]) for row in rows if row[3] == _ESTABLISHED)


def find_established(connections: Set[Connection]) -> frozenset[Connection]:
    """Return those of the connections that are established on this host now."""
    remote = {end for table in read_tables() for end, _ in parse_established(table)}
    return frozenset(connection for connection in connections if not remote.isdisjoint(table_notations(connection)))


def read_tables() -> list[str]:
    """Return the texts of the tables for IPv4 and IPv6."""
    return [table.read_text() for table in _TABLES if table.exists()]


def table_notations(connection: Connection) -> set[str]:
    """Return the possible notations of a remote end in the tables."""
    address = ipaddress.ip_address(connection.address)
    if isinstance(address, ipaddress.IPv6Address):
        return {table_notation(address.packed, connection.port)}
    return {table_notation(packed, connection.port) for packed in (address.packed, _MAPPED + address.packed)}


_PIDFD_GETFD: Final = 438
"""The number of the system call, the same on every architecture; Python has no function for it."""
_CLOSED_ERRORS: Final = {errno.ESRCH, errno.EBADF, errno.ENOTCONN, errno.ENOTSOCK}


def shut_down_connections(remote: Connection) -> int:
    """End every TCP connection of this host to this remote end, in any process, and return their number. Raises
    OSError: the kernel lacks the call, or this process cannot see or trace a process with such a connection."""
    before = connections_to(remote)
    count = 0
    for pid, descriptor in _processes_connected_to(remote) if before else ():
        try:
            with _copied_socket(pid, descriptor) as connection:
                # The descriptor may refer to another socket in the meantime.
                if _is_remote_end(remote, connection.getpeername()):
                    connection.shutdown(socket.SHUT_RDWR)
                    count += 1
        except OSError as error:
            if error.errno not in _CLOSED_ERRORS:
                raise
    if remaining := before & connections_to(remote):
        raise PermissionError(
            errno.EPERM, f"{len(remaining)} connections belong to processes that this process cannot see"
        )
    return count


def connections_to(remote: Connection) -> frozenset[str]:
    """Return the inodes of the established connections of this host to this remote end."""
    notations = table_notations(remote)
    return frozenset(inode for table in read_tables() for end, inode in parse_established(table) if end in notations)


def _processes_connected_to(remote: Connection) -> Iterator[tuple[int, int]]:
    """Yield (pid, descriptor) of each visible process with a connection to this remote end."""
    for connection in psutil.net_connections("tcp"):
        if connection.raddr and connection.pid is not None and _is_remote_end(remote, tuple(connection.raddr)):
            yield connection.pid, connection.fd


def _is_remote_end(remote: Connection, end: tuple[Any, ...]) -> bool:
    """True if `end`, the peer address of a socket, is this remote end. IPv6 sockets write IPv4 addresses as
    `::ffff:a.b.c.d`.
    """
    return Connection(str(end[0]).removeprefix("::ffff:"), int(end[1])) == remote


def _copied_socket(pid: int, descriptor: int) -> socket.socket:
    handle = os.pidfd_open(pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copy = libc.syscall(_PIDFD_GETFD, handle, descriptor, 0)
        if copy < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        try:
            return socket.socket(fileno=copy)
        except OSError:  # the copy is not a socket
            os.close(copy)
            raise
    finally:
        os.close(handle)


log = structlog.get_logger(__name__)

CUT_PAUSES_S: Final = (0.0, 0.5, 1.5)
"""The pauses before each cut. A request that was admitted just before a cut may open its connection after it."""
PROBE_S: Final = 2.0


class StreamTerminator:
    """Ends the connections of viewers, with `ss -K` if it works on this host, otherwise through copies of sockets."""

    def __init__(self) -> None:
        self.ss_works = False
        self._cuts: set[asyncio.Task[None]] = set()

    async def probe(self) -> None:
        """Find out if `ss -K` works on this host, with a connection of this process to itself."""
        self.ss_works = shutil.which("ss") is not None and await _can_abort()
        if not self.ss_works:
            log.warning("ss -K does not work here; the streams of a revoked viewer are shut down in nginx")

    def cut_soon(self, session_id: str, address: str) -> None:
        """End all connections to `address` (host:port), the page of the session, within two seconds."""
        host, _, port = address.rpartition(":")
        self.cut_clients_soon(session_id, [Connection(host, int(port))])

    def cut_clients_soon(self, session_id: str, clients: Sequence[Connection]) -> None:
        """End only these connections of clients to the gateway, within two seconds."""
        task = asyncio.create_task(self._cut(session_id, clients), name=f"cut {session_id}")
        self._cuts.add(task)
        task.add_done_callback(self._cuts.discard)

    async def wait(self) -> None:
        while self._cuts:
            await asyncio.gather(*self._cuts)

    async def _cut(self, session_id: str, ends: Sequence[Connection]) -> None:
        log.info("streams of a session are cut", session_id=session_id)
        for pause_s in CUT_PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                for remote in ends:
                    if self.ss_works:
                        await abort_connections(remote)
                    else:
                        await asyncio.to_thread(shut_down_connections, remote)
            except OSError as error:
                log.error(
                    "the streams of a session could not be cut; they stay open until they are closed",
                    session_id=session_id,
                    reason=str(error),
                )


async def abort_connections(remote: Connection) -> None:
    """Abort every TCP connection of this host to this remote end."""
    address = f"[{remote.address}]:{remote.port}" if ":" in remote.address else f"{remote.address}:{remote.port}"
    process = await asyncio.create_subprocess_exec(
        "ss",
        "--kill",
        "--tcp",
        "--numeric",
        "--no-header",
        "dst",
        address,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if errors:
        log.debug("ss -K", address=address, errors=errors.decode("utf-8", "replace").strip())


async def _can_abort() -> bool:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        accepted, _ = listening.accept()
        try:
            await abort_connections(Connection(host, port))
            async with asyncio.timeout(PROBE_S):
                await reader.read(1)
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            writer.close()
            accepted.close()
    return False
