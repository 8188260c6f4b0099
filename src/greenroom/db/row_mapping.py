"""Rows as the values that `core` decides on. Rows come as psycopg gives them or as `to_jsonb` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, GroupSettings
from greenroom.core.launch.plan import LaunchZone, StagedPool
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

Row = Mapping[str, Any]


def image_facts(row: Row) -> ImageFacts:
    """A row of `images`. `Inherit` stands for `default_cpu_allocation_method` of the installation, in `IMAGE_JSON`."""
    inherited, own = row.get("default_cpu_allocation_method"), row["cpu_allocation_method"]
    return ImageFacts(
        image_id=str(row["image_id"]),
        name=row["name"],
        friendly_name=row["friendly_name"],
        enabled=row["enabled"],
        cores=float(row["cores"]),  # in JSON, 2.0 became 2
        memory=row["memory"],
        memory_limit=row["memory_limit"],
        disk_limit_bytes=row["disk_limit_bytes"],
        cpu_mode="Quotas" if (inherited if own == "Inherit" else own) == "Quotas" else "Shares",
        port=row["port"],
        protocol=row["protocol"],
        auth_user=row["auth_user"],
        run_config=row["run_config"],
        exec_config=row["exec_config"],
        volume_mappings=row["volume_mappings"],
        persistent_profile_path=row["persistent_profile_path"],
        filter_policy=_text(row["filter_policy_id"]),
        filter_policy_force_disabled=row["filter_policy_force_disabled"],
        only_zone_id=_text(row["zone_id"]) if row["restrict_to_zone"] else None,
        only_agent_id=_text(row["server_id"]) if row["restrict_to_server"] else None,
        session_time_limit=row["session_time_limit"],
        revision=row["revision"],
    )


def zone_facts(row: Row) -> ZoneFacts:
    """A row of `zones`."""
    return ZoneFacts(
        zone_id=str(row["zone_id"]),
        zone_name=row["zone_name"],
        allow_origin_domain=row["allow_origin_domain"],
        upstream_auth_address=row["upstream_auth_address"],
    )


def proxy_facts(row: Row) -> ProxyFacts:
    """A row with the four proxy columns of a zone; for one Agent with `edge_url` too."""
    return ProxyFacts(
        proxy_connections=row["proxy_connections"],
        proxy_hostname=row["proxy_hostname"],
        proxy_path=row["proxy_path"],
        proxy_port=row["proxy_port"],
        edge_url=row.get("edge_url") or "",
    )


def launch_zone(row: Row) -> LaunchZone:
    """A row of `zones`, as a launch sees it."""
    return LaunchZone(
        facts=zone_facts(row),
        search_alternate_zones=row["search_alternate_zones"],
        load_balancing_strategy=row["load_balancing_strategy"],
        proxy=proxy_facts(row),
        former_names=tuple(row["former_names"]),
    )


def staged_pool(row: Row) -> StagedPool:
    """A row of `staging_configs`, as a launch sees it."""
    return StagedPool(
        staging_config_id=str(row["staging_config_id"]),
        zone_id=str(row["zone_id"]),
        permissions=staged_permissions(row),
        paused=row["paused"],
    )


def staged_permissions(row: Row) -> dict[str, bool]:
    """The eight permissions of a row that has them as columns."""
    return {name: bool(row[name]) for name in STAGED_PERMISSIONS}


def group_settings(row: Row) -> GroupSettings:
    """A group with its settings."""
    return GroupSettings(str(row["group_id"]), row["name"], row["priority"], row["settings"])


def _text(value: object) -> str | None:
    return None if value is None else str(value)
