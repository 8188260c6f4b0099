"""Simulated launches: the workspaces of one user on the launcher; a plain launch for all users of a workspace."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from fastapi import Request

from greenroom.api.workspace.schemas import LauncherImage
from greenroom.core.access.group_settings import resolve
from greenroom.core.launch.compatibility import LaunchFacts
from greenroom.core.launch.forecast import LIMIT_REACHED, Prospect, prospect
from greenroom.core.launch.nearest import RoundTripTarget, round_trip_targets
from greenroom.core.launch.plan import plan_launch
from greenroom.core.launch.request import LaunchRequest, current_zone_id, launch_facts
from greenroom.core.lease import refusal
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.access import groups
from greenroom.db.database import Database
from greenroom.db.fleet.views import read_routes
from greenroom.db.launch.forecast import Workspace, WorkspaceSupply
from greenroom.db.launch.ledger import UserOfLauncher, read_launcher
from greenroom.db.pool import configs
from greenroom.kit.concurrency import Coalesced


async def own_workspaces(
    db: Database, offers: Coalesced[WorkspaceSupply], user_id: str, gateway_zone: str | None
) -> list[LauncherImage]:
    """Return the workspaces of the user's groups by name. A launch would begin in the zone `gateway_zone`."""
    user = await read_launcher(db, user_id)
    offer = await offers.get()
    allowed = set(user.image_ids)
    return [
        _launcher_image(workspace, _prospect(workspace, offer, user, gateway_zone))
        for image_id, workspace in offer.workspaces.items()
        if image_id in allowed
    ]


async def targets_of(db: Database, offers: Coalesced[WorkspaceSupply], asked: Request) -> tuple[RoundTripTarget, ...]:
    """Return the addresses at which the browser of a user measures its round trip to each zone."""
    zones = (await offers.get()).supply.zones
    if len(zones) < 2:
        return ()
    edges: defaultdict[str, list[str]] = defaultdict(list)
    for way in await read_routes(db):
        if way.edge_url:
            edges[way.zone_id].append(way.edge_url)
    host = asked.headers.get("host", "")
    request = LaunchRequest(
        user_id="", image_id="", request_host=host, gateway_zone=asked.headers.get("x-greenroom-zone") or None
    )
    return round_trip_targets(zones, current_zone_id(zones, request, may_choose=False), edges, host)


def _prospect(workspace: Workspace, offer: WorkspaceSupply, user: UserOfLauncher, gateway_zone: str | None) -> Prospect:
    image, supply = workspace.image, offer.supply
    facts = launch_facts(user, image)
    if refusal(facts.settings, leased=False, of_user=user.num_sessions) is not None:
        return Prospect(False, None, LIMIT_REACHED)
    if not supply.zones:
        return prospect(image, (), supply)
    request = LaunchRequest(user_id="", image_id=image.image_id, request_host="", gateway_zone=gateway_zone)
    begins_in = current_zone_id(supply.zones, request, may_choose=False)
    return prospect(
        image, plan_launch(supply.zones, begins_in, image, supply.pools.get(image.image_id, ()), facts), supply
    )


def _launcher_image(workspace: Workspace, prospect: Prospect) -> LauncherImage:
    image = workspace.image
    return LauncherImage.of(
        workspace,
        image_id=image.image_id,
        name=image.name,
        friendly_name=image.friendly_name,
        ready=prospect.ready,
        expected_s=None if prospect.expected_s is None else round(prospect.expected_s, 1),
        reason=prospect.reason,
    )


@dataclass(frozen=True, slots=True)
class SimilarUsers:
    """Users with the same groups: their number, and the facts in force for them."""

    number: int
    facts: LaunchFacts


async def plain_launches(db: Database, image: ImageFacts) -> list[SimilarUsers]:
    """Return the users who may use the workspace and log in, by their sets of groups."""
    by_id = {group.group_id: group for group in (await groups.list_groups(db)).rows}
    found: list[SimilarUsers] = []
    for row in await configs.group_sets_of_image(db, image.image_id):
        members = [by_id[group_id] for group_id in row.group_ids if group_id in by_id]
        facts = LaunchFacts(
            settings=resolve(members),
            persistent_profile_path=image.persistent_profile_path,
            image_volume_mappings=image.volume_mappings,
            filters_disabled=image.filter_policy_force_disabled,
        )
        found.append(SimilarUsers(row.number, facts))
    return found
