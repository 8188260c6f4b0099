"""Workspaces and zones in the published shape; the rules are those of `/api/v1/images`.

Clients send the JSON fields as texts or as objects, ids with or without dashes, and keys that mean nothing here.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter

from greenroom.api.deps import Db, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.published.calls import Call, requires_key, validated
from greenroom.api.published.shapes import image_shape, zone_shape
from greenroom.api.workspace import routes
from greenroom.api.workspace.schemas import ImageCreate, ImageFields, ImagePatch
from greenroom.core.errors import Invalid
from greenroom.db.fleet import zones
from greenroom.db.workspace import images

router = APIRouter(include_in_schema=False)

TARGET: Final = "target_image"
_JSON: Final = ("run_config", "exec_config", "volume_mappings", "categories")
_IDS: Final = ("zone_id", "server_id", "filter_policy_id")
_EMPTY_IS_NULL: Final = ("persistent_profile_path", "session_time_limit", *_IDS)
FIELDS: Final = ("name", "friendly_name", *(name for name in ImageFields.model_fields if name != "groups"))


@router.post("/get_images")
async def get_images(db: Db, secrets: SecretsDep, call: Annotated[Call, requires_key("images_view")]) -> dict[str, Any]:
    """All workspaces."""
    found = await images.list_images(db)
    return {"images": [image_shape(routes.as_seen(image, secrets, call.caller)) for image in found]}


@router.post("/get_image")
async def get_image(db: Db, secrets: SecretsDep, call: Annotated[Call, requires_key("images_view")]) -> dict[str, Any]:
    """One workspace."""
    return await _answer(db, secrets, call, _id(call))


@router.post("/create_image")
async def create_image(
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    snapshot: SettingsSnapshot,
    call: Annotated[Call, requires_key("images_create")],
) -> dict[str, Any]:
    """Create a workspace, for All Users unless the installation's setting says otherwise."""
    body = validated(ImageCreate, _fields(call.part(TARGET)))
    made = await routes.create_image(body, db, logs, secrets, snapshot, call.caller)
    return await _answer(db, secrets, call, made.image_id)


@router.post("/update_image")
async def update_image(
    db: Db, logs: Logs, secrets: SecretsDep, call: Annotated[Call, requires_key("images_modify")]
) -> dict[str, Any]:
    """Change a workspace; what is left out or null stays, an empty text removes what may be missing."""
    image_id = _id(call)
    await routes.update_image(
        image_id, validated(ImagePatch, _fields(call.part(TARGET))), db, logs, secrets, call.caller
    )
    return await _answer(db, secrets, call, image_id)


@router.post("/delete_image")
async def delete_image(db: Db, logs: Logs, call: Annotated[Call, requires_key("images_delete")]) -> dict[str, Any]:
    """Delete a workspace that nothing uses."""
    await routes.delete_image(_id(call), db, logs, call.caller)
    return {}


async def _answer(db: Db, secrets: SecretsDep, call: Call, image_id: UUID) -> dict[str, Any]:
    image = await images.get_image(db, str(image_id))
    return {"image": image_shape(routes.as_seen(image, secrets, call.caller))}


def _id(call: Call) -> UUID:
    return UUID(call.part(TARGET).id("image_id"))


def _fields(target: Call) -> dict[str, Any]:
    """What was sent of a workspace, as `/api/v1` has it.

    Raises:
        Invalid: a JSON field is not JSON, or an id no id.
    """
    fields = target.given(*FIELDS)
    for name in _JSON:
        if isinstance(fields.get(name), str):
            fields[name] = _parsed(name, fields[name])
    for name in _IDS:
        if name in fields:
            fields[name] = target.optional_id(name)
    return {name: None if name in _EMPTY_IS_NULL and value == "" else value for name, value in fields.items()}


def _parsed(name: str, text: str) -> Any:
    """The value of a JSON text; an empty one is the empty value."""
    if not text.strip():
        return [] if name == "categories" else {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{name} must be JSON: {error}.") from error


@router.post("/get_zones")
async def get_zones(db: Db, call: Annotated[Call, requires_key("zones_view")]) -> dict[str, Any]:
    """All zones; with `brief` only their ids and names."""
    brief = call.flag("brief")
    return {"zones": [zone_shape(zone, brief=brief) for zone in await zones.list_zones(db)]}
