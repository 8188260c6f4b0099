"""`/api/v1` for the command line: each call returns the answer's JSON or raises the server's error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self, cast

import httpx

from greenroom.cli.server import Server
from greenroom.core.errors import GreenroomError

PREFIX: Final = "/api/v1"
PAGE_ROWS: Final = 1000
"""Rows per request, the most the server gives."""
TIMEOUT_S: Final = 30.0
EVENTS_TIMEOUT_S: Final = 45.0
"""The stream of events sends a sign of life every 15 s."""

Row = dict[str, Any]


class ApiError(GreenroomError):
    """The server refused the request, or does not answer."""


class Client:
    """A connection to one deployment, used as a context manager; tests pass their own `transport`.

    Paths are those under /api/v1, and a query parameter that is None is left out. Each request raises ApiError when the
    server does not answer 2xx.
    """

    def __init__(self, server: Server, transport: httpx.BaseTransport | None = None) -> None:
        self.server = server
        self._http = httpx.Client(
            base_url=server.url,
            auth=(server.key, server.secret),
            verify=server.tls,
            timeout=TIMEOUT_S,
            transport=transport,
            trust_env=not server.is_local,
        )

    def concurrent(self) -> httpx.AsyncClient:
        """For requests that do not wait for each other: as many connections as are needed, paths as they are."""
        return httpx.AsyncClient(
            base_url=self.server.url,
            auth=(self.server.key, self.server.secret),
            verify=self.server.tls,
            timeout=TIMEOUT_S,
            limits=httpx.Limits(),
            trust_env=not self.server.is_local,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, query: Row | None = None) -> Any:
        return _json(self._send("GET", PREFIX + path, params=_given(query)))

    def rows(self, path: str, query: Row | None = None, limit: int | None = None) -> list[Row]:
        """All rows of a list, or the first `limit`, page by page."""
        size = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
        answer = self._send("GET", PREFIX + path, params={**_given(query), "limit": size})
        rows = cast("list[Row]", _json(answer))
        while "next" in answer.links and (limit is None or len(rows) < limit):
            answer = self._send("GET", answer.links["next"]["url"])
            rows += cast("list[Row]", _json(answer))
        return rows[:limit]

    def download(self, path: str, query: Row | None = None) -> bytes:
        return self._send("GET", PREFIX + path, params=_given(query)).content

    def post(self, path: str, body: Row | None = None, timeout_s: float = TIMEOUT_S) -> Row:
        return _json(self._send("POST", PREFIX + path, json=body, timeout=timeout_s))

    def patch(self, path: str, body: Row) -> Any:
        return _json(self._send("PATCH", PREFIX + path, json=body))

    def put(self, path: str) -> None:
        self._send("PUT", PREFIX + path)

    def delete(self, path: str, query: Row | None = None) -> Row | None:
        return _json(self._send("DELETE", PREFIX + path, params=_given(query)))

    def changes(self, topic: str) -> Iterator[None]:
        """Yields at once and whenever something of `topic` may have changed; ends with the stream of events.

        Raises:
            ApiError: the server gives no events, or the connection was lost.
        """
        try:
            with self._http.stream("GET", f"{PREFIX}/events", timeout=EVENTS_TIMEOUT_S) as answer:
                if not answer.is_success:
                    answer.read()
                    raise ApiError(_message(answer))
                for line in answer.iter_lines():
                    if _concerns(line, topic):
                        yield
        except httpx.HTTPError as error:
            raise ApiError(self._away(error)) from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ApiError(self._away(error)) from error
        if not answer.is_success:
            raise ApiError(_message(answer))
        return answer

    def _away(self, error: httpx.HTTPError) -> str:
        reason = str(error) or type(error).__name__
        hint = ""
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            hint = " Give the certificate of its authority with --ca-file."
        elif self.server.is_local and isinstance(error, httpx.ConnectError):
            hint = " Start it with: greenroom up"
        return f"{self.server.url} does not answer: {reason}.{hint}"


def _given(query: Row | None) -> Row:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _concerns(line: str, topic: str) -> bool:
    """Whether a line of the stream is a reason to look: an event, a sign of life, or missed events."""
    if line.startswith("data:"):
        return json.loads(line.removeprefix("data:")).get("topic", topic) == topic
    return line.startswith(":")


def _json(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        raise ApiError(f"{answer.url} answered with something else than JSON; is it a Greenroom deployment?") from error


def _message(answer: httpx.Response) -> str:
    """The detail and stable code of a problem document; of another answer its status."""
    try:
        problem = answer.json()
        return f"{problem['detail']} ({problem['code']})"
    except (ValueError, KeyError, TypeError):
        return f"{answer.request.method} {answer.url} was answered with {answer.status_code} {answer.reason_phrase}."
