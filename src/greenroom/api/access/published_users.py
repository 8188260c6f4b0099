"""Users in the published shape; the rules are those of `/api/v1/users`."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter

from greenroom.api.access.accounts import change_attributes, change_user, log_out
from greenroom.api.access.accounts import create_user as create
from greenroom.api.access.accounts import delete_user as remove
from greenroom.api.access.schemas import AttributesPatch, UserCreate, UserPatch
from greenroom.api.deps import Config, Db, Logs, PasswordHashes, SecretsDep
from greenroom.api.published.calls import Answer, Call, requires_key, validated
from greenroom.api.published.shapes import KEPT_WITH_A_USER, attributes_shape, user_shape
from greenroom.api.session.published import kasms_of_users
from greenroom.api.session.streams import Streams
from greenroom.core.errors import Invalid, NotFound, Refused
from greenroom.core.log_codes import LogCode
from greenroom.db.access import users
from greenroom.db.access.attributes import get_attributes
from greenroom.db.access.credentials import insert_login_link
from greenroom.db.database import Database
from greenroom.kit.secrets import hashed, new_secret

LINK_LIFETIME_S: Final = 300.0
ATTRIBUTES: Final = tuple(AttributesPatch.model_fields)

_OF_GROUPS: Final[Answer] = {"authorized_images": []}
WORKSPACES_OF_GROUPS: Final = "groups have workspaces, not users (add_images_group)"

router = APIRouter(include_in_schema=False)

FIELDS: Final = tuple(name for name in UserPatch.model_fields if name != "groups")


@router.post("/create_user")
async def create_user(
    db: Db, logs: Logs, passwords: PasswordHashes, call: Annotated[Call, requires_key("users_create")]
) -> Answer:
    """Create a user in All Users."""
    target = call.part("target_user")
    target.refuse_others(_OF_GROUPS, WORKSPACES_OF_GROUPS)
    body = validated(UserCreate, target.given(*FIELDS))
    return {"user": user_shape(await create(db, logs, passwords, call.caller, body))}


@router.post("/get_user")
async def get_user(db: Db, streams: Streams, call: Annotated[Call, requires_key("users_view")]) -> Answer:
    """One user, by id or name, with their sessions."""
    user = await _target(db, call)
    kasms = await kasms_of_users(db, streams, user.user_id)
    return {"user": user_shape(user, kasms.get(user.user_id, []))}


@router.post("/get_users", dependencies=[requires_key("users_view")])
async def get_users(db: Db, streams: Streams) -> Answer:
    """All users with their sessions."""
    kasms = await kasms_of_users(db, streams)
    return {"users": [user_shape(user, kasms.get(user.user_id, [])) for user in (await users.list_users(db)).rows]}


@router.post("/update_user")
async def update_user(
    db: Db, logs: Logs, passwords: PasswordHashes, call: Annotated[Call, requires_key("users_modify")]
) -> Answer:
    """Change a user; what is null stays, and so does the password where an empty one is sent."""
    target = call.part("target_user")
    target.refuse_others(_OF_GROUPS, WORKSPACES_OF_GROUPS)
    sent = target.given(*FIELDS)
    if not sent.get("password"):
        sent.pop("password", None)
    body = validated(UserPatch, sent)
    return {"user": user_shape(await change_user(db, logs, passwords, call.caller, target.id("user_id"), body=body))}


@router.post("/delete_user")
async def delete_user(
    db: Db, logs: Logs, call: Annotated[Call, requires_key("users_delete", "users_modify")]
) -> Answer:
    """Delete a user; refused while they have sessions, unless `force`."""
    user_id = call.part("target_user").id("user_id")
    await remove(db, logs, call.caller, user_id, force=call.flag("force"))
    return {}


@router.post("/logout_user")
async def logout_user(db: Db, logs: Logs, call: Annotated[Call, requires_key("users_auth_session")]) -> Answer:
    """End all log-ins of a user and cut their streams; their sessions go on."""
    await log_out(db, logs, call.caller, (await _target(db, call)).user_id)
    return {}


@router.post("/get_login")
async def get_login(
    db: Db, logs: Logs, config: Config, call: Annotated[Call, requires_key("users_auth_session")]
) -> Answer:
    """An address that logs the user in at the console, once and soon."""
    user = await _target(db, call)
    call.caller.require_not_above(user.permissions)
    if user.disabled or user.locked or user.anonymous:
        raise Refused(f"{user.username} may not log in: the account is disabled, locked or anonymous.")
    token = new_secret()
    await insert_login_link(db, hashed(token), user.user_id, lifetime_s=LINK_LIFETIME_S)
    logs.write(
        LogCode.LOGIN_LINK_CREATED,
        f"{call.caller.name} got a link that logs {user.username} in once",
        user_id=user.user_id,
        username=user.username,
    )
    return {"url": f"{config.public_url.rstrip('/')}/#/connect/login/{token}"}


@router.post("/get_user_attributes")
@router.post("/get_attributes")
async def get_user_attributes(db: Db, call: Annotated[Call, requires_key("users_view")]) -> Answer:
    """What a user prefers."""
    user = await _target(db, call)
    return {"user_attributes": attributes_shape(await get_attributes(db, user.user_id))}


@router.post("/update_attributes")
@router.post("/update_user_attributes")
async def update_user_attributes(
    db: Db, logs: Logs, secrets: SecretsDep, call: Annotated[Call, requires_key("users_modify")]
) -> Answer:
    """Change what a user prefers; what is null stays, an empty text clears it."""
    target = call.part("target_user_attributes")
    user_id = target.optional_id("user_id") or call.id("user_id")
    sent = {name: None if value == "" else value for name, value in target.given(*ATTRIBUTES).items()}
    if isinstance(theme := sent.get("theme"), str):
        sent["theme"] = theme.lower()
    body, kept = validated(AttributesPatch, sent), target.kept(KEPT_WITH_A_USER)
    await change_attributes(db, logs, secrets, call.caller, user_id, body=body, client_fields=kept)
    return {}


async def _target(db: Database, call: Call) -> users.User:
    target = call.part("target_user")
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
