"""Published calls for workspaces. The rules are those of `/api/v1/images`.

Clients send JSON fields as strings or as objects, ids with or without dashes, and fields that Greenroom does not use.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final
from uuid import UUID

from greenroom.api.bodies import Json, validated
from greenroom.api.deps import Db, SecretsDep
from greenroom.api.workspace import routes, service
from greenroom.api.workspace.schemas import ImageCreate, ImageFields, ImagePatch
from greenroom.core.errors import Invalid
from greenroom.db.workspace import images
from greenroom.db.workspace.images import WorkspaceRow
from greenroom.interfaces.public.calls import (
    FIXED_IMAGE_FIELDS,
    IMAGE_CLIENT_FIELDS,
    Answer,
    CallBody,
    image_shape,
    public_router,
    requires_key,
)

router = public_router()

TARGET_FIELD: Final = "target_image"
_JSON_FIELDS: Final = ("port_map", "run_config", "exec_config", "volume_mappings", "categories")
_ID_FIELDS: Final = ("zone_id", "server_id", "filter_policy_id")
_NULL_IF_EMPTY: Final = ("persistent_profile_path", "session_time_limit", *_ID_FIELDS)
IMAGE_FIELDS: Final = ("name", "friendly_name", *(name for name in ImageFields.model_fields if name != "groups"))


@router.post("/get_images")
async def get_images(db: Db, secrets: SecretsDep, call: Annotated[CallBody, requires_key("images_view")]) -> Answer:
    """List all workspaces."""
    workspaces = (await images.list_images(db)).rows
    return {"images": [image_shape(service.redacted_image(image, secrets, call.caller)) for image in workspaces]}


@router.post("/get_image")
async def get_image(db: Db, call: Annotated[CallBody, requires_key("images_view")]) -> Answer:
    """Return one workspace."""
    return _image_answer(await images.get_image(db, _image_id(call)), call)


@router.post("/create_image")
async def create_image(call: Annotated[CallBody, requires_key("images_create")]) -> Answer:
    """Create a workspace. Its group is All Users, unless a setting of the installation prevents this."""
    target = call.nested(TARGET_FIELD)
    body, client_fields = validated(ImageCreate, _image_fields(target)), target.client_fields(IMAGE_CLIENT_FIELDS)
    return _image_answer(await service.create_image(call.change, body, client_fields=client_fields), call)


@router.post("/update_image")
async def update_image(call: Annotated[CallBody, requires_key("images_modify")]) -> Answer:
    """Change a workspace. Omitted and null fields keep their values; an empty text removes an optional value."""
    image_id, target = _image_id(call), call.nested(TARGET_FIELD)
    body, client_fields = validated(ImagePatch, _image_fields(target)), target.client_fields(IMAGE_CLIENT_FIELDS)
    return _image_answer(await service.update_image(call.change, image_id, body, client_fields=client_fields), call)


@router.post("/delete_image")
async def delete_image(call: Annotated[CallBody, requires_key("images_delete")]) -> Answer:
    """Delete a workspace. Refused if the workspace is in use."""
    await routes.delete_image(UUID(_image_id(call)), call.change)
    return {}


def _image_answer(image: WorkspaceRow, call: CallBody) -> Answer:
    return {"image": image_shape(service.redacted_image(image, call.change.secrets, call.caller))}


def _image_id(call: CallBody) -> str:
    return call.nested(TARGET_FIELD).id("image_id")


def _image_fields(target: CallBody) -> Json:
    """Return the sent fields of a workspace, as in `/api/v1`.

    Raises:
        Invalid: a JSON field is not JSON, an id is invalid, or the fields request a feature that Greenroom does not
            have.
    """
    target.require_fixed_values(FIXED_IMAGE_FIELDS, "workspaces have no GPUs, networks, storage or forms")
    target.require_fixed_values({"image_type": "Container"}, "every workspace is a container")
    fields = target.sent(*IMAGE_FIELDS)
    for name in _JSON_FIELDS:
        if isinstance(fields.get(name), str):
            fields[name] = _parse_json(name, fields[name])
    for name in _ID_FIELDS:
        if name in fields:
            fields[name] = target.optional_id(name)
    return {name: None if name in _NULL_IF_EMPTY and value == "" else value for name, value in fields.items()}


def _parse_json(name: str, text: str) -> Any:
    """Return the value of a JSON string; an empty string is an empty list or object. Categories may also be separated
    by commas or line ends."""
    if not text.strip():
        return [] if name == "categories" else {}
    if name == "categories" and not text.lstrip().startswith("["):
        return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{name} must be JSON: {error}.") from error
