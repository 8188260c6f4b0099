"""The connection of the client for programs with asyncio."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from greenroom.client.asynchronous_desk import AsyncDesk
from greenroom.client.desk import Egress, LeaseWait, Mode, Tags, entered, lease_options
from greenroom.client.errors import error_from
from greenroom.client.events import Event, connection_lost_error, events_request, parse_event, reconnect_wait_s
from greenroom.client.models import Lease
from greenroom.client.requests import (
    PAGE_ROWS,
    PREFIX,
    TIMEOUT_S,
    ApiRequest,
    EventDecoder,
    Retries,
    T,
    parse_json,
    replace_atomically,
    without_none,
)
from greenroom.shared.errors import Interrupted, NotFound

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on

log = logging.getLogger(__name__)

WARNED_WAIT_S: Final = 1.0
"""Waits from this length on are logged as warnings, because a user may notice them."""


class AsyncConnection:
    """The connection to a deployment. A subclass adds the methods that a script generates from the document of the api.

    The number of connections has no limit. `trust_env`: use the proxies of the environment.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        ca_file: Path | str | None = None,
        *,
        retries: Retries | None = None,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.retries = retries or Retries()
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            auth=(key, secret),
            verify=tls or ssl.create_default_context(cafile=str(ca_file) if ca_file else None),
            trust_env=trust_env,
            timeout=TIMEOUT_S,
            limits=httpx.Limits(),  # no limit: the load test `greenroom rehearse` sends many requests at once
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Return the JSON answer of a route. `path` is relative to `/api/v1`, such as `/sessions`. Raises
        GreenroomError: the server refused the request, or does not answer."""
        return parse_json(await self.send(ApiRequest(method, PREFIX + path, body, query or {}, timeout_s=timeout_s)))

    async def rows(
        self, path: str, query: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Read a list page by page. Return all rows, or the first `limit` rows. Raises the same errors as `request`."""
        size = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
        request = ApiRequest(
            "GET", PREFIX + path, query=dict(query or {}) | {"limit": (query or {}).get("limit", size)}
        )
        rows: list[dict[str, Any]] = []
        while True:
            answer = await self.send(request)
            rows += parse_json(answer)
            if "next" not in answer.links or (limit is not None and len(rows) >= limit):
                return rows[:limit]
            request = ApiRequest("GET", answer.links["next"]["url"])

    async def download(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """Return the bytes of an answer, such as a picture. Raises the same errors as `request`."""
        return (await self.send(ApiRequest("GET", PREFIX + path, query=query or {}))).content

    async def ask(self, kind: type[T], method: str, path: str, body: object = None, **options: Any) -> T:
        """Return the JSON answer of a route, decoded to the type `kind`. Raises the same errors as `request`."""
        answer = await self.send(ApiRequest(method, PREFIX + path, body, **options))
        return msgspec.json.decode(answer.content, type=kind)

    async def events(self, last: int = 0) -> AsyncGenerator[Event]:
        """Yield the `last` events of the past, then new events without end. Connect again after a lost connection.
        Raises GreenroomError: the server refused the request, or does not answer; too many connections in a row were
        lost (`Interrupted`)."""
        decoder, failures, is_reconnect = EventDecoder(parse_event), 0, False
        while True:
            failures, ended_by = failures + 1, None
            try:
                async with self.listen(last, is_reconnect=is_reconnect) as stream:
                    async for line in stream:
                        if (event := decoder.decode_line(line)) is not None:
                            failures = 1
                            yield event
            except Interrupted as error:
                ended_by = error
            await asyncio.sleep(reconnect_wait_s(self.retries, failures, ended_by))
            is_reconnect = True

    async def recent_events(self, most: int = 100) -> list[Event]:
        """Return at most `most` of the last events, oldest first. The server stores some hundreds.

        Raises the same errors as `request`.
        """
        decoder, events = EventDecoder(parse_event), list[Event]()
        async with self.listen(most) as stream:
            async for line in stream:
                if line.startswith(":"):
                    break
                if (event := decoder.decode_line(line)) is not None:
                    events.append(event)
        return events

    @asynccontextmanager
    async def listen(self, last: int = 0, *, is_reconnect: bool = False) -> AsyncGenerator[AsyncIterator[str]]:
        """Yield the lines of one connection to the events, as the server sends them.

        Raises the same errors as `events`.
        """
        async with self.stream(events_request(last, is_reconnect=is_reconnect), connection_lost_error) as answer:
            yield answer.aiter_lines()

    @entered
    async def lease(
        self,
        workspace: str,
        seconds: int = 600,
        *,
        user_id: str | None = None,
        options: Mapping[str, Any] | None = None,
        egress: Egress | None = None,
        secrets: Sequence[str] = (),
        tags: Tags | None = None,
        record: Mode = "none",
        record_text: bool = False,
        ready_within_s: float = 120.0,
        wait_s: float = 0.0,
    ) -> AsyncDesk:
        """Lease a workspace, by its name or id, and wait until its session runs.

        The lease ends with the `with` block, by `release`, or at its deadline. While a limit is reached, the call waits
        up to `wait_s` (at most 60) for other leases to end. Raises GreenroomError: no session is available
        (`NoResources`), the user or the API key has too many leases (`LeaseLimit`), …
        """
        body = without_none(
            workspace=workspace,
            seconds=seconds,
            user_id=user_id,
            options=lease_options(options, egress, secrets),
            tags=tags,
            wait_s=wait_s or None,
            **({} if record == "none" else {"record": record, "record_text": record_text}),
        )
        key = {"Idempotency-Key": str(uuid.uuid4())}
        lease = await self.ask(Lease, "POST", "/leases", body, headers=key, timeout_s=TIMEOUT_S + wait_s)
        desk, wait, status = AsyncDesk(self, lease), LeaseWait(lease, ready_within_s), lease.status
        try:
            while (pause_s := wait.next_s(status)) is not None:
                await asyncio.sleep(pause_s)
                status = (await self.ask(Lease, "GET", f"/leases/{lease.lease_id}")).status
        except BaseException:
            await desk.release()
            raise
        return desk

    async def export_recording(self, lease_id: str, file: Path | str) -> None:
        """Write the recording of a lease to a ZIP file. When the new file is complete, it replaces an existing file."""
        request = ApiRequest("GET", f"{PREFIX}/leases/{lease_id}/recording/export", is_streamed=True)
        async with self.stream(request, connection_lost_error) as answer:
            with replace_atomically(file) as target:
                async for piece in answer.aiter_bytes():
                    target.write(piece)

    async def _delete(self, path: str) -> None:
        """Delete an object. A repeated call succeeds."""
        with suppress(NotFound):
            await self.send(ApiRequest("DELETE", PREFIX + path))

    @asynccontextmanager
    async def stream(
        self, request: ApiRequest, lost_error: Callable[[Exception], Interrupted]
    ) -> AsyncGenerator[httpx.Response]:
        """Yield the answer to a request. The caller reads it while it arrives. `lost_error` creates the error of a lost
        connection."""
        answer = await self.send(request)
        try:
            yield answer
        except httpx.HTTPError as error:
            raise lost_error(error) from error
        finally:
            await answer.aclose()

    async def send(self, request: ApiRequest) -> httpx.Response:
        """Send a request, again after a failure if `retries` allows it, and return the answer. Raises GreenroomError:
        the server refused the request (the class of its error code), or does not answer (`Unreachable`)."""
        waited_s, attempt = 0.0, 1
        while True:
            outcome = await self._send_once(request)
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return outcome
            wait_s = self.retries.wait_s(attempt, waited_s, outcome)
            if wait_s is None:
                raise error_from(outcome) from (outcome if isinstance(outcome, httpx.HTTPError) else None)
            level = logging.WARNING if wait_s >= WARNED_WAIT_S else logging.INFO
            log.log(
                level, "%s %s is sent again in %.1f s, after attempt %d", request.method, request.path, wait_s, attempt
            )
            await asyncio.sleep(wait_s)
            waited_s, attempt = waited_s + wait_s, attempt + 1

    async def _send_once(self, request: ApiRequest) -> httpx.Response | httpx.HTTPError:
        try:
            answer = await self._http.send(self._http.build_request(**request.options), stream=request.is_streamed)
            if not answer.is_success:
                await answer.aread()
            return answer
        except httpx.HTTPError as error:
            return error
