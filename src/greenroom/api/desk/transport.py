"""Requests to the folder `desk/` of a leased session's page.

The requests go through the gateway, with a token that only the api has. The Agent admits or refuses each request, like
a request of a viewer. The token becomes invalid with the end of the lease.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict, TypeVar, Unpack
from urllib.parse import urlsplit

import httpx2
import msgspec
from starlette.requests import ClientDisconnect, Request

from greenroom.api.desk import answers
from greenroom.api.desk.answers import ScreenStateCache
from greenroom.api.events import EventHub, wait_while_status_in
from greenroom.core.errors import (
    Forbidden,
    GreenroomError,
    Held,
    Interrupted,
    Invalid,
    NotFound,
    Refused,
    SetupError,
    TooLarge,
    TooManyRequests,
    Unavailable,
    WrongState,
)
from greenroom.core.session.states import NOT_YET_RUNNING, OVER
from greenroom.core.session.streams import VIEWABLE_STATUSES
from greenroom.db.database import Database
from greenroom.db.lease.leases import LeaseRow, ProgramSession, leased_session, program_session
from greenroom.kit import outgoing
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets

T = TypeVar("T")

FOLDER: Final = "desk"
CONNECT_LIMIT_S: Final = 5.0
TIMEOUT_S: Final = 30.0
START_TIMEOUT_S: Final = 10.0
"""The time for which a request waits for a session that does not run yet."""
MAX_CONNECTIONS: Final = 500
_ERRORS: Final[dict[int, type[GreenroomError]]] = {
    400: Invalid,
    401: WrongState,
    403: WrongState,
    404: NotFound,
    409: WrongState,
    413: TooLarge,
    422: Invalid,
    423: Held,
    429: TooManyRequests,
    507: Refused,
}
NO_DESK: Final = (
    "Workspace {name} has no desk for programs: its image is a third-party image or too old. Update it in the catalogue"
    ', or add {{"desk": "desk"}} to its `port_map` if the image has a desk. Then launch another session, because'
    " running sessions get no desk."
)
UNKNOWN_RESULT: Final = (
    "The session closed the connection, and the number of completed actions is unknown. Take a screenshot."
)
MAX_ANSWER_BYTES: Final = 128 << 20
"""The maximum size of an answer, enough for a hundred large pictures."""
MAX_REFUSAL_BYTES: Final = 1 << 16
_SAFE_METHODS: Final = ("GET", "HEAD")
"""Methods of requests that change nothing."""
_UNSENT_ERRORS: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
"""Errors of requests that were not sent."""
_PROBLEM_FIELDS: Final = frozenset({"error_message", "detail", "status", "title", "type", "code", "retry_after_s"})


class Desks:
    """The desks of all leases; one instance per process."""

    def __init__(self, db: Database, hub: EventHub, secrets: Secrets, config: ApiConfig) -> None:
        self._db = db
        self._hub = hub
        self._secrets = secrets
        self._config = config
        self._http: httpx2.AsyncClient | None = None
        self.screen_states = ScreenStateCache()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def of(self, lease: LeaseRow) -> LeaseDesk:
        """Return the desk of a lease; wait for a session that does not run yet.

        Raises:
            WrongState: the lease is over, its session does not run, or its workspace has no desk.
            Unavailable: no gateway is known for the session.
        """
        read_session = lambda: leased_session(self._db, lease.lease_id)  # noqa: E731
        session = await read_session()
        if session.status in NOT_YET_RUNNING:
            session = await wait_while_status_in(self._hub, NOT_YET_RUNNING, read_session, START_TIMEOUT_S)
        _require_open(session)
        token = self._secrets.desk_token(lease.lease_id, session.auth_epoch)
        address = f"{_page_address(session, self._config)}{FOLDER}/"
        host = host_header(session, self._config)
        return LeaseDesk(self._client(), session.session_id, address, token, host=host, read_session=read_session)

    async def page_of(self, session_id: str, token: str) -> LeaseDesk:
        """Return access to the whole page of a session, for a caller with its connect token. Raises Unavailable: no
        gateway is known for the session."""
        session = await program_session(self._db, session_id)
        address, host = _page_address(session, self._config), host_header(session, self._config)
        return LeaseDesk(self._client(), session_id, address, token, by_cookie=True, host=host)

    def _client(self) -> httpx2.AsyncClient:
        """Return the HTTP client.

        It is created on first use, because loading the authorities takes some milliseconds.
        """
        if self._http is None:
            limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=50, keepalive_expiry=30)
            context = _tls_context(self._config.ca_file)
            headers = {"Accept-Encoding": "identity"}  # so that limits of bytes apply to the content
            self._http = httpx2.AsyncClient(verify=context, limits=limits, headers=headers, trust_env=False)
        return self._http


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context with the authorities of this machine and of the deployment. Raises SetupError: the file
    cannot be used."""
    context = ssl.create_default_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"The file {ca_file} of the certificate authority cannot be used: {error}.") from error
    return context


def _require_open(session: ProgramSession) -> None:
    """Require a session that accepts actions. Raises WrongState: it does not accept them."""
    _require_not_over(session)
    if session.status not in VIEWABLE_STATUSES:
        raise WrongState(f"The session of this lease is {session.status}; actions need a running session.")
    if not any(service.name == FOLDER for service in session.services):
        raise WrongState(NO_DESK.format(name=session.image_friendly_name))


def _require_not_over(session: ProgramSession) -> None:
    """Require a lease that is not over. Raises WrongState: it is over."""
    if session.status in OVER:
        raise WrongState(f"The lease is over: its session is {session.status}.")


def _page_address(session: ProgramSession, config: ApiConfig) -> str:
    """Return the address of a session's page, with a slash at its end. Raises Unavailable: no Agent has the session."""
    if session.agent_id is None:
        raise Unavailable("No Agent has this session at the moment.")
    gateway = config.gateway_address or session.upstream_auth or urlsplit(config.public_url).netloc
    origin = session.proxy.direct_origin(gateway) or f"https://{gateway}"
    return f"{origin}{session.proxy.path_of(session.agent_id, session.session_id)}/"


def host_header(session: ProgramSession, config: ApiConfig) -> str:
    """Return the public host of the deployment if this api uses another address for its web gateway; else "".

    An edge gateway behind the web gateway serves only this host.
    """
    if not config.gateway_address or session.proxy.direct_origin(config.gateway_address) is not None:
        return ""
    return urlsplit(config.public_url).netloc


class RequestOptions(TypedDict, total=False):
    """The options of a request to a desk. An iterable `content` is sent while it is created. `timeout_s` applies to
    each wait for more data; None = without limit. Statuses in `accepted` are not errors.
    """

    content: bytes | AsyncIterable[bytes] | None
    headers: Mapping[str, str]
    params: Mapping[str, Any] | None
    timeout_s: float | None
    accepted: frozenset[int]


@dataclass(frozen=True, slots=True)
class LeaseDesk:
    """The desk of one lease, with its present address. `Desks.of` creates it for one request.

    `read_session` reads the present row of its session; None = the request does not belong to a lease.
    """

    http: httpx2.AsyncClient
    session_id: str
    address: str
    token: str
    by_cookie: bool = False
    host: str = ""
    """The `Host` of requests to the gateway at `address`; empty = the host of the address."""
    read_session: Callable[[], Awaitable[ProgramSession]] | None = None

    @property
    def _credential_headers(self) -> dict[str, str]:
        """The header with the token, as programs send the token of a lease, or as viewers send a connect token."""
        if self.by_cookie:
            return {"Cookie": f"session_token={self.token}"}
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def _host_headers(self) -> dict[str, str]:
        return {"Host": self.host} if self.host else {}

    async def request(
        self, method: str, path: str, *, json: object = None, **options: Unpack[RequestOptions]
    ) -> httpx2.Response:
        """Return the whole answer to a request for `path` below `desk/`. `json` replaces the `content` of the options.

        Raises:
            GreenroomError: the request was refused; the class depends on the status: WrongState, NotFound, TooLarge,
                Invalid, TooManyRequests.
            WrongState: the lease ended meanwhile.
            Unavailable: the gateway or the session does not answer, and nothing was begun.
            Interrupted: the number of completed actions is unknown.
        """
        if json is not None:
            options["content"] = msgspec.json.encode(json)
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        async with self.stream(method, path, **options) as answer:
            content = await self._read_whole(method, answer, MAX_ANSWER_BYTES)
            return httpx2.Response(answer.status_code, content=content)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> AsyncGenerator[httpx2.Response]:
        """Yield the answer to a request, to be read while it arrives (`aiter_raw`)."""
        request = self.http.build_request(
            method,
            self.address + path,
            content=options.get("content"),
            params=options.get("params"),
            headers={**options.get("headers", {}), **self._credential_headers, **self._host_headers},
            timeout=httpx2.Timeout(options.get("timeout_s", TIMEOUT_S), connect=CONNECT_LIMIT_S, pool=CONNECT_LIMIT_S),
        )
        try:
            answer = await self.http.send(request, stream=True)
            try:
                if not (answer.is_success or answer.status_code in options.get("accepted", ())):
                    raise _refusal(answer, await self._read_whole(method, answer, MAX_REFUSAL_BYTES))
                yield answer
            finally:
                await answer.aclose()
        except (Interrupted, Unavailable):
            await self.require_lease()
            raise
        except httpx2.HTTPError as error:
            await self.require_lease()
            raise self._transport_error(method, error) from error

    async def require_lease(self) -> None:
        """Raise WrongState if the lease is over; called after an interrupted request, to report this reason."""
        if self.read_session is not None:
            with suppress(NotFound, Unavailable):
                _require_not_over(await self.read_session())

    async def _read_whole(self, method: str, answer: httpx2.Response, max_bytes: int) -> bytes:
        try:
            return await read_content(answer, max_bytes)
        except Unavailable as error:
            raise (error if method in _SAFE_METHODS else Interrupted(f"{error.message} {UNKNOWN_RESULT}")) from error

    def _unreachable(self, error: httpx2.HTTPError) -> Unavailable:
        gateway = urlsplit(self.address).netloc
        reason = str(error) or type(error).__name__
        return Unavailable(
            f"The gateway of this session, {gateway}, cannot be reached from the api: {reason}. An "
            "administrator must set the zone's Upstream Auth Address, or GREENROOM_GATEWAY_ADDRESS of the "
            "api, to an address that the api can reach."
        )

    def _transport_error(self, method: str, error: httpx2.HTTPError) -> GreenroomError:
        if isinstance(error, _UNSENT_ERRORS):
            return self._unreachable(error)
        if method not in _SAFE_METHODS:
            return Interrupted(UNKNOWN_RESULT)
        adverb = "in time" if isinstance(error, httpx2.TimeoutException) else "to the end"
        return Unavailable(f"The session did not answer {adverb}; try again.")


async def read_content(answer: httpx2.Response, max_bytes: int) -> bytes:
    """Return the whole answer, up to a limit, because a container may send an answer without an end. Raises
    Unavailable: it is longer than `max_bytes`."""
    try:
        return await outgoing.read_content(answer, max_bytes)
    except outgoing.TooLongError as error:
        raise Unavailable(f"The answer of the session has more than {max_bytes} bytes.") from error


def _refusal(answer: httpx2.Response, content: bytes) -> GreenroomError:
    """Return the error for a refusal of the gateway, the Agent or the session's page."""
    status = answer.status_code
    fields = answers.simple_fields(content)
    sentence = str(fields.get("error_message") or fields.get("detail") or "")
    if status == 404 and not sentence:
        return WrongState(
            "The page of this session does not support this request, because its image is older than the api; update"
            " its workspace and launch a new session."
        )
    if status == 502 and answer.request.method not in _SAFE_METHODS:
        return Interrupted(UNKNOWN_RESULT)
    if status == 403 and answer.headers.get("x-greenroom-reason") is None:
        return Forbidden(sentence or None)
    error_class = _ERRORS.get(status, Unavailable)
    error = error_class(sentence or f"The session answered {status} {answer.reason_phrase}.")
    error.details = {name: value for name, value in fields.items() if name not in _PROBLEM_FIELDS}
    return error


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` as long as the client of `request` waits for it. The body of the request must have been read. Raises
    ClientDisconnect: the client disconnected; the work was cancelled."""
    task = asyncio.create_task(work)
    disconnected = asyncio.create_task(_until_disconnected(request))
    try:
        await asyncio.wait({task, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        disconnected.cancel()
        task.cancel()
        await asyncio.gather(disconnected, task, return_exceptions=True)


async def _until_disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
