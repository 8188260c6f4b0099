"""The launcher's workspaces with what this user may expect of each: a session at once, a start, or nothing now."""

from __future__ import annotations

from psycopg.rows import DictRow

from greenroom.api.launch_plan import LaunchRequest, current_zone_id, launch_facts
from greenroom.api.schemas.images import LauncherImage
from greenroom.core.launching import plan_launch
from greenroom.core.prospects import LIMIT_REACHED, Prospect, prospect
from greenroom.db.database import Database
from greenroom.db.launches import read_launcher
from greenroom.db.supply import Offer, Workspace
from greenroom.kit.coalesced import Coalesced


async def own_workspaces(
    db: Database, offers: Coalesced[Offer], user_id: str, gateway_zone: str | None
) -> list[LauncherImage]:
    """The workspaces of the user's groups by name; a launch would begin in the zone `gateway_zone`."""
    user = await read_launcher(db, user_id)
    offer = await offers.get()
    allowed = set(user["image_ids"])
    return [
        _shown(workspace, _prospect(workspace, offer, user, gateway_zone))
        for image_id, workspace in offer.workspaces.items()
        if image_id in allowed
    ]


def _prospect(workspace: Workspace, offer: Offer, user: DictRow, gateway_zone: str | None) -> Prospect:
    image, supply = workspace.image, offer.supply
    facts = launch_facts(user, image=image)
    if user["num_sessions"] >= int(facts.value("max_kasms_per_user")):
        return Prospect(False, None, LIMIT_REACHED)
    if not supply.zones:
        return prospect(image, (), supply)
    request = LaunchRequest(user_id="", image_id=image.image_id, request_host="", gateway_zone=gateway_zone)
    begins_in = current_zone_id(supply.zones, request, may_choose=False)
    return prospect(
        image, plan_launch(supply.zones, begins_in, image, supply.pools.get(image.image_id, ()), facts), supply
    )


def _shown(workspace: Workspace, found: Prospect) -> LauncherImage:
    row = workspace.row
    return LauncherImage(
        image_id=row["image_id"],
        name=workspace.image.name,
        friendly_name=workspace.image.friendly_name,
        description=row["description"],
        image_src=row["image_src"],
        categories=row["categories"],
        available=row["available"],
        ready=found.ready,
        expected_s=None if found.expected_s is None else round(found.expected_s, 1),
        reason=found.reason,
    )
