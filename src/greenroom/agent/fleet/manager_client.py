"""HTTP to the Managers through their gateways: one message, one answer, the next Manager when one fails.

The choice of the Manager is pure: times are arguments, of `time.monotonic()`, in seconds. The Primary comes first. A
Manager that answered 503, refused or did not answer backs off: for its `Retry-After`, else for a pause that doubles
with every failure up to `MAX_PAUSE_S`. The pause grows further if the address never answered here, and is long from the
start after a timeout. The next Manager is tried at once. While all back off, the one that failed longest ago is tried,
at once and then every second or two: a Manager may be enabled long before its `Retry-After` is over, and an Agent
without a Manager gets no instructions. A Manager that became Primary since its failure is tried at once (ADR 16). A
Manager whose answer was not fresh lost the database, maybe alone: the others are preferred for a pause, and it still
serves requests and holds answers while none of them works (ADR 16).
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

import httpx
import msgspec
import structlog

from greenroom.core.errors import GreenroomError, SetupError, Unavailable
from greenroom.core.rate_limits import Backoff
from greenroom.wire.messages import Answer, CheckIn, Message

MAX_PAUSE_S: Final = 10.0
BACKOFF: Final = Backoff(first_s=0.25, max_s=MAX_PAUSE_S)
SILENT_BACKOFF: Final = Backoff(first_s=6.0, max_s=MAX_PAUSE_S)
"""Half of it plus the time waited is longer than a leadership: a frozen Manager is not Primary any more by then."""
ELSEWHERE_BACKOFF: Final = Backoff(first_s=0.25, max_s=300.0)
"""Back-off of an address that a Manager named and that never answered here: it may be valid only in another network,
like the name of a Service in a cluster."""
LAST_RESORT_S: Final = 2.0
"""Longest pause between two attempts while all Managers back off."""


@dataclass(slots=True)
class _Bar:
    """The back-off of a Manager: failures in a row, its end, time of the last failure, and the term known then."""

    failures: int
    until: float
    failed_at: float
    term: int
    answers: bool = False
    """True if it lacks only the database, and can be used when no other Manager can."""


class ManagerFailover:
    """The Managers of the zone in the order in which they are tried."""

    def __init__(self, configured: Iterable[str]) -> None:
        self._configured = [url.rstrip("/") for url in configured]
        self._learned: list[str] = []
        self._reached: set[str] = set(self._configured)
        self._bars: dict[str, _Bar] = {}
        self._last_resort_at = 0.0
        self._term = 0

    @property
    def urls(self) -> list[str]:
        """All known addresses: those from a Manager (Primary first), then the configured ones."""
        return list(dict.fromkeys([*self._learned, *self._configured]))

    def learn(self, urls: Iterable[str]) -> None:
        """Set the addresses that a Manager named; an empty list changes nothing."""
        learned = [url.rstrip("/") for url in urls if url]
        if learned:
            self._learned = learned
            self._bars = {url: bar for url, bar in self._bars.items() if url in self.urls}

    def is_primary(self, url: str, term: int) -> None:
        """Note that the Manager at `url` is Primary with this term, as another Manager read in the database."""
        self._term = max(self._term, term)
        bar = self._bars.get(url.rstrip("/"))
        if bar is not None and term > bar.term:
            del self._bars[url.rstrip("/")]

    def best(self, now: float, asked: Collection[str] = ()) -> str | None:
        """The Manager to use, or None while all back off and one was tried a moment ago. Those in `asked` failed with
        the same message and come last."""
        urls = [url for url in self.urls if url not in asked]
        free = [url for url in urls if not self._is_barred(url, now)]
        if free:
            return free[0]
        if answering := [url for url in urls if self._bars[url].answers]:
            return min(answering, key=lambda url: self._bars[url].failed_at)
        if not urls or now < self._last_resort_at:
            return None
        return min(urls, key=lambda url: self._bars[url].failed_at)

    def _is_barred(self, url: str, now: float) -> bool:
        bar = self._bars.get(url)
        return bar is not None and now < bar.until

    def may_hold_s(self, url: str, now: float) -> float:
        """The time for which `url` may hold an answer: until a preferred Manager may be tried again; 0 right after a
        failure.
        """
        bar = self._bars.get(url)
        if bar is not None and not bar.answers:
            return 0.0
        better = self.urls[: self.urls.index(url)] if url in self.urls else []
        return min((bar.until - now for one in better if (bar := self._bars.get(one))), default=float("inf"))

    def wait_s(self, now: float) -> float:
        """Time until a Manager may be tried again; `MAX_PAUSE_S` if none is known."""
        times = [bar.until if (bar := self._bars.get(url)) else now for url in self.urls]
        return max(0.0, min(*times, self._last_resort_at) - now) if times else MAX_PAUSE_S

    def failed(
        self,
        url: str,
        now: float,
        retry_after_s: float | None,
        spread: float,
        *,
        silent: bool = False,
        asked_at: float = float("inf"),
    ) -> float:
        """Record a failure of `url`; returns its back-off.

        Requests that were open at the failure fail with it: they do not count again, and continue with the other
        Managers. `asked_at`, the time at which the request was sent, identifies them. `spread` is random in 0..1, so
        that many Agents do not return together. `silent`: it accepted the request and did not answer in time, like a
        frozen Manager.
        """
        before = self._bars.get(url)
        if before is not None and before.answers:
            before = None
        if before is not None and now < before.until and asked_at > before.failed_at:
            self._last_resort_at = now + LAST_RESORT_S * (0.5 + spread / 2)
        if before is not None and now < before.until and retry_after_s is None:
            before.failed_at, before.term = now, self._term
            return before.until - now
        failures = (before.failures if before else 0) + 1
        if silent or retry_after_s is not None:
            self._reached.add(url)
        backoff = (SILENT_BACKOFF if silent else BACKOFF) if url in self._reached else ELSEWHERE_BACKOFF
        pause = backoff.delay_s(failures, spread) if retry_after_s is None else retry_after_s + spread
        self._bars[url] = _Bar(failures, now + pause, now, self._term)
        return pause

    def not_fresh(self, url: str, now: float, spread: float) -> bool:
        """Record an answer of a Manager that cannot read the database; returns True if another is preferred now."""
        before = self._bars.get(url)
        pause = SILENT_BACKOFF.delay_s(1, spread)
        self._bars[url] = _Bar(0, now + pause, now, self._term, answers=True)
        return len(self.urls) > 1 and (before is None or not before.answers)

    def answered(self, url: str) -> None:
        self._reached.add(url)
        self._bars.pop(url, None)


log = structlog.get_logger(__name__)

CONNECT_S: Final = 2.0
MIN_HOLD_S: Final = 0.1
ANSWER_S: Final = 3.0
"""The time an answer may take beyond the time for which the Manager holds it."""

NOTICED_WHEN_DEAD: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000),
)
"""TCP keepalive: a request held by a host that was cut off fails after 3 s, not only when its answer is overdue."""

Answered = TypeVar("Answered", bound=Message)

_encoder = msgspec.json.Encoder()


class ManagerRefusedError(GreenroomError):
    """The Manager understood the message and refused it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoManager(Unavailable):
    """No Manager of the zone can be reached at the moment."""


Kind = Literal["unavailable", "silent", "unreachable", "not fresh", "error"]
"""The reason to leave a Manager: it answers 503, times out, cannot be reached, lost the database, or another error."""


class _AttemptFailedError(Exception):
    """An attempt failed. `kind` is None if another request found the failure."""

    def __init__(self, reason: str, kind: Kind | None, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.kind: Kind | None = kind
        self.retry_after_s = retry_after_s


class ManagerClient:
    """Sends messages to the first Manager of `managers` that does not back off.

    Certificates are verified against `ca_file`; None = the authorities of this machine. `on_failover` is called with
    the reason whenever a Manager is left.
    """

    def __init__(
        self, managers: ManagerFailover, ca_file: Path | None, on_failover: Callable[[Kind], None] = lambda kind: None
    ) -> None:
        self.managers = managers
        self._on_failover = on_failover
        transport = httpx.AsyncHTTPTransport(
            verify=tls_context(ca_file),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=4.0),
            socket_options=NOTICED_WHEN_DEAD,
            trust_env=False,
        )
        self._client = httpx.AsyncClient(transport=transport, timeout=ANSWER_S, trust_env=False)
        self._in_flight: dict[str, set[asyncio.Task[httpx.Response]]] = {}

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(
        self, path: str, message: Message, answer: type[Answered], *, bearer: str = "", is_new: bool = False
    ) -> Answered:
        """Return the first answer of a Manager; each one that fails backs off and the next is tried, none twice.

        A check-in's answer is held no longer than a preferred Manager backs off. `is_new`: Managers of an older version
        do not have this path, and refuse it.

        Raises:
            ManagerRefusedError: a Manager refused the message (401, 409, 422).
            NoManager: all of them failed or back off.
        """
        headers = {"Content-Type": "application/json"} | ({"Authorization": bearer} if bearer else {})
        reasons = dict[str, str]()
        while (url := self.managers.best(now := time.monotonic(), asked=reasons)) is not None:
            sent = _limit_hold(message, self.managers.may_hold_s(url, now))
            hold_s = sent.hold_s if isinstance(sent, CheckIn) else 0.0
            try:
                response = await self._post(url, path, _encoder.encode(sent), headers, hold_s)
                if is_new and response.status_code == 404:
                    raise ManagerRefusedError(
                        404, "The Manager has an older version, which does not support this request."
                    )
                decoded = _decoded(response, answer)
            except _AttemptFailedError as failure:
                reasons[url] = str(failure)
                self._give_up(url, failure, now)
            else:
                self._answered(url, decoded)
                return decoded
        failed = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
        raise NoManager(f"No Manager can be reached: {failed or 'requests to all of them are in backoff'}")

    async def _post(self, url: str, path: str, body: bytes, headers: dict[str, str], hold_s: float) -> httpx.Response:
        timeout = httpx.Timeout(hold_s + ANSWER_S, connect=CONNECT_S)
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
        except Exception as error:  # an unusable address fails in many ways, and concerns only one Manager
            raise _AttemptFailedError(f"{type(error).__name__} {error}".strip(), _kind(error)) from error

    def _answered(self, url: str, answer: Message) -> None:
        if not isinstance(answer, Answer) or answer.fresh:
            self.managers.answered(url)
        elif self.managers.not_fresh(url, time.monotonic(), random.random()):  # noqa: S311 -- spreads load
            self._on_failover("not fresh")
            log.warning("a Manager cannot read the database; the Agent prefers other Managers for some time", url=url)

    def _give_up(self, url: str, failure: _AttemptFailedError, asked_at: float) -> None:
        """Back off from the Manager and end the other open requests to it, so that they continue elsewhere at once."""
        now = time.monotonic()
        spread = random.random()  # noqa: S311 -- spreads load, protects nothing
        silent = failure.kind == "silent"
        pause_s = self.managers.failed(url, now, failure.retry_after_s, spread, silent=silent, asked_at=asked_at)
        if failure.kind is not None:
            self._on_failover(failure.kind)
        log.warning("a request to a Manager failed", url=url, reason=str(failure), backoff_s=round(pause_s, 2))
        for task in self._in_flight.get(url, ()):
            task.cancel()


def _limit_hold(message: Message, seconds: float) -> Message:
    if not isinstance(message, CheckIn) or message.hold_s <= seconds:
        return message
    return msgspec.structs.replace(message, hold_s=max(MIN_HOLD_S, seconds))


def _decoded(response: httpx.Response, answer: type[Answered]) -> Answered:
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
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return "unreachable"
    return "silent" if isinstance(error, httpx.TimeoutException) else "error"


class _Refusal(msgspec.Struct):
    message: str


def _refusal(response: httpx.Response) -> str:
    try:
        return msgspec.json.decode(response.content, type=_Refusal).message
    except msgspec.MsgspecError:
        return f"HTTP {response.status_code} without a reason"


def _retry_after_s(response: httpx.Response) -> float | None:
    """`Retry-After` of the Manager or its gateway: long while it is disabled, short while it restarts."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Create a context that verifies certificates against `ca_file`, or the authorities of the system. Raises
    SetupError: the file cannot be read or contains no certificate."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise SetupError(f"The certificate authority {ca_file} cannot be used: {error}.") from error
