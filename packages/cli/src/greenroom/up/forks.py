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


class Forks:
    """Requests forked processes, which are children of this process. If the fork server ends, the request is repeated
    after it was started again.
    """

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._connected = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def is_under_way(self) -> bool:
        """True if this process may have a child that is not known yet."""
        return self._turn.locked()

    def connect(self) -> socket.socket:
        """Return the stdin of a fork server that is about to be started."""
        channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.adopt(channel)
        return other

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
        async with self._turn:
            while True:
                await self._connected.wait()
                try:
                    return await self._ask(command, role)
                except ConnectionError:
                    self.close()

    async def _ask(self, command: ProcessCommand, role: str) -> int:
        """Send the request and return the pid.

        Raises:
            ConnectionError: the fork server has ended.
        """
        if self._channel is None:
            raise ConnectionError
        order = os.memfd_create("order")
        try:
            os.write(order, msgspec.json.encode(_order(command, role)))
            os.lseek(order, 0, os.SEEK_SET)
            with command.log.open("ab") as log:
                socket.send_fds(self._channel, [b"fork"], [order, log.fileno()])
            answer = await asyncio.get_running_loop().sock_recv(self._channel, _MAX_BYTES)
        except BaseException:
            self.close()  # otherwise its response would count for the next order
            raise
        finally:
            os.close(order)
        if not answer:
            raise ConnectionError
        return int(answer)


def _order(command: ProcessCommand, role: str) -> ForkRequest:
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
