"""What both HTTP interfaces know about staging configs: defaults, who would match, warnings, and explanations."""

from __future__ import annotations

import uuid
from typing import Any

from psycopg.rows import DictRow

from greenroom.api.launch_plan import launch_facts
from greenroom.api.schemas.staging import ExplainReason, ExplainView, StagingSaved
from greenroom.core.compatibility import differing, violations
from greenroom.core.errors import Invalid, NotFound
from greenroom.core.launching import LaunchZone, PoolContents, pool_miss
from greenroom.core.pool import Shortfall, barrier, shown_shortfall
from greenroom.core.settings import permissions_of, resolve
from greenroom.core.specs import fingerprint
from greenroom.db import facts, groups, images, launches, staging_configs, users, zones
from greenroom.db.claims import read_contents
from greenroom.db.database import Database
from greenroom.db.users import ALL_USERS


async def default_permissions(db: Database) -> dict[str, bool]:
    """What a config gets for permissions that are left out: the effective values of group All Users (CONTRACT)."""
    return permissions_of(resolve(await groups.settings_of_group(db, ALL_USERS)))


async def check_parts(db: Database, zone_id: str, image_id: str) -> None:
    """Refuse a config for a zone or workspace that does not exist.

    Raises:
        Invalid: names which.
    """
    try:
        await zones.get_zone(db, zone_id)
        await images.get_image(db, image_id)
    except NotFound as error:
        raise Invalid(error.message) from error


async def matching_users(db: Database, config: DictRow) -> int:
    """How many users may use the workspace and have exactly the config's permissions."""
    by_id = {group.group_id: group for group in await groups.list_groups(db)}
    permissions = facts.staged_permissions(config)
    number = 0
    for row in await staging_configs.group_sets_of_image(db, str(config["image_id"])):
        members = [by_id[group_id] for group_id in row["group_ids"] if group_id in by_id]
        effective = resolve([groups.settings_of(group) for group in members])
        if not differing(permissions_of(effective), permissions):
            number += row["number"]
    return number


async def with_warning(db: Database, row: DictRow) -> StagingSaved:
    """The answer to saving: the config, how many users match, and what keeps it from being of use."""
    number = await matching_users(db, row)
    image = facts.image_facts(await images.get_image(db, str(row["image_id"])))
    zone = facts.zone_facts(await zones.get_zone(db, str(row["zone_id"])))
    warnings: list[str] = []
    if (barred := barrier(image, zone)) is not None:
        warnings.append(barred.reason)
    if number == 0:
        warnings.append(
            f"No user who may use {image.friendly_name} has exactly these permissions, so nobody would get these"
            " sessions; permissions must match those of the users' groups."
        )
    return StagingSaved.model_validate(shown(row) | {"matching_users": number, "warning": " ".join(warnings) or None})


def shown(row: DictRow) -> dict[str, Any]:
    """A row of `db.staging_configs` with the shortfall as a reader is told it."""
    stored = Shortfall(row["shortfall_code"], row["shortfall_reason"]) if row["shortfall_code"] else None
    shortfall = shown_shortfall(
        stored,
        num_sessions=row["num_sessions"],
        current=row["num_current_sessions"],
        starting=row["num_starting_sessions"],
        has_manager=row["has_manager"],
    )
    return row | {"shortfall": shortfall}


def title(row: DictRow) -> str:
    """The config as the log names it."""
    return f"{row['image_friendly_name']} in zone {row['zone_name']}"


async def explain(db: Database, config: DictRow, user: str) -> ExplainView:
    """Would this user get a session of this config now? `user` is an id or a name.

    Raises:
        NotFound: there is no such user.
    """
    user_id = await _user_id(db, user)
    snapshot = await launches.read_launch(db, user_id, str(config["image_id"]), None)
    image = facts.image_facts(snapshot["image"])
    launching = launch_facts(snapshot)
    zone = next(facts.launch_zone(z) for z in snapshot["zones"] if z["zone_id"] == str(config["zone_id"]))
    username = snapshot["launching_user"]["username"]
    reasons = _about_user(snapshot, image.friendly_name, int(launching.value("max_kasms_per_user")))
    reasons += [
        ExplainReason(code=v.code, setting=v.setting, group=v.group, reason=f"{v.reason}.")
        for v in violations(launching, facts.staged_permissions(config))
    ]
    reasons += await _about_pool(db, config, user_id, zone, snapshot)
    return ExplainView(
        staging_config_id=config["staging_config_id"],
        user_id=uuid.UUID(user_id),
        username=username,
        would_get=not reasons,
        reasons=reasons,
    )


def _about_user(snapshot: DictRow, image_name: str, max_sessions: int) -> list[ExplainReason]:
    username, reasons = snapshot["launching_user"]["username"], list[ExplainReason]()
    if snapshot["launching_user"]["disabled"] or snapshot["launching_user"]["locked"]:
        reasons.append(_reason("restricted", f"{username} is disabled or locked."))
    if not snapshot["image_allowed"]:
        reasons.append(_reason("restricted", f"{username} may not use workspace {image_name}."))
    if snapshot["num_sessions"] >= max_sessions:
        number = snapshot["num_sessions"]
        reasons.append(_reason("restricted", f"{username} has {number} of {max_sessions} allowed sessions."))
    return reasons


async def _about_pool(
    db: Database, config: DictRow, user_id: str, zone: LaunchZone, snapshot: DictRow
) -> list[ExplainReason]:
    image, permissions = facts.image_facts(snapshot["image"]), facts.staged_permissions(config)
    contents = await read_contents(
        db,
        user_id=user_id,
        staging_config_id=str(config["staging_config_id"]),
        config_hash=fingerprint(image, zone.facts, permissions, config["revision"]),
    )
    pool = PoolContents(**contents)
    if pool.claimable and not pool.paused and pool.image_enabled:
        return []
    miss = pool_miss(pool, image, zone)
    return [_reason(miss.code, miss.reason)]


def _reason(code: str, reason: str) -> ExplainReason:
    return ExplainReason(code=code, setting=None, group=None, reason=reason)


async def _user_id(db: Database, user: str) -> str:
    try:
        return (await users.get_user(db, str(uuid.UUID(user)))).user_id
    except ValueError:
        found = await users.find_user(db, user)
    if found is None:
        raise NotFound(f"There is no user {user}; it may have been deleted.")
    return found.user_id
