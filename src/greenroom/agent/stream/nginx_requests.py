"""The requests of nginx to the Agent about streams: their headers, and the answers."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from greenroom.agent.session.observed import SessionSnapshot
from greenroom.agent.stream.viewers import StreamOrigin, Viewer, client_of, token_hash
from greenroom.core.errors import Forbidden, GreenroomError, TooLarge, Unauthenticated, Unavailable
from greenroom.core.session.authorization import SessionFacts
from greenroom.core.session.streams import (
    LEASE_TOKEN_ACCESSES,
    VIEWER_COOKIE,
    VIEWER_TTL_S,
    AnyAccess,
    PermittedViewers,
    StreamAddress,
    Target,
    act_of_request,
    lease_token_in,
    printable,
    refusal_of_request,
    refusal_of_upload,
)
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.wire.viewers import GATEWAY_HEADER, StreamRequest, StreamVerdict


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A token of a request. `username` is the name that a program sends with it. `of_lease`: the request presents the
    token as the token of a lease."""

    token: str
    username: str = ""
    of_lease: bool = False

    def as_message(self, session_id: str, origin: str) -> StreamRequest:
        """Return the request to the api to check this token for a session."""
        return StreamRequest(session_id=session_id, token=self.token, username=self.username, origin=origin)


def granted_access(verdict: StreamVerdict) -> AnyAccess:
    """Return the access that the api grants a viewer. The user of the session always has control."""
    is_other_viewer = verdict.viewer_id or verdict.access in LEASE_TOKEN_ACCESSES
    return verdict.access if is_other_viewer else "control"


def stream_origin(headers: Headers) -> StreamOrigin:
    """Return the origin of the viewer's connection."""
    names = ("x-original-client", "x-original-client-port", "x-original-forwarded-for", GATEWAY_HEADER)
    return client_of(*(headers.get(name, "") for name in names))


def idle_disconnect_s(session: SessionSnapshot, viewer: Viewer) -> float:
    """Return the seconds after which a viewer without input is disconnected; 0 = never. Programs and viewers without
    control are never disconnected."""
    return session.authorised.idle_disconnect_s if session.authorised and viewer.access == "control" else 0.0


def max_upload_mb(session: SessionSnapshot) -> int:
    """Return the upload limit of the session's user in MB; 0 = no limit."""
    return session.authorised.max_upload_mb if session.authorised else 0


def check_upload(headers: Headers, session: SessionSnapshot) -> None:
    """Check the size of the body of an upload. If a file is sent in pieces, the page of the session checks the size of
    the file. Raises TooLarge: the body exceeds the limit of the session's user."""
    length = headers.get("x-original-length", "")
    reason = refusal_of_upload(
        method=headers.get("x-original-method", ""),
        length_bytes=int(length) if length.isdecimal() else None,
        max_mb=max_upload_mb(session),
    )
    if reason:
        raise TooLarge(reason)


def check_access(
    headers: Headers, viewer: Viewer, session: SessionSnapshot, address: StreamAddress, target: Target
) -> None:
    """Check a request by the authorization table (`core.session.authorization`). Raises Forbidden: the table does not
    allow it."""
    method = headers.get("x-original-method", "GET")
    act = act_of_request(viewer.access, method, address.rest, is_page=not target.removed_prefix)
    if reason := refusal_of_request(viewer.access, act, _facts(session)):
        raise Forbidden(reason)


def _facts(session: SessionSnapshot) -> SessionFacts:
    authorised = session.authorised
    if authorised is None:
        return SessionFacts()
    return SessionFacts(permitted=dict.fromkeys(authorised.permitted, True), must_record=authorised.must_record)


def permitted_by(session: SessionSnapshot | None) -> PermittedViewers | None:
    """Return the viewers that the desired list permits for the session; None = no viewer."""
    if session is None or session.closed or (authorised := session.authorised) is None:
        return None
    return PermittedViewers(
        user_id=authorised.user_id,
        epoch=authorised.epoch,
        program_epoch=authorised.program_epoch,
        database=session.database,
        guests=authorised.guests,
    )


def listed_program(
    session: SessionSnapshot, presented: PresentedToken, fresh_at: float | None, now: float
) -> Viewer | None:
    """Return the viewer for the token of a program, or of the api, whose hash is in the desired list; None = ask the
    api.

    `fresh_at`: the time at which a Manager last confirmed the list (time.monotonic(), like `now`).
    """
    authorised = session.authorised
    if not presented.of_lease or authorised is None or fresh_at is None or now - fresh_at > VIEWER_TTL_S:
        return None
    hashes: dict[AnyAccess, str] = {"program": authorised.program, "api": authorised.api}
    presented_hash = token_hash(presented.token)
    access: AnyAccess | None = next(
        (name for name, expected_hash in hashes.items() if hmac.compare_digest(expected_hash, presented_hash)), None
    )
    if access is None:
        return None
    return Viewer(
        session_id=session.session_id,
        token_hash=presented_hash,
        shown_session_id=session.session_id,
        user_id=authorised.user_id,
        epoch=authorised.epoch if authorised.program_epoch is None else authorised.program_epoch,
        database=session.database,
        confirmed_at=fresh_at,
        ttl_s=VIEWER_TTL_S,
        address=session.address or "",
        access=access,
        leased=True,
    )


def presented_tokens(headers: Headers, address: StreamAddress) -> list[PresentedToken]:
    """Return the tokens of a request. If it has a token of a lease, the other tokens are ignored."""
    if token := address.lease or lease_token_in(headers.get("authorization", "")):
        return [PresentedToken(token, of_lease=True)]
    return [*tokens_in(headers.get("cookie", "")), *([PresentedToken(address.token)] if address.token else [])]


def tokens_in(header: str) -> Iterator[PresentedToken]:
    """Yield the tokens in the header `Cookie`: first Greenroom's, then the `session_token` of programs with its user
    name."""
    pairs = [part.strip().partition("=") for part in header.split(";")]
    values = {name: unquote(value.strip('"')) for name, _, value in reversed(pairs)}
    if token := values.get(VIEWER_COOKIE):
        yield PresentedToken(token)
    if token := values.get("session_token"):
        yield PresentedToken(token, values.get("username", ""))


def page_authorization(spec: SessionSpec) -> str:
    """Return the value of the Authorization header with the credential of the session's page."""
    return "Basic " + base64.b64encode(f"{spec.auth_user}:{spec.credential}".encode()).decode()


def allowed_response(viewer: Viewer, session: SessionSnapshot, target: Target) -> Response:
    """Return the answer 200 with all headers that nginx needs to forward the request."""
    return Response(
        headers={
            "X-Greenroom-Upstream": f"{session.spec.protocol}://{target.address}",
            "X-Greenroom-Base": target.base,
            "X-Greenroom-Strip": target.removed_prefix,
            "X-Greenroom-Authorization": page_authorization(session.spec),
            "X-Greenroom-Idle-Disconnect-S": f"{idle_disconnect_s(session, viewer):g}",
            "X-Greenroom-Max-Upload-Mb": str(max_upload_mb(session)),
            "X-Greenroom-View-Only": "1" if viewer.is_view_only else "",
            "X-Greenroom-Program": "1" if viewer.is_program else "",
            "X-Greenroom-Viewer": viewer.name_on_page,
        }
    )


def refused_response(error: GreenroomError) -> Response:
    """Return the answer 401 or 403 with the reason, or 503 if the token could not be checked. It is never a redirect,
    because websocket clients would follow it.
    """
    reason = printable(error.message)
    headers = {"X-Greenroom-Reason": reason, "Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        return JSONResponse({"error_message": reason}, status_code=503, headers={**headers, "Retry-After": "5"})
    if isinstance(error, TooLarge):
        headers["X-Greenroom-Too-Large"] = "1"  # auth_request allows no other refusals than 401 and 403
    status = 401 if isinstance(error, Unauthenticated) else 403
    return JSONResponse({"error_message": reason}, status_code=status, headers=headers)
