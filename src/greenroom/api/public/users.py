"""Users in the published shape; the rules are those of `/api/v1/users`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter

from greenroom.api.audit import audit
from greenroom.api.deps import Config, Db, Logs, PasswordHashes
from greenroom.api.public.calls import Call, requires_key, validated
from greenroom.api.public.kasms import kasms_of_users
from greenroom.api.public.shapes import user_shape
from greenroom.api.routes.users import change, create, log_out, remove, visible
from greenroom.api.schemas.accounts import UserCreate, UserPatch
from greenroom.core.errors import Invalid, NotFound
from greenroom.db import users
from greenroom.db.database import Database

router = APIRouter(include_in_schema=False)

FIELDS: Final = (
    "username",
    "password",
    "first_name",
    "last_name",
    "phone",
    "organization",
    "notes",
    "locked",
    "disabled",
)


@router.post("/create_user")
async def create_user(
    db: Db, logs: Logs, passwords: PasswordHashes, call: Annotated[Call, requires_key("users_create")]
) -> dict[str, Any]:
    """Create a user in All Users."""
    body = validated(UserCreate, call.part("target_user").given(*FIELDS))
    fields = body.model_dump(exclude={"password", "groups"})
    user = await create(db, passwords, call.caller, fields, body.password, [])
    await db.notify("users:")
    audit(logs, call.caller, "created", "user", user.username, after=visible(user))
    return {"user": user_shape(user)}


@router.post("/get_user")
async def get_user(db: Db, config: Config, call: Annotated[Call, requires_key("users_view")]) -> dict[str, Any]:
    """One user, by id or name, with his sessions."""
    user = await _target(db, call)
    kasms = await kasms_of_users(db, config, user.user_id)
    return {"user": user_shape(user, kasms.get(user.user_id, []))}


@router.post("/get_users", dependencies=[requires_key("users_view")])
async def get_users(db: Db, config: Config) -> dict[str, Any]:
    """All users with their sessions."""
    kasms = await kasms_of_users(db, config)
    return {"users": [user_shape(user, kasms.get(user.user_id, [])) for user in await users.list_users(db)]}


@router.post("/update_user")
async def update_user(
    db: Db, logs: Logs, passwords: PasswordHashes, call: Annotated[Call, requires_key("users_modify")]
) -> dict[str, Any]:
    """Change a user; what is null stays, and so does the password where an empty one is sent."""
    target = call.part("target_user")
    sent = target.given(*FIELDS)
    if not sent.get("password"):
        sent.pop("password", None)
    changes = validated(UserPatch, sent).sent()
    password = changes.pop("password", None)
    before, after = await change(db, passwords, call.caller, target.id("user_id"), changes, password)
    new = visible(after) | ({"password": "new"} if password else {})
    audit(logs, call.caller, "changed", "user", after.username, before=visible(before), after=new)
    return {"user": user_shape(after)}


@router.post("/delete_user")
async def delete_user(
    db: Db, logs: Logs, call: Annotated[Call, requires_key("users_delete", "users_modify")]
) -> dict[str, Any]:
    """Delete a user; refused while he has sessions, unless `force`."""
    user_id = call.part("target_user").id("user_id")
    user = await remove(db, call.caller, user_id, force=call.flag("force"))
    audit(logs, call.caller, "deleted", "user", user.username, before=visible(user))
    return {}


@router.post("/logout_user")
async def logout_user(db: Db, logs: Logs, call: Annotated[Call, requires_key("users_auth_session")]) -> dict[str, Any]:
    """End all log-ins of a user and cut his streams; his sessions go on."""
    user = await _target(db, call)
    await log_out(db, user.user_id)
    audit(logs, call.caller, "changed", "user", user.username, after={"log-ins": "ended"})
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
        raise NotFound(f"There is no user {name}; it may have been deleted.")
    return user
