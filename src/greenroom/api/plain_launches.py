"""What a plain launch of a workspace would be for everybody who may use it, as the settings of all groups are now."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.core.compatibility import LaunchFacts
from greenroom.core.settings import resolve
from greenroom.core.specs import ImageFacts
from greenroom.db import groups, staging_configs
from greenroom.db.database import Database


@dataclass(frozen=True, slots=True)
class Users:
    """So many users with the same groups, and what is in force for them."""

    number: int
    facts: LaunchFacts


async def plain_launches(db: Database, image: ImageFacts) -> list[Users]:
    """Those who may use the workspace and log in, by their sets of groups."""
    by_id = {group.group_id: group for group in await groups.list_groups(db)}
    found: list[Users] = []
    for row in await staging_configs.group_sets_of_image(db, image.image_id):
        members = [by_id[group_id] for group_id in row["group_ids"] if group_id in by_id]
        facts = LaunchFacts(
            settings=resolve([groups.settings_of(group) for group in members]),
            persistent_profile_path=image.persistent_profile_path,
            image_volume_mappings=image.volume_mappings,
            filters_disabled=image.filter_policy_force_disabled,
        )
        found.append(Users(row["number"], facts))
    return found
