"""Attributes of users: changed by themselves and by administrators, read by launches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from greenroom.api.security import Caller
from greenroom.core.errors import Invalid
from greenroom.core.settings import resolve
from greenroom.db import attributes, images, users
from greenroom.db.attributes import Attributes
from greenroom.db.database import Database
from greenroom.db.groups import memberships_of
from greenroom.kit.secrets import Secrets
from greenroom.kit.ssh_keys import new_pair, pair_of, public_key, same_key


async def change_attributes(
    db: Database, secrets: Secrets, caller: Caller, user_id: str, changes: dict[str, Any]
) -> tuple[users.User, Attributes, Attributes]:
    """Change the attributes that are in `changes` (fields of `AttributesPatch`); returns (user, before, after).

    Raises:
        NotFound: there is no such user.
        Forbidden: he has more permissions than the caller.
        Invalid: a key cannot be used, or the workspace does not exist.
    """
    changes = dict(changes)
    if changes.get("default_image") is not None:
        changes["default_image"] = await _existing_image(db, str(changes["default_image"]))
    async with db.transaction() as connection:
        user = await users.lock_user(connection, user_id)
        if user_id != caller.user_id:
            caller.require_not_above(user.permissions)
        before = await attributes.lock_attributes(connection, user_id)
        after = _with_keys(before, changes, secrets, comment=user.username)
        await attributes.store_attributes(connection, after)
    await db.notify("users:")
    return user, before, after


async def generate_ssh_key(
    db: Database, secrets: Secrets, caller: Caller, user_id: str
) -> tuple[users.User, Attributes, Attributes]:
    """Give the user a new pair of SSH keys in place of the one he has; returns (user, before, after).

    Raises:
        NotFound: there is no such user.
        Forbidden: he has more permissions than the caller.
    """
    user = await users.get_user(db, user_id)
    pair = new_pair(user.username)
    changes = {"ssh_public_key": pair.public, "ssh_private_key": SecretStr(pair.private)}
    return await change_attributes(db, secrets, caller, user_id, changes)


async def default_image_of(db: Database, user_id: str) -> str:
    """The workspace of a launch that names none: the user's own choice, else that of his groups.

    Raises:
        Invalid: there is neither, or the workspace does not exist any more.
    """
    own = (await attributes.get_attributes(db, user_id)).default_image
    if own is not None:
        return own
    of_groups = resolve(await memberships_of(db, user_id))["default_image"]
    found = await images.find_image(db, of_groups.value) if of_groups.value else None
    if found is None:
        why = f" The workspace of {of_groups.trace} was deleted." if of_groups.value else ""
        raise Invalid(
            "image_id is missing, and there is no default workspace: set default_image for the user or one of the"
            f" groups.{why}"
        )
    return found


def visible(values: Attributes) -> dict[str, Any]:
    """Attributes as the log shows changes of them; of the private key only that there is another."""
    key = values.ssh_private_key_encrypted
    return {
        "ssh_public_key": values.ssh_public_key,
        "ssh_private_key": key.decode("ascii", "replace") if key is not None else None,
        "preferred_language": values.preferred_language,
        "preferred_timezone": values.preferred_timezone,
        "default_image": values.default_image,
        "theme": values.theme,
    }


def _with_keys(before: Attributes, changes: dict[str, Any], secrets: Secrets, *, comment: str) -> Attributes:
    """The attributes after `changes`. Both keys are one pair: whoever gives the private one gives both."""
    keys = {name: changes.pop(name) for name in ("ssh_public_key", "ssh_private_key") if name in changes}
    after = replace(before, **changes)
    public = public_key(keys["ssh_public_key"]) if keys.get("ssh_public_key") else None
    secret: SecretStr | None = keys.get("ssh_private_key")
    if secret is not None and secret.get_secret_value():
        pair = pair_of(secret.get_secret_value(), comment)
        if public is not None and not same_key(public, pair.public):
            raise Invalid("ssh_public_key does not belong to ssh_private_key; leave it out, it is derived.")
        return replace(
            after, ssh_public_key=public or pair.public, ssh_private_key_encrypted=secrets.encrypt(pair.private)
        )
    if "ssh_private_key" in keys:
        after = replace(after, ssh_private_key_encrypted=None)
    if "ssh_public_key" not in keys:
        return after
    belongs = public is not None and after.ssh_public_key is not None and same_key(public, after.ssh_public_key)
    if public is not None and after.has_ssh_private_key and not belongs:
        raise Invalid(
            "The stored private key belongs to another public key; give ssh_private_key, too, or null to remove it."
        )
    return replace(
        after, ssh_public_key=public, ssh_private_key_encrypted=after.ssh_private_key_encrypted if public else None
    )


async def _existing_image(db: Database, image_id: str) -> str:
    found = await images.find_image(db, image_id)
    if found is None:
        raise Invalid(f"There is no workspace {image_id} that could be the default one.")
    return found
