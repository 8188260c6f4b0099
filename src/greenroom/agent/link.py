"""HTTP to the Managers, always through their gateways: one message, one answer, the next Manager when one fails."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from pathlib import Path
from typing import Final, TypeVar

import httpx
import msgspec
import structlog

from greenroom.agent.managers import Managers
from greenroom.core.errors import GreenroomError, SetupError, Unavailable
from greenroom.wire.messages import Message

log = structlog.get_logger(__name__)

CONNECT_S: Final = 2.0
ANSWER_S: Final = 3.0
"""How long an answer may take beyond the time it is held on purpose."""

Answered = TypeVar("Answered", bound=Message)

_encoder = msgspec.json.Encoder()


class ManagerRefusedError(GreenroomError):
    """The Manager understood the message and refused it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoManager(Unavailable):
    """No Manager of the zone can be reached at the moment."""


class _AttemptFailedError(Exception):
    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Link:
    """Sends messages to the Manager that is first in `managers` and not left aside."""

    def __init__(self, managers: Managers, ca_file: Path | None) -> None:
        self.managers = managers
        self._client = httpx.AsyncClient(
            verify=tls_context(ca_file),
            timeout=ANSWER_S,
            limits=httpx.Limits(max_connections=8, keepalive_expiry=4.0),
            trust_env=False,
        )
        self._in_flight: dict[str, set[asyncio.Task[httpx.Response]]] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def ask(
        self, path: str, message: Message, answer: type[Answered], *, bearer: str = "", hold_s: float = 0.0
    ) -> Answered:
        """The answer of the first Manager that gives one; each that fails is left aside and the next one is asked.

        Raises:
            ManagerRefusedError: a Manager refused the message (401, 409, 422).
            NoManager: all of them failed or are left aside.
        """
        headers = {"Content-Type": "application/json"} | ({"Authorization": bearer} if bearer else {})
        body, reasons = _encoder.encode(message), list[str]()
        while (url := self.managers.best(time.monotonic())) is not None:
            try:
                response = await self._post(url, path, body, headers, hold_s)
                decoded = _decoded(response, answer)
            except _AttemptFailedError as failure:
                reasons.append(f"{url}: {failure}")
                self._give_up(url, failure)
            else:
                self.managers.answered(url)
                return decoded
        raise NoManager("No Manager can be reached: " + ("; ".join(reasons) or "all are left aside for the moment"))

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
            raise _AttemptFailedError("another question to it failed meanwhile")
        try:
            return task.result()
        except httpx.HTTPError as error:
            raise _AttemptFailedError(f"{type(error).__name__} {error}".strip()) from error

    def _give_up(self, url: str, failure: _AttemptFailedError) -> None:
        """Leave the Manager aside and end the other questions that are open at it, so that they move on at once."""
        now = time.monotonic()
        spread = random.random()  # noqa: S311 -- spreads load, protects nothing
        pause_s = self.managers.failed(url, now, failure.retry_after_s, spread)
        log.warning("a Manager failed", url=url, reason=str(failure), left_aside_s=round(pause_s, 2))
        for task in self._in_flight.get(url, ()):
            task.cancel()


def _decoded(response: httpx.Response, answer: type[Answered]) -> Answered:
    if response.status_code in {401, 403, 409, 422}:
        raise ManagerRefusedError(response.status_code, _refusal(response))
    if response.status_code != 200:
        raise _AttemptFailedError(f"HTTP {response.status_code}", _retry_after_s(response))
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.MsgspecError as error:
        raise _AttemptFailedError(f"an answer that cannot be read: {error}") from error


class _Refusal(msgspec.Struct):
    """Body of a refusal."""

    message: str


def _refusal(response: httpx.Response) -> str:
    try:
        return msgspec.json.decode(response.content, type=_Refusal).message
    except msgspec.MsgspecError:
        return f"HTTP {response.status_code} without a reason"


class _Elsewhere(msgspec.Struct):
    """Body of a Manager's 503."""

    status: str = ""


def _retry_after_s(response: httpx.Response) -> float | None:
    """How long to stay away. A Manager that is only starting or stopping may be back, or replaced, in a moment."""
    text = response.headers.get("Retry-After", "")
    try:
        status = msgspec.json.decode(response.content, type=_Elsewhere).status
    except msgspec.MsgspecError:
        status = ""
    return float(text) if text.isdigit() and status not in {"starting", "stopping"} else None


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates are always verified: against `ca_file`, or the authorities of the system without one.

    Raises:
        SetupError: the file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise SetupError(f"The certificate authority {ca_file} cannot be used: {error}.") from error
