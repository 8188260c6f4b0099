"""What both HTTP interfaces know about staging configs: defaults, who would match, warnings, history, explanations.

Would this user get a session of this staging config? The launch is planned as it would be, and nothing is tried.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import DictRow

from greenroom.api.launch.forecast import plain_launches
from greenroom.api.launch.plan import launch_facts
from greenroom.api.pool.schemas import (
    ExplainReason,
    ExplainView,
    HourView,
    MissView,
    ReasonView,
    StagingHistoryView,
    StagingSaved,
    Window,
)
from greenroom.core.access.group_settings import permissions_of, resolve
from greenroom.core.errors import Invalid, NotFound
from greenroom.core.launch.compatibility import Violation, differing, violations
from greenroom.core.launch.forecast import first_serving, simulate_launch
from greenroom.core.launch.plan import Attempt, LaunchZone, Miss, plan_launch, pool_miss
from greenroom.core.pool.model import config_title
from greenroom.core.pool.shortfalls import barrier
from greenroom.core.workspace.spec_builder import ImageFacts, config_hash_of
from greenroom.db import row_mapping
from greenroom.db.access import groups
from greenroom.db.access import users as db_users
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.fleet import zones
from greenroom.db.launch import ledger
from greenroom.db.launch.claims import read_contents
from greenroom.db.pool import history as db_history
from greenroom.db.workspace import images

HAND_OVER_FAILED: Final = "A session was assigned and set aside: its hand-over failed."
"""For those who may not see sessions."""


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


@dataclass(frozen=True, slots=True)
class Matches:
    """Users who may use a config's workspace and have exactly its permissions.

    `others` are the settings that keep every one of them from its sessions all the same; () where somebody gets them.
    """

    number: int
    others: tuple[Violation, ...]


async def matches(db: Database, config: DictRow, image: ImageFacts) -> Matches:
    """Who would get sessions of a config, as the settings of all groups are now."""
    permissions = row_mapping.staged_permissions(config)
    number, others, somebody = 0, dict[str, Violation](), False
    for users in await plain_launches(db, image):
        if differing(permissions_of(users.facts.settings), permissions):
            continue
        number += users.number
        found = violations(users.facts, permissions)
        somebody |= not found
        others |= {violation.reason: violation for violation in found}
    return Matches(number, () if somebody else tuple(others.values()))


async def with_warning(db: Database, row: DictRow) -> StagingSaved:
    """The answer to saving: the config, how many users match, and what keeps it from being of use."""
    image = row_mapping.image_facts(row["image"])
    found = await matches(db, row, image)
    barred = barrier(image, row_mapping.zone_facts(row["zone"]))
    (view,) = await shown(db, [row])
    warnings = [*([barred.reason] if barred else []), *_about_matches(found, image), view["warning"]]
    return StagingSaved.model_validate(
        view | {"matching_users": found.number, "warning": " ".join(filter(None, warnings)) or None}
    )


def _about_matches(found: Matches, image: ImageFacts) -> list[str]:
    if found.number == 0:
        sentence = (
            f"No user who may use {image.friendly_name} has exactly these permissions, so nobody would get these"
            " sessions; permissions must match those of the users' groups."
        )
        return [sentence]
    if found.others:
        reasons = "; ".join(violation.reason for violation in found.others)
        return [f"Nobody would get these sessions, because of other settings of the users who match: {reasons}."]
    return []


async def shown(db: Database, rows: Sequence[DictRow]) -> list[dict[str, Any]]:
    """Rows of `db.pool.configs` as a reader sees them: shortfall and warning, hits and misses of a day."""
    counts = await db_history.totals(db, [str(row["staging_config_id"]) for row in rows], hours=24)
    return [
        row
        | {"shortfall": row_mapping.shortfall(row), "warning": row_mapping.expiration_problem(row)}
        | _of_a_day(counts.get(str(row["staging_config_id"])))
        for row in rows
    ]


def _of_a_day(counts: DictRow | None) -> dict[str, int]:
    return {f"{name}_24h": counts[name] if counts else 0 for name in ("hits", "misses")}


def history(staging_config_id: str, found: Mapping[str, Any], *, with_users: bool) -> StagingHistoryView:
    """What `db.pool.history` found; who launched is left out unless the reader may see sessions."""
    reasons, misses = found["reasons"], found["recent_misses"]
    if not with_users:
        nobody = {"user_id": None, "username": None}
        reasons = [_without_output(row) for row in reasons]
        misses = [row | nobody | {"reasons": [_without_output(r) for r in row["reasons"]]} for row in misses]
    return StagingHistoryView(
        staging_config_id=UUID(staging_config_id),
        windows=[Window(**row, hit_rate=_rate(row["hits"], row["misses"])) for row in found["windows"]],
        reasons=[ReasonView(**row) for row in reasons],
        by_hour=[HourView(**row) for row in found["by_hour"]],
        recent_misses=[MissView.model_validate(row) for row in misses],
    )


def _without_output(reason: Mapping[str, Any]) -> dict[str, Any]:
    """What `assign` printed may name the user it was run for."""
    told = {"reason": HAND_OVER_FAILED} if reason["code"] == "hand_over_failed" else {}
    return {**reason, **told}


def _rate(hits: int, misses: int) -> float | None:
    return hits / (hits + misses) if hits + misses else None


def title(row: DictRow) -> str:
    """The config as the log names it."""
    return config_title(row["image_friendly_name"], row["zone_name"], str(row["staging_config_id"]))


async def explain(db: Database, config: DictRow, user: str, zone: str | None = None) -> ExplainView:
    """Would a plain launch of this user, begun in `zone`, get a session of this config now?

    Args:
        config: a row of `db.pool.configs`.
        user: id or name.
        zone: id or name of the zone in which the launch begins; None = the config's own.

    Raises:
        NotFound: there is no such user or zone.
    """
    user_id = await _user_id(db, user)
    snapshot = await ledger.read_launch(db, user_id, str(config["image_id"]), None)
    image, launching = row_mapping.image_facts(snapshot["image"]), launch_facts(snapshot)
    launch_zones = [row_mapping.launch_zone(row) for row in snapshot["zones"]]
    begin = _named(launch_zones, zone or str(config["zone_id"]))
    pools = [row_mapping.staged_pool(row) for row in snapshot["pools"]]
    plan = plan_launch(launch_zones, begin.zone_id, image, pools, launching)
    ahead = simulate_launch(plan, str(config["staging_config_id"]), str(config["zone_id"]))
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
        notes=[note for note in (launching.missing_profile(), row_mapping.expiration_problem(config)) if note],
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
        config_hash=config_hash_of(image, attempt.zone.facts, attempt.pool.permissions, attempt.pool.revision),
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
        return (await db_users.get_user(db, str(uuid.UUID(user)))).user_id
    except ValueError:
        found = await db_users.find_user(db, user)
    if found is None:
        raise NotFound(f"There is no user {user}; the account may have been deleted.")
    return found.user_id
