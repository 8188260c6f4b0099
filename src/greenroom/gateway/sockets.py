"""The listening sockets of a gateway: opened by the parent, inherited by each nginx it starts.

nginx takes over the open sockets named in its environment, `NGINX="3;4;"`, so the death of its master frees no port and
loses no waiting connection: the next master gets the same sockets, even while an old worker lives. All have
SO_REUSEPORT, so that a new parent can listen while the nginx of a killed one still does. All are non-blocking, which
nginx does not set on inherited sockets: of two workers woken for one connection, the later would block in `accept`,
with all its connections, until another client connects.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

from greenroom.core.errors import SetupError

BACKLOG = 511


class Listeners:
    """The open listening sockets by address (host:port with a literal IP address)."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    def ensure(self, addresses: Iterable[str], *, beside_orphan: bool) -> bool:
        """Open what is missing of `addresses` and close all others; returns whether anything changed.

        `beside_orphan`: share with the nginx of an earlier parent, which may still listen here. Otherwise an address in
        use is refused.

        Raises:
            SetupError: an address cannot be listened on; nothing was changed.
        """
        wanted = set(addresses)
        opened: dict[str, socket.socket] = {}
        try:
            for address in sorted(wanted - self._sockets.keys()):
                opened[address] = _listen(address, shared=beside_orphan)
        except SetupError:
            for one in opened.values():
                one.close()
            raise
        gone = self._sockets.keys() - wanted
        for address in gone:
            self._sockets.pop(address).close()
        self._sockets |= opened
        return bool(opened or gone)

    @property
    def descriptors(self) -> list[int]:
        """Numbers of the open sockets; nginx inherits them under the same numbers."""
        return [one.fileno() for one in self._sockets.values()]

    @property
    def environment(self) -> dict[str, str]:
        return {"NGINX": "".join(f"{number};" for number in self.descriptors), "PATH": os.defpath}

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()


def _listen(address: str, *, shared: bool) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if not shared:
            _try_alone(family, host, int(port))
        listening = _bound(family, host, int(port), reuse_port=True)
    except OSError as error:
        other = "address" if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) else "port"
        raise SetupError(f"{address} cannot be listened on: {error.strerror}; choose another {other}.") from error
    listening.listen(BACKLOG)
    return listening


def _try_alone(family: socket.AddressFamily, host: str, port: int) -> None:
    """Fail if any process listens here, even one with SO_REUSEPORT."""
    _bound(family, host, port, reuse_port=False).close()


def _bound(family: socket.AddressFamily, host: str, port: int, *, reuse_port: bool) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setblocking(False)
        one.bind((host, port))
    except OSError:
        one.close()
        raise
    return one
