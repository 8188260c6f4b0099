"""Joining: the tokens, and the requests of a new host without a credential.

The host asks which authority to trust, and uses a join token to join as an Agent or as a web gateway.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from greenroom.api.deps import Config, Db, Logs
from greenroom.api.diagnostics.audit import audit
from greenroom.api.fleet.schemas import (
    JoinAgent,
    JoinedGateway,
    JoinGateway,
    JoinPlace,
    JoinToken,
    JoinTokenCreate,
    JoinTokenView,
)
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, client_address, public_route, requires
from greenroom.core.errors import GreenroomError, IdentityConflict, Invalid, NotFound, Unauthenticated
from greenroom.core.fleet.enrolment import JoinAttemptLimiter, refusal_of_agents_token
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet import agents, enrolment, zones
from greenroom.db.fleet.enrolment import JoinTokenRow, manager_urls, read_token, register_gateway
from greenroom.kit.certificates import fingerprint
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import hashed, new_secret

token_router = APIRouter(tags=["agents"])

_SHOWN: Final = ("role", "zone_name", "uses_left", "expires", "agent_hostname", "enable_agent")


@token_router.get("/join-tokens", dependencies=[requires("agents_view")])
async def list_join_tokens(db: Db, page: Paging) -> list[JoinTokenView]:
    """All join tokens by zone, oldest first, also those that ended lately. The tokens themselves are not kept."""
    rows = await enrolment.list_join_tokens(db)
    rows = page.slice(rows, lambda row: [row.zone_name, str(row.created), row.join_token_id])
    return [JoinTokenView.model_validate(row) for row in rows]


@token_router.post("/join-tokens", status_code=201)
async def create_join_token(
    body: JoinTokenCreate, db: Db, logs: Logs, config: Config, caller: Annotated[Caller, requires("agents_create")]
) -> JoinToken:
    """Make a token with which newcomers join a zone, and the command for it; the token is shown this one time.

    With `agent_id` it is for that Agent alone, which lost its credential or whose credential was revoked. With
    `enable_agent` Agents that join with it are enabled at once, which otherwise takes somebody with `agents_modify`.
    """
    if body.agent_id and body.role != "agent":
        raise Invalid("A token with an agent_id lets that Agent join again; its role is agent.")
    if body.enable_agent:
        if body.agent_id or body.role != "agent":
            raise Invalid("enable_agent is for tokens with which new Agents join.")
        caller.require("agents_modify")
    await zones.get_zone(db, str(body.zone_id))
    again = await _agent(db, body.agent_id) if body.agent_id else None
    token = new_secret()
    command = join_command(config, body.role, token, again.agent_id if again else None)
    join_token_id = await enrolment.add_join_token(
        db,
        hashed(token),
        str(body.zone_id),
        role=body.role,
        uses=body.uses,
        valid_s=body.hours * 3600.0,
        agent_id=again.agent_id if again else None,
        enable_agent=body.enable_agent,
        created_by=caller.name,
    )
    row = await _token(db, join_token_id)
    purpose = f"for Agent {again.hostname}" if again else f"for role {body.role} in zone {row.zone_name}"
    audit(logs, caller, LogCode.JOIN_TOKEN_CREATED, purpose, after=_shown(row), zone_name=row.zone_name)
    return JoinToken.model_validate(asdict(row) | {"token": token, "uses": body.uses, "join_command": command})


@token_router.get("/join-tokens/{join_token_id}", dependencies=[requires("agents_view")])
async def get_join_token(join_token_id: UUID, db: Db) -> JoinTokenView:
    """One join token, without the token itself."""
    return JoinTokenView.model_validate(await _token(db, str(join_token_id)))


@token_router.delete("/join-tokens/{join_token_id}", status_code=204)
async def revoke_join_token(
    join_token_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_create")]
) -> None:
    """Make a join token worthless. Who joined with it stays."""
    row = await _token(db, str(join_token_id))
    await enrolment.revoke_join_token(db, str(join_token_id))
    purpose = f"for role {row.role} in zone {row.zone_name}"
    audit(logs, caller, LogCode.JOIN_TOKEN_DELETED, purpose, before=_shown(row), zone_name=row.zone_name)


def join_command(config: ApiConfig, role: str, token: str, agent_id: str | None) -> str:
    """The command to run as root on the new host.

    It has the authority's fingerprint if the gateways' certificate is not publicly trusted.
    """
    words = ["greenroom", "join", config.public_url, "--token", token]
    if role != "agent":
        words += ["--role", role]
    if config.ca_file is not None:
        words += ["--ca-sha256", fingerprint(authority(config.ca_file))]
    if agent_id is not None:
        words += ["--agent-id", agent_id]
    return shlex.join(words)


def authority(file: Path) -> str:
    """The certificate (PEM) of the authority that verifies the gateways' certificates.

    Raises:
        NotFound: it cannot be read.
    """
    try:
        return file.read_text()
    except OSError as error:
        raise NotFound(f"The authority's certificate {file} cannot be read: {error.strerror}.") from error


def _shown(row: JoinTokenRow) -> dict[str, Any]:
    return {name: value for name in _SHOWN if (value := getattr(row, name)) is not None}


async def _token(db: Database, join_token_id: str) -> JoinTokenRow:
    rows = await enrolment.list_join_tokens(db, join_token_id)
    if not rows:
        raise NotFound("There is no such join token; it may have ended days ago.")
    return rows[0]


async def _agent(db: Database, agent_id: UUID) -> agents.AgentRow:
    rows = await agents.list_agents(db, str(agent_id))
    if not rows:
        raise NotFound(f"There is no Agent {agent_id}; it may have been deleted.")
    return rows[0]


router = APIRouter(tags=["joining"])


class JoinAttempt:
    """A request to join. A refusal is logged for administrators; of a flood only the beginning."""

    def __init__(self, request: Request, logs: LogWriter) -> None:
        self._address = client_address(request)
        self._logs = logs
        self._limiter: JoinAttemptLimiter = request.app.state.join_attempts

    def refused(self, role: str, hostname: str, error: GreenroomError, zone_name: str | None = None) -> GreenroomError:
        if not self._limiter.is_written(self._address, time.monotonic()):
            return error
        self._logs.write(
            LogCode.JOIN_REFUSED,
            f"A newcomer ({role}) on host {hostname or 'unknown'} at {self._address} was refused: {error.message}",
            zone_name=zone_name,
            details={"role": role, "hostname": hostname, "address": self._address},
        )
        return error


async def _join_attempt(request: Request, logs: Logs) -> JoinAttempt:
    return JoinAttempt(request, logs)


JoinAttemptDep = Annotated[JoinAttempt, Depends(_join_attempt)]


@router.get("/authority", dependencies=[public_route("the certificate of an authority is public")])
async def get_authority(config: Config) -> Response:
    """Certificate (PEM) of the authority of the gateways' certificates; 404 where every system knows it.

    A newcomer compares its fingerprint with that of the join command before it trusts it.
    """
    if config.ca_file is None:
        raise NotFound("The gateways' certificate is of an authority that every system knows.")
    return Response(authority(config.ca_file), media_type="application/x-pem-file")


@router.post("/join/agent", dependencies=[public_route("the join token is checked here")])
async def join_agent(body: JoinAgent, db: Db, config: Config, attempt: JoinAttemptDep) -> JoinPlace:
    """Where an Agent with this join token registers. The token is not used up by asking."""
    token = await read_token(db, hashed(body.token))
    agent_id = str(body.agent_id) if body.agent_id else None
    if problem := refusal_of_agents_token(token, agent_id):
        raise attempt.refused("agent", body.hostname, problem, token.zone_name if token else None)
    assert token is not None, "there is a refusal without one"  # noqa: S101
    return JoinPlace.model_validate(
        {
            "zone_id": token.zone_id,
            "zone_name": token.zone_name,
            "manager_urls": await manager_urls(db, token.zone_id),
            "public_url": config.public_url,
        }
    )


@router.post("/join/gateway", dependencies=[public_route("the join token is checked here")])
async def join_gateway(body: JoinGateway, db: Db, config: Config, attempt: JoinAttemptDep) -> JoinedGateway:
    """Admit a web gateway on a host of its own; its credential is shown this one time."""
    secret, gateway_id = new_secret(), str(body.gateway_id)
    try:
        zone = await register_gateway(db, gateway_id, body.hostname, hashed(body.token), hashed(secret))
    except (Unauthenticated, IdentityConflict) as error:
        raise attempt.refused("gateway", body.hostname, error) from error
    return JoinedGateway(
        gateway_id=body.gateway_id,
        credential=f"{gateway_id}.{secret}",
        zone_id=UUID(zone.zone_id),
        zone_name=zone.zone_name,
        public_url=config.public_url,
        stream_url=config.stream_url,
    )
