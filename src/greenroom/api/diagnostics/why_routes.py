"""Why: the decision behind a number, a state or a refusal, with the rules in the order in which they were checked.

Users get the decisions about their own launches and permissions in plain words, without names of machines, zones and
pools. The steps come from the functions of `core` that decide.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query, Request

from greenroom.api.deps import Db, SupplyReads, WatchedReads
from greenroom.api.diagnostics import why_reads as reads
from greenroom.api.diagnostics.today_routes import sight_of
from greenroom.api.diagnostics.why_schemas import DecisionView, decision_view
from greenroom.api.fleet.routes import find_agent, find_listed_manager
from greenroom.api.launch.routes import own_forecast
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED, OF_AGENT, OF_MANAGER, OF_STAGING_CONFIG, OF_USER
from greenroom.api.security import Caller, requires, requires_own_or
from greenroom.api.session.service import SessionAct, may_know_causes, session_act_for
from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.access.permissions import PERMISSIONS, USER
from greenroom.core.access.setting_checks import validated_setting
from greenroom.core.diagnostics.why.agents import agent_decision
from greenroom.core.diagnostics.why.capacity import capacity_decision
from greenroom.core.diagnostics.why.launches import TracedLaunch, launch_decision
from greenroom.core.diagnostics.why.managers import manager_decision
from greenroom.core.diagnostics.why.model import ExplainedDecision
from greenroom.core.diagnostics.why.own import (
    LIMIT,
    GroupGrants,
    own_launch_decision,
    own_launch_of_forecast,
    own_launch_of_trace,
    own_setting,
    permission_decision,
)
from greenroom.core.diagnostics.why.pools import PoolFacts, pool_decision
from greenroom.core.diagnostics.why.settings import group_setting, setting_decision, with_group_value
from greenroom.core.errors import Invalid, NotFound, require_row
from greenroom.core.session.authorization import Act
from greenroom.db.access import groups, users
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.fleet.zones import get_zone
from greenroom.db.launch import ledger
from greenroom.db.launch.ledger import RecordedLaunch
from greenroom.db.pool.configs import get_config
from greenroom.db.workspace.images import get_image

MAX_VALUE: Final = 4096
"""The maximum length of a value that is tried, as JSON."""

router = api_router("diagnostics")


@router.get("/why/launches/{launch_id}")
async def explain_launch(
    launch_id: UUID, db: Db, caller: Annotated[Caller, requires_own_or("sessions_view")]
) -> DecisionView:
    """Explain why a launch got its session at once, late or not at all. Users see their own launches in plain words."""
    launch = await ledger.get_launch(db, launch_id)
    is_own = launch is not None and caller.user_id is not None and launch.user_id == caller.user_id
    if launch is None or not (is_own or may_know_causes(caller)):
        raise NotFound(f"There is no launch {launch_id}; it may have been deleted after launch_retention_days.")
    return await _launch_view(db, caller, launch)


@router.get("/why/sessions/{session_id}")
async def explain_session(db: Db, act: Annotated[SessionAct, session_act_for(Act.SEE)]) -> DecisionView:
    """Explain the launch of a session. Users see their own launches in plain words."""
    launch = await ledger.launch_of_session(db, act.session.session_id)
    if launch is None:
        raise NotFound("This session has no launch yet: it is staged, or its launch was deleted from the ledger.")
    return await _launch_view(db, act.caller, launch)


async def _launch_view(db: Database, caller: Caller, launch: RecordedLaunch) -> DecisionView:
    workspace = launch.image_friendly_name or "a deleted workspace"
    waited_s = None if launch.waited_ms is None else launch.waited_ms / 1000
    if not may_know_causes(caller):
        return decision_view(own_launch_decision(own_launch_of_trace(workspace, launch.steps, waited_s)))
    traced = TracedLaunch(
        username=launch.username or "A deleted user",
        friendly_name=workspace,
        image_id=launch.image_id,
        outcome=launch.outcome,
        trace=tuple(launch.steps),
        waited_s=waited_s,
    )
    setting = await reads.setting_of_launch(db, launch)
    return await _view(db, caller, launch_decision(traced, setting))


@router.get("/why/images/{image_id}")
async def explain_own_launch(
    image_id: UUID, request: Request, db: Db, supply_reads: SupplyReads, caller: Annotated[Caller, requires(USER)]
) -> DecisionView:
    """Explain to the caller why a launch of a workspace is immediate, takes time or is not possible now."""
    forecast = await own_forecast(
        db, supply_reads, caller.own_user_id(), str(image_id), request.headers.get("x-greenroom-zone") or None
    )
    limit = forecast.settings[LIMIT]
    own = own_setting(limit, group_setting(limit, forecast.memberships, ALL_USERS).source)
    launch = own_launch_of_forecast(forecast.image.friendly_name, forecast.checks, forecast.start_s)
    return decision_view(own_launch_decision(launch, own, forecast.sessions))


@router.get("/why/permissions/{code}")
async def explain_own_permission(code: str, db: Db, caller: Annotated[Caller, requires()]) -> DecisionView:
    """Explain to the caller why they have or lack a permission for the whole installation."""
    if code not in PERMISSIONS:
        raise NotFound(f"There is no permission {code}.")
    conditions = groups.GROUPS.matching(visible_groups=[], of_user=caller.owner_id)
    own = [*(await groups.list_groups(db, conditions)).rows] if caller.owner_id else []
    grants = [GroupGrants(each.name, tuple(each.grants)) for each in own]
    if not (caller.may("groups_view") or caller.may("groups_view_ifmember")):
        grants = [GroupGrants("", tuple(grant for each in own for grant in each.grants))]
    return decision_view(permission_decision(code, grants, caller.permissions))


@router.get("/why/staging-configs/{staging_config_id}")
async def explain_pool(
    staging_config_id: UUID, db: Db, caller: Annotated[Caller, requires("staging_view", scope=OF_STAGING_CONFIG)]
) -> DecisionView:
    """Explain why a pool has fewer sessions than desired."""
    config = await get_config(db, str(staging_config_id))
    zone = await get_zone(db, config.zone_id)
    pool = PoolFacts(
        staging_config_id=config.staging_config_id,
        zone_id=config.zone_id,
        state=config.pool_state,
        image=config.image,
        placement=await reads.read_placement(
            db, config.zone_id, config.zone_name, zone.load_balancing_strategy, config.image
        ),
        failures=config.failures,
    )
    return await _view(db, caller, pool_decision(pool))


@router.get("/why/agents/{agent_id}")
async def explain_agent(
    agent_id: str,
    db: Db,
    caller: Annotated[Caller, requires("agents_view", scope=OF_AGENT)],
    image_id: Annotated[UUID | None, Query(description="workspace whose session would be placed")] = None,
) -> DecisionView:
    """Explain why an Agent can or cannot run sessions, or is or is not chosen for a session of a workspace."""
    row = await find_agent(db, agent_id)
    zone = await get_zone(db, row.zone_id)
    image = (await get_image(db, str(image_id))).facts if image_id else None
    facts = await reads.read_placement(db, row.zone_id, row.zone_name, zone.load_balancing_strategy, image)
    agent = next((each for each in facts.agents if each.agent_id == row.agent_id), None)
    return await _view(db, caller, agent_decision(require_row(agent, "Agent", agent_id), facts))


@router.get("/why/capacity")
async def explain_capacity(
    watched_reads: WatchedReads, caller: Annotated[Caller, requires("agents_view", scope=LISTED)]
) -> DecisionView:
    """Explain how much capacity is free, which Agents count, and how much of them sessions have reserved."""
    seen = (await watched_reads.get()).seen_by(sight_of(caller))
    return decision_view(capacity_decision(seen.agents))


@router.get("/why/managers/{manager_id}")
async def explain_manager(
    manager_id: str, db: Db, caller: Annotated[Caller, requires("managers_view", scope=OF_MANAGER)]
) -> DecisionView:
    """Explain why a Manager is or is not the Primary of its zone."""
    own, others = await reads.read_leadership(db, await find_listed_manager(db, manager_id))
    return await _view(db, caller, manager_decision(own, others))


@router.get("/why/users/{user_id}/settings/{setting_name}")
async def explain_user_setting(
    user_id: UUID,
    setting_name: str,
    db: Db,
    caller: Annotated[Caller, requires("users_view", scope=OF_USER)],
    value: Annotated[
        str | None,
        Query(max_length=MAX_VALUE, description="value to try in the group that decides, as JSON; nothing is changed"),
    ] = None,
) -> DecisionView:
    """Explain why a group setting has its value for a user. With `value`, show the result of a change before it."""
    if setting_name not in SETTINGS:
        raise NotFound(f"There is no group setting {setting_name}.")
    user = await users.get_user(db, str(user_id))
    memberships = await groups.groups_of_user(db, user.user_id)
    decision = setting_decision(user.username, setting_name, memberships, ALL_USERS)
    if decision.setting is None:
        raise AssertionError("a group setting has a source")
    tried = decision.setting.suggested if value is None else _value_to_try(setting_name, value)
    if tried is not None:
        decision = replace(decision, setting=with_group_value(decision.setting, memberships, tried))
    return await _view(db, caller, decision)


def _value_to_try(name: str, text: str) -> object:
    """Return a value that was sent as JSON. Raises Invalid: it is not JSON, or not a value of the setting."""
    if SETTINGS[name].kind == "mapping":
        raise Invalid(f"`{name}` is merged from several groups, so no value can be tried. Omit `value`.")
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Invalid('`value` must be JSON, such as true, 20 or "text".') from error
    return validated_setting(name, value)


async def _view(db: Database, caller: Caller, decision: ExplainedDecision) -> DecisionView:
    return decision_view(await reads.completed(db, caller, decision))
