"""Would this user get a session of this staging config? The launch is planned as it would be, and nothing is tried."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from psycopg.rows import DictRow

from greenroom.api.launch_plan import launch_facts
from greenroom.api.schemas.staging import ExplainReason, ExplainView
from greenroom.core.errors import NotFound
from greenroom.core.explaining import first_serving, outlook
from greenroom.core.launching import Attempt, LaunchZone, Miss, plan_launch, pool_miss
from greenroom.core.specs import ImageFacts, fingerprint
from greenroom.db import facts, launches, users
from greenroom.db.claims import read_contents
from greenroom.db.database import Database


async def explain(db: Database, config: DictRow, user: str, zone: str | None = None) -> ExplainView:
    """Would a plain launch of this user, begun in `zone`, get a session of this config now?

    Args:
        config: a row of `db.staging_configs`.
        user: id or name.
        zone: id or name of the zone in which the launch begins; None = the config's own.

    Raises:
        NotFound: there is no such user or zone.
    """
    user_id = await _user_id(db, user)
    snapshot = await launches.read_launch(db, user_id, str(config["image_id"]), None)
    image, launching = facts.image_facts(snapshot["image"]), launch_facts(snapshot)
    launch_zones = [facts.launch_zone(row) for row in snapshot["zones"]]
    begin = _named(launch_zones, zone or str(config["zone_id"]))
    pools = [facts.staged_pool(row) for row in snapshot["pools"]]
    plan = plan_launch(launch_zones, begin.zone_id, image, pools, launching)
    ahead = outlook(plan, str(config["staging_config_id"]), str(config["zone_id"]))
    misses = [*_about_user(snapshot, image, int(launching.value("max_kasms_per_user"))), *ahead.misses]
    empty = {a.order: await _pool_miss(db, user_id, a, image) for a in (*ahead.earlier, ahead.attempt) if a.pool}
    served = first_serving(ahead.earlier, lambda attempt: empty[attempt.order] is None)
    misses += [] if served is None else [_served_before(served.zone)]
    own = empty.get(ahead.attempt.order)
    misses += [] if own is None or own.code in {miss.code for miss in misses} else [own]
    return ExplainView(
        staging_config_id=config["staging_config_id"],
        user_id=uuid.UUID(user_id),
        username=snapshot["launching_user"]["username"],
        zone_name=begin.zone_name,
        step="staged_here" if ahead.attempt.zone is begin else "staged_elsewhere",
        would_get=not misses,
        reasons=_reasons(misses),
        notes=[note for note in (launching.missing_profile(), facts.expiration_problem(config)) if note],
    )


def _about_user(snapshot: DictRow, image: ImageFacts, max_sessions: int) -> list[Miss]:
    """What refuses the user's launches altogether."""
    username, misses = snapshot["launching_user"]["username"], list[Miss]()
    if snapshot["launching_user"]["disabled"] or snapshot["launching_user"]["locked"]:
        misses.append(Miss("restricted", f"{username} is disabled or locked."))
    if not snapshot["image_allowed"]:
        misses.append(Miss("restricted", f"{username} may not use workspace {image.friendly_name}."))
    if snapshot["num_sessions"] >= max_sessions:
        number = snapshot["num_sessions"]
        misses.append(Miss("restricted", f"{username} has {number} of {max_sessions} allowed sessions."))
    return misses


def _served_before(zone: LaunchZone) -> Miss:
    return Miss("served_elsewhere", f"A staged session of zone {zone.zone_name} comes first in the order of zones.")


async def _pool_miss(db: Database, user_id: str, attempt: Attempt, image: ImageFacts) -> Miss | None:
    """Why a claim on the attempt's pool would find nothing now; None = it would find a session."""
    if attempt.pool is None:
        raise AssertionError("only attempts with a pool are asked about")
    contents = await read_contents(
        db,
        user_id=user_id,
        staging_config_id=attempt.pool.staging_config_id,
        config_hash=fingerprint(image, attempt.zone.facts, attempt.pool.permissions, attempt.pool.revision),
    )
    return None if contents.serves else pool_miss(contents, image, attempt.zone)


def _reasons(misses: Sequence[Miss]) -> list[ExplainReason]:
    return [ExplainReason(code=m.code, setting=m.setting, group=m.group, reason=m.reason) for m in misses]


def _named(zones: Sequence[LaunchZone], zone: str) -> LaunchZone:
    for found in zones:
        if zone in (found.zone_id, found.zone_name):
            return found
    raise NotFound(f"There is no zone {zone}; it may have been renamed or deleted.")


async def _user_id(db: Database, user: str) -> str:
    try:
        return (await users.get_user(db, str(uuid.UUID(user)))).user_id
    except ValueError:
        found = await users.find_user(db, user)
    if found is None:
        raise NotFound(f"There is no user {user}; the account may have been deleted.")
    return found.user_id
