"""Routes for other roles: Agents authorize and report viewers of streams; gateways read the fleet and report requests.

Each role has a separate credential. The gateway makes only the routes for Agents available from outside.
"""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response

from greenroom.api.deps import Db, Logs, SecretsDep, SnapshotDep
from greenroom.api.diagnostics.metrics import ApiMetrics
from greenroom.api.recording import session_videos
from greenroom.api.security import public_route
from greenroom.api.session import share_service
from greenroom.api.session.service import access_by_lease, is_connect_token_of, login_of_token
from greenroom.core.access.permissions import USER, implied_codes
from greenroom.core.errors import Forbidden, Invalid, MalformedBody, Unauthenticated
from greenroom.core.log_codes import LogCode
from greenroom.core.session.sharing import reason_against_viewer
from greenroom.core.session.streams import VIEWER_TTL_S, WORKSPACE_LOST, Access, StreamFacts, refusal_by_api
from greenroom.db.access.credentials import touch_login
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import RequestRow, add_gateway_requests
from greenroom.db.fleet.enrollment import gateway_credential_hash, record_gateway_request
from greenroom.db.fleet.views import read_routes
from greenroom.db.session.shares import find_share
from greenroom.db.session.viewers import StreamSession, agent_credential_hash, find_joined_viewer, find_stream_session
from greenroom.kit.secrets import Secrets, is_same, secret_digest
from greenroom.wire.fleet import DirectZone, EdgeGateway, Fleet, ManagerRequests
from greenroom.wire.messages import Message
from greenroom.wire.viewers import StreamRequest, StreamVerdict, VideoSegment, ViewerReport

router = APIRouter(prefix="/api/internal", include_in_schema=False)

MAX_REPORTED_ITEMS: Final = 500
MAX_WARNINGS: Final = 20
MAX_WARNING_LENGTH: Final = 1000
_NO_SECRET_DIGEST: Final = secret_digest("")

MessageType = TypeVar("MessageType", bound=Message)


@router.post("/stream", dependencies=[public_route("the Agent's credential is checked here")])
async def authorize_viewer(
    request: Request, db: Db, secrets: SecretsDep, logs: Logs, metrics: ApiMetrics, snapshot: SnapshotDep
) -> Response:
    """Decide whether a viewer may open the stream of a session, for the Agent of the session."""
    agent_id = await _authenticated_agent(request, db)
    message = await _decode_body(request, StreamRequest)
    session = await find_stream_session(db, _uuid(message.session_id))
    if session is None or session.requested_agent_id != agent_id:
        raise Forbidden("The session of the request does not run on this Agent.")
    viewer = await _find_share_viewer(db, secrets, message, session)
    lease_access, lacks_user = None, False
    if viewer:
        reason = viewer.reason if session.may_use_image else WORKSPACE_LOST
    else:
        lease_access = access_by_lease(secrets, message.token, session)
        token_is_valid = lease_access is not None or is_connect_token_of(secrets, message.token, session)
        if not token_is_valid and (
            login := await login_of_token(db, secrets, message.token, snapshot.installation.session_idle_s)
        ):
            token_is_valid = login.user_id == session.user_id
            lacks_user = USER not in implied_codes(login.permissions)
            if token_is_valid:
                await touch_login(db, login.token_hash)
        facts = StreamFacts(
            status=session.status,
            user_id=session.user_id,
            username=session.username,
            user_enabled=session.user_enabled,
            may_use_image=session.may_use_image,
            sent_username=message.username,
            token_is_valid=token_is_valid,
            is_program=lease_access is not None,
            lacks_user=lacks_user,
        )
        reason = refusal_by_api(facts)
    metrics.stream_decisions.labels("allowed" if reason is None else "refused").inc()
    if reason is None:
        allowed = _allowing_verdict(message, session)
        if viewer:
            allowed = msgspec.structs.replace(allowed, viewer_id=viewer.viewer_id, access=viewer.access)
        elif lease_access is not None:
            allowed = msgspec.structs.replace(allowed, access=lease_access, epoch=session.lease_epoch or 0)
        return _json_response(allowed)
    logs.write(
        LogCode.STREAM_REFUSED,
        f"A viewer was refused: {reason}",
        zone_name=session.zone_name,
        session_id=session.session_id,
        username=message.username or None,
    )
    return _json_response(StreamVerdict(allow=False, reason=reason))


@router.post("/viewers", dependencies=[public_route("the Agent's credential is checked here")])
async def report_viewers(request: Request, db: Db, logs: Logs) -> Response:
    """Record the viewers of a shared session. The Agent that runs the session reports each change."""
    agent_id = await _authenticated_agent(request, db)
    report = await _decode_body(request, ViewerReport)
    clients = {_uuid(watcher.viewer_id): watcher.client[:200] for watcher in report.watchers[:MAX_REPORTED_ITEMS]}
    await share_service.store_present_viewers(db, logs, agent_id, _uuid(report.session_id), clients)
    return Response(status_code=204)


@router.post("/session-video", dependencies=[public_route("the Agent's credential is checked here")])
async def store_video_segment(request: Request, db: Db, secrets: SecretsDep, logs: Logs) -> Response:
    """Store a segment of the video of a session, for the Agent of the session."""
    agent_id = await _authenticated_agent(request, db)
    message = await _decode_body(request, VideoSegment)
    checked = msgspec.structs.replace(
        message, session_id=_uuid(message.session_id), segment_id=_uuid(message.segment_id)
    )
    await session_videos.store_segment(db, secrets, logs, agent_id, checked)
    return Response(status_code=204)


@router.post("/manager-requests", dependencies=[public_route("the gateway's credential is checked here")])
async def report_manager_requests(request: Request, db: Db, secrets: SecretsDep, logs: Logs) -> Response:
    """Record requests to Managers that nginx in a gateway refused. Diagnostics lists them."""
    await _check_gateway(request, db, secrets)
    report = await _decode_body(request, ManagerRequests)
    await add_gateway_requests(
        db,
        [
            RequestRow(
                time=datetime.fromtimestamp(reported.at, UTC),
                agent_id=_uuid(reported.agent_id) if reported.agent_id else None,
                manager_instance_id=reported.manager,
                method=reported.method,
                path=reported.path,
                status=reported.status,
                duration_ms=reported.duration_ms,
            )
            for reported in report.requests[:MAX_REPORTED_ITEMS]
        ],
    )
    if report.dropped:
        logs.write(LogCode.MANAGER_REQUESTS_DROPPED, f"The gateway could not report {report.dropped} refused requests.")
    for warning in report.warnings[:MAX_WARNINGS]:
        logs.write(LogCode.CERTIFICATE_EXPIRES, warning[:MAX_WARNING_LENGTH])
    return Response(status_code=204)


@router.get("/gateway", dependencies=[public_route("the gateway's credential is checked here")])
async def read_fleet(request: Request, db: Db, secrets: SecretsDep) -> Response:
    """Return the part of a web gateway's configuration that changes while it runs."""
    await _check_gateway(request, db, secrets)
    routes = await read_routes(db)
    direct = {(route.proxy_hostname, route.proxy_port) for route in routes if not route.proxy_connections}
    return _json_response(
        Fleet(
            authority=next((route.authority for route in routes), ""),
            edges=tuple(
                EdgeGateway(route=route.agent_id[:8], url=route.edge_url, direct=route.uses_edge_gateways)
                for route in routes
                if route.agent_id is not None
            ),
            direct=tuple(DirectZone(hostname=hostname, port=port) for hostname, port in sorted(direct)),
        )
    )


async def _check_gateway(request: Request, db: Database, secrets: Secrets) -> None:
    """Check that the caller is a gateway of this installation.

    Its credential is either derived from the installation's key, or was issued when the gateway joined. Raises
    Unauthenticated: the credential is not valid.
    """
    bearer = _bearer(request)
    if is_same(bearer, secrets.gateway_credential()):
        return
    gateway_id, _, credential = bearer.partition(".")
    stored_digest = await gateway_credential_hash(db, gateway_id)
    if not _has_digest(credential, stored_digest):
        request.app.state.failed_attempts.count_wrong_key(request, "by a gateway's credential")
        raise Unauthenticated("The gateway's credential is not valid; it may have been removed. Join again.")
    await record_gateway_request(db, gateway_id)


async def _authenticated_agent(request: Request, db: Database) -> str:
    """Return the id of the Agent that sent the request. Raises Unauthenticated: its credential is not valid."""
    agent_id, _, credential = _bearer(request).partition(".")
    stored_digest = await agent_credential_hash(db, agent_id)
    if not _has_digest(credential, stored_digest):
        request.app.state.failed_attempts.count_wrong_key(request, "by an Agent's credential")
        raise Unauthenticated("The Agent's credential is not valid.")
    return agent_id


def _has_digest(credential: str, stored_digest: bytes | None) -> bool:
    """Compare a credential with a stored digest. The comparison takes the same time if there is no stored digest."""
    expected = _NO_SECRET_DIGEST if stored_digest is None else stored_digest
    return hmac.compare_digest(expected, secret_digest(credential)) and stored_digest is not None


@dataclass(frozen=True, slots=True)
class _ShareViewer:
    """A viewer with a share; `reason` is the reason of a refusal, or None if the viewer is admitted."""

    viewer_id: str
    access: Access
    reason: str | None


async def _find_share_viewer(
    db: Database, secrets: Secrets, message: StreamRequest, session: StreamSession
) -> _ShareViewer | None:
    """Return the viewer of a token; None if the token does not belong to a viewer with a share."""
    viewer_id = secrets.viewer_id_in(message.token)
    if viewer_id is None:
        return None
    joined = await find_joined_viewer(db, viewer_id)
    share = await find_share(db, joined.share_id) if joined else None
    if joined is None or share is None or share.session_id not in session.own_and_replaced_ids:
        return _ShareViewer(viewer_id, "view", "The token does not open this session; it may have been revoked.")
    reason = reason_against_viewer(share.facts, user_enabled=joined.user_enabled, viewer_ended=joined.ended)
    return _ShareViewer(viewer_id, joined.access, reason)


def _allowing_verdict(message: StreamRequest, session: StreamSession) -> StreamVerdict:
    return StreamVerdict(
        allow=True,
        user_id=session.user_id or "",
        epoch=session.auth_epoch,
        leased=session.lease_id is not None,
        viewer_ttl_s=VIEWER_TTL_S,
        session_id="" if session.session_id == message.session_id else session.session_id,
        path="" if session.agent_id == session.requested_agent_id else session.path or "",
    )


def _bearer(request: Request) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential:
        raise Unauthenticated("A bearer credential is needed here.")
    return credential


async def _decode_body(request: Request, message_type: type[MessageType]) -> MessageType:
    try:
        return msgspec.json.decode(await request.body(), type=message_type)
    except msgspec.DecodeError as error:
        raise MalformedBody(f"The message cannot be read: {error}.") from error


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise Invalid(f"{text[:60]!r} is not a uuid.") from error


def _json_response(message: Message) -> Response:
    return Response(msgspec.json.encode(message), media_type="application/json")
