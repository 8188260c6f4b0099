"""The Agent's answers to nginx about requests to the pages of sessions: the permission, and the address of the page.

nginx sends `GET /authorise` (auth_request) before every request to a stream. The answers are:

- 200: the request is allowed. `X-Greenroom-Upstream`, `X-Greenroom-Base` and `X-Greenroom-Strip` are the target
  (`core.session.streams`), and `X-Greenroom-Authorization` is the credential of the container. The page gets
  `X-Greenroom-Idle-Disconnect-S` (0 = never), `X-Greenroom-Max-Upload-Mb` (0 = no limit), `X-Greenroom-View-Only` (1 =
  the viewer may only watch), `X-Greenroom-Program` (1 = a program with the token of the lease) and `X-Greenroom-Viewer`
  (the name of the viewer in a leased session, `core.lease`).
- 401 or 403: the request is refused, with `X-Greenroom-Reason`. `X-Greenroom-Too-Large` means that an upload is over
  the limit of the session's user; nginx then answers 413.
- 503: the api does not answer.

`GET /enter` moves the token from the address into a cookie on the session's path. It redirects if another Agent runs
the session's replacement, or if the page works only at another path.

The api (at the `upstream_auth_address` of the zone) checks an unknown viewer. A program needs no check if its token is
in the desired list and a Manager has confirmed the list recently. A known viewer needs no check if the list permits
the viewer, and if, within the last `viewer_ttl_s` (10 minutes), the api has confirmed the viewer or a Manager has
confirmed the list. A revocation of the session's user ends all connections to the session; a revocation of a guest ends
only the connections of this guest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from greenroom.agent.session.observed import SessionReader, SessionSnapshot
from greenroom.agent.stream.gateways import Gateways
from greenroom.agent.stream.nginx_requests import (
    PresentedToken,
    allowed_response,
    check_access,
    check_upload,
    granted_access,
    listed_program,
    page_authorization,
    permitted_by,
    presented_tokens,
    refused_response,
    stream_origin,
)
from greenroom.agent.stream.viewers import (
    GuestPresence,
    StreamEvents,
    StreamOrigin,
    Viewer,
    Viewers,
    VisitLog,
    token_hash,
)
from greenroom.core.errors import Forbidden, GreenroomError, Unauthenticated, Unavailable
from greenroom.core.fleet.addresses import refusal_of_origin
from greenroom.core.session.sharing import NO_VIEW_ONLY
from greenroom.core.session.streams import (
    VIEWER_COOKIE,
    StreamAddress,
    Target,
    parse_address,
    refusal_by_agent,
    still_holds,
    target_of,
)
from greenroom.kit.concurrency import wait_for
from greenroom.kit.tcp import StreamTerminator
from greenroom.wire.viewers import StreamRequest, StreamVerdict, ViewerReport

log = structlog.get_logger(__name__)

MAX_TOKENS: Final = 3


class Identity(Protocol):
    """The identity of this Agent (`agent.fleet.identity`)."""

    @property
    def agent_id(self) -> str: ...

    @property
    def route(self) -> str: ...

    @property
    def bearer(self) -> str: ...


class ViewerChecker(Protocol):
    """Sends requests about a viewer to the api (agent.stream.admission)."""

    async def ask(self, address: str, bearer: str, question: StreamRequest) -> StreamVerdict:
        """Return the verdict of the api. Raises Unavailable: the request failed; the message names the address."""
        ...

    async def report(self, address: str, bearer: str, report: ViewerReport) -> None:
        """Report the guests in a session to the api. Raises Unavailable: as for `ask`."""
        ...


class SessionMovedError(Forbidden):
    """The session has another path, `path`: another Agent runs its replacement, or its page works only at this path."""

    def __init__(self, path: str) -> None:
        super().__init__("The session now has another address; request its status again.")
        self.path = path


LISTED_WITHIN_S, HANDED_OVER_WITHIN_S = 3.0, 10.0
"""The maximum waits for a desired list with a new guest or program, and for a hand-over or the start of a recording."""
SESSION_ENDED, ACCESS_ENDED = 4410, 4401
"""The close codes of websockets, in analogy to the HTTP statuses 410 and 401."""
LEASE_ENDED: Final = "The lease of this session has ended."
LEASE_OVER: Final = "The token is not valid here: its lease has ended or belongs to another session."
NOT_OF_LEASE: Final = (
    "Programs must pass only the token of a lease, as `Authorization: Bearer` or after lease/ in the address."
)


class PageClient(Protocol):
    """Sends requests to the pages of sessions (agent.stream.admission)."""

    async def ignores_view_only_input(self, url: str, authorization: str) -> bool:
        """Return True if the page ignores the input of viewers who may only watch. Raises Unavailable: it does not
        answer."""
        ...

    async def close_websockets(self, url: str, authorization: str, code: int, reason: str) -> None:
        """Close the websockets of the page with a code and a reason. Raises Unavailable: it did not close them."""
        ...


@dataclass(eq=False)
class StreamAuthorizer:
    """Answers the requests of nginx about streams.

    `last_fresh` returns the time of the last fresh answer of a Manager (time.monotonic()), until which all revocations
    are known.
    """

    sessions: SessionReader
    identity: Identity
    viewer_checker: ViewerChecker
    terminator: StreamTerminator
    folder: Path
    _: KW_ONLY
    pages: PageClient
    gateways: Gateways
    events: StreamEvents
    last_fresh: Callable[[], float | None]
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._viewers = Viewers(self.folder)
        self.visit_log = VisitLog(self.events.opened, self.events.closed, self.clock, self.gateways.connected)
        self.guest_presence = GuestPresence(self._viewers, self._send_report, self.clock, self.gateways.connected)
        self._list_changed = asyncio.Event()
        self._pending_checks: dict[tuple[str, str], asyncio.Task[Viewer]] = {}
        self._pages: dict[str, tuple[str, str]] = {}
        """session_id → the URL and the credential of a page with viewers. An ended session has no specification."""
        self._closing: dict[str, asyncio.Task[None]] = {}
        """session_id → the end of the websockets of its page."""

    @property
    def routes(self) -> list[BaseRoute]:
        return [Route("/authorise", self.authorise), Route("/enter", self.enter)]

    async def authorise(self, request: Request) -> Response:
        headers = request.headers
        try:
            address = self._address(headers.get("x-original-uri", ""))
            is_websocket = bool(headers.get("x-original-upgrade"))
            tokens = presented_tokens(headers, address)
            viewer, session = await self._admit(address, tokens, headers.get("origin"), websocket=is_websocket)
            target = _target(address, session)
            check_upload(headers, session)
            check_access(headers, viewer, session, address, target)
            client = stream_origin(headers)
            await self.gateways.admit(viewer, session, client, websocket=is_websocket)
            if is_websocket:
                self._record_opening(viewer, client, target)
            elif viewer.viewer_id and client.connection is not None:
                self.guest_presence.opened(viewer, client)  # a response to a guest may also last long
        except GreenroomError as error:
            self.events.decided("refused")
            return refused_response(error)
        await self._viewers.saved()
        self.events.decided("allowed")
        return allowed_response(viewer, session, target)

    async def enter(self, request: Request) -> Response:
        """Move the token from the address to a cookie on the session's path."""
        headers = request.headers
        try:
            address = self._address(headers.get("x-original-uri", ""))
            presented = PresentedToken(address.token)
            _, session = await self._admit(address, [presented], headers.get("origin"), websocket=False)
            _target(address, session)
        except SessionMovedError as moved:
            self.events.decided("moved")
            return self._redirect(headers.get("x-original-uri", ""), moved)
        except GreenroomError as error:
            self.events.decided("refused")
            return refused_response(error)
        await self._viewers.saved()
        self.events.decided("allowed")
        cookie = f"{VIEWER_COOKIE}={address.token}; Path={address.prefix}; HttpOnly; Secure; SameSite=Strict"
        return Response(
            status_code=303,
            headers={"Location": address.without_token, "Set-Cookie": cookie, "Cache-Control": "no-store"},
        )

    def _redirect(self, uri: str, moved: SessionMovedError) -> Response:
        """Redirect to the same page of the session's replacement. The token is also valid there."""
        location = moved.path + uri.removeprefix(self._address(uri).prefix)
        return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})

    def _address(self, uri: str) -> StreamAddress:
        address = parse_address(uri)
        if address is None or address.route != self.identity.route:
            raise Forbidden("This address does not belong to a session of this Agent.")
        return address

    async def _admit(
        self, address: StreamAddress, tokens: list[PresentedToken], origin: str | None, *, websocket: bool
    ) -> tuple[Viewer, SessionSnapshot]:
        """Return the viewer and the session whose desktop the viewer gets. `origin` is the origin of the requesting
        page.

        Raises Forbidden: no user may see the session now, or not from this origin. Raises Unauthenticated: the viewer
        may not see the session. Raises Unavailable: the permission of the viewer could not be checked.
        """
        requested = self.sessions.get(address.session_id)
        by_lease = any(presented.of_lease for presented in tokens)
        if requested is None or requested.closed:
            reason = requested.closed if requested else "This Agent does not run this session."
            raise (Unauthenticated(LEASE_OVER) if by_lease and not requested else Forbidden(reason))
        # a program may open a websocket without an Origin; a wrong Origin is refused with every token
        if reason := refusal_of_origin(origin, requested.spec.allow_origin, websocket=websocket and not by_lease):
            self.events.refused(f"A stream was refused: {reason}", address.session_id)
            raise Forbidden(reason)
        if not tokens:
            raise Unauthenticated("The request has no token; open the session from the console.")
        refusals: list[GreenroomError] = []
        for presented in tokens[:MAX_TOKENS]:
            try:
                viewer = await self._viewer(requested, presented, origin or "")
                if viewer.is_program != presented.of_lease:
                    raise Unauthenticated(NOT_OF_LEASE)
                if viewer.is_program or (requested.authorised is not None and requested.authorised.recorded):
                    await self._wait_for(self._is_handed_over, viewer, HANDED_OVER_WITHIN_S)
                session = self._session_for(viewer)
                if viewer.is_view_only:
                    await self._require_view_only(session)
                return viewer, session
            except (Unauthenticated, Unavailable) as error:
                refusals.append(error)
        # a token that could not be checked may be valid, so its error is raised first
        raise next((error for error in refusals if isinstance(error, Unavailable)), refusals[-1])

    def _session_for(self, viewer: Viewer) -> SessionSnapshot:
        """Return the session whose desktop this viewer gets. Raises Forbidden: the session shows no desktop now. Raises
        SessionMovedError: another Agent runs the session, at a known path."""
        session = self.sessions.get(viewer.shown_session_id)
        if session is None and parse_address(viewer.path) is not None:
            raise SessionMovedError(viewer.path)
        if session is None:
            raise Forbidden("The session now runs on another host; request its status again.")
        permitted, handed_over, address = permitted_by(session), session.handed_over, session.address
        reason = refusal_by_agent(
            session_id=session.session_id, permitted=permitted, handed_over=handed_over, address=address
        )
        if reason or session.address is None:
            raise Forbidden(reason)
        if viewer.address != session.address:
            self._viewers.set_address(viewer, session.address)
        url = f"{session.spec.protocol}://{session.address}"
        self._pages[session.session_id] = (url, page_authorization(session.spec))
        return session

    async def _require_view_only(self, session: SessionSnapshot) -> None:
        """Check that the page ignores the input of viewers who may only watch. Raises Forbidden: it does not."""
        if not await self.pages.ignores_view_only_input(
            f"{session.spec.protocol}://{session.address}", page_authorization(session.spec)
        ):
            raise Forbidden(NO_VIEW_ONLY)

    def _record_opening(self, viewer: Viewer, client: StreamOrigin, target: Target) -> None:
        """Record the connection of a viewer; only guests have a `viewer_id`. Raises Forbidden: the connection of a
        guest is unknown, so that a revocation could not end it."""
        if not viewer.viewer_id:
            if not (target.removed_prefix or viewer.is_program):
                self.visit_log.opened(viewer, client)
        elif client.connection is None:
            raise Forbidden("The gateway of this host has another version and does not report your connection.")
        else:
            self.guest_presence.opened(viewer, client)

    async def _viewer(self, requested: SessionSnapshot, presented: PresentedToken, origin: str) -> Viewer:
        """Return the viewer with this token. The api checks an unknown viewer; concurrent checks of one token share a
        request."""
        viewer = self._viewers.get(requested.session_id, presented.token)
        if viewer is not None and self._is_trusted(viewer):
            return viewer
        if (program := listed_program(requested, presented, self.last_fresh(), self.clock())) is not None:
            self._add(program)
            return program
        key = (requested.session_id, presented.token)
        if key not in self._pending_checks:
            task = asyncio.create_task(
                self._ask(requested, presented, origin), name=f"viewer of {requested.session_id}"
            )
            self._pending_checks[key] = task
            task.add_done_callback(lambda _: self._pending_checks.pop(key, None))
        return await asyncio.shield(self._pending_checks[key])

    def _is_trusted(self, viewer: Viewer) -> bool:
        session = self.sessions.get(viewer.shown_session_id)
        if session is None or not still_holds(viewer.grant, permitted_by(session)):
            return False
        ages_s = [self.clock() - at for at in (viewer.confirmed_at, self.last_fresh()) if at is not None]
        return any(0 <= age_s <= viewer.ttl_s for age_s in ages_s)  # a negative age is from before a reboot

    async def _ask(self, requested: SessionSnapshot, presented: PresentedToken, origin: str) -> Viewer:
        try:
            question = presented.as_message(requested.session_id, origin)
            verdict = await self.viewer_checker.ask(requested.spec.upstream_auth, self.identity.bearer, question)
        except Unavailable as error:
            self.events.refused(f"A viewer could not be admitted: {error.message}", requested.session_id)
            raise
        if not verdict.allow:
            raise Unauthenticated(verdict.reason)
        shown = self.sessions.get(verdict.session_id or requested.session_id)
        viewer = Viewer(
            session_id=requested.session_id,
            token_hash=token_hash(presented.token),
            shown_session_id=verdict.session_id or requested.session_id,
            user_id=verdict.user_id,
            epoch=verdict.epoch,
            database=requested.database,
            confirmed_at=self.clock(),
            ttl_s=verdict.viewer_ttl_s,
            address=(shown.address if shown else None) or "",
            path=verdict.path,
            viewer_id=verdict.viewer_id,
            access=granted_access(verdict),
            leased=verdict.leased,
        )
        if viewer.viewer_id or viewer.is_program:
            await self._wait_for(self._is_permitted, viewer)
        if not self._is_permitted(viewer):
            raise Unauthenticated(f"This Agent has no permission of this user for session {viewer.shown_session_id}.")
        self._add(viewer)
        return viewer

    def _add(self, viewer: Viewer) -> None:
        self._viewers.remove_unless(lambda other: self.sessions.get(other.shown_session_id) is not None)
        self._viewers.add(viewer)

    def _is_permitted(self, viewer: Viewer) -> bool:
        session = self.sessions.get(viewer.shown_session_id)
        return session is None or still_holds(viewer.grant, permitted_by(session))

    def _is_handed_over(self, viewer: Viewer) -> bool:
        session = self.sessions.get(viewer.shown_session_id)
        return session is None or session.handed_over or not still_holds(viewer.grant, permitted_by(session))

    async def _wait_for(
        self, condition: Callable[[Viewer], bool], viewer: Viewer, within_s: float = LISTED_WITHIN_S
    ) -> None:
        """Wait until the condition is true for the viewer: a new desired list may contain a new guest or lease."""
        end_s = time.monotonic() + within_s
        while not condition(viewer) and (left_s := end_s - time.monotonic()) > 0:
            self._list_changed.clear()
            await wait_for(self._list_changed, left_s)

    def handed_over(self, _session_id: str) -> None:
        """Wake the requests that wait for the hand-over or for the recording of a session."""
        self._list_changed.set()

    def authorised_changed(self, session_id: str) -> None:
        """Disconnect and remove the viewers who are not permitted any more, after a change of the permitted viewers.
        The page closes its websockets with the reason before the connections are cut."""
        self._list_changed.set()
        session = self.sessions.get(session_id)
        page = self._pages.pop(session_id, None) if session is None else self._pages.get(session_id)
        revoked = self._viewers.forget_revoked(session_id, permitted_by(session))
        if page is None or all(viewer.viewer_id for viewer in revoked):
            self._disconnect(session_id, session, revoked)
        else:
            task = asyncio.create_task(self._close(session_id, session, revoked, page), name=f"close {session_id}")
            self._closing[session_id] = task
            task.add_done_callback(lambda ended: self._forget_closing(session_id, ended))

    async def closed(self, session_id: str) -> None:
        """Wait until the websockets of a session are closed whose viewers are not permitted any more."""
        if (task := self._closing.get(session_id)) is not None:
            await asyncio.wait({task})

    def _forget_closing(self, session_id: str, ended: asyncio.Task[None]) -> None:
        if self._closing.get(session_id) is ended:
            del self._closing[session_id]

    async def _close(
        self, session_id: str, session: SessionSnapshot | None, revoked: list[Viewer], page: tuple[str, str]
    ) -> None:
        if session is not None:
            code, reason = ACCESS_ENDED, session.closed or "This access to the session was revoked."
        else:
            is_leased = any(viewer.leased or viewer.is_program for viewer in revoked)
            code, reason = SESSION_ENDED, LEASE_ENDED if is_leased else "The session has ended."
        try:
            await self.pages.close_websockets(*page, code, reason)
        except Unavailable as error:  # such as a page of a third-party image; its connections are cut
            log.info("the websockets of a session are not closed with a reason", reason=error.message)
        finally:
            self._disconnect(session_id, session, revoked)

    def _disconnect(self, session_id: str, session: SessionSnapshot | None, revoked: list[Viewer]) -> None:
        self.gateways.changed(session_id)
        for viewer in revoked:
            if viewer.viewer_id:
                local_connections = [connection for connection in viewer.connections if not connection.gateway]
                self.terminator.cut_clients_soon(session_id, local_connections)
                continue
            for address in filter(None, (viewer.address, *(session.services.values() if session else ()))):
                self.terminator.cut_soon(session_id, address)
        self.guest_presence.changed()

    async def _send_report(self, report: ViewerReport) -> bool:
        session = self.sessions.get(report.session_id)
        if session is None:
            return False
        await self.viewer_checker.report(session.spec.upstream_auth, self.identity.bearer, report)
        return True


def _target(address: StreamAddress, session: SessionSnapshot) -> Target:
    """Return the target of a request. Raises Forbidden: the session may not use the target. Raises SessionMovedError:
    the page has another path."""
    target = target_of(address, session.spec, session.address or "", session.services)
    if target.redirect_path:
        raise SessionMovedError(target.redirect_path)
    return target
