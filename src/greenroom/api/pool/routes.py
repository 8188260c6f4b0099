"""Staging configs: pools of sessions that run before a user requests them.

`explain_staging_config` plans a launch of a user without attempting it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, TypeVar
from uuid import UUID

from fastapi import Query

from greenroom.api.bodies import Name
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.launch.routes import SimilarUsers, group_similar_users
from greenroom.api.paging import Paging
from greenroom.api.pool.schemas import (
    ExplainReason,
    ExplainView,
    StagingConfigView,
    StagingCreate,
    StagingHistoryView,
    StagingPatch,
    StagingSaved,
)
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED, OF_NEW_STAGING_CONFIG, OF_STAGING_CONFIG
from greenroom.api.security import Caller, requires
from greenroom.core.access.group_settings import permissions_of, resolve
from greenroom.core.errors import Invalid, NotFound
from greenroom.core.events import ChangeEvent
from greenroom.core.launch.compatibility import Violation, differing_permissions, violations
from greenroom.core.launch.forecast import first_attempt_with_session, simulate_launch
from greenroom.core.launch.plan import LaunchAttempt, LaunchZone, Miss, plan_launch, pool_miss
from greenroom.core.launch.request import LaunchSnapshot, launch_facts
from greenroom.core.lease import max_for_user
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.model import ConfigFields, config_title
from greenroom.core.pool.shortfalls import staging_obstacle
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.access import groups
from greenroom.db.access import users as db_users
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.fleet import zones
from greenroom.db.launch import ledger
from greenroom.db.launch.claims import read_contents
from greenroom.db.pool import configs as db_configs
from greenroom.db.pool import history as db_history
from greenroom.db.pool.configs import BY_ZONE, StagingConfig
from greenroom.db.pool.history import History, PoolMissReason
from greenroom.db.rows import values_of
from greenroom.db.session import sessions
from greenroom.db.workspace import images

HAND_OVER_FAILED: Final = "A session was assigned and quarantined: its hand-over failed."
"""The reason of a failed hand-over for callers who may not see sessions."""

router = api_router("staging")


@router.get("/staging-configs")
async def list_staging_configs(
    db: Db, page: Paging, caller: Annotated[Caller, requires("staging_view", scope=LISTED)]
) -> list[StagingConfigView]:
    """List all configs by zone and workspace; `shortfall` is the reason if a pool has too few sessions."""
    rows = await db_configs.list_configs(
        db, zone_ids=caller.ids_in_scope("staging_view", "zone"), after=page.after_row(BY_ZONE), limit=page.limit
    )
    return await config_views(db, page.rows(rows, BY_ZONE))


@router.post(
    "/staging-configs", status_code=201, dependencies=[requires("staging_create", scope=OF_NEW_STAGING_CONFIG)]
)
async def create_staging_config(body: StagingCreate, change: ChangeDep) -> StagingSaved:
    """Create a config. The Primary of its zone begins to fill the pool at once."""
    zone_id, image_id = str(body.zone_id), str(body.image_id)
    fields = await fields_of_new_config(change.db, body)
    try:
        await zones.get_zone(change.db, zone_id)
        await images.get_image(change.db, image_id)
    except NotFound as error:
        raise Invalid(error.message) from error
    async with change.db.transaction() as connection:
        staging_config_id = await db_configs.insert_config(connection, zone_id, image_id, fields)
    saved = await _notify_and_read(change.db, staging_config_id)
    change.audit(LogCode.STAGING_CONFIG_CREATED, _title(saved), after=values_of(ConfigFields, saved))
    return await _saved_view(change.db, saved)


async def fields_of_new_config(db: Database, body: StagingCreate) -> ConfigFields:
    """Return the fields of a new config. Omitted permissions are those of the group All Users."""
    defaults = permissions_of(resolve(await groups.settings_of_group(db, ALL_USERS)))
    default_permissions = {name: value for name, value in defaults.items() if name not in body.model_fields_set}
    return ConfigFields(**values_of(ConfigFields, body) | default_permissions)


@router.get("/staging-configs/{staging_config_id}", dependencies=[requires("staging_view", scope=OF_STAGING_CONFIG)])
async def get_staging_config(staging_config_id: UUID, db: Db) -> StagingConfigView:
    """Return one config."""
    (view,) = await config_views(db, [await db_configs.get_config(db, str(staging_config_id))])
    return view


@router.patch(
    "/staging-configs/{staging_config_id}", dependencies=[requires("staging_modify", scope=OF_STAGING_CONFIG)]
)
async def update_staging_config(staging_config_id: UUID, body: StagingPatch, change: ChangeDep) -> StagingSaved:
    """Change a config. Surplus sessions end. If a permission changes, all staged sessions are replaced."""
    config_id, sent = str(staging_config_id), body.sent_fields()
    async with change.db.transaction() as connection:
        before = await db_configs.lock_config(connection, config_id)
        for name, present_value in (("zone_id", before.zone_id), ("image_id", before.image_id)):
            if str(sent.pop(name, None) or present_value) != present_value:
                raise Invalid(f"{name} cannot be changed; create another config and delete this one.")
        old = values_of(ConfigFields, before)
        await db_configs.update_config(connection, config_id, ConfigFields(**old | sent))
    after = await _notify_and_read(change.db, config_id)
    change.audit(LogCode.STAGING_CONFIG_CHANGED, _title(after), before=old, after=values_of(ConfigFields, after))
    return await _saved_view(change.db, after)


@router.delete(
    "/staging-configs/{staging_config_id}",
    status_code=204,
    dependencies=[requires("staging_delete", scope=OF_STAGING_CONFIG)],
)
async def delete_staging_config(staging_config_id: UUID, change: ChangeDep) -> None:
    """Delete a config and its staged sessions. Sessions with a user continue."""
    config = await db_configs.get_config(change.db, str(staging_config_id))
    async with change.db.transaction() as connection:
        await db_configs.lock_config(connection, config.staging_config_id)
        await db_configs.mark_deleted(connection, config.staging_config_id)
        reason = "Its staging config was deleted."
        agents = await sessions.end_pool_sessions(connection, config.staging_config_id, reason)
    await change.db.notify(*_events(config), *(ChangeEvent.agent(agent_id) for agent_id in agents))
    change.audit(LogCode.STAGING_CONFIG_DELETED, _title(config), before=values_of(ConfigFields, config))


@router.post(
    "/staging-configs/{staging_config_id}/recycle",
    status_code=202,
    dependencies=[requires("staging_modify", scope=OF_STAGING_CONFIG)],
)
async def recycle_staging_config(staging_config_id: UUID, change: ChangeDep) -> StagingConfigView:
    """Replace all staged sessions of the config. After failed starts, the next start is tried at once."""
    async with change.db.transaction() as connection:
        await db_configs.lock_config(connection, str(staging_config_id))
        await db_configs.recycle_config(connection, str(staging_config_id))
    config = await _notify_and_read(change.db, str(staging_config_id))
    before, after = {"sessions": ""}, {"sessions": "recycled"}
    change.audit(LogCode.STAGING_CONFIG_CHANGED, _title(config), before=before, after=after)
    return (await config_views(change.db, [config]))[0]


@router.get("/staging-configs/{staging_config_id}/explain", dependencies=[requires("staging_view")])
async def explain_staging_config(
    staging_config_id: UUID,
    db: Db,
    user: Annotated[Name, Query(description="id or name of the user")],
    zone: Annotated[Name | None, Query(description="id or name of the zone where the launch begins")] = None,
) -> ExplainView:
    """Return the forecast of a launch of this user: a session of this config, or the reasons against it.

    Nothing is launched.
    """
    config = await db_configs.get_config(db, str(staging_config_id))
    user_id = await _find_user_id(db, user)
    snapshot = await ledger.read_launch_snapshot(db, user_id, config.image_id, None)
    image, facts = config.image, launch_facts(snapshot, config.image)
    first_zone = _find_zone(snapshot.zones, zone or config.zone_id)
    plan = plan_launch(snapshot.zones, first_zone.zone_id, image, snapshot.pools, facts)
    simulated = simulate_launch(plan, config.staging_config_id, config.zone_id)
    misses = [*_user_misses(snapshot, image, max_for_user(facts.settings, leased=False)), *simulated.misses]
    pool_misses = {
        attempt.order: await _pool_miss(db, user_id, attempt, image)
        for attempt in (*simulated.earlier, simulated.attempt)
        if attempt.pool
    }
    earlier_attempt = first_attempt_with_session(simulated.earlier, lambda attempt: pool_misses[attempt.order] is None)
    if earlier_attempt is not None:
        reason = f"A staged session of zone {earlier_attempt.zone.zone_name} comes first in the order of zones."
        misses.append(Miss("served_elsewhere", reason))
    own_miss = pool_misses.get(simulated.attempt.order)
    misses += [] if own_miss is None or own_miss.code in {miss.code for miss in misses} else [own_miss]
    return ExplainView(
        staging_config_id=UUID(config.staging_config_id),
        user_id=UUID(user_id),
        username=snapshot.username,
        zone_name=first_zone.zone_name,
        step="staged_here" if simulated.attempt.zone is first_zone else "staged_elsewhere",
        would_get=not misses,
        reasons=[ExplainReason.model_validate(miss) for miss in misses],
        notes=[note for note in (facts.missing_profile_warning(), config.warning) if note],
    )


@router.get("/staging-configs/{staging_config_id}/history")
async def get_staging_history(
    staging_config_id: UUID,
    db: Db,
    caller: Annotated[Caller, requires("staging_view", scope=OF_STAGING_CONFIG)],
    limit: Annotated[int, Query(ge=1, le=100, description="maximum number of recent misses")] = 20,
) -> StagingHistoryView:
    """Return hits (launches that the config served) and misses (launches without a staged session), with reasons."""
    config = await db_configs.get_config(db, str(staging_config_id))
    history = await db_history.read_history(db, config.staging_config_id, limit=limit)
    if not caller.may("sessions_view"):
        history = replace(
            history,
            reasons=_without_output(history.reasons),
            recent_misses=tuple(
                replace(miss, user_id=None, username=None, reasons=_without_output(miss.reasons))
                for miss in history.recent_misses
            ),
        )
    return StagingHistoryView(staging_config_id=staging_config_id, **values_of(History, history))


@dataclass(frozen=True, slots=True)
class MatchingUsers:
    """Users who may use the workspace of a config and have exactly its permissions.

    If no matching user would get a session of the config, `other_violations` are the other settings that prevent this.
    """

    number: int
    other_violations: tuple[Violation, ...]


def matching_users(similar_users: Iterable[SimilarUsers], permissions: Mapping[str, bool]) -> MatchingUsers:
    """Return the matching users of a config, by the present settings of all groups."""
    number, others, served = 0, dict[str, Violation](), False
    for users in similar_users:
        if differing_permissions(permissions_of(users.facts.settings), permissions):
            continue
        number += users.number
        excluding = violations(users.facts, permissions)
        served |= not excluding
        others |= {violation.reason: violation for violation in excluding}
    return MatchingUsers(number, () if served else tuple(others.values()))


async def _saved_view(db: Database, config: StagingConfig) -> StagingSaved:
    """Return a saved config with the number of matching users, and a warning if something prevents its use."""
    matches = matching_users(await group_similar_users(db, config.image), config.permissions)
    obstacle = staging_obstacle(config.image, config.zone)
    (view,) = await config_views(db, [config])
    warnings = [*([obstacle.reason] if obstacle else []), *match_warnings(matches, config.image), view.warning]
    warning = " ".join(filter(None, warnings)) or None
    return StagingSaved.model_validate(dict(view) | {"matching_users": matches.number, "warning": warning})


def match_warnings(matches: MatchingUsers, image: ImageFacts) -> list[str]:
    """Return the reasons why no user would get a session of a config."""
    if matches.number == 0:
        sentence = (
            f"No user who may use {image.friendly_name} has exactly these permissions, so no user would get "
            "these sessions. The permissions must match those of the users."
        )
        return [sentence]
    if matches.other_violations:
        reasons = "; ".join(violation.reason for violation in matches.other_violations)
        return [f"No user would get these sessions, because of other settings of the users who match: {reasons}."]
    return []


async def config_views(db: Database, configs: Sequence[StagingConfig]) -> list[StagingConfigView]:
    """Return configs with their hits and misses in the last 24 hours."""
    counts = await db_history.hits_and_misses(db, [config.staging_config_id for config in configs], hours=24)
    return [
        StagingConfigView.model_validate(
            replace(config, hits_24h=config_counts.hits, misses_24h=config_counts.misses)
            if (config_counts := counts.get(config.staging_config_id))
            else config
        )
        for config in configs
    ]


async def _notify_and_read(db: Database, staging_config_id: str) -> StagingConfig:
    config = await db_configs.get_config(db, staging_config_id)
    await db.notify(*_events(config))
    return config


def _events(config: StagingConfig) -> list[ChangeEvent]:
    return [ChangeEvent.staging(config.staging_config_id), ChangeEvent.zone(config.zone_key)]


Reason = TypeVar("Reason", bound=PoolMissReason)


def _without_output(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the reasons without the output of `assign`, which may contain the name of its user."""
    return tuple(replace(r, reason=HAND_OVER_FAILED) if r.code == "hand_over_failed" else r for r in reasons)


def _title(config: StagingConfig) -> str:
    return config_title(config.image_friendly_name, config.zone_name, config.staging_config_id)


def _user_misses(snapshot: LaunchSnapshot, image: ImageFacts, max_sessions: int) -> list[Miss]:
    """Return the reasons that exclude all launches of the user."""
    username, misses = snapshot.username, list[Miss]()
    if snapshot.disabled or snapshot.locked:
        misses.append(Miss("restricted", f"{username} is disabled or locked."))
    if not snapshot.image_allowed:
        misses.append(Miss("restricted", f"{username} may not use workspace {image.friendly_name}."))
    if snapshot.num_sessions >= max_sessions:
        misses.append(Miss("restricted", f"{username} has {snapshot.num_sessions} of {max_sessions} allowed sessions."))
    return misses


async def _pool_miss(db: Database, user_id: str, attempt: LaunchAttempt, image: ImageFacts) -> Miss | None:
    """Return the reason why a claim on the pool of the attempt would fail now; None = it would succeed."""
    if attempt.pool is None:
        raise AssertionError("the attempt must have a pool")
    contents = await read_contents(
        db,
        user_id=user_id,
        staging_config_id=attempt.pool.staging_config_id,
        config_hash=attempt.config_hash,
    )
    return None if contents.serves else pool_miss(contents, image, attempt.zone)


def _find_zone(zones: Sequence[LaunchZone], id_or_name: str) -> LaunchZone:
    for zone in zones:
        if id_or_name in (zone.zone_id, zone.zone_name):
            return zone
    raise NotFound(f"There is no zone {id_or_name}; it may have been renamed or deleted.")


async def _find_user_id(db: Database, user: str) -> str:
    try:
        return (await db_users.get_user(db, str(UUID(user)))).user_id
    except ValueError:
        user_row = await db_users.find_user(db, user)
    if user_row is None:
        raise NotFound(f"There is no user {user}; the account may have been deleted.")
    return user_row.user_id
