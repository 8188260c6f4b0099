"""The connection from `up` to its fork server (`up.fork_server`), which requests roles one after the other."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Final

import msgspec

from greenroom.up.fork_server import ForkRequest
from greenroom.up.processes import ProcessCommand

_MAX_BYTES: Final = 16


class ForkClient:
    """Requests forked processes, which are children of this process. If the fork server ends, the request is repeated
    after it was started again.
    """

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._connected = asyncio.Event()
        self._lock = asyncio.Lock()

    @property
    def is_forking(self) -> bool:
        """True if this process may have a child that is not known yet."""
        return self._lock.locked()

    def connect(self) -> socket.socket:
        """Return the stdin of a fork server that is about to be started."""
        channel, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.adopt(channel)
        return peer

    def adopt(self, channel: socket.socket) -> None:
        """Use the fork server at the other end of the socket."""
        self.close()
        self._channel = channel
        self._channel.setblocking(False)
        self._connected.set()

    def close(self) -> None:
        """End the fork server."""
        self._connected.clear()
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def fork(self, command: ProcessCommand, role: str) -> int:
        """Return the pid of a new process that runs the role; wait for a fork server if necessary."""
        async with self._lock:
            while True:
                await self._connected.wait()
                try:
                    return await self._request_fork(command, role)
                except ConnectionError:
                    self.close()

    async def _request_fork(self, command: ProcessCommand, role: str) -> int:
        """Send the request and return the pid.

        Raises:
            ConnectionError: the fork server has ended.
        """
        if self._channel is None:
            raise ConnectionError
        request = os.memfd_create("fork request")
        try:
            os.write(request, msgspec.json.encode(_fork_request(command, role)))
            os.lseek(request, 0, os.SEEK_SET)
            with command.log.open("ab") as log:
                socket.send_fds(self._channel, [b"fork"], [request, log.fileno()])
            response = await asyncio.get_running_loop().sock_recv(self._channel, _MAX_BYTES)
        except BaseException:
            self.close()  # otherwise its response would count for the next request
            raise
        finally:
            os.close(request)
        if not response:
            raise ConnectionError
        return int(response)


def _fork_request(command: ProcessCommand, role: str) -> ForkRequest:
    account = command.account
    return ForkRequest(
        role=role,
        argv=command.argv,
        environment=dict(command.environment),
        folder=str(command.folder),
        account=(account.uid, account.gid) if account.switches else None,
        capabilities=command.capabilities,
        death_signal=command.death_signal,
    )
