"""HTTP requests to the Managers through their gateways. If a Manager fails, the client sends the message to the next.

The Primary is tried first. After an error, a status 503 or a timeout, a Manager backs off: for its `Retry-After`, or
for a pause that doubles with each failure up to `MAX_PAUSE_S`. The pause is longer after a timeout, and can grow
further for an address that never answered. Meanwhile the next Manager is tried.

While all Managers back off, the Manager with the oldest failure is tried every one or two seconds, because an
administrator may enable it long before its `Retry-After` is over. A Manager that became Primary after its failure is
tried immediately. A Manager whose answer is not fresh has no connection to the database; it is used only while no other
Manager works (ADR 1).

`ManagerFailover` selects the Manager. It reads no clock: its times are arguments, in seconds of `time.monotonic()`.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import httpx2
import msgspec
import structlog

from greenroom.core.errors import GreenroomError, SetupError, Unavailable
from greenroom.core.rate_limits import Backoff
from greenroom.wire.messages import Answer, CheckIn, Message

MAX_PAUSE_S: Final = 10.0
BACKOFF: Final = Backoff(first_s=0.25, max_s=MAX_PAUSE_S)
TIMEOUT_BACKOFF: Final = Backoff(first_s=6.0, max_s=MAX_PAUSE_S)
"""The back-off after a timeout. The leadership of a Primary that hangs expires before the next attempt."""
UNREACHED_BACKOFF: Final = Backoff(first_s=0.25, max_s=300.0)
"""The back-off of an address that a Manager listed and that never answered. It may be valid only in another network,
for example the name of a Service in a cluster.
"""
LAST_RESORT_PAUSE_S: Final = 2.0
"""The maximum pause between two attempts while all Managers back off."""


@dataclass(slots=True)
class _BackoffState:
    """The back-off of a Manager: the consecutive failures, the end of the pause, the time of the last failure, and the
    term that was known then.
    """

    failures: int
    until: float
    failed_at: float
    term: int
    is_answering: bool = False
    """True if the Manager answers but has no connection to the database. It is used if no other Manager works."""


class ManagerFailover:
    """The Managers of the zone in the order in which they are tried."""

    def __init__(self, configured: Iterable[str]) -> None:
        self._configured = [url.rstrip("/") for url in configured]
        self._listed: list[str] = []
        self._reached: set[str] = set(self._configured)
        self._states: dict[str, _BackoffState] = {}
        self._next_attempt_at = 0.0
        """The time of the next attempt while all Managers back off."""
        self._term = 0

    @property
    def urls(self) -> list[str]:
        """All known addresses: first those that a Manager listed (Primary first), then the configured ones."""
        return list(dict.fromkeys([*self._listed, *self._configured]))

    def set_listed(self, urls: Iterable[str]) -> None:
        """Set the addresses that a Manager listed. An empty list has no effect."""
        listed = [url.rstrip("/") for url in urls if url]
        if listed:
            self._listed = listed
            self._states = {url: state for url, state in self._states.items() if url in self.urls}

    def set_primary(self, url: str, term: int) -> None:
        """Record that a Manager reported the Manager at `url` as Primary with this term."""
        self._term = max(self._term, term)
        state = self._states.get(url.rstrip("/"))
        if state is not None and term > state.term:
            del self._states[url.rstrip("/")]

    def next_manager(self, now: float, tried: Collection[str] = ()) -> str | None:
        """Return the URL of the Manager to use, or None if all back off and the next attempt is not due. Managers in
        `tried`, which failed with the same message, are excluded.
        """
        urls = [url for url in self.urls if url not in tried]
        usable = [url for url in urls if not self._backs_off(url, now)]
        if usable:
            return usable[0]
        if answering := [url for url in urls if self._states[url].is_answering]:
            return min(answering, key=lambda url: self._states[url].failed_at)
        if not urls or now < self._next_attempt_at:
            return None
        return min(urls, key=lambda url: self._states[url].failed_at)

    def _backs_off(self, url: str, now: float) -> bool:
        state = self._states.get(url)
        return state is not None and now < state.until

    def max_hold_s(self, url: str, now: float) -> float:
        """Return the seconds for which the Manager at `url` may hold an answer: until a Manager before it in `urls` may
        be tried again, or 0 if the Manager at `url` backs off."""
        state = self._states.get(url)
        if state is not None and not state.is_answering:
            return 0.0
        preferred = self.urls[: self.urls.index(url)] if url in self.urls else []
        return min(
            (state.until - now for other in preferred if (state := self._states.get(other))), default=float("inf")
        )

    def wait_s(self, now: float) -> float:
        """Return the seconds until a Manager may be tried again; `MAX_PAUSE_S` if no Manager is known."""
        times = [state.until if (state := self._states.get(url)) else now for url in self.urls]
        return max(0.0, min(*times, self._next_attempt_at) - now) if times else MAX_PAUSE_S

    def record_failure(
        self,
        url: str,
        now: float,
        retry_after_s: float | None,
        spread: float,
        *,
        timed_out: bool = False,
        asked_at: float = float("inf"),
    ) -> float:
        """Record a failure of the Manager at `url`. Return the pause in seconds.

        `asked_at` is the time at which the request was sent. A request that was sent before the previous failure does
        not count as another attempt. `spread` is a random number in 0..1, which distributes the attempts of many
        Agents. `timed_out`: the Manager accepted the request and did not answer in time.
        """
        previous = self._states.get(url)
        if previous is not None and previous.is_answering:
            previous = None
        if previous is not None and now < previous.until and asked_at > previous.failed_at:
            self._next_attempt_at = now + LAST_RESORT_PAUSE_S * (0.5 + spread / 2)
        if previous is not None and now < previous.until and retry_after_s is None:
            previous.failed_at, previous.term = now, self._term
            return previous.until - now
        failures = (previous.failures if previous else 0) + 1
        if timed_out or retry_after_s is not None:
            self._reached.add(url)
        backoff = (TIMEOUT_BACKOFF if timed_out else BACKOFF) if url in self._reached else UNREACHED_BACKOFF
        pause = backoff.delay_s(failures, spread) if retry_after_s is None else retry_after_s + spread
        self._states[url] = _BackoffState(failures, now + pause, now, self._term)
        return pause

    def record_outdated_answer(self, url: str, now: float, spread: float) -> bool:
        """Record an answer of a Manager that cannot read the database. Return True for the first such answer, if other
        Managers are known."""
        previous = self._states.get(url)
        pause = TIMEOUT_BACKOFF.delay_s(1, spread)
        self._states[url] = _BackoffState(0, now + pause, now, self._term, is_answering=True)
        return len(self.urls) > 1 and (previous is None or not previous.is_answering)

    def record_answer(self, url: str) -> None:
        """Record an answer of the Manager at `url`, which ends its back-off."""
        self._reached.add(url)
        self._states.pop(url, None)


log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 2.0
MIN_HOLD_S: Final = 0.1
ANSWER_S: Final = 3.0
"""The time limit of an answer, in addition to the time for which the Manager holds it."""

KEEPALIVE_OPTIONS: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000),
)
"""TCP keepalive: an open request fails after 3 s if the connection to the host is lost."""

AnswerType = TypeVar("AnswerType", bound=Message)

_encoder = msgspec.json.Encoder()


class ManagerRefusedError(GreenroomError):
    """The Manager understood the message and refused it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoManager(Unavailable):
    """No Manager of the zone can be reached at the moment."""


Kind = Literal["unavailable", "silent", "unreachable", "not fresh", "error"]
"""The reason of a failover: `unavailable` = status 503, `silent` = a timeout, `unreachable` = no connection, `not
fresh` = no connection of the Manager to the database."""


class _AttemptFailedError(Exception):
    """A request failed. `kind` is None if it was cancelled because another request to the same Manager failed."""

    def __init__(self, reason: str, kind: Kind | None, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.kind: Kind | None = kind
        self.retry_after_s = retry_after_s


class ManagerClient:
    """Sends messages to the first Manager of `managers` that does not back off.

    Certificates are verified against `ca_file`; None = the authorities of this machine. `on_failover` is called with
    the reason when another Manager is used.
    """

    def __init__(
        self, managers: ManagerFailover, ca_file: Path | None, on_failover: Callable[[Kind], None] = lambda kind: None
    ) -> None:
        self.managers = managers
        self._on_failover = on_failover
        transport = httpx2.AsyncHTTPTransport(
            verify=tls_context(ca_file),
            limits=httpx2.Limits(max_connections=8, keepalive_expiry=4.0),
            socket_options=KEEPALIVE_OPTIONS,
            trust_env=False,
        )
        self._client = httpx2.AsyncClient(transport=transport, timeout=ANSWER_S, trust_env=False)
        self._in_flight: dict[str, set[asyncio.Task[httpx2.Response]]] = {}

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, path: str, message: Message, answer: type[AnswerType], *, bearer: str = "") -> AnswerType:
        """Send the message to one Manager after the other, each once, and return the first answer.

        The answer to a check-in is held at most until a preferred Manager may be tried again.

        Raises:
            ManagerRefusedError: a Manager refused the message (401, 403, 409, 422).
            NoManager: all Managers failed or back off.
        """
        headers = {"Content-Type": "application/json"} | ({"Authorization": bearer} if bearer else {})
        reasons = dict[str, str]()
        while (url := self.managers.next_manager(now := time.monotonic(), tried=reasons)) is not None:
            sent = _limit_hold(message, self.managers.max_hold_s(url, now))
            hold_s = sent.hold_s if isinstance(sent, CheckIn) else 0.0
            try:
                response = await self._post(url, path, _encoder.encode(sent), headers, hold_s)
                decoded = _decode_answer(response, answer)
            except _AttemptFailedError as failure:
                reasons[url] = str(failure)
                self._back_off(url, failure, now)
            else:
                self._record_answer(url, decoded)
                return decoded
        failures = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
        raise NoManager(f"No Manager can be reached: {failures or 'requests to all of them are in backoff'}")

    async def _post(self, url: str, path: str, body: bytes, headers: dict[str, str], hold_s: float) -> httpx2.Response:
        timeout = httpx2.Timeout(hold_s + ANSWER_S, connect=CONNECT_TIMEOUT_S)
        request = self._client.post(url + path, content=body, headers=headers, timeout=timeout)
        task = asyncio.ensure_future(request)
        in_flight = self._in_flight.setdefault(url, set())
        in_flight.add(task)
        try:
            await asyncio.wait({task})
        finally:
            in_flight.discard(task)
            task.cancel()
        if task.cancelled():
            raise _AttemptFailedError("another request to it failed in the meantime", None)
        try:
            return task.result()
        except Exception as error:  # an invalid address raises many kinds of errors, and affects only this Manager
            raise _AttemptFailedError(f"{type(error).__name__} {error}".strip(), _kind(error)) from error

    def _record_answer(self, url: str, answer: Message) -> None:
        if not isinstance(answer, Answer) or answer.fresh:
            self.managers.record_answer(url)
        elif self.managers.record_outdated_answer(url, time.monotonic(), random.random()):  # noqa: S311 -- spreads load
            self._on_failover("not fresh")
            log.warning("a Manager cannot read the database; the Agent prefers other Managers for some time", url=url)

    def _back_off(self, url: str, failure: _AttemptFailedError, asked_at: float) -> None:
        """Make the Manager back off. Cancel other open requests to it, which are then sent to other Managers."""
        now = time.monotonic()
        spread = random.random()  # noqa: S311 -- spreads load, protects nothing
        timed_out = failure.kind == "silent"
        pause_s = self.managers.record_failure(
            url, now, failure.retry_after_s, spread, timed_out=timed_out, asked_at=asked_at
        )
        if failure.kind is not None:
            self._on_failover(failure.kind)
        log.warning("a request to a Manager failed", url=url, reason=str(failure), backoff_s=round(pause_s, 2))
        for task in self._in_flight.get(url, ()):
            task.cancel()


def _limit_hold(message: Message, max_hold_s: float) -> Message:
    if not isinstance(message, CheckIn) or message.hold_s <= max_hold_s:
        return message
    return msgspec.structs.replace(message, hold_s=max(MIN_HOLD_S, max_hold_s))


def _decode_answer(response: httpx2.Response, answer: type[AnswerType]) -> AnswerType:
    if response.status_code in {401, 403, 409, 422}:
        raise ManagerRefusedError(response.status_code, _refusal(response))
    if response.status_code != 200:
        kind: Kind = "unavailable" if response.status_code == 503 else "error"
        raise _AttemptFailedError(f"HTTP {response.status_code}", kind, _retry_after_s(response))
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.MsgspecError as error:
        raise _AttemptFailedError(f"the answer cannot be read: {error}", "error") from error


def _kind(error: Exception) -> Kind:
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return "unreachable"
    return "silent" if isinstance(error, httpx2.TimeoutException) else "error"


class _Refusal(msgspec.Struct):
    message: str


def _refusal(response: httpx2.Response) -> str:
    try:
        return msgspec.json.decode(response.content, type=_Refusal).message
    except msgspec.MsgspecError:
        return f"HTTP {response.status_code} without a reason"


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Return the seconds in the header `Retry-After`; None = no such header."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Create a context that verifies certificates against `ca_file`, or the authorities of the system. Raises
    SetupError: the file cannot be read or contains no certificate."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise SetupError(f"The certificate authority {ca_file} cannot be used: {error}.") from error
