"""Reads the input of the decisions of `core.diagnostics.why`, and completes their settings with those affected."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from greenroom.api.launch.routes import group_similar_users
from greenroom.api.security import Caller
from greenroom.core.access.group_settings import STAGED_PERMISSIONS, permissions_of
from greenroom.core.access.roles import codes_in
from greenroom.core.diagnostics.sentences import ObjectRef
from greenroom.core.diagnostics.why.agents import PlacementFacts
from greenroom.core.diagnostics.why.launches import LaunchNow, setting_for_launch
from greenroom.core.diagnostics.why.managers import LeadershipFacts
from greenroom.core.diagnostics.why.model import Affected, DecisiveSetting, ExplainedDecision
from greenroom.core.diagnostics.why.settings import ComparedPool, affected_by
from greenroom.core.errors import NotFound
from greenroom.core.launch.compatibility import differing_permissions
from greenroom.core.launch.placement import Strategy
from greenroom.core.launch.request import launch_facts
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.access.places import Kind, places_of
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.diagnostics.why import AffectedKind, count_affected, read_elected, read_members
from greenroom.db.fleet.managers import ListedManager, list_managers
from greenroom.db.launch.ledger import RecordedLaunch, read_launch_snapshot
from greenroom.db.launch.on_demand import read_agents
from greenroom.db.pool.configs import get_config, list_configs

_VIEW_CODES: Final[dict[str, tuple[str, Kind | None]]] = {
    "agent": ("agents_view", "agent"),
    "group": ("groups_view", "group"),
    "image": ("images_view", None),
    "manager": ("managers_view", "manager"),
    "staging_config": ("staging_view", "staging config"),
    "zone": ("zones_view", "zone"),
}
"""Kind of an object → the permission to see it, and its kind for its places; None = it has no places."""


async def read_placement(
    db: Database, zone_id: str, zone_name: str, strategy: Strategy, image: ImageFacts | None
) -> PlacementFacts:
    """Return the Agents of a zone, with the state of the image of the workspace."""
    agents = await read_agents(db, zone_id, image.name if image else "")
    if image is None:
        agents = [replace(agent, image_state="present") for agent in agents]
    return PlacementFacts(zone_name=zone_name, agents=tuple(agents), strategy=strategy, image=image)


async def setting_of_launch(db: Database, launch: RecordedLaunch) -> DecisiveSetting | None:
    """Return the setting that would change the result of a launch of this user and workspace now; None if none would,
    or if the user, the workspace or the zone is deleted."""
    if launch.user_id is None or launch.image_id is None or launch.outcome == "staged":
        return None
    try:
        snapshot = await read_launch_snapshot(db, launch.user_id, launch.image_id, None)
    except NotFound:
        return None
    own_name = next((step.zone_name for step in launch.steps if step.step.endswith("_here")), "")
    zone = next((zone for zone in snapshot.zones if own_name in (zone.zone_name, *zone.former_names)), None)
    image = snapshot.image
    if zone is None or image is None:
        return None
    failed = launch.outcome == "failed"
    placements = {
        each.zone_id: await read_placement(db, each.zone_id, each.zone_name, each.load_balancing_strategy, image)
        for each in (snapshot.zones if failed else ())
    }
    now = LaunchNow(
        image=image,
        facts=launch_facts(snapshot, image),
        memberships=tuple(snapshot.groups),
        all_users_id=ALL_USERS,
        zone=zone,
        others=tuple(each for each in snapshot.zones if each is not zone),
        pools=tuple(snapshot.pools),
        placements=placements,
    )
    return setting_for_launch(now, failed=failed)


async def read_leadership(db: Database, manager: ListedManager) -> tuple[LeadershipFacts, list[LeadershipFacts]]:
    """Return a Manager and the other Managers of its zone, as a decision needs them."""
    elected = await read_elected(db, manager.zone_name)
    everyone = [
        LeadershipFacts(
            manager_id=each.manager_id,
            instance_id=each.instance_id,
            zone_name=each.zone_name,
            enabled=each.enabled,
            running=each.status == "running",
            is_primary=each.is_primary,
            term=each.term,
            elected=elected,
        )
        for each in await list_managers(db, zone_ids=[manager.zone_id])
    ]
    own = next((each for each in everyone if each.manager_id == manager.manager_id), None)
    if own is None:
        raise NotFound("There is no such Manager; it may have been deleted.")
    return own, [each for each in everyone if each is not own]


async def _sees(db: Database, caller: Caller, ref: ObjectRef) -> bool:
    """True if the caller may see the object, everywhere or in the scope of a role."""
    code, kind = _VIEW_CODES[ref.kind]
    if caller.may(code):
        return True
    return kind is not None and code in codes_in(caller.permissions, await places_of(db, kind, ref.id))


async def completed(db: Database, caller: Caller, decision: ExplainedDecision) -> ExplainedDecision:
    """Return the decision with the numbers of users, pools and workspaces that its setting affects, and without a
    setting that the caller may not see."""
    setting = decision.setting
    if setting is None or setting.object is None:
        return decision
    if not await _sees(db, caller, setting.object):
        return replace(decision, setting=None)
    return replace(decision, setting=replace(setting, affected=await _affected(db, setting, setting.object)))


async def _affected(db: Database, setting: DecisiveSetting, ref: ObjectRef) -> Affected:
    kind, object_id = ref.kind, ref.id
    if kind == "group":
        configs = (await list_configs(db)).rows
        pools = [ComparedPool(each.staging_config_id, each.image, each.permissions) for each in configs]
        return affected_by(setting, await read_members(db, object_id), pools)
    if kind == "staging_config":
        return await _users_of_pool(db, object_id, setting)
    return await count_affected(db, cast("AffectedKind", kind), object_id)


async def _users_of_pool(db: Database, staging_config_id: str, setting: DecisiveSetting) -> Affected:
    """Return the users with the permissions of a pool. If a permission changes, they are those with the old or the new
    permissions."""
    config, number = await get_config(db, staging_config_id), 0
    wanted = [config.permissions]
    if setting.name in STAGED_PERMISSIONS and setting.suggested is not None:
        wanted.append({**config.permissions, setting.name: bool(setting.suggested)})
    for users in await group_similar_users(db, config.image):
        own = permissions_of(users.facts.settings)
        number += users.number if any(not differing_permissions(own, each) for each in wanted) else 0
    return Affected(users=number, pools=1, workspaces=1)
