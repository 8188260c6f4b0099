"""What a new host asks before it has a credential: which authority to trust, and to be let in with a join token."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from greenroom.api.deps import Config, Db, Logs
from greenroom.api.routes.join_tokens import authority
from greenroom.api.schemas.enrolment import JoinAgent, JoinedGateway, JoinGateway, JoinPlace
from greenroom.api.security import client_address, public_route
from greenroom.core.enrolment import Knocks, refusal_of_agents_token
from greenroom.core.errors import GreenroomError, IdentityConflict, NotFound, Unauthenticated
from greenroom.db.gateways import register_gateway
from greenroom.db.join_tokens import manager_urls, read_token
from greenroom.db.logs import LogWriter
from greenroom.kit.secrets import hashed, new_secret

router = APIRouter(tags=["joining"])


class Door:
    """Who knocks: refusals are told to him and to administrators, of a flood no more than its beginning."""

    def __init__(self, request: Request, logs: LogWriter) -> None:
        self._address = client_address(request)
        self._logs = logs
        self._knocks: Knocks = request.app.state.knocks

    def refused(self, role: str, hostname: str, error: GreenroomError, zone_name: str | None = None) -> GreenroomError:
        """`error`, written down for administrators."""
        if not self._knocks.is_written(self._address, time.monotonic()):
            return error
        self._logs.write(
            "WARNING",
            "join-refused",
            f"A newcomer ({role}) on host {hostname or 'unknown'} at {self._address} was refused: {error.message}",
            zone_name=zone_name,
            details={"role": role, "hostname": hostname, "address": self._address},
        )
        return error


async def _door(request: Request, logs: Logs) -> Door:
    return Door(request, logs)


OurDoor = Annotated[Door, Depends(_door)]


@router.get("/authority", dependencies=[public_route("the certificate of an authority is public")])
async def get_authority(config: Config) -> Response:
    """Certificate (PEM) of the authority of the gateways' certificates; 404 where every system knows it.

    A newcomer compares its fingerprint with that of the join command before it trusts it.
    """
    if config.ca_file is None:
        raise NotFound("The gateways' certificate is of an authority that every system knows.")
    return Response(authority(config.ca_file), media_type="application/x-pem-file")


@router.post("/join/agent", dependencies=[public_route("the join token is checked here")])
async def join_agent(body: JoinAgent, db: Db, config: Config, door: OurDoor) -> JoinPlace:
    """Where an Agent with this join token registers. The token is not used up by asking."""
    token = await read_token(db, hashed(body.token))
    agent_id = str(body.agent_id) if body.agent_id else None
    if problem := refusal_of_agents_token(token, agent_id):
        raise door.refused("agent", body.hostname, problem, token.zone_name if token else None)
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
async def join_gateway(body: JoinGateway, db: Db, config: Config, door: OurDoor) -> JoinedGateway:
    """Admit a web gateway on a host of its own; its credential is shown this one time."""
    secret, gateway_id = new_secret(), str(body.gateway_id)
    try:
        zone = await register_gateway(db, gateway_id, body.hostname, hashed(body.token), hashed(secret))
    except (Unauthenticated, IdentityConflict) as error:
        raise door.refused("gateway", body.hostname, error) from error
    return JoinedGateway(
        gateway_id=body.gateway_id,
        credential=f"{gateway_id}.{secret}",
        zone_id=zone["zone_id"],
        zone_name=zone["zone_name"],
        public_url=config.public_url,
        stream_url=config.stream_url,
    )
