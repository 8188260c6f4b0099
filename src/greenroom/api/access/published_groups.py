"""Groups in the published shape: their fields, members, workspaces and settings; the rules are those of `/api/v1`."""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Final

from fastapi import APIRouter

from greenroom.api.access import group_rules, group_service
from greenroom.api.access.schemas import GroupCreate, GroupPatch
from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.published.calls import Answer, Call, requires_key, requires_key_one_of, validated
from greenroom.api.published.shapes import hex_id, image_shape, user_shape
from greenroom.api.workspace.service import as_seen
from greenroom.core.access.group_settings import SETTINGS, Setting
from greenroom.core.errors import Invalid
from greenroom.db.access import groups, users
from greenroom.db.access.groups import Group
from greenroom.db.workspace import images

router = APIRouter(include_in_schema=False)

FIELDS: Final = ("name", "description", "priority", "permissions")
SEES: Final = requires_key("groups_view")
CHANGES: Final = requires_key_one_of("groups_modify", "groups_modify_ifmember")


@router.post("/get_groups", dependencies=[SEES])
async def get_groups(db: Db) -> Answer:
    """All groups."""
    return {"groups": [_shape(group) for group in (await groups.list_groups(db)).rows]}


@router.post("/get_group")
async def get_group(db: Db, call: Annotated[Call, SEES]) -> Answer:
    """One group."""
    return {"group": _shape(await groups.get_group(db, _group_id(call)))}


@router.post("/create_group")
async def create_group(
    db: Db, logs: Logs, secrets: SecretsDep, call: Annotated[Call, requires_key("groups_create")]
) -> Answer:
    """Create a group."""
    body = validated(GroupCreate, call.part("target_group").given(*FIELDS))
    return {"group": _shape(await group_service.create(db, logs, call.caller, body, secrets=secrets))}


@router.post("/update_group")
async def update_group(db: Db, logs: Logs, secrets: SecretsDep, call: Annotated[Call, CHANGES]) -> Answer:
    """Change a group; what is left out or null stays."""
    body = validated(GroupPatch, call.part("target_group").given(*FIELDS))
    return {"group": _shape(await group_service.update(db, logs, call.caller, _group_id(call), body, secrets=secrets))}


@router.post("/delete_group")
async def delete_group(db: Db, logs: Logs, call: Annotated[Call, requires_key("groups_delete")]) -> Answer:
    """Delete a group."""
    await group_service.delete(db, logs, call.caller, _group_id(call))
    return {}


@router.post("/get_users_group")
async def get_users_group(db: Db, call: Annotated[Call, requires_key("groups_view", "users_view")]) -> Answer:
    """The members of a group."""
    group = await groups.get_group(db, _group_id(call))
    members = await users.list_users(db, users.UserFilter(group_id=group.group_id))
    return {"users": [user_shape(user) for user in members.rows]}


@router.post("/add_user_group")
async def add_user_group(db: Db, logs: Logs, call: Annotated[Call, CHANGES]) -> Answer:
    """Make a user a member."""
    await group_service.add_user(db, logs, call.caller, _group_id(call), _user_id(call))
    return {}


@router.post("/remove_user_group")
async def remove_user_group(db: Db, logs: Logs, call: Annotated[Call, CHANGES]) -> Answer:
    """End a membership."""
    await group_service.remove_user(db, logs, call.caller, _group_id(call), _user_id(call))
    return {}


@router.post("/get_images_group")
async def get_images_group(db: Db, secrets: SecretsDep, call: Annotated[Call, SEES]) -> Answer:
    """The workspaces that members of a group may use."""
    group = await groups.get_group(db, _group_id(call))
    found = [image for image in (await images.list_images(db)).rows if image.image_id in group.images]
    shown = [image_shape(as_seen(image, secrets, call.caller)) for image in found]
    return {"images": [image | _in_group(group, image) for image in shown]}


@router.post("/add_images_group")
async def add_images_group(db: Db, logs: Logs, call: Annotated[Call, CHANGES]) -> Answer:
    """Let the members of a group use a workspace."""
    await group_service.add_image(db, logs, call.caller, _group_id(call), _image_id(call))
    return {}


@router.post("/remove_images_group")
async def remove_images_group(db: Db, logs: Logs, call: Annotated[Call, CHANGES]) -> Answer:
    """Let the members of a group no longer use a workspace through it."""
    await group_service.remove_image(db, logs, call.caller, _group_id(call), _image_id(call))
    return {}


@router.post("/get_settings_group")
async def get_settings_group(db: Db, secrets: SecretsDep, call: Annotated[Call, SEES]) -> Answer:
    """The settings a group has values for."""
    group = group_rules.as_seen(await groups.get_group(db, _group_id(call)), secrets, call.caller)
    return {"settings": [_setting_shape(SETTINGS[name], group) for name in group.settings if name in SETTINGS]}


@router.post("/add_settings_group")
@router.post("/set_settings_group")
async def set_settings_group(db: Db, logs: Logs, secrets: SecretsDep, call: Annotated[Call, CHANGES]) -> Answer:
    """Give a group a value for a setting; values may be written as texts, as older clients do."""
    group_id, setting, target = _group_id(call), _setting(call), call.part("target_setting")
    if target.body.get("value") is None:
        raise Invalid(f"The value of {setting.name} is missing; remove_settings_group takes a setting from a group.")
    body = validated(GroupPatch, {"settings": {setting.name: _value(setting, target.body.get("value"))}})
    group = await group_service.update(db, logs, call.caller, group_id, body, secrets=secrets)
    return {"setting": _setting_shape(setting, group_rules.as_seen(group, secrets, call.caller))}


@router.post("/remove_settings_group")
async def remove_settings_group(db: Db, logs: Logs, secrets: SecretsDep, call: Annotated[Call, CHANGES]) -> Answer:
    """Remove a setting from a group."""
    body = GroupPatch(settings={_setting(call).name: None})
    await group_service.update(db, logs, call.caller, _group_id(call), body, secrets=secrets)
    return {}


def _in_group(group: Group, image: Answer) -> Answer:
    """What an image has as one of a group; the id is made of both."""
    both = uuid.uuid5(uuid.UUID(group.group_id), str(image["image_id"]))
    return {
        "group_image_id": str(both),
        "group_id": hex_id(group.group_id),
        "group_name": group.name,
        "image_name": image["name"],
        "image_friendly_name": image["friendly_name"],
    }


def _shape(group: Group) -> Answer:
    return {
        "group_id": hex_id(group.group_id),
        "name": group.name,
        "description": group.description,
        "priority": group.priority,
        "is_system": group.is_system,
        "permissions": group.permissions,
    }


def _setting_shape(setting: Setting, group: Group) -> Answer:
    return {
        "group_setting_id": setting.name,
        "group_id": hex_id(group.group_id),
        "name": setting.name,
        "value": group.settings.get(setting.name),
        "value_type": "json" if setting.kind == "mapping" else setting.kind,
        "description": setting.description,
    }


def _group_id(call: Call) -> str:
    return call.part("target_group").id("group_id")


def _user_id(call: Call) -> str:
    return call.part("target_user").id("user_id")


def _image_id(call: Call) -> str:
    return call.part("target_image").id("image_id")


def _setting(call: Call) -> Setting:
    """The setting of `target_setting`, by its name.

    Raises:
        Invalid: there is none of this name.
    """
    target = call.part("target_setting")
    name = target.text("name") or target.text("group_setting_id")
    if name not in SETTINGS:
        raise Invalid(f"There is no group setting {name!r}; the settings are {', '.join(SETTINGS)}.")
    return SETTINGS[name]


def _value(setting: Setting, given: object) -> object:
    """The value, parsed if it was sent as a string of its type: "True", "20", "{}"."""
    if not isinstance(given, str) or setting.kind in ("string", "choice"):
        return given
    text = given.lower() if setting.kind == "bool" else given
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The value {given[:60]!r} cannot be used for {setting.name} ({setting.kind}).") from error
