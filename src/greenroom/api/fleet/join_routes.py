"""Joining: the tokens, and the requests of a new host without a credential.

The host asks which authority to trust, and uses a join token to join as an Agent or as a web gateway.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from greenroom.api.deps import Config, Db, Logs
from greenroom.api.fleet import joining
from greenroom.api.fleet.joining import JoinAttempt
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
from greenroom.core.errors import NotFound
from greenroom.db.fleet import enrolment

token_router = APIRouter(tags=["agents"])


@token_router.get("/join-tokens", dependencies=[requires("agents_view")])
async def list_join_tokens(db: Db, page: Paging) -> list[JoinTokenView]:
    """All join tokens by zone, oldest first, also those that ended lately. The tokens themselves are not kept."""
    order = enrolment.BY_PLACE
    found = await enrolment.list_join_tokens(db, after=page.after_row(order), limit=page.limit)
    return [JoinTokenView.model_validate(row) for row in page.rows(found, order)]


@token_router.post("/join-tokens", status_code=201)
async def create_join_token(
    body: JoinTokenCreate, db: Db, logs: Logs, config: Config, caller: Annotated[Caller, requires("agents_create")]
) -> JoinToken:
    """Make a token with which newcomers join a zone, and the command for it; the token is shown this one time.

    With `agent_id` it is for that Agent alone, which lost its credential or whose credential was revoked. With
    `enable_agent` Agents that join with it are enabled at once, which otherwise takes a user with `agents_modify`.
    """
    return await joining.create_join_token(db, logs, caller, body, config=config)


@token_router.get("/join-tokens/{join_token_id}", dependencies=[requires("agents_view")])
async def get_join_token(join_token_id: UUID, db: Db) -> JoinTokenView:
    """One join token, without the token itself."""
    return JoinTokenView.model_validate(await joining.get_join_token(db, str(join_token_id)))


@token_router.delete("/join-tokens/{join_token_id}", status_code=204)
async def revoke_join_token(
    join_token_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_create")]
) -> None:
    """Make a join token worthless. Who joined with it stays."""
    await joining.revoke_join_token(db, logs, caller, str(join_token_id))


router = APIRouter(tags=["joining"])


async def _join_attempt(request: Request, logs: Logs) -> JoinAttempt:
    state = request.app.state
    return JoinAttempt(client_address(request), logs, state.join_attempts, partial(state.guesses.wrong, request))


JoinAttemptDep = Annotated[JoinAttempt, Depends(_join_attempt)]


@router.get(
    "/authority",
    dependencies=[public_route("the certificate of an authority is public")],
    response_class=Response,
    responses={200: {"content": {"application/x-pem-file": {}}, "description": "the certificate"}},
)
async def get_authority(config: Config) -> Response:
    """Certificate (PEM) of the authority of the gateways' certificates; 404 where every system knows it.

    A newcomer compares its fingerprint with that of the join command before it trusts it.
    """
    if config.ca_file is None:
        raise NotFound("The gateways' certificate is of an authority that every system knows.")
    return Response(joining.authority(config.ca_file), media_type="application/x-pem-file")


@router.post("/join/agent", dependencies=[public_route("the join token is checked here")])
async def join_agent(body: JoinAgent, db: Db, config: Config, attempt: JoinAttemptDep) -> JoinPlace:
    """Where an Agent with this join token registers. The token is not used up by asking."""
    return await joining.place_of_agent(db, body, attempt, config=config)


@router.post("/join/gateway", dependencies=[public_route("the join token is checked here")])
async def join_gateway(body: JoinGateway, db: Db, config: Config, attempt: JoinAttemptDep) -> JoinedGateway:
    """Admit a web gateway on a host of its own; its credential is shown this one time."""
    return await joining.admit_gateway(db, body, attempt, config=config)
