"""The stream of a session: its address, for those who may open it, and the session's progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request

from greenroom.api.session import service
from greenroom.api.session.schemas import ConnectionView
from greenroom.core.fleet.addresses import stream_origin
from greenroom.core.session.progress import Queue
from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.page import filled, values
from greenroom.db.session.viewers import StreamSession
from greenroom.db.session.views import Session
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets


@dataclass(frozen=True, slots=True)
class StreamUrls:
    """Addresses of streams as seen by one request; `request_host` is its `host[:port]`, a served one."""

    config: ApiConfig
    request_host: str

    def of(self, proxy: ProxyFacts, agent_id: str | None, session_id: str) -> str | None:
        """The stream's address, with a trailing slash; None while the session has no Agent. Through the web gateway
        that is its stream origin, without Proxy Connections the zone's Proxy Hostname and Port."""
        if agent_id is None:
            return None
        origin = proxy.direct_origin(self.request_host) or stream_origin(
            self.config.stream_url, self.config.public_url, self.request_host
        )
        return f"{origin}{proxy.path_of(agent_id, session_id)}/"

    @property
    def page_origin(self) -> str:
        """Where the console is, as the caller came to it."""
        return f"https://{self.request_host}" if self.request_host else self.config.public_url

    def host_and_port(self, proxy: ProxyFacts) -> tuple[str | None, int]:
        """Where programs find the stream's path: the deployment itself, or without Proxy Connections the zone's own."""
        url = urlsplit(proxy.direct_origin(self.request_host) or self.config.public_url)
        return url.hostname, url.port or 443


async def _stream_urls(request: Request) -> StreamUrls:
    return StreamUrls(request.app.state.config, request.headers.get("host", ""))


Streams = Annotated[StreamUrls, Depends(_stream_urls)]


def connect_url(session_id: str, user_id: str, token: str) -> str:
    """Address of a session in the console, relative to the deployment."""
    return f"/#/connect/kasm/{session_id}/{user_id}/{token}"


def stream_url_of(session: Session, streams: StreamUrls) -> str | None:
    """The stream's address of a session; None while it has no Agent."""
    return streams.of(session.proxy, session.agent_id, session.session_id)


def token_of(session: Session, secrets: Secrets) -> str:
    """The token that opens the session's stream."""
    return secrets.connect_token(session.session_id, str(session.user_id), session.auth_epoch)


def opens(secrets: Secrets, token: str, session: StreamSession) -> bool:
    """Whether it is the connect token of this session, or of one that this session replaced."""
    user_id = session.user_id
    return user_id is not None and any(
        secrets.is_connect_token(token, member, user_id, session.auth_epoch) for member in session.family
    )


def access_by_lease(secrets: Secrets, token: str, session: StreamSession) -> Literal["program", "api"] | None:
    """Whose token it is, of a program or of the api, for the lease that holds this session; None = it is neither."""
    if session.lease_id is None or session.lease_epoch is None:
        return None
    if secrets.is_lease_token(token, session.lease_id, session.lease_epoch):
        return "program"
    return "api" if secrets.is_desk_token(token, session.lease_id, session.lease_epoch) else None


def frame_url(session: Session, url: str, token: str) -> str:
    """What the console opens: the start page of the workspace, with the token that lets a viewer in."""
    known = values(path=urlsplit(url).path, session_id=session.session_id, permissions=session.permissions)
    start = filled(session.start_page, known)
    return f"{url}{start}{'&' if '?' in start else '?'}token={token}"


def connection_of(
    session: Session,
    streams: StreamUrls,
    secrets: Secrets,
    *,
    may_open: bool,
    causes: bool = False,
    queue: Queue | None = None,
) -> ConnectionView:
    """The state of a session; with the stream's address once it runs, if `may_open`. `causes` and `queue` as in
    `service.progress_of`."""
    shown = service.progress_of(session, causes=causes, queue=queue)
    url = stream_url_of(session, streams)
    is_open = session.status == SessionStatus.RUNNING and session.user_id is not None and may_open
    return ConnectionView.of(
        session,
        operational_status=shown.operational_status,
        operational_progress=shown.percent,
        operational_message=shown.message,
        steps=shown.steps,
        frame_url=frame_url(session, url, token_of(session, secrets)) if is_open and url else None,
        own_page="painted" in session.steps,  # only our own pages' frames are read
        websocket_path=f"{urlsplit(url).path}websockify" if is_open and url else None,
    )
