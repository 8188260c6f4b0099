"""A slow link to a server on this machine: its data arrives at a limited number of bytes per second."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final

CHUNK: Final = 1 << 16


class SlowLink:
    """Listens on a separate port of 127.0.0.1, `host`; data to the server is not delayed.

    Args:
        port: the server's, on 127.0.0.1.
        bytes_per_s: of each connection.
    """

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self._port = port
        self._s_per_byte = 1 / bytes_per_s
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut all connections, and accept no new ones."""
        for each in (self._listening, *self._connections):
            with contextlib.suppress(OSError):  # the other side closed it
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # it was closed
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._connections += [client, server]
            for source, sink, s_per_byte in ((client, server, 0.0), (server, client, self._s_per_byte)):
                threading.Thread(target=_pass_on, args=(source, sink, s_per_byte), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, s_per_byte: float) -> None:
    with contextlib.suppress(OSError):  # one of the two sides closed its connection
        while data := source.recv(CHUNK):
            sink.sendall(data)
            time.sleep(len(data) * s_per_byte)
        sink.shutdown(socket.SHUT_WR)
