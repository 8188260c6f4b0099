"""Published calls about things that Greenroom does not have. Their lists are empty, and other calls are refused.

Programs request all lists, such as servers or casts, to display them; an empty list is correct. A change is refused
with a reason, because it would never have an effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, cast

from greenroom.core.errors import Invalid, Refused
from greenroom.interfaces.public.calls import Answer, CallBody, public_router, requires_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A kind of thing that does not exist here; `lists` maps the name of a call to the key of its list."""

    why: str
    view: str
    modify: str
    lists: Mapping[str, str] = field(default_factory=dict[str, str])
    views: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def _changed(*nouns: str) -> tuple[str, ...]:
    return tuple(f"{verb}_{noun}" for noun in nouns for verb in ("create", "update", "delete"))


ABSENT: Final = (
    Absent(
        why="Greenroom has no servers: every session is a container on an Agent.",
        view="agents_view",
        modify="agents_modify",
        lists={
            "get_servers": "servers",
            "get_server_pools": "server_pools",
            "get_autoscale_configs": "autoscale_configs",
        },
        views=("get_server",),
        changes=_changed("server", "server_pool", "autoscale_config"),
    ),
    Absent(
        why="Greenroom has no servers for users: every session is a container on an Agent.",
        view="users_view",
        modify="users_modify",
        changes=("assign_user_server", "unassign_user_server"),
    ),
    Absent(
        why="Greenroom has no casting: request_kasm without user_id launches a session for an anonymous user.",
        view="images_view",
        modify="images_modify",
        lists={"get_cast_configs": "cast_configs"},
        views=("get_cast_config",),
        changes=_changed("cast_config"),
    ),
    Absent(
        why="Greenroom needs no license.",
        view="settings_view",
        modify="settings_modify",
        lists={"get_licenses": "licenses"},
        changes=("activate", "activate_license", "validate_license"),
    ),
    Absent(
        why=(
            "Greenroom has no egress gateways: sessions use the network of their Agent, with the web filter "
            "of their workspace."
        ),
        view="zones_view",
        modify="zones_modify",
        lists={
            "get_egress_providers": "egress_providers",
            "get_egress_gateways": "egress_gateways",
            "get_egress_credentials": "egress_credentials",
            "get_egress_provider_mappings": "egress_provider_mappings",
        },
        changes=_changed("egress_provider", "egress_gateway", "egress_credential", "egress_provider_mapping"),
    ),
    Absent(
        why="Greenroom has no storage providers: a workspace mounts folders of the host of its Agent.",
        view="settings_view",
        modify="settings_modify",
        lists={"get_storage_providers": "storage_providers"},
        changes=_changed("storage_provider"),
    ),
    Absent(
        why="Components join with a join token (`greenroom keys join`, /api/v1/join-tokens), not with this call.",
        view="agents_view",
        modify="agents_create",
        changes=("register_component",),
    ),
)

router = public_router()

SEES_SESSIONS: Final = requires_key("sessions_view")


@router.post("/get_session_recordings", dependencies=[SEES_SESSIONS])
async def get_session_recordings() -> Answer:
    """Return the videos of a session: none. Recordings of leases are separate (docs/reference/recordings.md)."""
    return {"session_recordings": []}


@router.post("/get_sessions_recordings")
async def get_sessions_recordings(call: Annotated[CallBody, SEES_SESSIONS]) -> Answer:
    """Return the videos of several sessions: none for each."""
    session_ids: object = call.body.get("target_kasm_ids") or []
    if not isinstance(session_ids, list):
        raise Invalid("target_kasm_ids must be a list of ids.")
    return {
        "kasm_sessions": {str(kasm_id): {"session_recordings": []} for kasm_id in cast("list[object]", session_ids)}
    }


def _empty(key: str) -> Callable[[], Awaitable[Answer]]:
    async def answer() -> Answer:
        return {key: []}

    return answer


def _refused(why: str) -> Callable[[], Awaitable[Answer]]:
    async def answer() -> Answer:
        raise Refused(why)

    return answer


def _serve(name: str, answer: Callable[[], Awaitable[Answer]], permission: str, description: str) -> None:
    router.add_api_route(
        f"/{name}",
        answer,
        methods=["POST"],
        name=name,
        description=description,
        dependencies=[requires_key(permission)],
    )


for _kind in ABSENT:
    for _name, _key in _kind.lists.items():
        _serve(_name, _empty(_key), _kind.view, f"An empty list. {_kind.why}")
    for _name in _kind.views:
        _serve(_name, _refused(_kind.why), _kind.view, f"Refused. {_kind.why}")
    for _name in _kind.changes:
        _serve(_name, _refused(_kind.why), _kind.modify, f"Refused. {_kind.why}")
