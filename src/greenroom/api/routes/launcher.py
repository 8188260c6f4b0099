"""The launcher's choices, and the page that a connect address opens for somebody who is not logged in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from psycopg.rows import DictRow

from greenroom.api.connections import connection_of, opens
from greenroom.api.deps import Db, InstallationSecrets, Offers
from greenroom.api.lifecycle import keep_alive
from greenroom.api.prospects import own_workspaces
from greenroom.api.schemas.images import LauncherImage
from greenroom.api.schemas.launcher import ConnectBody, LaunchOptions
from greenroom.api.schemas.sessions import ConnectionView, KeepaliveView
from greenroom.api.security import Caller, public_route, requires
from greenroom.api.stream_urls import Streams
from greenroom.core.errors import NotFound
from greenroom.core.permissions import USER
from greenroom.core.settings import resolve
from greenroom.db import launch_options, session_views
from greenroom.db.database import Database
from greenroom.db.groups import memberships_of
from greenroom.db.streams import find_stream_session
from greenroom.kit.secrets import Secrets

router = APIRouter(tags=["sessions"])

_BY_TOKEN = public_route("the session's token is the credential, as it is for the stream")


@router.get("/me/images")
async def list_own_images(
    request: Request, db: Db, offers: Offers, caller: Annotated[Caller, requires(USER)]
) -> list[LauncherImage]:
    """The workspaces this user may launch, with what comes of a launch now: at once, after some seconds, or not."""
    return await own_workspaces(db, offers, caller.own_user_id(), request.headers.get("x-greenroom-zone") or None)


@router.get("/me/launch-options")
async def get_launch_options(db: Db, caller: Annotated[Caller, requires(USER)]) -> LaunchOptions:
    """What this user may choose when launching a workspace."""
    settings = resolve(await memberships_of(db, caller.own_user_id()))
    return LaunchOptions.model_validate(
        {
            "zones": await launch_options.list_zones(db) if settings["allow_zone_selection"].value else [],
            "images_with_profile": await launch_options.list_images_with_profile(db)
            if settings["allow_persistent_profile"].value
            else [],
        }
    )


@router.post("/connect", dependencies=[_BY_TOKEN])
async def connect(
    body: ConnectBody, request: Request, db: Db, streams: Streams, secrets: InstallationSecrets
) -> ConnectionView:
    """How far a session is, and its stream, for whoever has its connect address; it gives nothing else."""
    session = await _session_of(db, secrets, request, body)
    return connection_of(session, streams, secrets, may_open=True)


@router.post("/connect/keepalives", dependencies=[_BY_TOKEN])
async def keep_alive_by_token(
    body: ConnectBody, request: Request, db: Db, secrets: InstallationSecrets
) -> KeepaliveView:
    """Somebody looks at the session by its connect address."""
    session = await _session_of(db, secrets, request, body)
    return KeepaliveView(usage_reached=False, expires=await keep_alive(db, session))


async def _session_of(db: Database, secrets: Secrets, request: Request, body: ConnectBody) -> DictRow:
    """The session, or the one that took its place, if the token opens it and its user may be served.

    Raises:
        NotFound: one sentence for every reason, so that nobody learns which sessions exist.
    """
    session_id, token = str(body.session_id), body.session_token.get_secret_value()
    found = await find_stream_session(db, session_id)
    is_open = found is not None and found.user_enabled and found.user_id == str(body.user_id)
    if found is None or not is_open or not opens(secrets, token, found):
        request.app.state.refusals.wrong_address(request, session_id)
        raise NotFound("This address opens no session: the session has ended, or access to it was withdrawn.")
    return await session_views.get_session(db, found.session_id)
