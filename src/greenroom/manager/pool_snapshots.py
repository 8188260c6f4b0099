"""From rows of the database to what `core.pool` plans on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from greenroom.core.making_room import people_waiting
from greenroom.core.placement import AgentView
from greenroom.core.pool_model import Broken, PoolConfig, PooledSession, PoolSnapshot
from greenroom.core.specs import fingerprint
from greenroom.core.states import SessionStatus
from greenroom.db import facts
from greenroom.db.pools import PoolRows


def snapshot_of(config: DictRow, rows: PoolRows) -> PoolSnapshot:
    """One pool: its config as `db.pools` reads it, and the rows that were read for it, perhaps among others.

    Raises:
        GreenroomError: no container can be made of the workspace.
    """
    config_id = config["staging_config_id"]
    image, zone = facts.image_facts(rows.images[config["image_id"]]), facts.zone_facts(rows.zone)
    config_hash = fingerprint(image, zone, facts.staged_permissions(config), config["revision"])
    broken = [
        row
        for row in rows.broken.get(config_id, ())
        if row["config_hash"] == config_hash and (config["recycled"] is None or config["recycled"] <= row["broke"])
    ]
    return PoolSnapshot(
        now=config["now"],
        config=PoolConfig(
            staging_config_id=str(config_id),
            num_sessions=config["num_sessions"],
            expiration_h=config["expiration"],
            paused=config["paused"],
            deleted=config["deleted"] is not None,
            config_hash=config_hash,
            failures=config["failures"],
            last_error=config["last_error"],
            next_try=config["next_try"],
            last_success=rows.successes.get(config_id),
            recycled=config["recycled"],
            broken=tuple(_broken(row) for row in broken),
        ),
        image=image,
        zone=zone,
        strategy=rows.zone["load_balancing_strategy"],
        sessions=tuple(_pooled(row) for row in rows.sessions.get(config_id, ())),
        agents=_agents(rows, image.name),
        failed_on=frozenset(
            row["agent_id"]
            for row in rows.failed_on.get(config_id, ())
            if row["config_hash"] == config_hash and not _is_forgiven(config, row["created"])
        ),
        leaving=rows.leaving.get(config_id, 0),
        people_waiting=people_waiting(rows.people_waiting, zone.zone_name),
    )


def _is_forgiven(config: DictRow, failed: datetime) -> bool:
    """The pool was recycled, or its workspace changed, since."""
    return config["recycled"] is not None and failed < config["recycled"]


def _pooled(row: DictRow) -> PooledSession:
    fields: dict[str, Any] = {**row, "status": SessionStatus(row["status"])}
    return PooledSession(**fields)


def _broken(row: DictRow) -> Broken:
    return Broken(created=row["created"], broke=row["broke"], error=row["error"])


def _agents(rows: PoolRows, image: str) -> tuple[AgentView, ...]:
    """The Agents of the zone with what they said of this image; who said nothing of it is read as not having it."""
    said: dict[str, dict[str, Any]] = {row["agent_id"]: row for row in rows.agent_images.get(image, ())}
    return tuple(facts.agent_view(row | said.get(row["agent_id"], {})) for row in rows.agents)
