"""Published calls for features that Greenroom does not have. A call that lists something returns an empty list, because
clients display all lists. All other calls are refused with a reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from greenroom.core.errors import Refused
from greenroom.interfaces.public.calls import Answer, public_router, requires_key


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentFeature:
    """A feature that Greenroom does not have, with the names of its calls. `list_calls`: name of a call → the key of
    the list in its answer."""

    reason: str
    view_permission: str
    change_permission: str
    list_calls: Mapping[str, str] = field(default_factory=dict[str, str])
    view_calls: tuple[str, ...] = ()
    change_calls: tuple[str, ...] = ()


def _create_update_delete(*nouns: str) -> tuple[str, ...]:
    return tuple(f"{verb}_{noun}" for noun in nouns for verb in ("create", "update", "delete"))


ABSENT: Final = (
    AbsentFeature(
        reason="Greenroom has no servers: every session is a container on an Agent.",
        view_permission="agents_view",
        change_permission="agents_modify",
        list_calls={
            "get_servers": "servers",
            "get_server_pools": "server_pools",
            "get_autoscale_configs": "autoscale_configs",
        },
        view_calls=("get_server",),
        change_calls=_create_update_delete("server", "server_pool", "autoscale_config"),
    ),
    AbsentFeature(
        reason="Greenroom has no servers for users: every session is a container on an Agent.",
        view_permission="users_view",
        change_permission="users_modify",
        change_calls=("assign_user_server", "unassign_user_server"),
    ),
    AbsentFeature(
        reason="Greenroom has no casting: request_kasm without user_id launches a session for an anonymous user.",
        view_permission="images_view",
        change_permission="images_modify",
        list_calls={"get_cast_configs": "cast_configs"},
        view_calls=("get_cast_config",),
        change_calls=_create_update_delete("cast_config"),
    ),
    AbsentFeature(
        reason="Greenroom needs no license.",
        view_permission="settings_view",
        change_permission="settings_modify",
        list_calls={"get_licenses": "licenses"},
        change_calls=("activate", "activate_license", "validate_license"),
    ),
    AbsentFeature(
        reason=(
            "Greenroom has no egress gateways: sessions use the network of their Agent, with the web filter "
            "of their workspace."
        ),
        view_permission="zones_view",
        change_permission="zones_modify",
        list_calls={
            "get_egress_providers": "egress_providers",
            "get_egress_gateways": "egress_gateways",
            "get_egress_credentials": "egress_credentials",
            "get_egress_provider_mappings": "egress_provider_mappings",
        },
        change_calls=_create_update_delete(
            "egress_provider", "egress_gateway", "egress_credential", "egress_provider_mapping"
        ),
    ),
    AbsentFeature(
        reason="Greenroom has no storage providers: a workspace mounts folders of the host of its Agent.",
        view_permission="settings_view",
        change_permission="settings_modify",
        list_calls={"get_storage_providers": "storage_providers"},
        change_calls=_create_update_delete("storage_provider"),
    ),
    AbsentFeature(
        reason="Components join with a join token (`greenroom keys join`, /api/v1/join-tokens), not with this call.",
        view_permission="agents_view",
        change_permission="agents_create",
        change_calls=("register_component",),
    ),
)

router = public_router()


def _empty_list(key: str) -> Callable[[], Awaitable[Answer]]:
    async def answer() -> Answer:
        return {key: []}

    return answer


def _refusal(reason: str) -> Callable[[], Awaitable[Answer]]:
    async def answer() -> Answer:
        raise Refused(reason)

    return answer


def _add_route(name: str, answer: Callable[[], Awaitable[Answer]], permission: str, description: str) -> None:
    router.add_api_route(
        f"/{name}",
        answer,
        methods=["POST"],
        name=name,
        description=description,
        dependencies=[requires_key(permission)],
    )


for _feature in ABSENT:
    for _name, _key in _feature.list_calls.items():
        _add_route(_name, _empty_list(_key), _feature.view_permission, f"An empty list. {_feature.reason}")
    for _name in _feature.view_calls:
        _add_route(_name, _refusal(_feature.reason), _feature.view_permission, f"Refused. {_feature.reason}")
    for _name in _feature.change_calls:
        _add_route(_name, _refusal(_feature.reason), _feature.change_permission, f"Refused. {_feature.reason}")
