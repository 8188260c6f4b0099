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

from greenroom.api.deps import Db, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.diagnostics.metrics import ApiMetrics
from greenroom.api.security import public_route
from greenroom.api.session import share_service
from greenroom.api.session.service import access_by_lease, is_connect_token_of, token_login
from greenroom.core.errors import Forbidden, Invalid, Unauthenticated
from greenroom.core.log_codes import LogCode
from greenroom.core.session.sharing import reason_against_viewer
from greenroom.core.session.streams import VIEWER_TTL_S, Access, StreamFacts, refusal_by_api
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
from greenroom.wire.viewers import Stream, StreamVerdict, Watched

router = APIRouter(prefix="/api/internal", include_in_schema=False)

MAX_REPORTED: Final = 500
_UNKNOWN: Final = secret_digest("")

Body = TypeVar("Body", bound=Message)


@router.post("/stream", dependencies=[public_route("the Agent's credential is checked here")])
async def may_view(
    request: Request, db: Db, secrets: SecretsDep, logs: Logs, metrics: ApiMetrics, snapshot: SettingsSnapshot
) -> Response:
    """Return the decision whether a viewer may open the stream of a session. The Agent of the session sends the
    request."""
    agent_id = await _authenticated_agent(request, db)
    question = await _decoded(request, Stream)
    session = await find_stream_session(db, _uuid(question.session_id))
    if session is None or session.requested_agent_id != agent_id:
        raise Forbidden("The session of the request does not run on this Agent.")
    viewer = await _viewer(db, secrets, question, session)
    by_lease = None
    if viewer:
        reason = viewer.reason
    else:
        by_lease = access_by_lease(secrets, question.token, session)
        opened = by_lease is not None or is_connect_token_of(secrets, question.token, session)
        if not opened and (
            login := await token_login(db, secrets, question.token, snapshot.installation.session_idle_s)
        ):
            opened = login.user_id == session.user_id
            if opened:
                await touch_login(db, login.token_hash)
        reason = refusal_by_api(_facts(question, session, token_is_valid=opened, is_program=by_lease is not None))
    metrics.stream_decisions.labels("allowed" if reason is None else "refused").inc()
    if reason is None:
        allowed = _allowed(question, session)
        if viewer:
            allowed = msgspec.structs.replace(allowed, viewer_id=viewer.viewer_id, access=viewer.access)
        elif by_lease is not None:
            allowed = msgspec.structs.replace(allowed, access=by_lease, epoch=session.lease_epoch or 0)
        return _encoded(allowed)
    logs.write(
        LogCode.STREAM_REFUSED,
        f"A viewer was refused: {reason}",
        zone_name=session.zone_name,
        session_id=session.session_id,
        username=question.username or None,
    )
    return _encoded(StreamVerdict(allow=False, reason=reason))


@router.post("/viewers", dependencies=[public_route("the Agent's credential is checked here")])
async def report_viewers(request: Request, db: Db, logs: Logs) -> Response:
    """Record the viewers of a shared session. The Agent that runs the session reports each change."""
    agent_id = await _authenticated_agent(request, db)
    report = await _decoded(request, Watched)
    clients = {_uuid(watcher.viewer_id): watcher.client[:200] for watcher in report.watchers[:MAX_REPORTED]}
    await share_service.store_present_viewers(db, logs, agent_id, _uuid(report.session_id), clients)
    return Response(status_code=204)


@router.post("/manager-requests", dependencies=[public_route("the gateway's credential is checked here")])
async def report_manager_requests(request: Request, db: Db, secrets: SecretsDep, logs: Logs) -> Response:
    """Record requests for Managers that a gateway answered itself, for Diagnostics."""
    await _check_gateway(request, db, secrets)
    report = await _decoded(request, ManagerRequests)
    await add_gateway_requests(
        db,
        [
            RequestRow(
                time=datetime.fromtimestamp(r.at, UTC),
                agent_id=_uuid(r.agent_id) if r.agent_id else None,
                manager_instance_id=r.manager,
                method=r.method,
                path=r.path,
                status=r.status,
                duration_ms=r.duration_ms,
            )
            for r in report.requests[:MAX_REPORTED]
        ],
    )
    if report.dropped:
        logs.write(LogCode.MANAGER_REQUESTS_DROPPED, f"The gateway could not report {report.dropped} refused requests.")
    return Response(status_code=204)


@router.get("/gateway", dependencies=[public_route("the gateway's credential is checked here")])
async def read_fleet(request: Request, db: Db, secrets: SecretsDep) -> Response:
    """Return the part of a web gateway's configuration that changes while it runs."""
    await _check_gateway(request, db, secrets)
    routes = await read_routes(db)
    direct = {(route.proxy_hostname, route.proxy_port) for route in routes if not route.proxy_connections}
    return _encoded(
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
    """Refuse a caller that is not a gateway of this installation.

    A gateway has either the credential of the installation's key, or a separate one. Raises Unauthenticated: the
    credential is not valid.
    """
    bearer = _bearer(request)
    if is_same(bearer, secrets.gateway_credential()):
        return
    gateway_id, _, credential = bearer.partition(".")
    known = await gateway_credential_hash(db, gateway_id)
    if not hmac.compare_digest(_UNKNOWN if known is None else known, secret_digest(credential)) or known is None:
        request.app.state.failed_attempts.count_wrong_key(request, "by a gateway's credential")
        raise Unauthenticated("The gateway's credential is not valid; it may have been removed. Join again.")
    await record_gateway_request(db, gateway_id)


async def _authenticated_agent(request: Request, db: Database) -> str:
    """Return the id of the Agent that sent the request. Raises Unauthenticated: its credential is not valid."""
    agent_id, _, credential = _bearer(request).partition(".")
    known = await agent_credential_hash(db, agent_id)
    if not hmac.compare_digest(_UNKNOWN if known is None else known, secret_digest(credential)) or known is None:
        request.app.state.failed_attempts.count_wrong_key(request, "by an Agent's credential")
        raise Unauthenticated("The Agent's credential is not valid.")
    return agent_id


def _facts(question: Stream, session: StreamSession, *, token_is_valid: bool, is_program: bool) -> StreamFacts:
    return StreamFacts(
        status=session.status,
        user_id=session.user_id,
        username=session.username,
        user_enabled=session.user_enabled,
        sent_username=question.username,
        token_is_valid=token_is_valid,
        is_program=is_program,
    )


@dataclass(frozen=True, slots=True)
class _Viewer:
    """A viewer by a share; `reason` is the reason of a refusal, or None if the viewer is admitted."""

    viewer_id: str
    access: Access
    reason: str | None


async def _viewer(db: Database, secrets: Secrets, question: Stream, session: StreamSession) -> _Viewer | None:
    """Return the viewer of a token; None if the token does not belong to a viewer by a share."""
    viewer_id = secrets.viewer_id_in(question.token)
    if viewer_id is None:
        return None
    joined = await find_joined_viewer(db, viewer_id)
    share = await find_share(db, joined.share_id) if joined else None
    if joined is None or share is None or share.session_id not in session.family:
        return _Viewer(viewer_id, "view", "The token does not open this session; it may have been revoked.")
    reason = reason_against_viewer(share.facts, user_enabled=joined.user_enabled, viewer_ended=joined.ended)
    return _Viewer(viewer_id, joined.access, reason)


def _allowed(question: Stream, session: StreamSession) -> StreamVerdict:
    return StreamVerdict(
        allow=True,
        user_id=session.user_id or "",
        epoch=session.auth_epoch,
        leased=session.lease_id is not None,
        viewer_ttl_s=VIEWER_TTL_S,
        session_id="" if session.session_id == question.session_id else session.session_id,
        path="" if session.agent_id == session.requested_agent_id else session.path or "",
    )


def _bearer(request: Request) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential:
        raise Unauthenticated("A bearer credential is needed here.")
    return credential


async def _decoded(request: Request, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.DecodeError as error:
        raise Invalid(f"The message cannot be read: {error}.") from error


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise Invalid(f"{text[:60]!r} is not a uuid.") from error


def _encoded(message: Message) -> Response:
    return Response(msgspec.json.encode(message), media_type="application/json")
