"""The connection from `up` to its fork server (`up.fork_server`), through which `up` requests processes one by one."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Final

import msgspec
import structlog

from greenroom.up.fork_server import READY, ForkRequest
from greenroom.up.processes import ProcessCommand

log = structlog.get_logger(__name__)

_MAX_MESSAGE_BYTES: Final = 16


class ForkClient:
    """Requests processes from the fork server. The new processes are children of this process. If the fork server ends,
    the request is repeated at the next fork server.
    """

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._starting_channel: socket.socket | None = None
        """The channel of a fork server that is not ready yet."""
        self._request_channel: socket.socket | None = None
        """The channel of a request whose response is awaited."""
        self._connected = asyncio.Event()
        self._lock = asyncio.Lock()

    @property
    def is_forking(self) -> bool:
        """True if this process may have a child whose pid it does not know yet."""
        return self._lock.locked()

    def connect(self) -> socket.socket:
        """Return the stdin for a new fork server. The fork server is used as soon as it is ready."""
        channel, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._set_channel(channel)
        self._starting_channel = channel
        asyncio.get_running_loop().add_reader(channel, self._read_ready, channel)
        return peer

    def _read_ready(self, channel: socket.socket) -> None:
        self._stop_waiting()
        try:
            if channel.recv(_MAX_MESSAGE_BYTES) == READY:
                self._connected.set()
        except ConnectionError as error:  # the fork server has ended, and `up` starts it again
            log.info("the fork server was not ready", reason=str(error))

    def adopt(self, channel: socket.socket) -> None:
        """Use the fork server at the other end of the socket, which is ready."""
        self._set_channel(channel)
        self._connected.set()

    def _set_channel(self, channel: socket.socket) -> None:
        self.close()
        self._channel = channel
        self._channel.setblocking(False)

    def _stop_waiting(self) -> None:
        if self._starting_channel is not None:
            asyncio.get_running_loop().remove_reader(self._starting_channel)
            self._starting_channel = None

    async def wait_until_ready(self) -> None:
        """Wait until the fork server has loaded its modules."""
        await self._connected.wait()

    def close(self) -> None:
        """End the fork server. A request without a response is repeated at the next fork server."""
        self._connected.clear()
        self._stop_waiting()
        channel, self._channel = self._channel, None
        if channel is None:
            return
        if channel is self._request_channel:
            # Its descriptor is still registered in the event loop: after a close, the wait for a response never ends.
            channel.shutdown(socket.SHUT_RDWR)
        else:
            channel.close()

    async def fork(self, command: ProcessCommand, role: str) -> int:
        """Return the pid of a new process that runs the role; wait for a fork server if necessary."""
        async with self._lock:
            while True:
                await self._connected.wait()
                channel = self._channel
                try:
                    return await self._request_fork(channel, command, role)
                except ConnectionError:
                    self._close(channel)

    def _close(self, channel: socket.socket | None) -> None:
        """End the fork server of a channel, unless another one has replaced it."""
        if channel is self._channel:
            self.close()

    async def _request_fork(self, channel: socket.socket | None, command: ProcessCommand, role: str) -> int:
        """Send the request and return the pid.

        Raises:
            ConnectionError: the fork server has ended.
        """
        if channel is None:
            raise ConnectionError
        request = os.memfd_create("fork request")
        self._request_channel = channel
        try:
            os.write(request, msgspec.json.encode(_fork_request(command, role)))
            os.lseek(request, 0, os.SEEK_SET)
            with command.log.open("ab") as log:
                socket.send_fds(channel, [b"fork"], [request, log.fileno()])
            response = await asyncio.get_running_loop().sock_recv(channel, _MAX_MESSAGE_BYTES)
        except BaseException:
            self._close(channel)  # otherwise, the next request would receive the response to this request
            raise
        finally:
            self._request_channel = None
            os.close(request)
            if channel is not self._channel:
                channel.close()
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
        account=(account.uid, account.gid) if account.needs_switch else None,
        capabilities=command.capabilities,
        death_signal=command.death_signal,
    )
