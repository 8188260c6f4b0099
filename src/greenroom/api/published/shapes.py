"""Rows in the shape of the published interface: ids, dates, and fields that clients expect."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from greenroom.api.published.calls import Answer
from greenroom.db.access.attributes import Attributes
from greenroom.db.access.users import User
from greenroom.db.fleet.zones import Zone
from greenroom.db.workspace.images import Image

KEPT_WITH_A_USER: Final[Answer] = {"auto_login_kasm": False, "show_tips": False, "toggle_control_panel": False}
KEPT_WITH_AN_IMAGE: Final[Answer] = {"x_res": 800, "y_res": 600, "uncompressed_size_mb": 0, "hash": None}
"""What clients keep here and only they use, with what it is until then."""
NOT_OFFERED: Final[Answer] = {
    "gpu_count": 0,
    "require_gpu": None,
    "server_pool_id": None,
    "restrict_to_network": False,
    "restrict_network_names": [],
    "allow_network_selection": False,
    "persistent_profile_config": {},
    "launch_config": {},
}
"""Fields of a workspace that clients expect and that can have no other value."""


def hex_id(value: object) -> str | None:
    """An image or group id as 32 hex digits; null stays null."""
    return None if value is None else uuid.UUID(str(value)).hex


def date(value: datetime | None) -> str | None:
    """`YYYY-MM-DD HH:MM:SS.ffffff` in UTC."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def now() -> str:
    """`current_time` of an answer."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def user_shape(user: User, kasms: Iterable[Answer] = ()) -> Answer:
    """A user with their sessions."""
    return {
        "user_id": user.user_id,
        "username": user.username,
        "realm": user.realm,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "phone": user.phone,
        "organization": user.organization,
        "notes": user.notes or None,
        "locked": user.locked,
        "disabled": user.disabled,
        "two_factor": False,
        "created": date(user.created),
        "last_session": date(user.last_session),
        "groups": [{"name": group.name, "group_id": hex_id(group.group_id)} for group in user.groups],
        "is_anonymous": user.anonymous,
        "kasms": list(kasms),
        "company": {},
    }


def attributes_shape(attributes: Attributes) -> Answer:
    """A user's attributes; of the last three only clients know what they mean."""
    return {
        "user_attributes_id": attributes.user_id,
        "user_id": attributes.user_id,
        "ssh_public_key": attributes.ssh_public_key,
        "preferred_language": attributes.preferred_language,
        "preferred_timezone": attributes.preferred_timezone,
        "default_image": hex_id(attributes.default_image),
        "theme": attributes.theme,
        **KEPT_WITH_A_USER,
        **attributes.client_fields,
    }


def image_shape(image: Image) -> Answer:
    """A workspace, without the registry's token."""
    return {
        "image_id": hex_id(image.image_id),
        "name": image.name,
        "friendly_name": image.friendly_name,
        "description": image.description,
        "notes": image.notes,
        "image_type": image.image_type,
        "image_src": image.image_src,
        "docker_registry": image.docker_registry,
        "docker_user": image.docker_user,
        "docker_token": None,
        "hidden": image.hidden,
        "memory": image.memory,
        "cores": image.cores,
        "cpu_allocation_method": image.cpu_allocation_method,
        "zone_id": image.zone_id,
        "zone_name": image.zone_name,
        "restrict_to_zone": image.restrict_to_zone,
        "server_id": image.server_id,
        "restrict_to_server": image.restrict_to_server,
        "enabled": image.enabled,
        "available": image.available,
        "session_time_limit": image.session_time_limit,
        "persistent_profile_path": image.persistent_profile_path,
        "volume_mappings": image.volume_mappings,
        "run_config": image.run_config,
        "exec_config": image.exec_config,
        "categories": image.categories,
        "filter_policy_id": image.filter_policy_id,
        "filter_policy_name": image.filter_policy_name,
        "filter_policy_force_disabled": image.filter_policy_force_disabled,
        "imageAttributes": [],
        **NOT_OFFERED,
        **KEPT_WITH_AN_IMAGE,
        **image.client_fields,
    }


def zone_shape(zone: Zone, *, brief: bool = False) -> Answer:
    """A zone; `brief` = only id and name."""
    names = {"zone_id": zone.zone_id, "zone_name": zone.zone_name}
    if brief:
        return names
    return names | {
        "auto_scaling_enabled": False,
        "allow_origin_domain": zone.allow_origin_domain,
        "upstream_auth_address": zone.upstream_auth_address,
        "load_balancing_strategy": zone.load_balancing_strategy,
        "search_alternate_zones": zone.search_alternate_zones,
        "prioritize_static_agents": True,
        "proxy_connections": zone.proxy_connections,
        "proxy_hostname": zone.proxy_hostname,
        "proxy_path": zone.proxy_path,
        "proxy_port": zone.proxy_port,
    }
