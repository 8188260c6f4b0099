"""Runs an ASGI application together with the loops of a role, until SIGTERM or until one of them fails.

A role without one of its loops works only in part. A loop that fails repeatedly therefore ends the process with exit
code 1, so that the supervisor starts the process again. On SIGTERM, `on_stop` is called first; then the server finishes
the requests that it has begun (for at most `GRACE_S`); then the loops are cancelled and may clean up.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.core.errors import MalformedBody, SetupError, TooLarge
from greenroom.core.text import is_nested_too_deeply
from greenroom.kit.concurrency import Loop, LoopEndedError, keep_running

log = structlog.get_logger(__name__)

GRACE_S: Final = 5
LINGER_S: Final = 0.2
"""The time for which a server that ends still reads requests from open connections. nginx may have sent a request over
a connection that counts as idle, and it never repeats a POST.
"""
GC_THRESHOLDS: Final = (50_000, 20, 100)
"""The thresholds of the garbage collector: the number of new objects, and the numbers of collections of the younger
generations. With the default of 700, the collector would examine all waiting requests repeatedly, which takes a third
of their CPU time. Reference cycles are rare here.
"""
BACKLOG: Final = 4096
"""The maximum number of connections that wait to be accepted. After a Manager has died, all its Agents connect to
another Manager at the same time.
"""
PORT_WAIT_S: Final = 2.0
"""The maximum wait for a port in use. The port of a process that was just killed is free again within this time, even
if child processes had copies of its socket.
"""
PORT_POLL_S: Final = 0.05
DATE_RESOLUTION_S: Final = 1.0
"""The interval at which the header Date of the responses is updated."""

__all__ = ["LimitedBody", "Loop", "LoopEndedError", "collect_rarely", "serve", "serve_until_cancelled"]


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers and without its timer. The handlers raise the signal again before the loops
    can clean up. The timer checks ten times a second if the server must end; this class waits for an event instead.
    """

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        self._app = _Responses(app)
        super().__init__(_uvicorn_config(self._app, **options))
        self._ending = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._ending.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # with 0, `on_tick` sets the date of the responses
            with suppress(TimeoutError):
                async with asyncio.timeout(DATE_RESOLUTION_S):
                    await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.are_last = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(LINGER_S)
        await super().shutdown(sockets)


def collect_rarely() -> None:
    """Exclude all current objects from garbage collection, because they live as long as the process. Otherwise the
    garbage collector would occasionally stop requests for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    loops: Sequence[tuple[str, Loop]] = (),
    *,
    on_stop: Callable[[], None] = lambda: None,
    on_listening: Callable[[socket.socket], None] = lambda _: None,
    on_failure: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve `app` on host:port, and keep `loops` (name, coroutine function) running.

    `on_stop` is called at SIGTERM or SIGINT, before the wait for requests in flight; `on_listening` with the socket
    before the first request is served; `on_failure` with a sentence for each failure of a loop.

    Raises:
        LoopEndedError: a loop failed repeatedly; its exception is chained.
        SetupError: the process cannot listen on the address.
    """
    collect_rarely()
    listening = await _listen(host, port)
    on_listening(listening)
    server = _Server(app, timeout_graceful_shutdown=GRACE_S)

    def stop() -> None:
        on_stop()
        server.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    running = {asyncio.create_task(keep_running(name, loop, on_failure), name=name): name for name, loop in loops}
    done, _ = await asyncio.wait([serving, *running], return_when=asyncio.FIRST_COMPLETED)
    server.end()
    await serving
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for task in done - {serving}:
        task.result()


async def serve_until_cancelled(app: ASGIApp, host: str, port: int) -> None:
    """Serve `app` on host:port until cancelled, in a process that handles its signals itself. Raises SetupError: the
    process cannot listen on the address."""
    listening = await _listen(host, port)
    await _Server(app).serve(sockets=[listening])


def _uvicorn_config(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """Return the configuration of uvicorn. No role serves websockets itself, so no websocket library is imported."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        **options,
    )


class _Responses:
    """Logs errors that an application raises after its complete response, and keeps the connection open. Starlette
    raises every error again after a response with 500, and uvicorn would then close the connection over which nginx
    sends the next request. `are_last`: each response announces that its connection will be closed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.are_last = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_complete = False

        async def send_and_record(message: Message) -> None:
            nonlocal is_complete
            if self.are_last and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)
            is_complete = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self._app(scope, receive, send_and_record)
        except Exception:
            if not is_complete:
                raise
            log.exception("request failed", path=scope["path"])


class LimitedBody:
    """Receives the body of a request, and refuses it before any code reads it as JSON. A chunked body has no announced
    length, and a parser needs many times the size of a deeply nested body.

    Raises:
        TooLarge: the body has more than `max_bytes`.
        MalformedBody: the body is JSON with too many levels.
    """

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._body = bytearray()

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        self._body += message.get("body", b"")
        if len(self._body) > self._max_bytes:
            raise TooLarge
        if not message.get("more_body"):
            body, self._body = bytes(self._body), bytearray()
            if is_nested_too_deeply(body):
                raise MalformedBody
        return message


async def _listen(host: str, port: int) -> socket.socket:
    """Listen on host:port; a port in use is tried again for `PORT_WAIT_S`. Raises SetupError: the process cannot listen
    on it."""
    deadline_s = None
    while True:
        try:
            return _open_socket(host, port)
        except OSError as error:
            now_s = time.monotonic()
            if error.errno != errno.EADDRINUSE or (deadline_s is not None and now_s >= deadline_s):
                raise SetupError(
                    f"This process cannot listen on {host}:{port}: {error.strerror}. Stop the program that uses the"
                    " port, or choose another port."
                ) from error
            if deadline_s is None:
                deadline_s = now_s + PORT_WAIT_S
                log.info("the port is in use; the process waits for it", host=host, port=port, at_most_s=PORT_WAIT_S)
        await asyncio.sleep(PORT_POLL_S)


def _open_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets with an explicit TCP protocol. With it, the body of a
    # response waits until its head is acknowledged, and the other side delays this by 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
