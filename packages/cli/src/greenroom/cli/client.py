"""The HTTP client of the command line for `/api/v1`: `greenroom.client`, with error messages for commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx

from greenroom.cli.output import Row
from greenroom.cli.server import Server
from greenroom.client import Greenroom, Retries
from greenroom.client.requests import TIMEOUT_S, ApiRequest
from greenroom.core.errors import GreenroomError

RETRIES: Final = Retries(attempts=4, first_wait_s=0.2)
"""Short waits, because a person waits for the result: the retries end after 1.4 s."""


class ApiError(GreenroomError):
    """The server refused the request, or does not respond."""


class Client(Greenroom):
    """A connection to one deployment, used as a context manager; tests pass a `transport`.

    Paths are relative to /api/v1. A query parameter that is None is omitted. Each request raises ApiError if the status
    is not 2xx.
    """

    def __init__(self, server: Server, transport: httpx.BaseTransport | None = None) -> None:
        self.server = server
        url_and_key = (server.url, server.key, server.secret)
        trust_env = not server.is_local
        super().__init__(*url_and_key, retries=RETRIES, tls=server.tls, trust_env=trust_env, transport=transport)

    def get(self, path: str, query: Row | None = None) -> Any:
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Row | None = None, timeout_s: float = TIMEOUT_S) -> Row:
        return self.request("POST", path, body, timeout_s=timeout_s)

    def patch(self, path: str, body: Row) -> Any:
        return self.request("PATCH", path, body)

    def delete(self, path: str, query: Row | None = None) -> Row | None:
        return self.request("DELETE", path, query=query)

    def changes(self, topic: str) -> Iterator[None]:
        """Yield once immediately, and each time an object of `topic` may have changed, until the stream ends. Raises
        GreenroomError: the server sends no events, or the connection was lost."""
        with self.listen() as lines:
            for line in lines:
                if _requires_read(line, topic):
                    yield

    def send(self, request: ApiRequest) -> httpx.Response:
        """Return the response to a request. Raises ApiError: the server refused the request (the message contains the
        stable code), or it does not respond (the message contains a hint)."""
        try:
            return super().send(request)
        except GreenroomError as error:
            code, message = error.details.get("code"), error.message.replace(" as ca_file.", " with --ca-file.")
            has_no_hint = message.endswith(f"{error.details.get('reason')}.")
            if self.server.is_local and isinstance(error.__cause__, httpx.ConnectError) and has_no_hint:
                message += " Start it with: greenroom up"
            raise ApiError(f"{message} ({code})" if code else message) from error


def _requires_read(line: str, topic: str) -> bool:
    """True if objects of the topic must be read again after this line: an event of the topic, missed events, or a
    keepalive."""
    if line.startswith("data:"):
        return json.loads(line.removeprefix("data:")).get("topic", topic) == topic
    return line.startswith(":")
