"""Enrollment of hosts: join tokens of administrators, and the requests of new hosts.

A new host requests the certificate of the authority that the gateways use, and joins as an Agent or web gateway with a
join token.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import ChangeDep, Config, Db, Logs
from greenroom.api.fleet.routes import find_agent
from greenroom.api.fleet.schemas import JoinAddresses, JoinAgent, JoinedGateway, JoinGateway, JoinTokenCreate
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import client_address, public_route, requires
from greenroom.core.errors import GreenroomError, IdentityConflict, Invalid, NotFound, Unauthenticated
from greenroom.core.fleet.enrollment import RefusalLogLimiter, refusal_of_agent_token
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet import enrollment, zones
from greenroom.db.fleet.enrollment import JoinTokenRow
from greenroom.kit.certificates import fingerprint
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import new_secret, secret_digest

_LOGGED_FIELDS: Final = ("role", "zone_name", "uses_left", "expires", "agent_hostname", "enable_agent")


async def _get_token_row(db: Database, join_token_id: str) -> JoinTokenRow:
    rows = (await enrollment.list_join_tokens(db, join_token_id)).rows
    if not rows:
        raise NotFound("There is no such join token; it may have been removed after its end.")
    return rows[0]


def _log_details(row: JoinTokenRow) -> LogDetails:
    return {name: value for name in _LOGGED_FIELDS if (value := getattr(row, name)) is not None}


def _join_command(config: ApiConfig, role: str, token: str, agent_id: str | None) -> str:
    """Return the command to run as root on the new host.

    It contains the fingerprint of the authority if the certificate of the gateways is not publicly trusted.
    """
    arguments = ["greenroom", "join", config.public_url, "--token", token]
    if role != "agent":
        arguments += ["--role", role]
    if config.ca_file is not None:
        arguments += ["--ca-sha256", fingerprint(read_authority(config.ca_file))]
    if agent_id is not None:
        arguments += ["--agent-id", agent_id]
    return shlex.join(arguments)


def read_authority(file: Path) -> str:
    """Return the certificate (PEM) of the authority that verifies the certificates of the gateways. Raises NotFound: it
    cannot be read."""
    try:
        return file.read_text()
    except OSError as error:
        raise NotFound(
            f"The certificate {file} of the certificate authority cannot be read: {error.strerror}."
        ) from error


class JoinAttempt:
    """A request of a host to join. Refusals are logged for administrators, at a limited rate.

    `count_failure` counts a wrong token, and raises TooManyRequests after too many of them (`access.failed_attempts`).
    """

    def __init__(
        self, address: str, logs: LogWriter, limiter: RefusalLogLimiter, count_failure: Callable[[str], None]
    ) -> None:
        self._address = address
        self._logs = logs
        self._limiter = limiter
        self._count_failure = count_failure

    def log_refusal(
        self, role: str, hostname: str, error: GreenroomError, zone_name: str | None = None
    ) -> GreenroomError:
        """Log the refusal of a host, and return the error."""
        if isinstance(error, Unauthenticated):
            self._count_failure("by join token")
        if not self._limiter.must_log(self._address, time.monotonic()):
            return error
        self._logs.write(
            LogCode.JOIN_REFUSED,
            f"A new {role} on host {hostname or 'unknown'} at {self._address} was refused: {error.message}",
            zone_name=zone_name,
            details={"role": role, "hostname": hostname, "address": self._address},
        )
        return error


token_router = api_router("agents")


class JoinTokenView(View, row=JoinTokenRow):
    """A join token. The token itself is returned only once, at its creation."""

    join_token_id: UUID
    zone_id: UUID
    agent_id: Annotated[UUID | None, Field(description="the only Agent that can join again with it")]
    used: Annotated[int, Field(description="number of hosts that joined with it")]


class JoinToken(JoinTokenView):
    """A new join token, returned only once."""

    token: str
    uses: int
    join_command: Annotated[
        str, Field(description="command to run as root on the new host, on which Greenroom is installed")
    ]


@token_router.get("/join-tokens", dependencies=[requires("agents_view")])
async def list_join_tokens(db: Db, page: Paging) -> list[JoinTokenView]:
    """List all join tokens by zone, oldest first, also tokens that ended recently.

    Only hashes of the tokens are stored.
    """
    order = enrollment.BY_ZONE
    rows = await enrollment.list_join_tokens(db, after=page.after_row(order), limit=page.limit)
    return [JoinTokenView.model_validate(row) for row in page.rows(rows, order)]


@token_router.post("/join-tokens", status_code=201, dependencies=[requires("agents_create")])
async def create_join_token(body: JoinTokenCreate, change: ChangeDep) -> JoinToken:
    """Create a token with which hosts join a zone, and its join command. The token is returned only once.

    With `agent_id`, the token is only for this Agent, whose credential was lost or revoked. For an enabled Agent, this
    needs `agents_modify`, because the host that joins takes its sessions at once. With
    `enable_agent`, Agents that join with it are enabled at once; otherwise a user with `agents_modify` must enable
    them.
    """
    if body.agent_id and body.role != "agent":
        raise Invalid("A token with an agent_id lets that Agent join again; its role is agent.")
    if body.enable_agent:
        if body.agent_id or body.role != "agent":
            raise Invalid("enable_agent is only for tokens of new Agents.")
        change.caller.require("agents_modify")
    await zones.get_zone(change.db, str(body.zone_id))
    known_agent = await find_agent(change.db, str(body.agent_id)) if body.agent_id else None
    if known_agent is not None and known_agent.enabled:
        change.caller.require("agents_modify")
    token, agent_id = new_secret(), known_agent.agent_id if known_agent else None
    command = _join_command(change.config, body.role, token, agent_id)
    join_token_id = await enrollment.add_join_token(
        change.db,
        secret_digest(token),
        str(body.zone_id),
        role=body.role,
        uses=body.uses,
        valid_s=body.hours * 3600.0,
        agent_id=agent_id,
        enable_agent=body.enable_agent,
        created_by=change.caller.name,
    )
    row = await _get_token_row(change.db, join_token_id)
    purpose = f"for Agent {known_agent.hostname}" if known_agent else f"for role {body.role} in zone {row.zone_name}"
    change.audit(LogCode.JOIN_TOKEN_CREATED, purpose, after=_log_details(row), zone_name=row.zone_name)
    return JoinToken.of(row, token=token, uses=body.uses, join_command=command)


@token_router.get("/join-tokens/{join_token_id}", dependencies=[requires("agents_view")])
async def get_join_token(join_token_id: UUID, db: Db) -> JoinTokenView:
    """Return one join token, without the token itself."""
    return JoinTokenView.model_validate(await _get_token_row(db, str(join_token_id)))


@token_router.delete("/join-tokens/{join_token_id}", status_code=204, dependencies=[requires("agents_create")])
async def revoke_join_token(join_token_id: UUID, change: ChangeDep) -> None:
    """Revoke a join token. Hosts that joined with it stay."""
    row = await _get_token_row(change.db, str(join_token_id))
    await enrollment.revoke_join_token(change.db, str(join_token_id))
    purpose = f"for role {row.role} in zone {row.zone_name}"
    change.audit(LogCode.JOIN_TOKEN_DELETED, purpose, before=_log_details(row), zone_name=row.zone_name)


router = api_router("joining")


async def _join_attempt(request: Request, logs: Logs) -> JoinAttempt:
    state = request.app.state
    return JoinAttempt(
        client_address(request), logs, state.join_log_limiter, partial(state.failed_attempts.count_wrong_key, request)
    )


JoinAttemptDep = Annotated[JoinAttempt, Depends(_join_attempt)]


@router.get(
    "/authority",
    dependencies=[public_route("the certificate of an authority is public")],
    response_class=Response,
    responses={200: {"content": {"application/x-pem-file": {}}, "description": "the certificate"}},
)
async def get_authority(config: Config) -> Response:
    """Return the certificate (PEM) of the authority of the gateways; 404 if the authority is publicly trusted.

    A new host compares the fingerprint of the certificate with the join command before it trusts the certificate.
    """
    if config.ca_file is None:
        raise NotFound("The certificate of the gateways is from a public certificate authority.")
    return Response(read_authority(config.ca_file), media_type="application/x-pem-file")


@router.post("/join/agent", dependencies=[public_route("the join token is checked here")])
async def join_agent(body: JoinAgent, db: Db, config: Config, attempt: JoinAttemptDep) -> JoinAddresses:
    """Return the addresses at which an Agent with this join token registers. The request does not use up the token."""
    token = await enrollment.read_token(db, secret_digest(body.token))
    agent_id = str(body.agent_id) if body.agent_id else None
    if problem := refusal_of_agent_token(token, agent_id):
        raise attempt.log_refusal("agent", body.hostname, problem, token.zone_name if token else None)
    assert token is not None, "a missing token is refused"  # noqa: S101
    urls = await enrollment.manager_urls(db, token.zone_id)
    return JoinAddresses.of(token, manager_urls=urls, public_url=config.public_url)


@router.post("/join/gateway", dependencies=[public_route("the join token is checked here")])
async def join_gateway(body: JoinGateway, db: Db, config: Config, attempt: JoinAttemptDep) -> JoinedGateway:
    """Admit a web gateway on a separate host. Its credential is returned only once."""
    secret, gateway_id = new_secret(), str(body.gateway_id)
    try:
        zone = await enrollment.register_gateway(
            db, gateway_id, body.hostname, secret_digest(body.token), secret_digest(secret)
        )
    except (Unauthenticated, IdentityConflict) as error:
        raise attempt.log_refusal("gateway", body.hostname, error) from error
    return JoinedGateway.of(
        zone,
        gateway_id=body.gateway_id,
        credential=f"{gateway_id}.{secret}",
        public_url=config.public_url,
        stream_url=config.stream_url,
    )
