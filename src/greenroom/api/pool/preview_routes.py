"""Previews of forms: the number of sessions for which there is room now, and of the users that a form affects.

Nothing is stored. The forms of workspaces and staging configs show them while an administrator types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from greenroom.api.deps import Db, SnapshotDep
from greenroom.api.launch.routes import group_similar_users
from greenroom.api.pool.routes import fields_of_new_config, match_warnings, matching_users
from greenroom.api.pool.schemas import (
    ExcludedUsers,
    ImagePreview,
    ImagePreviewRequest,
    Room,
    StagingPreview,
    StagingPreviewRequest,
)
from greenroom.api.problems import api_router
from greenroom.api.scopes import OF_NEW_STAGING_CONFIG
from greenroom.api.security import Caller, requires, requires_one_of
from greenroom.core.errors import Invalid, NotFound
from greenroom.core.launch.placement import PlacementRequest, Rejection, place, placement_request_of, sessions_with_room
from greenroom.core.pool.matching import count_excluded
from greenroom.core.pool.shortfalls import staging_obstacle
from greenroom.db.database import Database
from greenroom.db.fleet import zones
from greenroom.db.launch.ledger import list_zones
from greenroom.db.launch.on_demand import read_agents
from greenroom.db.pool.configs import count_users, list_configs
from greenroom.db.workspace import images

router = api_router("staging")
image_router = api_router("images")

_MOST_REASONS = 3


@image_router.post("/images/preview", dependencies=[requires("images_view")])
async def preview_image(body: ImagePreviewRequest, db: Db, snapshot: SnapshotDep) -> ImagePreview:
    """Return the number of sessions of this size for which there is room now, and of the users who could launch the
    workspace. Nothing is changed."""
    inherited = snapshot.installation.default_cpu_allocation_method
    method = inherited if body.cpu_allocation_method == "Inherit" else body.cpu_allocation_method
    request = PlacementRequest(
        image="",
        cores=body.cores,
        memory=body.memory,
        cpu_mode="Quotas" if method == "Quotas" else "Shares",
        only_agent_id=str(body.server_id) if body.server_id else None,
        runtime_class=body.runtime_class,
    )
    zone_ids = [str(body.zone_id)] if body.zone_id else [zone.zone_id for zone in await list_zones(db)]
    users = await count_users(db, [str(group_id) for group_id in body.groups])
    return ImagePreview(room=await _room(db, zone_ids, request), users=users.in_groups, all_users=users.number)


@router.post("/staging-configs/preview")
async def preview_staging_config(
    body: StagingPreviewRequest,
    db: Db,
    caller: Annotated[Caller, requires_one_of("staging_create", "staging_modify", scope=OF_NEW_STAGING_CONFIG)],
) -> StagingPreview:
    """Return the number of sessions of the workspace for which the zone has room now, the cores and the memory of the
    config, and the users that it would not serve, with the reasons. Nothing is changed."""
    try:
        zone = await zones.get_zone(db, str(body.zone_id))
        image = (await images.get_image(db, str(body.image_id))).facts
    except NotFound as error:
        raise Invalid(error.message) from error
    permissions = (await fields_of_new_config(db, body)).permissions
    similar_users = await group_similar_users(db, image)
    matches = matching_users(similar_users, permissions)
    obstacle = staging_obstacle(image, zone.facts)
    request = placement_request_of(image)
    counts = count_excluded([(users.number, users.facts) for users in similar_users], permissions)
    others = [
        dict(config.permissions)
        for config in (await list_configs(db, zone_ids=[zone.zone_id])).rows
        if config.image_id == image.image_id
        and not config.paused
        and config.staging_config_id != str(body.staging_config_id)
    ]
    return StagingPreview(
        room=await _room(db, [zone.zone_id], request),
        cores=body.num_sessions * request.cores,
        memory=body.num_sessions * request.memory,
        matching_users=matches.number,
        users=sum(users.number for users in similar_users),
        excluded=[
            ExcludedUsers(
                users=number,
                groups=list(exclusion.groups) if caller.may("groups_view") else [],
                reasons=list(exclusion.reasons),
                permissions=None if exclusion.permissions is None else dict(exclusion.permissions),
                is_served=exclusion.permissions is not None and dict(exclusion.permissions) in others,
            )
            for exclusion, number in counts.items()
        ],
        warnings=[*([obstacle.reason] if obstacle else []), *match_warnings(matches, image)],
    )


async def _room(db: Database, zone_ids: Sequence[str], request: PlacementRequest) -> Room:
    """Return the room in these zones. Missing images do not count as obstacles, because Agents pull them."""
    sessions, rejected = 0, list[Rejection]()
    for zone_id in zone_ids:
        agents = [replace(agent, image_state="present") for agent in await read_agents(db, zone_id, request.image)]
        placement = place(agents, request, "Least Load")
        sessions += sessions_with_room(placement, request)
        rejected += placement.rejected
    if sessions:
        return Room(sessions=sessions, reason="")
    reasons = [rejection.reason for rejection in rejected]
    others = [f"and {len(reasons) - _MOST_REASONS} other Agents"] if len(reasons) > _MOST_REASONS else []
    return Room(sessions=0, reason="; ".join([*reasons[:_MOST_REASONS], *others]) or "There is no Agent")
