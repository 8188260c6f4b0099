"""The kernel's table of TCP connections of this host, in whichever process."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Final

from greenroom.core.session.visits import Connection

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""The prefix of an IPv4 address that an IPv6 socket accepted."""


def spelled(address: bytes, port: int) -> str:
    """An address and port in the table's notation."""
    words = (address[at : at + 4] for at in range(0, len(address), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"


def established(table: str) -> Iterable[tuple[str, str]]:
    """(remote end, inode) of every established connection, from the text of a table."""
    rows = (line.split() for line in table.splitlines()[1:])
    return ((row[2], row[9]) for row in rows if row[3] == _ESTABLISHED)


def connected(wanted: Set[Connection]) -> frozenset[Connection]:
    """Those of the connections that are established here now."""
    remote = {end for table in tables() for end, _ in established(table)}
    return frozenset(connection for connection in wanted if not remote.isdisjoint(spellings(connection)))


def tables() -> list[str]:
    """The texts of the tables for IPv4 and IPv6."""
    return [table.read_text() for table in _TABLES if table.exists()]


def spellings(connection: Connection) -> set[str]:
    """How the tables may write a remote end."""
    address = ipaddress.ip_address(connection.address)
    if isinstance(address, ipaddress.IPv6Address):
        return {spelled(address.packed, connection.port)}
    return {spelled(packed, connection.port) for packed in (address.packed, _MAPPED + address.packed)}
