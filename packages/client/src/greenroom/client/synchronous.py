# Written by script/generate_client.py from asynchronous.py: change that file, and run script/lint --fix.
"""The connection of the client for programs without asyncio."""

from __future__ import annotations

import logging
import ssl
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from greenroom.client.desk import Egress, LeaseWait, Mode, Tags, lease_options
from greenroom.client.errors import error_of
from greenroom.client.events import Event, event_of, interrupted, listening, reconnect_wait_s
from greenroom.client.models import Lease
from greenroom.client.requests import (
    PAGE_ROWS,
    PREFIX,
    TIMEOUT_S,
    Retries,
    Send,
    SentEvents,
    T,
    json_of,
    whole_file,
    without_none,
)
from greenroom.client.synchronous_desk import Desk
from greenroom.shared.errors import Interrupted, NotFound

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on

log = logging.getLogger(__name__)

NOTICED_S: Final = 1.0
"""Waits from this length on are logged as warnings, because a user may notice them."""


class Connection:
    """The requests to a deployment that need code; `AsyncGreenroom` adds those from the document of the api.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.retries = retries or Retries()
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            auth=(key, secret),
            verify=tls or ssl.create_default_context(cafile=str(ca_file) if ca_file else None),
            trust_env=trust_env,
            timeout=TIMEOUT_S,
            limits=httpx.Limits(),  # none: a rehearsal measures the requests of many users at the same time
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Return the JSON answer of a route of `/api/v1`; `path` is below that, such as `/sessions`. Raises
        GreenroomError: the server refused the request, or does not answer."""
        return json_of(self.answered(Send(method, PREFIX + path, body, query or {}, timeout_s=timeout_s)))

    def rows(self, path: str, query: Mapping[str, Any] | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Return all rows of a list, or the first `limit`, page by page. Raises the same errors as `request`."""
        size = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
        send = Send("GET", PREFIX + path, query=dict(query or {}) | {"limit": (query or {}).get("limit", size)})
        found: list[dict[str, Any]] = []
        while True:
            answer = self.answered(send)
            found += json_of(answer)
            if "next" not in answer.links or (limit is not None and len(found) >= limit):
                return found[:limit]
            send = Send("GET", answer.links["next"]["url"])

    def download(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """Return the answer of a route of `/api/v1`, such as a picture. Raises the same errors as `request`."""
        return (self.answered(Send("GET", PREFIX + path, query=query or {}))).content

    def ask(self, kind: type[T], method: str, path: str, body: object = None, **options: Any) -> T:
        """Return the answer of a route of `/api/v1`, as a type of this library. Raises the same errors as `request`."""
        answer = self.answered(Send(method, PREFIX + path, body, **options))
        return msgspec.json.decode(answer.content, type=kind)

    def events(self, last: int = 0) -> Generator[Event]:
        """Yield change events, without end; first the `last` events of the past. A lost connection is opened again.
        Raises GreenroomError: the server refused the request, or does not answer; no connection lasts
        (`Interrupted`)."""
        lines, lost, again = SentEvents(event_of), 0, False
        while True:
            lost, ended_by = lost + 1, None
            try:
                with self.listen(last, again=again) as said:
                    for line in said:
                        if (event := lines.take(line)) is not None:
                            lost = 1
                            yield event
            except Interrupted as error:
                ended_by = error
            time.sleep(reconnect_wait_s(self.retries, lost, ended_by))
            again = True

    def recent_events(self, most: int = 100) -> list[Event]:
        """Return the last events, oldest first; the server stores some hundreds.

        Raises the same errors as `request`.
        """
        lines, found = SentEvents(event_of), list[Event]()
        with self.listen(most) as said:
            for line in said:
                if line.startswith(":"):
                    break
                if (event := lines.take(line)) is not None:
                    found.append(event)
        return found

    @contextmanager
    def listen(self, last: int = 0, *, again: bool = False) -> Generator[Iterator[str]]:
        """Yield the lines of one connection to the events, as the server sends them.

        Raises the same errors as `events`.
        """
        with self.streamed(listening(last, again=again), interrupted) as answer:
            yield answer.iter_lines()

    def lease(
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
    ) -> Desk:
        """Lease a workspace, by its name or id, and wait until its session runs.

        The lease ends with the `with` block, by `release`, or at its deadline. While a limit is reached, the call waits
        up to `wait_s` (at most 60) for other leases to end. Raises GreenroomError: there is none now (`NoResources`),
        the user or the API key has too many (`LeaseLimit`), …
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
        made = self.ask(Lease, "POST", "/leases", body, headers=key, timeout_s=TIMEOUT_S + wait_s)
        desk, wait, status = Desk(self, made), LeaseWait(made, ready_within_s), made.status
        try:
            while (pause_s := wait.next_s(status)) is not None:
                time.sleep(pause_s)
                status = (self.ask(Lease, "GET", f"/leases/{made.lease_id}")).status
        except BaseException:
            desk.release()
            raise
        return desk

    def export_recording(self, lease_id: str, file: Path | str) -> None:
        """Write a recording to a ZIP file. An existing file is replaced once the new one is complete."""
        send = Send("GET", f"{PREFIX}/leases/{lease_id}/recording/export", is_streamed=True)
        with self.streamed(send, interrupted) as answer, whole_file(file) as written:
            for piece in answer.iter_bytes():
                written.write(piece)

    def _delete(self, path: str) -> None:
        """Delete an object. A repeated call succeeds."""
        with suppress(NotFound):
            self.answered(Send("DELETE", PREFIX + path))

    @contextmanager
    def streamed(self, send: Send, lost: Callable[[Exception], Interrupted]) -> Generator[httpx.Response]:
        """Yield the answer to a request, to be read while it arrives; `lost` creates the error of a lost connection."""
        answer = self.answered(send)
        try:
            yield answer
        except httpx.HTTPError as error:
            raise lost(error) from error
        finally:
            answer.close()

    def answered(self, send: Send) -> httpx.Response:
        """Return the answer to a request, which is sent again if `retries` allows it. Raises GreenroomError: the server
        refused it, by the code of its problem; or it does not answer (`Unreachable`)."""
        waited_s, attempt = 0.0, 1
        while True:
            outcome = self._outcome(send)
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return outcome
            wait_s = self.retries.wait_s(attempt, waited_s, outcome)
            if wait_s is None:
                raise error_of(outcome) from (outcome if isinstance(outcome, httpx.HTTPError) else None)
            level = logging.WARNING if wait_s >= NOTICED_S else logging.INFO
            log.log(level, "%s %s is sent again in %.1f s, after attempt %d", send.method, send.path, wait_s, attempt)
            time.sleep(wait_s)
            waited_s, attempt = waited_s + wait_s, attempt + 1

    def _outcome(self, send: Send) -> httpx.Response | httpx.HTTPError:
        try:
            answer = self._http.send(self._http.build_request(**send.options), stream=send.is_streamed)
            if not answer.is_success:
                answer.read()
            return answer
        except httpx.HTTPError as error:
            return error
