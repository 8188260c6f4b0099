"""Requests to a deployment, their retries, and the decoding of their answers, for both clients."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final, Generic, TypeVar

import httpx

from greenroom.client.errors import Unreachable

PREFIX: Final = "/api/v1"
TIMEOUT_S: Final = 30.0
PAGE_ROWS: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to a deployment. `path` begins with `/api/v1`."""

    method: str
    path: str
    body: object = None
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout_s: float = TIMEOUT_S
    content: bytes | None = None
    is_streamed: bool = False
    """True if the caller reads the content of the answer while it arrives. The content of an error is always read
    completely.
    """

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of httpx's `build_request`."""
        return {
            "method": self.method,
            "url": self.path,
            **({"json": self.body} if self.content is None else {"content": self.content}),
            "params": without_none(**self.query) or None,
            "headers": dict(self.headers),
            "timeout": self.timeout_s,
        }


def without_none(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def list_of_texts(texts: Sequence[str], what: str, example: str) -> list[str]:
    """Return a list of texts. Raises TypeError: `texts` is one text, which would be split into letters."""
    if isinstance(texts, str | bytes):
        raise TypeError(f"{what} must be a list of texts, such as {example}, not one text.")
    return list(texts)


def parse_json(answer: httpx.Response) -> Any:
    """Return the JSON of an answer; None if it is empty.

    Raises Unreachable: the answer is not JSON, so another server sent it.
    """
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        sentence = f"{answer.url} did not return JSON; check that it is the address of a Greenroom deployment."
        raise Unreachable(sentence) from error


class EventDecoder(Generic[T]):
    """Decodes server-sent events line by line. `decode` gets the kind of an event and its data."""

    def __init__(self, decode: Callable[[str, str], T]) -> None:
        self._decode = decode
        self._kind = ""

    def decode_line(self, line: str) -> T | None:
        """Decode the next line. Return the event if the line completes one."""
        name, _, text = line.partition(": ")
        if not line:
            self._kind = ""
        elif name == "event":
            self._kind = text
        return self._decode(self._kind, text) if name == "data" else None


@contextmanager
def replace_atomically(file: Path | str) -> Generator[IO[bytes]]:
    """Yield a temporary file, which replaces `file` at the end of the block. After an error, `file` is unchanged."""
    target = Path(file)
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as temporary:
        try:
            yield temporary
        except BaseException:
            temporary.close()  # Windows does not delete open files
            Path(temporary.name).unlink()
            raise
    Path(temporary.name).replace(target)


_REPEATABLE_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_TRANSIENT_STATUSES: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retries:
    """The limits of retries.

    A request is sent at most `attempts` times, and its waits take at most `limit_s` in total.
    """

    attempts: int = 5
    limit_s: float = 60.0
    first_wait_s: float = 0.2

    def wait_s(self, attempt: int, waited_s: float, outcome: httpx.Response | httpx.HTTPError) -> float | None:
        """Return the time to wait after attempt number `attempt` (from 1); None = there is no further attempt."""
        if attempt >= self.attempts or not _may_repeat(outcome):
            return None
        retry_after_s = _retry_after_s(outcome)
        wait_s = self.first_wait_s * 2 ** (attempt - 1) if retry_after_s is None else retry_after_s
        return wait_s if waited_s + wait_s <= self.limit_s else None


def _may_repeat(outcome: httpx.Response | httpx.HTTPError) -> bool:
    """True if a request may be sent again: the server did not process it, or a repetition has no further effect."""
    if isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return "CERTIFICATE_VERIFY_FAILED" not in str(outcome)
    repeatable = outcome.request.method in _REPEATABLE_METHODS or "Idempotency-Key" in outcome.request.headers
    if isinstance(outcome, httpx.Response):
        was_refused = outcome.status_code == 429 or (outcome.status_code == 503 and "Retry-After" in outcome.headers)
        return was_refused or (repeatable and outcome.status_code in _TRANSIENT_STATUSES)
    return repeatable and isinstance(outcome, httpx.TransportError)


def _retry_after_s(outcome: httpx.Response | httpx.HTTPError) -> float | None:
    """Return the value of `Retry-After` in seconds; the header has seconds or a date."""
    if not isinstance(outcome, httpx.Response) or not (text := outcome.headers.get("Retry-After", "")):
        return None
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None
