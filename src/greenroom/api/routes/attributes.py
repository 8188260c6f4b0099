"""What users prefer (language, time zone, default workspace, theme) and their SSH keys: own and others'."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from greenroom.api.attributes import change_attributes, generate_ssh_key, visible
from greenroom.api.audit import audit
from greenroom.api.deps import Db, InstallationSecrets, Logs
from greenroom.api.schemas.accounts import AttributesPatch, AttributesView
from greenroom.api.security import Caller, requires
from greenroom.core.permissions import USER
from greenroom.db import attributes, users
from greenroom.db.attributes import Attributes
from greenroom.db.logs import LogWriter

router = APIRouter(tags=["attributes"])


@router.get("/me/attributes")
async def get_own_attributes(db: Db, caller: Annotated[Caller, requires(USER)]) -> AttributesView:
    """The own preferences and public SSH key."""
    return AttributesView.model_validate(await attributes.get_attributes(db, caller.own_user_id()))


@router.patch("/me/attributes")
async def update_own_attributes(
    body: AttributesPatch, db: Db, logs: Logs, secrets: InstallationSecrets, caller: Annotated[Caller, requires(USER)]
) -> AttributesView:
    """Change the own preferences and SSH keys; sessions that are launched from now on follow."""
    return _logged(logs, caller, await change_attributes(db, secrets, caller, caller.own_user_id(), body.sent()))


@router.post("/me/ssh-key")
async def generate_own_ssh_key(
    db: Db, logs: Logs, secrets: InstallationSecrets, caller: Annotated[Caller, requires(USER)]
) -> AttributesView:
    """Make a new pair of SSH keys in place of the present one; the answer has the public one."""
    return _logged(logs, caller, await generate_ssh_key(db, secrets, caller, caller.own_user_id()))


@router.get("/users/{user_id}/attributes", dependencies=[requires("users_view")])
async def get_user_attributes(user_id: UUID, db: Db) -> AttributesView:
    """A user's preferences and public SSH key."""
    user = await users.get_user(db, str(user_id))
    return AttributesView.model_validate(await attributes.get_attributes(db, user.user_id))


@router.patch("/users/{user_id}/attributes")
async def update_user_attributes(
    user_id: UUID,
    body: AttributesPatch,
    db: Db,
    logs: Logs,
    secrets: InstallationSecrets,
    caller: Annotated[Caller, requires("users_modify")],
) -> AttributesView:
    """Change a user's preferences and SSH keys; sessions launched from now on follow."""
    return _logged(logs, caller, await change_attributes(db, secrets, caller, str(user_id), body.sent()))


@router.post("/users/{user_id}/ssh-key")
async def generate_user_ssh_key(
    user_id: UUID,
    db: Db,
    logs: Logs,
    secrets: InstallationSecrets,
    caller: Annotated[Caller, requires("users_modify")],
) -> AttributesView:
    """Make a new pair of SSH keys for a user in place of the present one; the answer has the public one."""
    return _logged(logs, caller, await generate_ssh_key(db, secrets, caller, str(user_id)))


def _logged(logs: LogWriter, caller: Caller, change: tuple[users.User, Attributes, Attributes]) -> AttributesView:
    user, before, after = change
    audit(logs, caller, "changed", "user", user.username, before=visible(before), after=visible(after))
    return AttributesView.model_validate(after)
