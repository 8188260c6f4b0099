"""The address of a session's stream, `https://host/<proxy_path>/<route>/<session_id>/…`, and who may open it.

Both must agree: the api, which knows users and tokens (`refusal_by_api`), and the Agent, which knows what runs and its
instructions (`refusal_by_agent`). Refusals are sentences, shown to the viewer and written to the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote, unquote_plus

from greenroom.core.errors import Forbidden, Invalid
from greenroom.core.fleet.addresses import edge_address
from greenroom.core.session.authorization import NOT_ALLOWED, Act, Kind, SessionCaller, SessionFacts, decide
from greenroom.core.session.states import SessionStatus
from greenroom.core.workspace.session_spec import PROXY_PATH, SessionSpec
from greenroom.core.workspace.spec_builder import REQUEST_HOST, host_name

_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LEASE_TOKEN: Final = rf"{_UUID}\.[A-Za-z0-9_-]{{43}}"
"""What the token of a lease looks like: its id and a signature."""
_ADDRESS: Final = re.compile(
    rf"(?P<prefix>/[A-Za-z0-9][A-Za-z0-9_-]*/(?P<route>[0-9a-f]{{8}})/(?P<session_id>{_UUID})/)"
    rf"(?:lease/(?P<lease>{LEASE_TOKEN})/)?(?P<rest>[^?#]*)(?:\?(?P<query>[^#]*))?",
    re.ASCII,
)
_BEARER: Final = re.compile(rf"bearer +(?P<token>{LEASE_TOKEN})", re.ASCII | re.IGNORECASE)

RESERVED_PATHS: Final = frozenset(
    {"api", "manager_api", "health", "assets", "gateway_status", "round_trip", "session", "admin"}
)
"""First segments with a meaning of their own at the gateway, which cannot be a Proxy Path."""

VIEWER_COOKIE: Final = "greenroom_viewer"
"""Holds the connect token, on the session's path; set by the Agent, never passed on to a container."""
VIEWER_TTL_S: Final = 600.0
"""How long an Agent may let a viewer return while no Manager can report a revocation."""

OPEN: Final = frozenset({SessionStatus.RUNNING, SessionStatus.UNREACHABLE, SessionStatus.LOST})
"""Statuses in which the desktop may be seen. The last two are how others see it; the Agent that asks is running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFacts:
    """How browsers reach the streams of a zone, or of one Agent in it.

    With `proxy_connections` at the web gateway. Otherwise at `proxy_hostname` and `proxy_port`; if that names no host
    (`$request_host$`), at the Agent's own edge gateway if it has one (`edge_url`), or else at the host of the request.
    In all cases below `proxy_path`.
    """

    proxy_connections: bool = True
    proxy_hostname: str = REQUEST_HOST
    proxy_path: str = PROXY_PATH
    proxy_port: int = 443
    edge_url: str = ""

    @property
    def at_edges(self) -> bool:
        return not self.proxy_connections and self.proxy_hostname == REQUEST_HOST

    def path_of(self, agent_id: str, session_id: str) -> str:
        """The path of a session's stream, without a slash at its end."""
        return f"/{self.proxy_path}/{agent_id[:8]}/{session_id}"

    def direct_origin(self, request_host: str) -> str | None:
        """Where streams are without Proxy Connections, for a user who came to `request_host`; None with them."""
        if self.proxy_connections:
            return None
        if self.at_edges and (edge := edge_origin(self.edge_url)):
            return edge
        host = self.proxy_hostname.replace(REQUEST_HOST, host_name(request_host))
        return f"https://{host}" + (f":{self.proxy_port}" if self.proxy_port != 443 else "")


def edge_origin(edge_url: str) -> str | None:
    """The origin of the edge gateway at `edge_url`; None if it is empty or not an address."""
    try:
        return edge_address(edge_url).origin if edge_url else None
    except Invalid:
        return None


def direct_origins(zones: Iterable[ProxyFacts], served_hosts: Sequence[str]) -> list[str]:
    """Every origin at which browsers reach streams without the web gateway: what its console may frame, too."""
    found = (zone.direct_origin(host) for zone in zones for host in served_hosts)
    return sorted({origin for origin in found if origin is not None})


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """A stream's address, from the raw text of the request. `prefix` is the path of the session itself and ends with a
    slash; `rest` and `query` are still encoded. `lease` is the token of a lease that stood between, empty without one.
    """

    prefix: str
    route: str
    session_id: str
    rest: str
    query: str
    lease: str = ""

    @property
    def token(self) -> str:
        values = [value for name, _, value in _pairs(self.query) if name == "token"]
        return unquote_plus(values[0]) if values else ""

    @property
    def without_token(self) -> str:
        query = "&".join(name + equals + value for name, equals, value in _pairs(self.query) if name != "token")
        return f"{self.prefix}{self.rest}{'?' if query else ''}{query}"


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in query.split("&")] if query else []


def parse_address(uri: str) -> StreamAddress | None:
    """The stream that a raw request address (path and query) names, or None."""
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        return None
    return StreamAddress(
        found["prefix"], found["route"], found["session_id"], found["rest"], found["query"] or "", found["lease"] or ""
    )


def lease_token_in(authorization: str) -> str:
    """The token of a lease in an `Authorization` header; empty if it is none."""
    found = _BEARER.fullmatch(authorization.strip())
    return found["token"] if found else ""


Access = Literal["view", "control"]
"""What a viewer may do: watch only, or type and use the pointer, too."""

AnyAccess = Literal["view", "control", "program", "api"]
"""The same; or that of a program, which came with the token of a lease, or of the api, which came with its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A viewer may see a session: of which user, as of which `epoch` of the session's authorization, or of its lease's
    for a program. `viewer_id` is
    empty for that user and their programs; others were let in by a share (core.session.sharing), with this access.
    `database` is the one whose list permitted it, empty if that was not kept.
    """

    user_id: str
    epoch: int
    viewer_id: str = ""
    access: AnyAccess = "control"
    database: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """Who may see a session now, as this `database` says: its user, as of `epoch`, and `guests`: viewer id → what they
    may do. `program_epoch` is that of the session's lease; None = it has none.
    """

    user_id: str
    epoch: int
    program_epoch: int | None = None
    database: str = ""
    guests: Mapping[str, Access] = field(default_factory=dict[str, Access])


def still_holds(grant: Grant, permitted: Permitted | None) -> bool:
    """Whether an earlier grant is covered by who may see the session now. A higher epoch revokes all before; a guest
    is revoked alone, also by another access. A grant may be ahead of the list, by which its database is known; one of
    another database must be of the same epoch: what a backup counts again would never reach it.
    """
    if permitted is None or grant.user_id != permitted.user_id:
        return False
    epoch = permitted.epoch
    if grant.access in TOKEN_OF_LEASE and permitted.program_epoch is not None:
        epoch = permitted.program_epoch
    if grant.epoch < epoch:
        return False
    if grant.epoch > epoch and grant.database not in ("", permitted.database):
        return False
    return not grant.viewer_id or permitted.guests.get(grant.viewer_id) == grant.access


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """The api's facts about a session and the user whose token is shown.

    `username_shown` is the name sent with the token, or empty. `token_is_valid`: it is the connect token of this
    session, or of one that it replaced, for its user and epoch, a session token of its user, or a token of its lease.
    `is_program`: it is the last, and its holder may wait at the Agent for the end of the hand-over.
    """

    status: SessionStatus
    user_id: str | None
    username: str | None
    user_enabled: bool
    username_shown: str
    token_is_valid: bool
    is_program: bool = False


def refusal_by_api(facts: StreamFacts) -> str | None:
    """Why the viewer may not see the session, as a sentence; None = allowed."""
    is_open = facts.status in OPEN or (facts.is_program and facts.status is SessionStatus.ASSIGNING)
    is_another = facts.username_shown and facts.username_shown.lower() != (facts.username or "").lower()
    reasons = (
        (facts.user_id is None, "This session has no user: it was not handed over."),
        (not facts.token_is_valid, "The token does not open this session; it may have been revoked."),
        (is_another, "The session belongs to another user."),
        (not facts.user_enabled, "The user is disabled or locked."),
        (is_open, None),
        (facts.status is SessionStatus.ASSIGNING, "The session is being handed over; try again in a moment."),
        (True, f"The session is {facts.status}."),
    )
    return next(reason for applies, reason in reasons if applies)


def refusal_by_agent(
    *, session_id: str, permitted: Permitted | None, handed_over: bool, address: str | None
) -> str | None:
    """Why no user may see the session here and now, as a sentence; None = its user may."""
    if permitted is None:
        return f"Session {session_id} was not handed to a user."
    if not handed_over:
        return "The session is being handed over; try again in a moment."
    if address is None:
        return "The desktop is not running."
    return None


_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods whose requests need not declare the length of a body, because they have none."""


def refusal_of_upload(*, method: str, length_bytes: int | None, max_mb: int) -> str | None:
    """Why a request uploads too much into its session, as a sentence; None = it may pass. `length_bytes` is the
    declared length of the body, None = not declared. `max_mb` is `max_upload_mb` of the session's user, 0 = no limit.
    """
    if not max_mb or (method in _WITHOUT_BODY if length_bytes is None else length_bytes <= max_mb * 1_000_000):
        return None
    problem = "The upload does not say how large it is" if length_bytes is None else "The file is too large"
    return f"{problem}: up to {max_mb} MB may be uploaded into this session at a time. Ask an administrator for more."


WATCHES_ONLY: Final = "You may only watch this session."


PROGRAM_FOLDERS: Final[Mapping[str, Act]] = {str(act): act for act in (Act.DESK, Act.DEVTOOLS, Act.WEBDRIVER)}
"""Folders of a session's page that no viewer opens."""
PROGRAMS_ONLY: Final = "This address is for programs: it needs the token of the session's lease."
API_ONLY: Final = (
    "This address is for the api alone. Use the actions, screenshots, commands and files of the lease, below"
    " /api/v1/leases/."
)
_REFUSALS: Final[Mapping[AnyAccess, str]] = {"view": WATCHES_ONLY, "program": API_ONLY}
_KINDS: Final[Mapping[AnyAccess, Kind]] = {
    "view": Kind.GUEST_VIEW,
    "control": Kind.USER,
    "program": Kind.PROGRAM,
    "api": Kind.API,
}
TOKEN_OF_LEASE: Final = frozenset[AnyAccess]({"program", "api"})


def act_of_request(access: AnyAccess, method: str, rest: str, *, is_page: bool) -> Act:
    """The act that a request to a session's stream is; `rest` is the path below the session's, `is_page` whether the
    session's page answers it, and nothing that its image serves beside the page.
    """
    if is_page and (act := PROGRAM_FOLDERS.get(as_found(rest).partition("/")[0])):
        return act
    if access in TOKEN_OF_LEASE:
        return Act.STREAM_AS_PROGRAM
    return Act.WATCH if method in ("GET", "HEAD") and is_page else Act.TYPE


def refusal_of_request(access: AnyAccess, act: Act, facts: SessionFacts) -> str | None:
    """Why a viewer may not make a request, as a sentence; None = it may pass. `facts` are those of the session."""
    verdict = decide(act, SessionCaller(kind=_KINDS[access]), facts)
    if not verdict.refused:
        return None
    if verdict.reason != NOT_ALLOWED:
        return verdict.reason
    is_folder = act in PROGRAM_FOLDERS.values() and access in ("view", "control")
    return PROGRAMS_ONLY if is_folder else _REFUSALS.get(access, NOT_ALLOWED)


def as_found(rest: str) -> str:
    """A path below a session's as a container may find it: it decodes an address once, and many read several slashes as
    one. (Dot segments do not pass the gateway.)
    """
    return re.sub("/+", "/", unquote(rest)).removeprefix("/")


_NOT_IN_TEXTS: Final = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")", "&": "+"})


def printable(sentence: str) -> str:
    """The sentence in a form that is safe in a header, in a JSON string and in a page: printable ASCII without quotes,
    backslashes and the special characters of HTML.
    """
    text = sentence.encode("ascii", "replace").decode().translate(_NOT_IN_TEXTS)
    return "".join(c for c in text if " " <= c <= "~")[:300]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """host:port `address` and the folder there, without a slash at its end. `strip` is the beginning of the path that
    named the service, and is not passed on. `elsewhere`: the page serves only this path at the gateway.
    """

    address: str
    base: str = ""
    strip: str = ""
    elsewhere: str = ""


def target_of(asked: StreamAddress, spec: SessionSpec, page: str, services: Mapping[str, str]) -> Target:
    """The target of a request; `page` and `services` (by name) are the addresses, host:port, of the container.

    Raises:
        Forbidden: the session may not use this service, or does not serve it now.
    """
    name = asked.rest.partition("/")[0]
    beside = [one for one in spec.services if (one.name == name if one.port else _begins(asked.rest, one.folder))]
    if refused := next((one.name for one in beside if not one.allowed), None):
        raise Forbidden(f"This session may not use {refused}: the groups of its user do not allow it.")
    if not any(one.port for one in beside):
        own = parse_address(spec.page_path)
        elsewhere = own.prefix if own is not None and own.prefix != asked.prefix else ""
        return Target(address=page, base=spec.page_path.removesuffix("/"), elsewhere=elsewhere)
    if name not in services:
        raise Forbidden(f"The session does not serve {name} now; it may be stopped.")
    return Target(address=services[name], strip=f"/{name}")


def _begins(rest: str, folder: str) -> bool:
    """Whether a container may find what begins with `folder` there."""
    return as_found(rest).startswith(folder)
