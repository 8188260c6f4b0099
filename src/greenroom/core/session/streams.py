"""The address of the stream of a session, `https://host/<proxy_path>/<route>/<session_id>/…`, and its access rules.

Both the api, which has the users and tokens (`refusal_by_api`), and the Agent, which has the containers and its
instructions (`refusal_by_agent`), must permit the access. Refusals are sentences for the viewer and the log.
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

UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LEASE_TOKEN: Final = rf"{UUID}\.[A-Za-z0-9_-]{{43}}"
"""The pattern of the token of a lease: its id and a signature."""
_ADDRESS: Final = re.compile(
    rf"(?P<prefix>/[A-Za-z0-9][A-Za-z0-9_-]*/(?P<route>[0-9a-f]{{8}})/(?P<session_id>{UUID})/)"
    rf"(?:lease/(?P<lease>{LEASE_TOKEN})/)?(?P<rest>[^?#]*)(?:\?(?P<query>[^#]*))?",
    re.ASCII,
)
_BEARER: Final = re.compile(rf"bearer +(?P<token>{LEASE_TOKEN})", re.ASCII | re.IGNORECASE)

RESERVED_PATHS: Final = frozenset(
    {"api", "manager_api", "health", "assets", "gateway_status", "round_trip", "session", "admin"}
)
"""The first segments of paths with a special meaning at the gateway. A Proxy Path cannot be one of them."""

VIEWER_COOKIE: Final = "greenroom_viewer"
"""The cookie with the connect token, on the path of the session. The Agent never passes it to a container."""
VIEWER_TTL_S: Final = 600.0
"""While no Manager can report a revocation, an Agent may let a viewer return for this time."""

VIEWABLE_STATUSES: Final = frozenset({SessionStatus.RUNNING, SessionStatus.UNREACHABLE, SessionStatus.LOST})
"""The statuses in which the desktop may be viewed. A session can be unreachable or lost in the database although its
Agent runs and requests permission for a viewer.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFacts:
    """The way in which browsers reach the streams of a zone, or of one Agent in it.

    With `proxy_connections`, browsers use the web gateway. Otherwise they use `proxy_hostname` and `proxy_port`. If
    `proxy_hostname` is `$request_host$`, they use the edge gateway of the Agent (`edge_url`), or the host of the
    request if the Agent has no edge gateway. All streams are below `proxy_path`.
    """

    proxy_connections: bool = True
    proxy_hostname: str = REQUEST_HOST
    proxy_path: str = PROXY_PATH
    proxy_port: int = 443
    edge_url: str = ""

    @property
    def uses_edge_gateways(self) -> bool:
        """True if browsers use the edge gateways of the Agents."""
        return not self.proxy_connections and self.proxy_hostname == REQUEST_HOST

    def path_of(self, agent_id: str, session_id: str) -> str:
        """Return the path of the stream of a session, without a slash at its end."""
        return f"/{self.proxy_path}/{agent_id[:8]}/{session_id}"

    def direct_origin(self, request_host: str) -> str | None:
        """Return the origin of streams for a user at `request_host` in a zone without Proxy Connections; None in other
        zones.
        """
        if self.proxy_connections:
            return None
        if self.uses_edge_gateways and (edge := edge_origin(self.edge_url)):
            return edge
        host = self.proxy_hostname.replace(REQUEST_HOST, host_name(request_host))
        return f"https://{host}" + (f":{self.proxy_port}" if self.proxy_port != 443 else "")


def edge_origin(edge_url: str) -> str | None:
    """Return the origin of the edge gateway at `edge_url`; None if it is empty or not an address."""
    try:
        return edge_address(edge_url).origin if edge_url else None
    except Invalid:
        return None


def direct_origins(zones: Iterable[ProxyFacts], served_hosts: Sequence[str]) -> list[str]:
    """Return every origin at which browsers reach streams without the web gateway. The console may frame them."""
    origins = (zone.direct_origin(host) for zone in zones for host in served_hosts)
    return sorted({origin for origin in origins if origin is not None})


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """The address of a stream, from the raw text of the request. `prefix` is the path of the session and ends with a
    slash; `rest` and `query` are still encoded. `lease` is the token of a lease after `prefix`; empty = there is none.
    """

    prefix: str
    route: str
    session_id: str
    rest: str
    query: str
    lease: str = ""

    @property
    def token(self) -> str:
        """The value of the parameter `token`; empty if there is none."""
        values = [value for name, _, value in _pairs(self.query) if name == "token"]
        return unquote_plus(values[0]) if values else ""

    @property
    def without_token(self) -> str:
        """The path and the query without the parameter `token` and without the token of a lease."""
        query = "&".join(name + equals + value for name, equals, value in _pairs(self.query) if name != "token")
        return f"{self.prefix}{self.rest}{'?' if query else ''}{query}"


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in query.split("&")] if query else []


def parse_address(uri: str) -> StreamAddress | None:
    """Return the stream address in the raw address of a request (path and query); None if it is not the address of a
    stream.
    """
    match = _ADDRESS.fullmatch(uri)
    if match is None:
        return None
    return StreamAddress(
        match["prefix"], match["route"], match["session_id"], match["rest"], match["query"] or "", match["lease"] or ""
    )


def lease_token_in(authorization: str) -> str:
    """Return the token of a lease in an `Authorization` header; empty if there is none."""
    match = _BEARER.fullmatch(authorization.strip())
    return match["token"] if match else ""


Access = Literal["view", "control"]
"""The access of a viewer: watch only, or also send input."""

AnyAccess = Literal["view", "control", "program", "api"]
"""The access of a viewer, of a program with the token of a lease, or of the api with its separate token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The permission of a viewer to see a session of `user_id`.

    `epoch` is the number of revocations at the time of the grant: those of the session (`auth_epoch`), or for a program
    those of the lease. `viewer_id` is empty for `user_id` and their programs; other viewers have `access` by a share
    (core.session.sharing). `database` is the id of the database whose `PermittedViewers` permitted the viewer; empty if
    it is not known.
    """

    user_id: str
    epoch: int
    viewer_id: str = ""
    access: AnyAccess = "control"
    database: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermittedViewers:
    """The viewers who may see a session now, from the list of this `database`: its user, with this `epoch`, and
    `guests` (viewer id → access). `program_epoch` is the epoch of the lease of the session; None = it has no lease.
    """

    user_id: str
    epoch: int
    program_epoch: int | None = None
    database: str = ""
    guests: Mapping[str, Access] = field(default_factory=dict[str, Access])


def still_holds(grant: Grant, permitted: PermittedViewers | None) -> bool:
    """True if an earlier grant is still permitted.

    A higher epoch revokes all earlier grants. A guest is revoked separately, also by a change of the access. A grant of
    the same or an unknown database may have a higher epoch than the list, because the list may be older. A grant of
    another database must have the same epoch, because a database that was restored from a backup may never reach a
    higher one.
    """
    if permitted is None or grant.user_id != permitted.user_id:
        return False
    epoch = permitted.epoch
    if grant.access in LEASE_TOKEN_ACCESSES and permitted.program_epoch is not None:
        epoch = permitted.program_epoch
    if grant.epoch < epoch:
        return False
    if grant.epoch > epoch and grant.database not in ("", permitted.database):
        return False
    return not grant.viewer_id or permitted.guests.get(grant.viewer_id) == grant.access


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """The data of the api about a session and the viewer who sent a token.

    `sent_username` is the name that was sent with the token, or empty. `token_is_valid` is True for three kinds of
    token: a connect token for the user and the epoch of this session, or of a session that it replaced; a session token
    of the user; and a token of the lease. `is_program` is True for a token of the lease, with which a program may wait
    at the Agent for the end of the hand-over. `may_use_image`: the user may use the workspace. `lacks_user`: it is a
    session token, and its user does not have the permission `user`.
    """

    status: SessionStatus
    user_id: str | None
    username: str | None
    user_enabled: bool
    may_use_image: bool
    sent_username: str
    token_is_valid: bool
    is_program: bool = False
    lacks_user: bool = False


WORKSPACE_LOST: Final = "The user of the session may no longer use its workspace."


def refusal_by_api(facts: StreamFacts) -> str | None:
    """Return the reason why the viewer may not see the session, as a sentence; None if they may."""
    is_open = facts.status in VIEWABLE_STATUSES or (facts.is_program and facts.status is SessionStatus.ASSIGNING)
    is_other_user = facts.sent_username and facts.sent_username.lower() != (facts.username or "").lower()
    reasons = (
        (facts.user_id is None, "This session has no user: it was not handed over."),
        (not facts.token_is_valid, "The token does not open this session; it may have been revoked."),
        (is_other_user, "The session belongs to another user."),
        (not facts.user_enabled, "The user is disabled or locked."),
        (facts.lacks_user, "The user does not have the permission `user`, which a session token needs here."),
        (not facts.may_use_image, WORKSPACE_LOST),
        (is_open, None),  # permitted
        (facts.status is SessionStatus.ASSIGNING, "The session is being handed over; try again in a moment."),
        (True, f"The session is {facts.status}."),
    )
    return next(reason for applies, reason in reasons if applies)


def refusal_by_agent(
    *, session_id: str, permitted: PermittedViewers | None, handed_over: bool, address: str | None
) -> str | None:
    """Return the reason why no user may see the session on this Agent now, as a sentence; None if its user may."""
    if permitted is None:
        return f"Session {session_id} was not handed to a user."
    if not handed_over:
        return "The session is being handed over, or its recording has not begun; try again in a moment."
    if address is None:
        return "The desktop is not running."
    return None


_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods whose requests need not declare the length of a body, because they have no body."""


def refusal_of_upload(*, method: str, length_bytes: int | None, max_mb: int) -> str | None:
    """Return the reason why an upload is too large for a session, as a sentence; None if it is permitted.

    `length_bytes` is the declared length of the body; None = not declared. `max_mb` is `max_upload_mb` of the user of
    the session; 0 = no limit.
    """
    if not max_mb or (method in _WITHOUT_BODY if length_bytes is None else length_bytes <= max_mb * 1_000_000):
        return None
    problem = "The upload has no Content-Length" if length_bytes is None else "The file is too large"
    return f"{problem}: up to {max_mb} MB may be uploaded into this session at a time. Ask an administrator for more."


WATCHES_ONLY: Final = "You may only watch this session."
PROGRAM_FOLDERS: Final[Mapping[str, Act]] = {str(act): act for act in (Act.DESK, Act.DEVTOOLS, Act.WEBDRIVER)}
"""The folders of the page of a session that viewers cannot open, with their acts."""
PROGRAMS_ONLY: Final = "This address is for programs: it needs the token of the session's lease."
API_ONLY: Final = (
    "This address is for the api only. Use the actions, screenshots, commands and files of the "
    "lease, below /api/v1/leases/."
)
_REFUSALS: Final[Mapping[AnyAccess, str]] = {"view": WATCHES_ONLY, "program": API_ONLY}
_KINDS: Final[Mapping[AnyAccess, Kind]] = {
    "view": Kind.GUEST_VIEW,
    "control": Kind.USER,
    "program": Kind.PROGRAM,
    "api": Kind.API,
}
LEASE_TOKEN_ACCESSES: Final = frozenset[AnyAccess]({"program", "api"})


def act_of_request(access: AnyAccess, method: str, rest: str, *, is_page: bool) -> Act:
    """Return the act of a request to the stream of a session. `rest` is the path below that of the session. `is_page`
    is True if the page of the session answers the request, and not another service of its image.
    """
    if is_page and (act := PROGRAM_FOLDERS.get(normalized_path(rest).partition("/")[0])):
        return act
    if access in LEASE_TOKEN_ACCESSES:
        return Act.STREAM_AS_PROGRAM
    return Act.WATCH if method in ("GET", "HEAD") and is_page else Act.TYPE


def refusal_of_request(access: AnyAccess, act: Act, facts: SessionFacts) -> str | None:
    """Return the reason why a viewer may not make a request, as a sentence; None if they may."""
    verdict = decide(act, SessionCaller(kind=_KINDS[access]), facts)
    if not verdict.refused:
        return None
    if verdict.reason != NOT_ALLOWED:
        return verdict.reason
    is_folder = act in PROGRAM_FOLDERS.values() and access in ("view", "control")
    return PROGRAMS_ONLY if is_folder else _REFUSALS.get(access, NOT_ALLOWED)


def normalized_path(rest: str) -> str:
    """Return a path as a container may read it: decoded once, slashes merged. (The gateway refuses dot segments.)"""
    return re.sub("/+", "/", unquote(rest)).removeprefix("/")


_UNSAFE_CHARACTERS: Final = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")", "&": "+"})


def printable(sentence: str) -> str:
    """Return the sentence in a form that is safe in a header, in a JSON string and in a page: at most 300 characters of
    printable ASCII, without double quotes, backslashes and the special characters of HTML.
    """
    text = sentence.encode("ascii", "replace").decode().translate(_UNSAFE_CHARACTERS)
    return "".join(c for c in text if " " <= c <= "~")[:300]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The target of a request in a container. `address` is host:port; `base` is the folder there, without a slash at
    its end. `removed_prefix` is the beginning of the path that is removed: the name of a service after a slash. If the
    page of a session works at only one path of the gateway and the request has another one, `redirect_path` is the
    right path.
    """

    address: str
    base: str = ""
    removed_prefix: str = ""
    redirect_path: str = ""


def target_of(request: StreamAddress, spec: SessionSpec, page: str, services: Mapping[str, str]) -> Target:
    """Return the target of a request. `page` and `services` (by name) are the addresses of the container, host:port.
    Raises Forbidden: the session may not use this service, or does not serve it now."""
    name, path = request.rest.partition("/")[0], normalized_path(request.rest)
    matching = [
        service
        for service in spec.services
        if (service.name == name if service.port else path.startswith(service.folder))
    ]
    if forbidden_service := next((service.name for service in matching if not service.allowed), None):
        raise Forbidden(f"This session may not use {forbidden_service}: the groups of its user do not allow it.")
    if not any(service.port for service in matching):
        page_address = parse_address(spec.page_path)
        redirect_path = (
            page_address.prefix if page_address is not None and page_address.prefix != request.prefix else ""
        )
        return Target(address=page, base=spec.page_path.removesuffix("/"), redirect_path=redirect_path)
    if name not in services:
        raise Forbidden(f"The session does not serve {name} now; it may be stopped.")
    return Target(address=services[name], removed_prefix=f"/{name}")
