"""What is asked of a deployment and in which order, without doing it: both clients carry out the same scripts.

A script yields what it wants done, a request to send or a time to wait, and is given the outcome.
"""

from __future__ import annotations

import logging
import ssl
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import httpx
import msgspec

from greenroom.client.errors import error_of, no_json
from greenroom.client.models import Egress, Lease, LeaseUrls, Mode, Tags
from greenroom.client.retries import Retries
from greenroom.shared.errors import Unavailable, WrongState
from greenroom.shared.states import OVER, SessionStatus

log = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"
TIMEOUT_S: Final = 30.0
PAGE_ROWS: Final = 1000
NOTICED_S: Final = 1.0
"""A user who waits so long for a request to be repeated wants to know why."""
FIRST_LOOK_S: Final = 0.02
LAST_LOOK_S: Final = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A request, with its path from the root."""

    method: str
    path: str
    body: object = None
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout_s: float = TIMEOUT_S
    content: bytes | None = None
    is_streamed: bool = False
    """The answer is read by the one who asked; one that is no success is read already."""

    @property
    def options(self) -> dict[str, Any]:
        """What httpx's `request` takes."""
        query = {name: value for name, value in self.query.items() if value is not None}
        return {
            "method": self.method,
            "url": self.path,
            **({"json": self.body} if self.content is None else {"content": self.content}),
            "params": query or None,
            "headers": dict(self.headers),
            "timeout": self.timeout_s,
        }


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so much time pass."""

    seconds: float


def connection_options(
    url: str,
    key: str,
    secret: str,
    ca_file: Path | str | None = None,
    tls: ssl.SSLContext | None = None,
    *,
    trust_env: bool = True,
) -> dict[str, Any]:
    """What httpx's clients take. `trust_env`: proxies of the environment are used."""
    verify = tls or ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    options: dict[str, Any] = {"base_url": url.rstrip("/"), "auth": (key, secret), "verify": verify}
    return options | {"trust_env": trust_env, "timeout": TIMEOUT_S}


def required_urls(held: Lease) -> LeaseUrls:
    """Raises TypeError: the lease was not made here."""
    if held.urls is None:
        raise TypeError("Only the answer to a new lease has its addresses.")
    return held.urls


def words(given: Sequence[str], what: str, example: str) -> list[str]:
    """Raises TypeError: a text was given in place of a list of texts; it would be split into letters."""
    if isinstance(given, str | bytes):
        raise TypeError(f"{what} must be a list of texts, such as {example}, not one text.")
    return list(given)


Outcome = httpx.Response | httpx.HTTPError | None
Script = Generator[Send | Wait, Outcome, T]


def answered(send: Send, retries: Retries) -> Script[httpx.Response]:
    """The answer to a request, which is sent again where `retries` allows it.

    Raises:
        GreenroomError: the server refused it, by the code of its problem; or does not answer (`Unreachable`).
    """
    waited_s, attempt = 0.0, 1
    while True:
        outcome = yield send
        if outcome is None:
            raise TypeError("A request has an answer or an error.")
        if isinstance(outcome, httpx.Response) and outcome.is_success:
            return outcome
        wait_s = retries.wait_s(attempt, waited_s, outcome)
        if wait_s is None:
            raise error_of(outcome) from (outcome if isinstance(outcome, httpx.HTTPError) else None)
        level = logging.WARNING if wait_s >= NOTICED_S else logging.INFO
        log.log(level, "%s %s is sent again in %.1f s, after attempt %d", send.method, send.path, wait_s, attempt)
        yield Wait(wait_s)
        waited_s, attempt = waited_s + wait_s, attempt + 1


def json_of(send: Send, retries: Retries) -> Script[Any]:
    """The JSON of the answer; None where there is none."""
    answer = yield from answered(send, retries)
    return _json(answer)


def content_of(send: Send, retries: Retries) -> Script[bytes]:
    """The answer as it is."""
    return (yield from answered(send, retries)).content


def rows(
    path: str, query: Mapping[str, Any], retries: Retries, limit: int | None = None
) -> Script[list[dict[str, Any]]]:
    """All rows of a list, or the first `limit`, page by page."""
    size = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
    send = Send(method="GET", path=path, query={**query, "limit": query.get("limit", size)})
    found: list[dict[str, Any]] = []
    while True:
        answer = yield from answered(send, retries)
        found += cast("list[dict[str, Any]]", _json(answer))
        if "next" not in answer.links or (limit is not None and len(found) >= limit):
            return found[:limit]
        send = Send(method="GET", path=answer.links["next"]["url"])


def _json(answer: httpx.Response) -> Any:
    """Raises Unreachable: it is something else, so no Greenroom answers there."""
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        raise no_json(answer) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseWish:
    """What to lease; the fields of `POST /api/v1/leases`. `ready_within_s`: wait so long until its session runs;
    `wait_s`: while a limit is reached wait so long for others to end, at most 60."""

    workspace: str
    seconds: int
    user_id: str | None
    options: Mapping[str, Any] | None
    egress: Egress | None
    secrets: Sequence[str]
    tags: Tags | None
    record: Mode
    record_text: bool
    ready_within_s: float
    wait_s: float = 0.0

    @property
    def body(self) -> dict[str, Any]:
        fields = ("workspace", "seconds", "user_id", "tags")
        given = {name: value for name in fields if (value := getattr(self, name)) is not None}
        if options := {**(self.options or {}), **self._reach}:
            given["options"] = options
        recorded = {} if self.record == "none" else {"record": self.record, "record_text": self.record_text}
        return given | recorded | ({"wait_s": self.wait_s} if self.wait_s else {})

    @property
    def _reach(self) -> dict[str, Any]:
        """What of the options has a parameter of its own."""
        domains = None if self.egress in (None, "none") else words(self.egress, "egress", '["example.com"]')
        egress = self.egress if domains is None else {"allow": domains}
        return ({} if egress is None else {"egress": egress}) | (
            {"secrets": words(self.secrets, "secrets", '["billing"]')} if self.secrets else {}
        )


def lease(wish: LeaseWish, retries: Retries) -> Script[Lease]:
    """A lease whose session runs. If it does not in time, or the program ends this, it is released.

    Raises:
        GreenroomError: it was refused (`NoResources`, `LeaseLimit`, …); its session failed (`WrongState`), or did not
            run in time (`Unavailable`).
    """
    key = {"Idempotency-Key": str(uuid.uuid4())}
    send = Send(method="POST", path=f"{PREFIX}/leases", body=wish.body, headers=key, timeout_s=TIMEOUT_S + wish.wait_s)
    made = msgspec.json.decode((yield from answered(send, retries)).content, type=Lease)
    try:
        yield from _running(made, wish.ready_within_s, retries)
    except GeneratorExit:
        raise
    except BaseException:
        yield from release(made.lease_id, retries)
        raise
    return made


def _running(made: Lease, within_s: float, retries: Retries) -> Script[None]:
    end_s, look_s, status = time.monotonic() + within_s, FIRST_LOOK_S, made.status
    while status != SessionStatus.RUNNING:
        if status in OVER:
            raise WrongState(f"The session of {made.image_friendly_name} is {status}; its lease is over.")
        if time.monotonic() > end_s:
            raise Unavailable(f"The session of {made.image_friendly_name} was still {status} after {within_s:g} s.")
        yield Wait(look_s)
        look_s = min(LAST_LOOK_S, look_s * 1.5)
        status = (yield from look(made.lease_id, retries)).status


def look(lease_id: str, retries: Retries) -> Script[Lease]:
    """A lease as it is now."""
    send = Send(method="GET", path=f"{PREFIX}/leases/{lease_id}")
    return msgspec.json.decode((yield from answered(send, retries)).content, type=Lease)


def leases(tag: str | None, retries: Retries) -> Script[list[Lease]]:
    """The leases that the caller may see, newest first."""
    found = yield from rows(f"{PREFIX}/leases", {} if tag is None else {"tag": tag}, retries)
    return msgspec.convert(found, type=list[Lease])


def extended(held: Lease, seconds: int, retries: Retries) -> Script[Lease]:
    """The lease with its deadline so many seconds from now."""
    send = Send(method="PATCH", path=f"{PREFIX}/leases/{held.lease_id}", body={"seconds": seconds})
    now = msgspec.json.decode((yield from answered(send, retries)).content, type=Lease)
    return msgspec.structs.replace(now, token=held.token, urls=held.urls)


def release(lease_id: str, retries: Retries) -> Script[None]:
    """End a lease; doing so again is a success."""
    yield from answered(Send(method="DELETE", path=f"{PREFIX}/leases/{lease_id}"), retries)
