"""The address of a session's stream, `https://host/<proxy_path>/<route>/<session_id>/…`, and who may open it.

Two decide. The api, which knows users and tokens: `refusal_by_api`. The Agent, which knows what runs and what it was
told: `refusal_by_agent`. Both must agree. Refusals are sentences, shown to the viewer and written to the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import edge_address
from greenroom.core.session.states import SessionStatus
from greenroom.core.workspace.spec_builder import REQUEST_HOST, host_name

_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ADDRESS: Final = re.compile(
    rf"(?P<prefix>/[A-Za-z0-9][A-Za-z0-9_-]*/(?P<route>[0-9a-f]{{8}})/(?P<session_id>{_UUID})/)(?P<rest>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?",
    re.ASCII,
)

RESERVED_PATHS: Final = frozenset({"api", "manager_api", "health", "assets", "gateway_status", "session", "admin"})
"""First segments that have a meaning of their own at the gateway and cannot be a Proxy Path."""

VIEWER_COOKIE: Final = "greenroom_viewer"
"""Holds the connect token, on the session's path; set by the Agent, never passed on to a container."""

OPEN: Final = frozenset({SessionStatus.RUNNING, SessionStatus.UNREACHABLE, SessionStatus.LOST})
"""Statuses in which the desktop may be seen; the last two are as seen by others, the Agent that asks is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFacts:
    """How browsers reach the streams of a zone, or of one Agent in it.

    With `proxy_connections` at the web gateway. Else directly at `proxy_hostname` and `proxy_port`; where that names no
    host (`$request_host$`), at the Agent's own edge gateway if it has one (`edge_url`), or else at the host of the
    request. In all cases below `proxy_path`.
    """

    proxy_connections: bool = True
    proxy_hostname: str = REQUEST_HOST
    proxy_path: str = "desktop"
    proxy_port: int = 443
    edge_url: str = ""

    @property
    def at_edges(self) -> bool:
        """Whether browsers go to the edge gateways of Agents that have one."""
        return not self.proxy_connections and self.proxy_hostname == REQUEST_HOST

    def path_of(self, agent_id: str, session_id: str) -> str:
        """The path of a session's stream, without a slash at its end."""
        return f"/{self.proxy_path}/{agent_id[:8]}/{session_id}"

    def direct_origin(self, request_host: str) -> str | None:
        """Where streams are without Proxy Connections, for somebody who came to `request_host`; None with them."""
        if self.proxy_connections:
            return None
        if self.at_edges and (edge := edge_origin(self.edge_url)):
            return edge
        host = self.proxy_hostname.replace(REQUEST_HOST, host_name(request_host))
        return f"https://{host}" + (f":{self.proxy_port}" if self.proxy_port != 443 else "")


def edge_origin(edge_url: str) -> str | None:
    """The origin of the edge gateway at `edge_url`; None where there is none, or what an Agent told is no address."""
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
    """A stream's address, taken from the raw text of the request.

    `prefix` is the path of the session itself and ends with a slash; `rest` and `query` are still encoded.
    """

    prefix: str
    route: str
    session_id: str
    rest: str
    query: str

    @property
    def token(self) -> str:
        """The connect token in the address, or empty."""
        values = [value for name, _, value in _pairs(self.query) if name == "token"]
        return unquote_plus(values[0]) if values else ""

    @property
    def without_token(self) -> str:
        """The same address without the token."""
        query = "&".join(name + equals + value for name, equals, value in _pairs(self.query) if name != "token")
        return f"{self.prefix}{self.rest}{'?' if query else ''}{query}"


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in query.split("&")] if query else []


def parse_address(uri: str) -> StreamAddress | None:
    """The stream a raw request address (path and query) names, or None."""
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        return None
    return StreamAddress(found["prefix"], found["route"], found["session_id"], found["rest"], found["query"] or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Somebody may view a session: who, as of which `epoch` of the session's authorisation."""

    user_id: str
    epoch: int


def still_holds(grant: Grant, authorised: Grant | None) -> bool:
    """Whether what was once granted is covered by who may view the session now; a higher epoch revokes all before."""
    return authorised is not None and grant.user_id == authorised.user_id and grant.epoch >= authorised.epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What the api knows about the session and the user whose token is shown.

    `username_shown` is the name that came with the token, or empty; `token_is_valid`: it is the connect token of this
    session, or of one whose place it took, for its user and epoch.
    """

    status: SessionStatus
    user_id: str | None
    username: str | None
    user_enabled: bool
    username_shown: str
    token_is_valid: bool


def refusal_by_api(facts: StreamFacts) -> str | None:
    """Why the viewer may not see the session, as a sentence; None = allowed."""
    is_another = facts.username_shown and facts.username_shown.lower() != (facts.username or "").lower()
    reasons = (
        (facts.user_id is None, "Nobody has this session: it was not handed to a user."),
        (not facts.token_is_valid, "The token does not open this session; it may have been revoked."),
        (is_another, "The session belongs to another user."),
        (not facts.user_enabled, "The user is disabled or locked."),
        (facts.status is SessionStatus.ASSIGNING, "The session is being handed over; try again in a moment."),
        (facts.status not in OPEN, f"The session is {facts.status}."),
    )
    return next((reason for applies, reason in reasons if applies), None)


def refusal_by_agent(
    *, session_id: str, authorised: Grant | None, handed_over: bool, address: str | None
) -> str | None:
    """Why nobody may see the session here and now, as a sentence; None = its user may."""
    if authorised is None:
        return f"Session {session_id} was not handed to a user."
    if not handed_over:
        return "The session is being handed over; try again in a moment."
    if address is None:
        return "The desktop is not running."
    return None


_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods whose requests need not say how long their body is: they mean nothing by one."""


def refusal_of_upload(*, method: str, length_bytes: int | None, max_mb: int) -> str | None:
    """Why a request brings too much into its session, as a sentence; None = it may pass.

    Args:
        method: of HTTP.
        length_bytes: what the request says of its body; None = nothing.
        max_mb: `max_upload_mb` of the session's user; 0 = no limit.
    """
    if not max_mb or (method in _WITHOUT_BODY if length_bytes is None else length_bytes <= max_mb * 1_000_000):
        return None
    problem = "The upload does not say how large it is" if length_bytes is None else "The file is too large"
    return f"{problem}: up to {max_mb} MB may be uploaded into this session at a time. Ask an administrator for more."


_NOT_IN_TEXTS: Final = str.maketrans({'"': "'", "\\": "/", "<": "(", ">": ")", "&": "+"})


def printable(sentence: str) -> str:
    """The sentence as it may stand in a header, in a JSON string and in a page: printable ASCII without quotes,
    backslashes and the special characters of HTML."""
    text = sentence.encode("ascii", "replace").decode().translate(_NOT_IN_TEXTS)
    return "".join(c for c in text if " " <= c <= "~")[:300]
