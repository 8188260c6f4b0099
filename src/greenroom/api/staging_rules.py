"""What both HTTP interfaces know about staging configs: defaults, who would match, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import DictRow

from greenroom.api.plain_launches import plain_launches
from greenroom.api.schemas.staging import (
    HourView,
    MissView,
    ReasonView,
    StagingHistoryView,
    StagingSaved,
    Window,
)
from greenroom.core.compatibility import Violation, differing, violations
from greenroom.core.errors import Invalid, NotFound
from greenroom.core.pool_model import config_title
from greenroom.core.settings import permissions_of, resolve
from greenroom.core.shortfalls import barrier
from greenroom.core.specs import ImageFacts
from greenroom.db import facts, groups, images, staging_history, zones
from greenroom.db.database import Database
from greenroom.db.users import ALL_USERS

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
    permissions = facts.staged_permissions(config)
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
    image = facts.image_facts(row["image"])
    found = await matches(db, row, image)
    barred = barrier(image, facts.zone_facts(row["zone"]))
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
    """Rows of `db.staging_configs` as a reader is told them: shortfall and warning, hits and misses of a day."""
    counts = await staging_history.totals(db, [str(row["staging_config_id"]) for row in rows], hours=24)
    return [
        row
        | {"shortfall": facts.shortfall(row), "warning": facts.expiration_problem(row)}
        | _of_a_day(counts.get(str(row["staging_config_id"])))
        for row in rows
    ]


def _of_a_day(counts: DictRow | None) -> dict[str, int]:
    return {f"{name}_24h": counts[name] if counts else 0 for name in ("hits", "misses")}


def history(staging_config_id: str, found: Mapping[str, Any], *, with_users: bool) -> StagingHistoryView:
    """What `db.staging_history` found; who launched is left out unless the reader may see sessions."""
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
