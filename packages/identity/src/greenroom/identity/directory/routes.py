"""Routes with which administrators manage directories: settings, and a test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.bodies import Json
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import requires
from greenroom.core.errors import Invalid, NotFound, Refused
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import credentials
from greenroom.db.rows import values_of
from greenroom.identity.context import SignOnContextDep
from greenroom.identity.directory import statements
from greenroom.identity.directory.client import DirectoryFailed, DirectoryHealth
from greenroom.identity.directory.diagnosis import DirectoryDiagnosis
from greenroom.identity.directory.directories import client_of
from greenroom.identity.directory.ldif import attribute_problem, filter_problem
from greenroom.identity.directory.schemas import (
    MAX_SHOWN,
    DirectoryCreate,
    DirectoryPatch,
    DirectoryTest,
    DirectoryView,
    DisabledUser,
    SyncPreview,
    SyncStart,
    SyncView,
)
from greenroom.identity.directory.statements import Directory, DirectoryFields
from greenroom.identity.directory.sync import plan_synchronization, synchronize
from greenroom.identity.grants import (
    check_attributes,
    parse_rules,
    require_permission_to_grant,
    require_right_over_identities,
)
from greenroom.identity.provider import is_loopback
from greenroom.identity.schemas import DiagnosisStep, DiagnosisView
from greenroom.identity.statements import record_problem

router = api_router("sign-on")

TRUST_FIELDS: Final = ("servers", "tls", "ca_pem")
"""The fields that determine the servers to which the stored password is sent."""
MATCH_FIELDS: Final = (
    "bind_dn",
    "user_base",
    "user_filter",
    "login_attributes",
    "id_attribute",
    "group_base",
    "group_filter",
    "membership",
)
"""The fields that determine which entry is which user, and which rules match."""


@router.get("/directories", dependencies=[requires("settings_view")])
async def list_directories(db: Db, page: Paging) -> list[DirectoryView]:
    """List all LDAP directories by title."""
    listed = await statements.list_directories(db, after=page.after_row(statements.BY_TITLE), limit=page.limit)
    return [_view(directory) for directory in page.rows(listed, statements.BY_TITLE)]


@router.post("/directories", status_code=201, dependencies=[requires("settings_modify")])
async def create_directory(body: DirectoryCreate, change: ChangeDep) -> DirectoryView:
    """Add an LDAP directory. Its password is encrypted and never returned.

    Rules also need `groups_modify` and the permissions of their groups, and `create_users` needs `users_create`.
    """
    fields = _parse_fields(body.model_dump(exclude={"name", "password"}))
    await require_permission_to_grant(change.db, change.caller, fields)
    secret = body.password.get_secret_value() if body.password else None
    encrypted = change.secrets.encrypt(secret) if secret else None
    async with change.db.transaction() as connection:
        directory_id = await statements.insert_directory(connection, body.name, fields, encrypted)
    created = await statements.get_directory(change.db, directory_id)
    change.audit(LogCode.DIRECTORY_CREATED, created.title, after=_audit_values(created))
    return _view(created)


@router.get("/directories/{directory_id}", dependencies=[requires("settings_view")])
async def get_directory(directory_id: UUID, db: Db) -> DirectoryView:
    """Return one LDAP directory."""
    return _view(await statements.get_directory(db, str(directory_id)))


@router.patch("/directories/{directory_id}", dependencies=[requires("settings_modify")])
async def update_directory(
    directory_id: UUID, body: DirectoryPatch, change: ChangeDep, context: SignOnContextDep
) -> DirectoryView:
    """Change an LDAP directory; omitted fields keep their values. If it is disabled, the log-ins of its users without a
    password at Greenroom end.

    403 if a user of the directory has permissions that the caller lacks. A change of a directory with rules also needs
    `groups_modify`, and a new rule the permissions of its group. Other servers or searches need the permissions of the
    groups of all rules.
    """
    sent = body.sent_fields()
    async with change.db.transaction() as connection:
        before = await statements.lock_directory(connection, str(directory_id))
        await require_right_over_identities(change.db, change.caller, before.issuer)
        await require_permission_to_grant(change.db, change.caller, before, kept=before.rules, groups_must_exist=False)
        encrypted = before.password_encrypted
        fields = _parse_fields(values_of(DirectoryFields, before) | body.model_dump(include=set(sent) - {"password"}))
        if "password" in sent:
            secret = sent["password"]
            encrypted = change.secrets.encrypt(secret.get_secret_value()) if secret else None
        elif encrypted is not None and _differs(fields, before, TRUST_FIELDS):
            raise Invalid("The stored password is not sent to other servers. Set `password`, too.")
        kept = () if _differs(fields, before, (*TRUST_FIELDS, *MATCH_FIELDS)) else before.rules
        await require_permission_to_grant(change.db, change.caller, fields, kept=kept)
        await statements.update_directory(connection, before.directory_id, fields, encrypted)
    context.directories.pop(before.directory_id, None)
    after = await statements.get_directory(change.db, before.directory_id)
    old, new = _audit_values(before), _audit_values(after)
    if encrypted != before.password_encrypted:
        old, new = old | {"bind": "as before"}, new | {"bind": "changed"}  # the log masks `password`
    change.audit(LogCode.DIRECTORY_CHANGED, after.title, before=old, after=new)
    if not after.enabled:
        await _end_logins(change, after)
    return _view(after)


@router.delete("/directories/{directory_id}", status_code=204, dependencies=[requires("settings_modify")])
async def delete_directory(directory_id: UUID, change: ChangeDep) -> None:
    """Delete an LDAP directory, and the links of its users. The users remain. The log-ins of users without a password
    at Greenroom end."""
    async with change.db.transaction() as connection:
        before = await statements.lock_directory(connection, str(directory_id))
        await require_right_over_identities(change.db, change.caller, before.issuer)
        await require_permission_to_grant(change.db, change.caller, before, kept=before.rules, groups_must_exist=False)
        disabled = replace(before, enabled=False)  # from the commit on, no log-in begins
        await statements.update_directory(connection, before.directory_id, disabled, before.password_encrypted)
    await _end_logins(change, before)
    async with change.db.transaction() as connection:
        await statements.delete_directory(connection, before)
    change.audit(LogCode.DIRECTORY_DELETED, before.title, before=_audit_values(before))


@router.post("/directories/{directory_id}/test", dependencies=[requires("settings_modify")])
async def test_directory(directory_id: UUID, body: DirectoryTest, context: SignOnContextDep) -> DiagnosisView:
    """Test an LDAP directory step by step, up to the first step that fails. No user is logged in. The last step shows a
    user with their groups."""
    directory = await statements.get_directory(context.db, str(directory_id))
    client = partial(client_of, context, directory, health=DirectoryHealth(lambda _: None))
    results = await DirectoryDiagnosis(directory, client, body.username).run()
    if results[-1].passed:
        await record_problem(context.db, directory.directory_id, "")
    return DiagnosisView(passed=results[-1].passed, steps=[DiagnosisStep.model_validate(result) for result in results])


@router.post("/directories/{directory_id}/sync", dependencies=[requires("settings_modify", "users_modify")])
async def synchronize_directory(
    directory_id: UUID, body: SyncStart, change: ChangeDep, context: SignOnContextDep
) -> SyncView:
    """Synchronize the users of an LDAP directory now. 409 with the reason if it stops; it then changed no user.

    403 if a user of the directory has permissions that the caller lacks.
    """
    directory = await statements.get_directory(change.db, str(directory_id))
    await require_right_over_identities(change.db, change.caller, directory.issuer)
    try:
        plan = await synchronize(context, directory, forced=body.force)
    except DirectoryFailed as error:
        raise Refused(f"The synchronization of {directory.title} stopped, and changed no user: {error}") from error
    forced = {"force": True} if body.force else {}
    change.audit(LogCode.DIRECTORY_CHANGED, directory.title, after={"synchronized": plan.numbers} | forced)
    return SyncView(**plan.numbers)


@router.post("/directories/{directory_id}/sync/preview", dependencies=[requires("settings_modify", "users_view")])
async def preview_synchronization(directory_id: UUID, context: SignOnContextDep) -> SyncPreview:
    """Show which users a synchronization of an LDAP directory would disable now. No user is changed. 409 if a search
    fails."""
    directory = await statements.get_directory(context.db, str(directory_id))
    try:
        plan = await plan_synchronization(context, directory)
    except DirectoryFailed as error:
        raise Refused(f"The users of {directory.title} could not be read: {error}") from error
    disabled = [DisabledUser(username=user.username, reason=reason) for user, reason in plan.disabled[:MAX_SHOWN]]
    return SyncPreview(
        present=len(plan.present),
        num_disabled=len(plan.disabled),
        disabled=disabled,
        num_missing=len(plan.missing),
        missing=[user.username for user in plan.missing[:MAX_SHOWN]],
        problem=plan.problem,
    )


async def _end_logins(change: CallerChange, directory: Directory) -> None:
    """End the log-ins and streams of the users of a directory who have no password at Greenroom. The directory is
    disabled, so no further log-in begins."""
    for user_id in await statements.users_with_access(change.db, directory.issuer):
        try:
            async with access_transaction(change.db, change.logs) as access:
                user = await access.lock_user(user_id)
                if user.password_hash is not None:
                    continue
                await credentials.delete_logins_of(access.connection, [user_id])
                access.log_out(user)
        except NotFound:
            continue  # the user was deleted meanwhile


def _parse_fields(values: Json) -> DirectoryFields:
    """Return the fields of a directory. Raises Invalid: a value is not valid."""
    fields = replace(DirectoryFields(**values), rules=parse_rules(values["rules"]))
    scheme = "ldaps" if fields.tls == "ldaps" else "ldap"
    for server in fields.servers:
        try:
            parts = urlsplit(server)
            _ = parts.port  # a wrong port raises an error, too
        except ValueError as error:
            raise Invalid(f"{server} is not a valid address of a server.") from error
        if parts.scheme != scheme:
            raise Invalid(f"{server} must begin with {scheme}://, because `tls` is {fields.tls}.")
        if fields.tls == "none" and not is_loopback(parts.hostname or ""):
            raise Invalid(f"{server} needs TLS, because passwords are sent over this connection; set `tls`.")
    for text in (fields.user_filter, fields.group_filter):
        if problem := filter_problem(text):
            raise Invalid(problem)
    if not fields.user_base.strip():
        raise Invalid("`user_base` must be the DN of the entry that contains the users.")
    check_attributes(fields.attributes)
    for name in (*fields.attributes.values(), *(rule.claim for rule in fields.rules)):
        if problem := attribute_problem(name):
            raise Invalid(problem)
    return fields


def _differs(after: DirectoryFields, before: DirectoryFields, names: Iterable[str]) -> bool:
    return any(getattr(after, name) != getattr(before, name) for name in names)


def _view(directory: Directory) -> DirectoryView:
    return DirectoryView.of(directory, has_password=directory.password_encrypted is not None)


def _audit_values(directory: Directory) -> LogDetails:
    values: dict[str, Any] = values_of(DirectoryFields, directory)
    return values | {"rules": [f"{rule.claim} = {rule.value} → {rule.group_id}" for rule in directory.rules]}
