"""Ports for servers of tests: never one that this process returned before, nor one an outgoing connection may take."""

from __future__ import annotations

import random
import socket
from typing import Final

_BELOW_EPHEMERAL: Final = range(12_000, 32_000)
"""Linux takes the local ports of connections from 32768 on (ip_local_port_range)."""

_given: set[int] = set()
_random = random.Random()  # noqa: S311 -- test runs side by side are to choose different ones, nothing is protected


def free_port() -> int:
    """A TCP port on 127.0.0.1 that no process listens on. A port from the kernel may be given out again before its
    server listens: to the next caller, or to any connection of the machine.
    """
    while True:
        port = _random.choice(_BELOW_EPHEMERAL)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
