"""The Agent's answer to nginx: may this request reach a session's page, and where is it?

`GET /authorise` is nginx's auth_request before every request to a stream: 200 with `X-Greenroom-Upstream`,
`X-Greenroom-Base` and `X-Greenroom-Strip` (core.session.targets), `X-Greenroom-Authorization` (the container's own
credential), and for the session's page `X-Greenroom-Idle-Disconnect-S` (0 = never) and `X-Greenroom-Max-Upload-Mb`
(0 = no limit of the user's), or 401/403 with `X-Greenroom-Reason`, or 503 when the api cannot be asked. An upload over
the limit of the session's user is 403 with `X-Greenroom-Too-Large`, which nginx turns into 413. `GET /enter` opens a
page with its token in the address, and moves the token into a cookie on the session's path; if another Agent runs the
session's replacement, or its page serves another path alone, it redirects there.

An unknown viewer is checked at the session's Upstream Auth Address. A known one may return while the session's
permitted viewers in a fresh desired list are unchanged, and for `viewer_ttl_s` (10 minutes) after the last confirmation
by a Manager. A revocation cuts their connections.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from greenroom.agent.session.views import SessionSnapshot, SessionView
from greenroom.agent.stream.termination import StreamTerminator
from greenroom.agent.stream.viewers import Client, Openings, Viewer, Viewers, Write, client_of, token_hash
from greenroom.core.errors import Forbidden, GreenroomError, TooLarge, Unauthenticated, Unavailable
from greenroom.core.fleet.addresses import refusal_of_origin
from greenroom.core.session.streams import (
    VIEWER_COOKIE,
    Grant,
    StreamAddress,
    parse_address,
    printable,
    refusal_by_agent,
    refusal_of_upload,
    still_holds,
)
from greenroom.core.session.targets import Target, target_of
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.wire.messages import Authorised, Stream, StreamVerdict

MAX_TOKENS: Final = 3

Report = Callable[[str, str], None]
"""(sentence, session_id): a viewer was refused for a reason an administrator should see."""


class Identity(Protocol):
    """The Agent's identity (agent.fleet.identity)."""

    @property
    def route(self) -> str: ...

    @property
    def bearer(self) -> str: ...


class Asker(Protocol):
    """Asks the api about a viewer (agent.stream.upstream_auth)."""

    async def ask(self, address: str, bearer: str, question: Stream) -> StreamVerdict:
        """Raises Unavailable: the api could not be asked; the sentence names the address."""
        ...


class MovedError(Forbidden):
    """The session is at `path`: another Agent runs the one that took its place, or its page serves no other path."""

    def __init__(self, path: str) -> None:
        super().__init__("The session is at another address now; ask for its status again.")
        self.path = path


@dataclass(frozen=True, slots=True)
class _Shown:
    """A token that came with a request, and the user name beside it."""

    token: str
    username: str = ""


class StreamAuthoriser:
    """Answers nginx's requests about streams.

    `last_fresh`: time.monotonic() of the last fresh answer of a Manager, which would have brought a revocation.
    `report` is called with every refusal that an administrator should see, `opened` and `closed`
    (`greenroom.agent.stream.viewers`) with every stream, `decided` with `allowed` or `refused` for every request.
    """

    def __init__(
        self,
        sessions: SessionView,
        identity: Identity,
        asker: Asker,
        cutter: StreamTerminator,
        folder: Path,
        *,
        last_fresh: Callable[[], float | None],
        report: Report,
        opened: Write,
        closed: Write,
        decided: Callable[[str], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._identity = identity
        self._asker = asker
        self._cutter = cutter
        self._viewers = Viewers(folder)
        self._last_fresh = last_fresh
        self._report = report
        self._decided = decided
        self._clock = clock
        self.openings = Openings(opened, closed, clock)
        self._asking: dict[tuple[str, str], asyncio.Task[Viewer]] = {}

    @property
    def routes(self) -> list[BaseRoute]:
        return [Route("/authorise", self.authorise), Route("/enter", self.enter)]

    async def authorise(self, request: Request) -> Response:
        headers = request.headers
        try:
            address = self._address(headers.get("x-original-uri", ""))
            is_websocket = bool(headers.get("x-original-upgrade"))
            shown = [*_cookies(headers.get("cookie", "")), *([_Shown(address.token)] if address.token else [])]
            viewer, session = await self._admit(address, shown, headers.get("origin"), websocket=is_websocket)
            target = _target(address, session)
            _check_upload(headers, session)
            if is_websocket and not target.strip:
                self.openings.opened(viewer, _client(headers))
        except GreenroomError as error:
            self._decided("refused")
            return _refused(error)
        self._decided("allowed")
        return Response(
            headers={
                "X-Greenroom-Upstream": f"{session.spec.protocol}://{target.address}",
                "X-Greenroom-Base": target.base,
                "X-Greenroom-Strip": target.strip,
                "X-Greenroom-Authorization": _basic(session.spec),
                "X-Greenroom-Idle-Disconnect-S": f"{_idle_disconnect_s(session):g}",
                "X-Greenroom-Max-Upload-Mb": str(_max_upload_mb(session)),
            }
        )

    async def enter(self, request: Request) -> Response:
        """Turn the token in the address into a cookie on the session's path."""
        headers = request.headers
        try:
            address = self._address(headers.get("x-original-uri", ""))
            _, session = await self._admit(address, [_Shown(address.token)], headers.get("origin"), websocket=False)
            _target(address, session)
        except MovedError as moved:
            self._decided("moved")
            return self._sent_on(headers.get("x-original-uri", ""), moved)
        except GreenroomError as error:
            self._decided("refused")
            return _refused(error)
        self._decided("allowed")
        cookie = f"{VIEWER_COOKIE}={address.token}; Path={address.prefix}; HttpOnly; Secure; SameSite=Strict"
        return Response(
            status_code=303,
            headers={"Location": address.without_token, "Set-Cookie": cookie, "Cache-Control": "no-store"},
        )

    def _sent_on(self, uri: str, moved: MovedError) -> Response:
        """Redirect to the same page of the session that replaced this one; its token opens that one, too."""
        location = moved.path + uri.removeprefix(self._address(uri).prefix)
        return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})

    def _address(self, uri: str) -> StreamAddress:
        address = parse_address(uri)
        if address is None or address.route != self._identity.route:
            raise Forbidden("This address belongs to no session of this Agent.")
        return address

    async def _admit(
        self, address: StreamAddress, shown: list[_Shown], origin: str | None, *, websocket: bool
    ) -> tuple[Viewer, SessionSnapshot]:
        """The viewer and the session whose desktop they get; `origin` is that of the asking page.

        Raises:
            Forbidden: no user may see it now, or not from this origin.
            Unauthenticated: the viewer may not see it.
            Unavailable: the viewer's permission could not be checked; no viewer is admitted meanwhile.
        """
        asked = self._sessions.get(address.session_id)
        if asked is None:
            raise Forbidden("This Agent runs no such session.")
        if reason := refusal_of_origin(origin, asked.spec.allow_origin, websocket=websocket):
            self._report(f"A stream was refused: {reason}", address.session_id)
            raise Forbidden(reason)
        if not shown:
            raise Unauthenticated("No token came with the request; open the session from the console.")
        refusals: list[GreenroomError] = []
        for one in shown[:MAX_TOKENS]:
            try:
                viewer = await self._viewer(asked, one, origin or "")
                return viewer, self._shown_to(viewer)
            except (Unauthenticated, Unavailable) as error:
                refusals.append(error)
        # no final verdict as long as one of the tokens was not asked about
        raise next((error for error in refusals if isinstance(error, Unavailable)), refusals[-1])

    def _shown_to(self, viewer: Viewer) -> SessionSnapshot:
        """The desktop this viewer gets.

        Raises:
            Forbidden: there is nothing to see now; MovedError where it is known who shows it.
        """
        session = self._sessions.get(viewer.shows)
        if session is None and parse_address(viewer.path) is not None:
            raise MovedError(viewer.path)
        if session is None:
            raise Forbidden("The session runs on another host now; ask for its status again.")
        reason = refusal_by_agent(
            session_id=session.session_id,
            authorised=_grant(session.authorised),
            handed_over=session.handed_over,
            address=session.address,
        )
        if reason or session.address is None:
            raise Forbidden(reason)
        if viewer.address != session.address:
            self._viewers.moved(viewer, session.address)
        return session

    async def _viewer(self, asked: SessionSnapshot, shown: _Shown, origin: str) -> Viewer:
        """The viewer with this token, known or asked about; equal questions at one time are asked once."""
        known = self._viewers.get(asked.session_id, shown.token)
        if known is not None and self._is_trusted(known):
            return known
        key = (asked.session_id, shown.token)
        if key not in self._asking:
            task = asyncio.create_task(self._ask(asked, shown, origin), name=f"viewer of {asked.session_id}")
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(self._asking[key])

    def _is_trusted(self, viewer: Viewer) -> bool:
        session = self._sessions.get(viewer.shows)
        if session is None or not still_holds(viewer.grant, _grant(session.authorised)):
            return False
        ages_s = [self._clock() - at for at in (viewer.confirmed_at, self._last_fresh()) if at is not None]
        return any(0 <= age_s <= viewer.ttl_s for age_s in ages_s)  # below 0: from before a restart of the machine

    async def _ask(self, asked: SessionSnapshot, shown: _Shown, origin: str) -> Viewer:
        question = Stream(session_id=asked.session_id, token=shown.token, username=shown.username, origin=origin)
        try:
            verdict = await self._asker.ask(asked.spec.upstream_auth, self._identity.bearer, question)
        except Unavailable as error:
            self._report(f"A viewer could not be admitted: {error.message}", asked.session_id)
            raise
        if not verdict.allow:
            raise Unauthenticated(verdict.reason)
        viewer = Viewer(
            session_id=asked.session_id,
            token_hash=token_hash(shown.token),
            shows=verdict.session_id or asked.session_id,
            user_id=verdict.user_id,
            epoch=verdict.epoch,
            confirmed_at=self._clock(),
            ttl_s=verdict.viewer_ttl_s,
            address="",
            path=verdict.path,
        )
        session = self._sessions.get(viewer.shows)
        if session is not None and not still_holds(viewer.grant, _grant(session.authorised)):
            raise Unauthenticated(f"Session {viewer.shows} is not this user's, as far as this Agent knows.")
        self._viewers.keep(lambda one: self._sessions.get(one.shows) is not None)
        self._viewers.add(viewer)
        return viewer

    def authorised_changed(self, session_id: str) -> None:
        """The permitted viewers of the session changed: forget and cut those no longer permitted."""
        session = self._sessions.get(session_id)
        for viewer in self._viewers.forget_revoked(session_id, _grant(session.authorised) if session else None):
            beside = session.services.values() if session else ()
            for address in filter(None, (viewer.address, *beside)):
                self._cutter.cut_soon(session_id, address)


def _target(address: StreamAddress, session: SessionSnapshot) -> Target:
    """Raises Forbidden: the session may not use it; MovedError: its page serves another path only."""
    target = target_of(address, session.spec, session.address or "", session.services)
    if target.elsewhere:
        raise MovedError(target.elsewhere)
    return target


def _client(headers: Headers) -> Client:
    names = ("x-original-client", "x-original-client-port", "x-original-forwarded-for")
    return client_of(*(headers.get(name, "") for name in names))


def _idle_disconnect_s(session: SessionSnapshot) -> float:
    return session.authorised.idle_disconnect_s if session.authorised else 0.0


def _max_upload_mb(session: SessionSnapshot) -> int:
    return session.authorised.max_upload_mb if session.authorised else 0


def _check_upload(headers: Headers, session: SessionSnapshot) -> None:
    """Raises TooLarge: the request exceeds the limit of the session's user; a file in pieces is left to the page."""
    length = headers.get("x-original-length", "")
    reason = refusal_of_upload(
        method=headers.get("x-original-method", ""),
        length_bytes=int(length) if length.isdecimal() else None,
        max_mb=_max_upload_mb(session),
    )
    if reason:
        raise TooLarge(reason)


def _grant(authorised: Authorised | None) -> Grant | None:
    return Grant(user_id=authorised.user_id, epoch=authorised.epoch) if authorised else None


def _cookies(header: str) -> Iterator[_Shown]:
    """The tokens among the cookies: ours, then the one that programs send with their user's name."""
    pairs = [part.strip().partition("=") for part in header.split(";")]
    values = {name: unquote(value.strip('"')) for name, _, value in reversed(pairs)}
    if token := values.get(VIEWER_COOKIE):
        yield _Shown(token)
    if token := values.get("session_token"):
        yield _Shown(token, values.get("username", ""))


def _basic(spec: SessionSpec) -> str:
    return "Basic " + base64.b64encode(f"{spec.auth_user}:{spec.credential}".encode()).decode()


def _refused(error: GreenroomError) -> Response:
    """401 or 403 with the reason, 503 without a verdict; never a redirect, which a websocket client would follow."""
    reason = printable(error.message)
    headers = {"X-Greenroom-Reason": reason, "Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        return JSONResponse({"error_message": reason}, status_code=503, headers={**headers, "Retry-After": "5"})
    if isinstance(error, TooLarge):
        headers["X-Greenroom-Too-Large"] = "1"  # auth_request allows no other refusals than 401 and 403
    status = 401 if isinstance(error, Unauthenticated) else 403
    return JSONResponse({"error_message": reason}, status_code=status, headers=headers)
