"""Changes of users on behalf of a caller, for `/api/v1` and the published interface.

The attributes of a user are the preferences and SSH keys, which launches read. An anonymous user is created for a
launch without a user, is a member of All Users, cannot log in, and is deleted after the last session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final

from pydantic import SecretStr

from greenroom.api.access import groups
from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.access.list_schemas import merged_lists
from greenroom.api.access.schemas import AttributesPatch, UserCreate, UserPatch
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.core.access.accounts import password_problem
from greenroom.core.access.group_settings import resolve
from greenroom.core.access.permissions import GLOBAL_ADMIN
from greenroom.core.errors import HomeInUse, Invalid, NotFound, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.installation import installation_of
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import credentials, users
from greenroom.db.access.groups import groups_of_user
from greenroom.db.access.users import UserAttributes
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.installation import stored_settings
from greenroom.db.workspace import homes, images
from greenroom.kit.passwords import Passwords
from greenroom.kit.secrets import Secrets
from greenroom.kit.ssh_keys import is_same_key, new_key_pair, normalize_public_key, parse_private_key


async def create_user(change: CallerChange, passwords: Passwords, body: UserCreate) -> users.User:
    """Create a user in All Users and in the groups of the request.

    Raises:
        Forbidden: the caller may not add members to one of the groups.
        Invalid: the password cannot be used, or a group does not exist.
        Duplicate: the name exists.
    """
    db, group_ids = change.db, [str(group) for group in body.groups]
    await groups.check_membership_changes(change, added=set(group_ids) - {users.ALL_USERS})
    fields = users.UserFields(
        **body.model_dump(exclude={"password", "groups"}),
        password_hash=await _check_and_hash(db, passwords, body.password, body.username),
    )
    async with db.transaction() as connection:
        user_id = await users.insert_user(connection, fields)
        await users.set_groups(connection, user_id, group_ids)
    await db.notify(ChangeEvent(Topic.USERS))
    user = await users.get_user(db, user_id)
    change.audit(LogCode.USER_CREATED, user.username, after=audit_values(user))
    return user


async def change_user(change: CallerChange, passwords: Passwords, user_id: str, body: UserPatch) -> users.User:
    """Change fields, password and groups of a user; return the changed user.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user has more permissions than the caller, or the caller may not change one of the groups, or may
            not mark break-glass accounts.
        Refused: no administrator or no break-glass account would remain, a break-glass account has no password, or the
            caller sets their own password.
        Invalid: the password cannot be used, or a group does not exist.
        Duplicate: the new name exists.
    """
    db, caller, changes = change.db, change.caller, body.sent_fields()
    password: SecretStr | None = changes.pop("password", None)
    if password is not None and user_id == caller.user_id:
        raise Refused("Change your own password on the page My account, which asks for the present password.")
    group_ids = {str(group) for group in changes.pop("groups")} if "groups" in changes else None
    before = await users.get_user(db, user_id)
    if before.service:
        raise Refused(f"{before.username} is a service account. Change it with /api/v1/service-accounts.")
    caller.require_right_over(before.permissions)
    if changes.get("break_glass", before.break_glass) != before.break_glass:
        caller.require(GLOBAL_ADMIN)
    if group_ids is not None:
        old_ids = {group.group_id for group in before.groups}
        new_ids = group_ids | {users.ALL_USERS}
        await groups.check_membership_changes(change, added=new_ids - old_ids, removed=old_ids - new_ids, user=before)
    password_hash = await _check_and_hash(db, passwords, password, changes.get("username", before.username))
    if password_hash is not None:
        changes |= {"password_hash": password_hash, "password_once": False}
    async with access_transaction(db, change.logs) as access:
        current = await access.lock_user(user_id)
        caller.require_right_over(current.permissions)
        changed = replace(current, **changes)
        if changed.break_glass and changed.password_hash is None:
            raise Refused("A break-glass account needs a password; set the password first.")
        await users.update_user(access.connection, changed)
        if group_ids is not None:
            await users.set_groups(access.connection, user_id, sorted(group_ids))
        if changed.break_glass and not current.break_glass:
            await credentials.limit_to_password(access.connection, user_id)
        if current.break_glass and (not changed.break_glass or changed.disabled or changed.locked):
            await users.require_a_break_glass_account(access.connection)
    after = await users.get_user(db, user_id)
    new = audit_values(after) | ({"password": "new"} if password else {})
    change.audit(LogCode.USER_CHANGED, after.username, before=audit_values(before), after=new)
    return after


def audit_values(user: users.User) -> LogDetails:
    """Return the fields of a user that the audit log contains."""
    hidden = {"password_hash", "password_once", "auth_epoch", "num_sessions", "permissions", "created"}
    hidden |= {"last_session", "last_launched", "last_launched_session_id"}
    values = {name: value for name, value in asdict(user).items() if name not in hidden}
    return values | {"groups": [group.name for group in user.groups]}


async def _check_and_hash(db: Database, passwords: Passwords, password: SecretStr | None, username: str) -> str | None:
    if password is None:
        return None
    text = password.get_secret_value()
    settings = installation_of(await stored_settings(db))
    if problem := password_problem(text, username, min_length=settings.min_password_length):
        raise Invalid(problem)
    return await passwords.hash(text)


_MAX_DELETED_PER_CALL: Final = 100


async def delete_anonymous_user(db: Database, user_id: str) -> None:
    """Delete an anonymous user without a session.

    Raises:
        NotFound: the user was deleted.
        Invalid: the user has a session.
    """
    async with db.transaction() as connection:
        await users.lock_user(connection, user_id)
        await users.delete_user_row(connection, user_id)
    await db.notify(ChangeEvent(Topic.USERS))


async def delete_expired_anonymous_users(db: Database, retention_s: float, logs: LogWriter) -> None:
    """Delete anonymous users whose last session ended more than `retention_s` ago, and log each deletion."""
    for user_id, username in await users.find_expired_anonymous_users(db, retention_s, _MAX_DELETED_PER_CALL):
        try:
            await delete_anonymous_user(db, user_id)
        except (NotFound, Invalid):
            continue  # another process has deleted the user, or the user has a new session
        logs.write(LogCode.USER_DELETED, f"The anonymous user {username} was deleted after their last session")


async def delete_homes_of_deleted_users(db: Database, unused_days: int, logs: LogWriter) -> None:
    """Request the deletion of home folders of deleted users that were not used for this time, and log each request.
    0 = keep them."""
    if unused_days == 0:
        return
    for home in await homes.list_homes_of_deleted_users(db, unused_days, _MAX_DELETED_PER_CALL):
        try:
            await homes.request_removal(db, home.home_id)
        except (NotFound, HomeInUse):
            continue  # its Agent was deleted, or its last session has not ended yet
        image = home.image_friendly_name or home.image_id
        message = f"The home folder of the deleted user {home.user_id} for {image} on {home.hostname} is deleted"
        logs.write(LogCode.HOME_FOLDER_DELETED, message)


async def change_attributes(
    change: CallerChange, user_id: str, body: AttributesPatch, client_fields: Mapping[str, object] | None = None
) -> UserAttributes:
    """Change preferences and SSH keys of a user; return all attributes. `client_fields` are data of a client of the
    published interface.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user has more permissions than the caller.
        Invalid: a key cannot be used, or the workspace does not exist.
    """
    db, caller = change.db, change.caller
    changes = {name: value for name, value in body.sent_fields().items() if name not in _KEY_FIELDS}
    if "favorite_images" in changes:
        changes["favorite_images"] = [str(image_id) for image_id in dict.fromkeys(body.favorite_images)]
    if body.default_image is not None:
        changes["default_image"] = await _existing_image_id(db, str(body.default_image))
    async with db.transaction() as connection:
        user = await users.lock_user(connection, user_id)
        if user_id != caller.user_id:
            caller.require_right_over(user.permissions)
        before = await users.lock_attributes(connection, user_id)
        if "lists" in changes:
            changes["lists"] = merged_lists(before.lists, body.lists)
        changes["client_fields"] = before.client_fields | dict(client_fields or {})
        after = _with_ssh_keys(replace(before, **changes), body, change.secrets, comment=user.username)
        await users.store_attributes(connection, after)
    await db.notify(ChangeEvent(Topic.USERS))
    old, new = _audited_attributes(before), _audited_attributes(after)
    change.audit(LogCode.USER_CHANGED, user.username, before=old, after=new)
    return after


async def generate_ssh_key(change: CallerChange, user_id: str) -> UserAttributes:
    """Replace the SSH keys of the user with a new pair.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user has more permissions than the caller.
    """
    user = await users.get_user(change.db, user_id)
    pair = new_key_pair(user.username)
    body = AttributesPatch(ssh_public_key=pair.public, ssh_private_key=SecretStr(pair.private))
    return await change_attributes(change, user_id, body)


async def default_image_of(db: Database, user_id: str) -> str:
    """Return the id of the default workspace of the user, or else of the groups of the user. Raises Invalid: there is
    no default, or the workspace was deleted."""
    default_of_user = (await users.get_attributes(db, user_id)).default_image
    if default_of_user is not None:
        return default_of_user
    default_of_groups = resolve(await groups_of_user(db, user_id))["default_image"]
    image_id = await images.find_image(db, default_of_groups.value) if default_of_groups.value else None
    if image_id is None:
        detail = f" The workspace of {default_of_groups.trace} was deleted." if default_of_groups.value else ""
        raise Invalid(
            "image_id is missing, and there is no default workspace: set default_image for the user or one of the"
            f" groups.{detail}"
        )
    return image_id


def _audited_attributes(values: UserAttributes) -> LogDetails:
    """Return the attributes that the audit log contains. The log masks the private key."""
    key = values.ssh_private_key_encrypted
    return {
        "ssh_public_key": values.ssh_public_key,
        "ssh_private_key": key.decode("ascii", "replace") if key is not None else None,
        "preferred_language": values.preferred_language,
        "preferred_timezone": values.preferred_timezone,
        "default_image": values.default_image,
        "theme": values.theme,
        "density": values.density,
        "times": values.times,
        "saved_views": {name: [view["name"] for view in choices["views"]] for name, choices in values.lists.items()},
        "favorite_images": values.favorite_images,
        **values.client_fields,
    }


_KEY_FIELDS: Final = frozenset({"ssh_public_key", "ssh_private_key"})


def _with_ssh_keys(stored: UserAttributes, body: AttributesPatch, secrets: Secrets, *, comment: str) -> UserAttributes:
    """Return the attributes with the keys of a request.

    The keys are a pair: a request with the private key replaces both.
    """
    private = body.ssh_private_key
    public = normalize_public_key(body.ssh_public_key) if body.ssh_public_key else None
    if private is not None and private.get_secret_value():
        pair = parse_private_key(private.get_secret_value(), comment)
        if public is not None and not is_same_key(public, pair.public):
            raise Invalid(
                "The public key does not belong to the private key. Omit ssh_public_key: Greenroom derives it from the"
                " private key."
            )
        return replace(
            stored, ssh_public_key=public or pair.public, ssh_private_key_encrypted=secrets.encrypt(pair.private)
        )
    if "ssh_private_key" in body.model_fields_set:
        stored = replace(stored, ssh_private_key_encrypted=None)
    if "ssh_public_key" not in body.model_fields_set:
        return stored
    is_pair = public is not None and stored.ssh_public_key is not None and is_same_key(public, stored.ssh_public_key)
    if public is not None and stored.has_ssh_private_key and not is_pair:
        raise Invalid(
            "The stored private key belongs to another public key. Set ssh_private_key, too; null removes it."
        )
    return replace(
        stored, ssh_public_key=public, ssh_private_key_encrypted=stored.ssh_private_key_encrypted if public else None
    )


async def _existing_image_id(db: Database, image_id: str) -> str:
    existing_id = await images.find_image(db, image_id)
    if existing_id is None:
        raise Invalid(f"There is no workspace {image_id}; it cannot be the default workspace.")
    return existing_id
