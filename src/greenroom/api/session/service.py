"""Sessions, for `/api/v1` and the published interface: authorization, progress, addresses of streams, and end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Request

from greenroom.api.access.schemas import known_timezone
from greenroom.api.security import AccessDeclaration, Caller
from greenroom.api.session.authorized import ActsOnSession, authorize, caller_in_session, kind_of, session_caller_of
from greenroom.api.session.schemas import ConnectionView, SessionCreate
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Invalid
from greenroom.core.events import session_events
from greenroom.core.fleet.addresses import stream_origin
from greenroom.core.launch.request import LaunchRequest
from greenroom.core.log_codes import LogCode
from greenroom.core.recording.session_video import is_recorded
from greenroom.core.session.authorization import Act, Verdict
from greenroom.core.session.progress import QueuePosition, StartProgress, start_progress
from greenroom.core.session.sharing import watermark_of
from greenroom.core.session.states import STOPPED_OR_PAUSED, SessionStatus
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.page import token_values, with_tokens_replaced
from greenroom.db.access.credentials import TokenLogin, find_token_login
from greenroom.db.access.roles import read_grants
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch import replacement
from greenroom.db.session import sessions, views
from greenroom.db.session.viewers import StreamSession
from greenroom.db.session.views import Session
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets, is_same, secret_digest
from greenroom.kit.stops import hold_if_armed


async def session_and_verdict(
    db: Database, caller: Caller, session_id: str, act: Act, *, follow: bool = True
) -> tuple[Session, Verdict]:
    """Return a session, and the verdict of the authorization table on this act of the caller.

    If the session was replaced, the replacement is returned. Without `follow`, the replaced session is returned, which
    has no user.

    Raises:
        NotFound: there is no session with this id, or the caller may not see it.
        Forbidden: the caller may not do this act.
    """
    done = await _authorized_act(db, caller, session_id, act, follow=follow)
    return done.session, done.verdict


async def session_for(db: Database, caller: Caller, session_id: str, act: Act, *, follow: bool = True) -> Session:
    """Return a session on which the caller may do this act. Raises the same errors as `session_and_verdict`."""
    return (await session_and_verdict(db, caller, session_id, act, follow=follow))[0]


@dataclass(frozen=True, slots=True)
class SessionAct:
    """An act of a caller on one session that the authorization table allows."""

    caller: Caller
    session: Session
    verdict: Verdict


async def _authorized_act(db: Database, caller: Caller, session_id: str, act: Act, *, follow: bool) -> SessionAct:
    session = await views.get_session(db, session_id, follow=follow)
    caller = await caller_in_session(db, caller, act, session.zone_id, session.user_id)
    session_caller = session_caller_of(caller, session.user_id, kind_of(caller, session.user_id))
    return SessionAct(caller, session, await authorize(db, act, session_caller, session))


class AuthorizesSession(AccessDeclaration):
    """A dependency that returns the session of the path, for callers who may do `act` on it."""

    def __init__(self, act: Act) -> None:
        self._requires = ActsOnSession(act)
        self.acts = self._requires.acts
        self.codes = self._requires.codes
        self.one_of = self._requires.one_of
        self.scope = self._requires.scope

    async def __call__(self, request: Request, session_id: UUID) -> SessionAct:
        """Authenticate and authorize. Raises Unauthenticated, Forbidden, NotFound: as for `Requires` and
        `session_and_verdict`."""
        caller = await self._requires(request)
        return await _authorized_act(request.app.state.db, caller, str(session_id), self.acts[0], follow=True)


def session_act_for(act: Act) -> Any:
    """Return the dependency of a route that does `act` on the session of the path; its value is a `SessionAct`."""
    return Depends(AuthorizesSession(act))


async def launching_user(db: Database, caller: Caller, user_id: UUID | None, *for_others: str) -> str:
    """Return the user of a launch: `user_id`, or else the caller, or the owner of the API key.

    Raises:
        Invalid: `user_id` is None, and the API key has no owner.
        Forbidden: `user_id` is another user; the caller has neither `users_auth_session` nor a code of `for_others`, or
            the user has permissions that the caller lacks.
    """
    launch_user_id = str(user_id) if user_id else caller.owner_id
    if launch_user_id is None:
        raise Invalid("This API key has no owner. Set user_id to the user of the session.")
    if launch_user_id == caller.owner_id:
        caller.require_one_of(USER, "users_auth_session")
    else:
        caller.require_one_of("users_auth_session", *for_others)
        caller.require_right_over(await read_grants(db, launch_user_id))
    return launch_user_id


def launch_request(
    body: SessionCreate, user_id: str, image_id: str, headers: Mapping[str, str], idempotency_key: str | None
) -> LaunchRequest:
    """Return the launch that a body requests for this user; `headers` are the headers of its request."""
    return LaunchRequest(
        user_id=user_id,
        image_id=image_id,
        zone_id=str(body.zone_id) if body.zone_id else None,
        gateway_zone=headers.get("x-greenroom-zone") or None,
        request_host=headers.get("host", ""),
        environment=dict(body.environment),
        kasm_url=body.kasm_url,
        network_id=body.network_id or None,
        persistent_profile_mode=body.persistent_profile_mode,
        idempotency_key=idempotency_key or None,
        round_trips_ms={str(zone_id): ms for zone_id, ms in body.round_trips_ms.items()},
        browser_language=body.browser_language,
        browser_timezone=known_timezone(body.browser_timezone),
    )


def may_know_causes(caller: Caller) -> bool:
    """Return True if the caller may read the cause of a failure.

    A cause contains names of machines and registries, and messages of registries.
    """
    return caller.may("sessions_view")


async def queue_of(db: Database, session: Session) -> QueuePosition | None:
    """Return the position of a session in the queue of starts of its Agent; None if it does not wait there."""
    waits = session.status == SessionStatus.STARTING and "queued" in session.steps and "admitted" not in session.steps
    return await views.read_queue(db, session.session_id) if waits else None


def progress_of(session: Session, *, shows_causes: bool, queue: QueuePosition | None = None) -> StartProgress:
    """Return the progress of a session. The steps of a staged session that has a user are those of its hand-over.

    With `shows_causes`, a failure contains the messages of the Agent and the container (`may_know_causes`).
    """
    staged = session.staging_config_id is not None and session.user_id is not None
    error = (session.error or session.set_aside_reason or "no reason was given") if shows_causes else ""
    progress = start_progress(
        session.status,
        session.steps,
        staged=staged,
        error=error,
        queue=queue,
        status_since=time.time() - session.status_age_s,
    )
    if session.awaits_successor:
        return replace(progress, message="The session failed; another session is starting")
    if session.stopped_reason and session.status in STOPPED_OR_PAUSED:
        return replace(progress, message=f"{progress.message} ({session.stopped_reason.rstrip('.')})")
    return progress


async def destroy(db: Database, logs: LogWriter, session: Session, reason: str) -> None:
    """Record that the session must end; its Agent removes the container. A repeated call succeeds."""
    async with db.transaction() as connection:
        deleted = await sessions.request_delete(connection, session.session_id, reason)
    await hold_if_armed("destroy.after_commit")
    await db.notify(
        *session_events(
            deleted.session_id,
            agent_id=deleted.agent_id,
            staging_config_id=session.staging_config_id if session.user_id is None else None,
            zone_key=session.zone_key,
        )
    )
    if deleted.changed:
        logs.write(
            LogCode.SESSION_DELETE_REQUESTED,
            f"The session {deleted.session_id} ends: {reason}",
            zone_name=session.zone_name,
            session_id=deleted.session_id,
            user_id=session.user_id,
            username=session.username,
        )


async def destroy_quarantined(db: Database, logs: LogWriter, session: Session, reason: str) -> None:
    """Record that a quarantined session must end; its replacement continues."""
    session_id = session.session_id
    async with db.transaction() as connection:
        if not await replacement.destroy_quarantined(connection, session_id, reason):
            return  # the session is already ending
    await db.notify(*session_events(session_id, agent_id=session.agent_id, zone_key=session.zone_key))
    logs.write(
        LogCode.SESSION_DELETE_REQUESTED,
        f"The session {session_id}, which was quarantined, ends: {reason}",
        zone_name=session.zone_name,
        session_id=session_id,
        staging_config_id=session.staging_config_id,
    )


@dataclass(frozen=True, slots=True)
class StreamUrls:
    """The addresses of streams, for one request. `request_host` is the `Host` header of the request."""

    config: ApiConfig
    request_host: str

    def of(self, proxy: ProxyFacts, agent_id: str | None, session_id: str) -> str | None:
        """Return the address of the stream, with a trailing slash; None while the session has no Agent.

        The address is below the stream origin of the web gateway; without Proxy Connections, below the Proxy Hostname
        and Proxy Port of the zone.
        """
        if agent_id is None:
            return None
        origin = proxy.direct_origin(self.request_host) or stream_origin(
            self.config.stream_url, self.config.public_url, self.request_host
        )
        return f"{origin}{proxy.path_of(agent_id, session_id)}/"

    @property
    def page_origin(self) -> str:
        """The origin of the console, as the caller addressed it."""
        return f"https://{self.request_host}" if self.request_host else self.config.public_url

    def host_and_port(self, proxy: ProxyFacts) -> tuple[str | None, int]:
        """Return the host and port of streams, for programs; the host is None if the configured address has none.

        In a zone without Proxy Connections, they are those of the zone; otherwise, they are those of the deployment.
        """
        url = urlsplit(proxy.direct_origin(self.request_host) or self.config.public_url)
        return url.hostname, url.port or 443


async def _stream_urls(request: Request) -> StreamUrls:
    return StreamUrls(request.app.state.config, request.headers.get("host", ""))


Streams = Annotated[StreamUrls, Depends(_stream_urls)]


def connect_url(session_id: str, user_id: str, token: str) -> str:
    """Return the address of a session in the console, relative to the deployment."""
    return f"/#/connect/kasm/{session_id}/{user_id}/{token}"


def stream_url_of(session: Session, streams: StreamUrls) -> str | None:
    """Return the address of the stream of a session; None while it has no Agent."""
    return streams.of(session.proxy, session.agent_id, session.session_id)


def token_of(session: Session, secrets: Secrets) -> str:
    """Return the token that opens the stream of the session."""
    return secrets.connect_token(session.session_id, str(session.user_id), session.auth_epoch)


def is_connect_token_of(secrets: Secrets, token: str, session: StreamSession) -> bool:
    """Return True if this is the connect token of this session, or of a session that it replaced."""
    user_id = session.user_id
    return user_id is not None and any(
        is_same(token, secrets.connect_token(session_id, user_id, session.auth_epoch))
        for session_id in session.own_and_replaced_ids
    )


async def login_of_token(db: Database, secrets: Secrets, token: str, idle_s: float) -> TokenLogin | None:
    """Return the log-in with this session token, which a program created for a user; None if the token is not valid."""
    login_id = secrets.login_id_in(token)
    login = await find_token_login(db, login_id, idle_s) if login_id is not None else None
    return login if login is not None and login.token_hash == secret_digest(token) else None


def access_by_lease(secrets: Secrets, token: str, session: StreamSession) -> Literal["program", "api"] | None:
    """Return who has this token of the lease of the session: a program or the api. None = the lease has no such
    token."""
    if session.lease_id is None or session.lease_epoch is None:
        return None
    if is_same(token, secrets.lease_token(session.lease_id, session.lease_epoch)):
        return "program"
    return "api" if is_same(token, secrets.desk_token(session.lease_id, session.lease_epoch)) else None


def frame_url(session: Session, url: str, token: str) -> str:
    """Return the address that the console opens: the start page of the workspace, with the token of the viewer."""
    placeholders = token_values(path=urlsplit(url).path, session_id=session.session_id, permissions=session.permissions)
    start = with_tokens_replaced(session.start_page, placeholders)
    return f"{url}{start}{'&' if '?' in start else '?'}token={token}"


def connection_of(
    session: Session,
    streams: StreamUrls,
    secrets: Secrets,
    *,
    may_open: bool,
    shows_causes: bool = False,
    queue: QueuePosition | None = None,
) -> ConnectionView:
    """Return the state of a session. If `may_open`, it contains the address of the stream once the session runs.

    For `shows_causes` and `queue` see `service.progress_of`.
    """
    progress = progress_of(session, shows_causes=shows_causes, queue=queue)
    url = stream_url_of(session, streams)
    can_open = session.status == SessionStatus.RUNNING and session.user_id is not None and may_open
    return ConnectionView.of(
        session,
        operational_status=progress.operational_status,
        operational_progress=progress.percent,
        operational_message=progress.message,
        steps=progress.steps,
        frame_url=frame_url(session, url, token_of(session, secrets)) if can_open and url else None,
        own_page="painted" in session.steps,  # the console reads only frames with pages of Greenroom
        watermark=watermark_of(session.client_settings, session.username or ""),
        recorded=is_recorded(session.client_settings),
        websocket_path=f"{urlsplit(url).path}websockify" if can_open and url else None,
    )
