"""Published calls for users and groups, with members, workspaces and settings. The rules are those of `/api/v1`."""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Final

from greenroom.api.access import accounts, group_routes, user_routes
from greenroom.api.access import groups as group_rules
from greenroom.api.access.schemas import AttributesPatch, GroupCreate, GroupPatch, UserCreate, UserPatch
from greenroom.api.bodies import validated
from greenroom.api.deps import Config, Db, Logs, PasswordsDep, SecretsDep
from greenroom.api.session.service import Streams
from greenroom.api.workspace.service import redacted_image
from greenroom.core.access.group_settings import SETTINGS, Setting
from greenroom.core.errors import Invalid, NotFound, Refused
from greenroom.core.log_codes import LogCode
from greenroom.core.text import suggest_name
from greenroom.db.access import groups, users
from greenroom.db.access.groups import Group
from greenroom.db.access.users import get_attributes
from greenroom.db.database import Database
from greenroom.db.workspace import images
from greenroom.interfaces.public.calls import (
    USER_CLIENT_FIELDS,
    Answer,
    CallBody,
    attributes_shape,
    hex_id,
    image_shape,
    public_router,
    requires_key,
    requires_key_one_of,
    user_shape,
)
from greenroom.interfaces.public.sessions import list_kasms_of_users
from greenroom.interfaces.public.statements import insert_login_link
from greenroom.kit.secrets import new_secret, secret_digest

LINK_LIFETIME_S: Final = 300.0
ATTRIBUTE_FIELDS: Final = tuple(AttributesPatch.model_fields)

_FIXED_USER_FIELDS: Final[Answer] = {"authorized_images": []}
NO_WORKSPACES_REASON: Final = "workspaces belong to groups, not to users (add_images_group)"

user_router = public_router()

USER_FIELDS: Final = tuple(name for name in UserPatch.model_fields if name != "groups")


@user_router.post("/create_user")
async def create_user(passwords: PasswordsDep, call: Annotated[CallBody, requires_key("users_create")]) -> Answer:
    """Create a user in All Users."""
    target = call.nested("target_user")
    target.require_fixed_values(_FIXED_USER_FIELDS, NO_WORKSPACES_REASON)
    body = validated(UserCreate, target.sent(*USER_FIELDS))
    return {"user": user_shape(await accounts.create_user(call.change, passwords, body))}


@user_router.post("/get_user")
async def get_user(db: Db, streams: Streams, call: Annotated[CallBody, requires_key("users_view")]) -> Answer:
    """Return one user, by id or name, with their sessions."""
    user = await _target_user(db, call)
    kasms = await list_kasms_of_users(db, streams, user.user_id)
    return {"user": user_shape(user, kasms.get(user.user_id, []))}


@user_router.post("/get_users", dependencies=[requires_key("users_view")])
async def get_users(db: Db, streams: Streams) -> Answer:
    """List all users with their sessions."""
    kasms, people = (
        await list_kasms_of_users(db, streams),
        await users.list_users(db, users.USERS.matching(group=None, in_groups=None, service=False)),
    )
    return {"users": [user_shape(user, kasms.get(user.user_id, [])) for user in people.rows]}


@user_router.post("/update_user")
async def update_user(passwords: PasswordsDep, call: Annotated[CallBody, requires_key("users_modify")]) -> Answer:
    """Change a user. Omitted and null fields keep their values. An empty password does not change the password."""
    target = call.nested("target_user")
    target.require_fixed_values(_FIXED_USER_FIELDS, NO_WORKSPACES_REASON)
    sent = target.sent(*USER_FIELDS)
    if not sent.get("password"):
        sent.pop("password", None)
    body = validated(UserPatch, sent)
    return {"user": user_shape(await accounts.change_user(call.change, passwords, target.id("user_id"), body))}


@user_router.post("/delete_user")
async def delete_user(call: Annotated[CallBody, requires_key("users_delete", "users_modify")]) -> Answer:
    """Delete a user. Refused if the user has sessions, unless `force` is set."""
    await user_routes.delete_user(_user_id(call), call.change, force=call.flag("force"))
    return {}


@user_router.post("/logout_user")
async def logout_user(db: Db, call: Annotated[CallBody, requires_key("users_auth_session")]) -> Answer:
    """End all log-ins of a user and cut their streams; their sessions continue."""
    await user_routes.log_user_out(uuid.UUID((await _target_user(db, call)).user_id), call.change)
    return {}


def require_log_in_by_programs(user: users.User) -> None:
    """Raises Refused: programs may not create a log-in of the user."""
    if not user.may_log_in:
        raise Refused(f"{user.username} may not log in: the account is disabled, locked, anonymous or for programs.")
    if user.break_glass:
        raise Refused(f"{user.username} is a break-glass account, which logs in with its password only.")


@user_router.post("/get_login")
async def get_login(
    db: Db, logs: Logs, config: Config, call: Annotated[CallBody, requires_key("users_auth_session")]
) -> Answer:
    """Return an address that logs the user in at the console. The address is valid once, for five minutes."""
    user = await _target_user(db, call)
    call.caller.require_right_over(user.permissions)
    require_log_in_by_programs(user)
    token = new_secret()
    await insert_login_link(db, secret_digest(token), user.user_id, lifetime_s=LINK_LIFETIME_S)
    logs.write(
        LogCode.LOGIN_LINK_CREATED,
        f"{call.caller.name} got a link that logs {user.username} in once",
        user_id=user.user_id,
        username=user.username,
    )
    return {"url": f"{config.public_url.rstrip('/')}/#/connect/login/{token}"}


@user_router.post("/get_user_attributes")
@user_router.post("/get_attributes")
async def get_user_attributes(db: Db, call: Annotated[CallBody, requires_key("users_view")]) -> Answer:
    """Return the preferences of a user."""
    user = await _target_user(db, call)
    return {"user_attributes": attributes_shape(await get_attributes(db, user.user_id))}


@user_router.post("/update_attributes")
@user_router.post("/update_user_attributes")
async def update_user_attributes(call: Annotated[CallBody, requires_key("users_modify")]) -> Answer:
    """Change the preferences of a user. Omitted and null fields keep their values; an empty text removes a value."""
    target = call.nested("target_user_attributes")
    user_id = target.optional_id("user_id") or call.id("user_id")
    sent = {name: None if value == "" else value for name, value in target.sent(*ATTRIBUTE_FIELDS).items()}
    if isinstance(theme := sent.get("theme"), str):
        sent["theme"] = theme.lower()
    body, client_fields = validated(AttributesPatch, sent), target.client_fields(USER_CLIENT_FIELDS)
    await accounts.change_attributes(call.change, user_id, body, client_fields)
    return {}


async def _target_user(db: Database, call: CallBody) -> users.User:
    target = call.nested("target_user")
    user_id = target.optional_id("user_id")
    if user_id is not None:
        return await users.get_user(db, user_id)
    name = target.text("username")
    if not name:
        raise Invalid("target_user needs user_id or username.")
    user = await users.find_user(db, name)
    if user is None:
        raise NotFound(f"There is no user {name}; the account may have been deleted.")
    return user


group_router = public_router()

GROUP_FIELDS: Final = ("name", "description", "priority", "permissions")
VIEW_GROUPS: Final = requires_key("groups_view")
CHANGE_GROUPS: Final = requires_key_one_of("groups_modify", "groups_modify_ifmember")


@group_router.post("/get_groups", dependencies=[VIEW_GROUPS])
async def get_groups(db: Db) -> Answer:
    """List all groups."""
    return {"groups": [_group_shape(group) for group in (await groups.list_groups(db)).rows]}


@group_router.post("/get_group")
async def get_group(db: Db, call: Annotated[CallBody, VIEW_GROUPS]) -> Answer:
    """Return one group."""
    return {"group": _group_shape(await groups.get_group(db, str(_group_id(call))))}


@group_router.post("/create_group")
async def create_group(call: Annotated[CallBody, requires_key("groups_create")]) -> Answer:
    """Create a group."""
    body = validated(GroupCreate, call.nested("target_group").sent(*GROUP_FIELDS))
    return {"group": _group_shape(await group_rules.create(call.change, body))}


@group_router.post("/update_group")
async def update_group(call: Annotated[CallBody, CHANGE_GROUPS]) -> Answer:
    """Change a group. Omitted and null fields keep their values."""
    body = validated(GroupPatch, call.nested("target_group").sent(*GROUP_FIELDS))
    return {"group": _group_shape(await group_rules.update(call.change, str(_group_id(call)), body))}


@group_router.post("/delete_group")
async def delete_group(call: Annotated[CallBody, requires_key("groups_delete")]) -> Answer:
    """Delete a group."""
    await group_routes.delete_group(_group_id(call), call.change)
    return {}


@group_router.post("/get_users_group")
async def get_users_group(db: Db, call: Annotated[CallBody, requires_key("groups_view", "users_view")]) -> Answer:
    """List the members of a group."""
    group = await groups.get_group(db, str(_group_id(call)))
    members = await users.list_users(db, users.USERS.matching(group=group.group_id, in_groups=None, service=False))
    return {"users": [user_shape(user) for user in members.rows]}


@group_router.post("/add_user_group")
async def add_user_group(call: Annotated[CallBody, CHANGE_GROUPS]) -> Answer:
    """Add a user to a group."""
    await group_routes.add_group_user(_group_id(call), _user_id(call), call.change)
    return {}


@group_router.post("/remove_user_group")
async def remove_user_group(call: Annotated[CallBody, CHANGE_GROUPS]) -> Answer:
    """End a membership."""
    await group_routes.remove_group_user(_group_id(call), _user_id(call), call.change)
    return {}


@group_router.post("/get_images_group")
async def get_images_group(db: Db, secrets: SecretsDep, call: Annotated[CallBody, VIEW_GROUPS]) -> Answer:
    """List the workspaces that members of a group may use."""
    group = await groups.get_group(db, str(_group_id(call)))
    group_images = [image for image in (await images.list_images(db)).rows if image.image_id in group.images]
    shapes = [image_shape(redacted_image(image, secrets, call.caller)) for image in group_images]
    return {"images": [image | _group_image_fields(group, image) for image in shapes]}


@group_router.post("/add_images_group")
async def add_images_group(call: Annotated[CallBody, CHANGE_GROUPS]) -> Answer:
    """Let the members of a group use a workspace."""
    await group_routes.add_group_image(_group_id(call), _image_id(call), call.change)
    return {}


@group_router.post("/remove_images_group")
async def remove_images_group(call: Annotated[CallBody, CHANGE_GROUPS]) -> Answer:
    """Remove a workspace from a group; members can still use it through their other groups."""
    await group_routes.remove_group_image(_group_id(call), _image_id(call), call.change)
    return {}


@group_router.post("/get_settings_group")
async def get_settings_group(db: Db, secrets: SecretsDep, call: Annotated[CallBody, VIEW_GROUPS]) -> Answer:
    """List the settings that have a value in a group."""
    group = group_rules.redacted_group(await groups.get_group(db, str(_group_id(call))), secrets, call.caller)
    return {"settings": [_setting_shape(SETTINGS[name], group) for name in group.settings if name in SETTINGS]}


@group_router.post("/add_settings_group")
@group_router.post("/set_settings_group")
async def set_settings_group(call: Annotated[CallBody, CHANGE_GROUPS]) -> Answer:
    """Set a setting of a group. The value may be a string, as older clients send it."""
    group_id, setting, target = _group_id(call), _target_setting(call), call.nested("target_setting")
    if target.body.get("value") is None:
        raise Invalid(
            f"The value of {setting.name} is missing; to remove a setting from a group, call remove_settings_group."
        )
    body = validated(GroupPatch, {"settings": {setting.name: _parse_value(setting, target.body.get("value"))}})
    group = await group_rules.update(call.change, str(group_id), body)
    return {"setting": _setting_shape(setting, group_rules.redacted_group(group, call.change.secrets, call.caller))}


@group_router.post("/remove_settings_group")
async def remove_settings_group(call: Annotated[CallBody, CHANGE_GROUPS]) -> Answer:
    """Remove a setting from a group."""
    body = GroupPatch(settings={_target_setting(call).name: None})
    await group_rules.update(call.change, str(_group_id(call)), body)
    return {}


def _group_image_fields(group: Group, image: Answer) -> Answer:
    """Return the additional fields of a workspace in the list of a group. `group_image_id` is derived from both ids."""
    group_image_id = uuid.uuid5(uuid.UUID(group.group_id), str(image["image_id"]))
    return {
        "group_image_id": str(group_image_id),
        "group_id": hex_id(group.group_id),
        "group_name": group.name,
        "image_name": image["name"],
        "image_friendly_name": image["friendly_name"],
    }


def _group_shape(group: Group) -> Answer:
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


def _group_id(call: CallBody) -> uuid.UUID:
    return uuid.UUID(call.nested("target_group").id("group_id"))


def _user_id(call: CallBody) -> uuid.UUID:
    return uuid.UUID(call.nested("target_user").id("user_id"))


def _image_id(call: CallBody) -> uuid.UUID:
    return uuid.UUID(call.nested("target_image").id("image_id"))


def _target_setting(call: CallBody) -> Setting:
    """Return the setting of `target_setting`, by its name.

    Raises:
        Invalid: there is no setting with this name.
    """
    target = call.nested("target_setting")
    name = target.text("name") or target.text("group_setting_id")
    if name not in SETTINGS:
        suggestion = suggest_name(name, SETTINGS, f"the settings are {', '.join(SETTINGS)}.")
        raise Invalid(f"There is no group setting {name!r}; {suggestion}")
    return SETTINGS[name]


def _parse_value(setting: Setting, sent: object) -> object:
    """Return the value of a setting, parsed if it was sent as a string: "True", "20", "{}"."""
    if not isinstance(sent, str) or setting.kind in ("string", "choice"):
        return sent
    text = sent.lower() if setting.kind == "bool" else sent
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The value {sent[:60]!r} cannot be used for {setting.name} ({setting.kind}).") from error
