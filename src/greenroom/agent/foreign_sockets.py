"""Shut down connections that other processes of this host hold: how a stream is cut where `ss -K` does not work.

A process that may trace another one can have a copy of its socket (`pidfd_getfd`, Linux 5.6), and `shutdown` on the
copy ends the connection for both sides. Nothing else of the session notices: its container stays on its network.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from greenroom.agent.tcp_table import TABLE, established, spelled

_PIDFD_GETFD: Final = 438
"""Number of the system call, the same on every architecture; Python has no function for it."""
_CLOSED_MEANWHILE: Final = {errno.ESRCH, errno.EBADF, errno.ENOTCONN, errno.ENOTSOCK}


def shut_down(address: str) -> int:
    """End every TCP connection of this host to `address` (IPv4 host:port), whoever holds it; how many there were.

    Raises:
        OSError: the kernel lacks the call, or this process may not see or trace one that holds such a connection.
    """
    host, _, port = address.rpartition(":")
    wanted = connections_to(TABLE.read_text(), host, int(port))
    ended = 0
    for pid, descriptor in _holders(wanted) if wanted else ():
        try:
            with _copy(pid, descriptor) as connection:
                if connection.getpeername() == (host, int(port)):  # else the descriptor is another one's meanwhile
                    connection.shutdown(socket.SHUT_RDWR)
                    ended += 1
        except OSError as error:
            if error.errno not in _CLOSED_MEANWHILE:
                raise
    if left := wanted & connections_to(TABLE.read_text(), host, int(port)):
        raise PermissionError(errno.EPERM, f"{len(left)} connections are held by processes that cannot be seen here")
    return ended


def connections_to(table: str, host: str, port: int) -> frozenset[str]:
    """Inodes of the established connections to this address, from the text of /proc/net/tcp."""
    wanted = spelled(ipaddress.IPv4Address(host).packed, port)
    return frozenset(inode for remote, inode in established(table) if remote == wanted)


def _holders(inodes: frozenset[str]) -> Iterator[tuple[int, int]]:
    """(pid, descriptor) of every process that has one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            for descriptor in _descriptors(process):
                if _target(descriptor) in wanted:
                    yield int(process.name), int(descriptor.name)


def _descriptors(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:  # it ended, or is not ours to see
        return []


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _copy(pid: int, descriptor: int) -> socket.socket:
    handle = os.pidfd_open(pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copied = libc.syscall(_PIDFD_GETFD, handle, descriptor, 0)
        if copied < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        try:
            return socket.socket(fileno=copied)
        except OSError:  # it is no socket meanwhile
            os.close(copied)
            raise
    finally:
        os.close(handle)
