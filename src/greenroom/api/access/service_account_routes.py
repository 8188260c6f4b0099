"""Service accounts: the users of programs. They own API keys, leases and webhooks, and no person can log in as them.

A caller may create, change and delete only service accounts that have no permission that the caller lacks, because an
API key of the account acts with its permissions.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from greenroom.api.access import groups
from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.access.service_account_schemas import ServiceAccountCreate, ServiceAccountPatch, ServiceAccountView
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import requires
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import service_accounts, users
from greenroom.db.access.service_accounts import AccountFields, ServiceAccount
from greenroom.db.rows import values_of

router = api_router("service accounts")


@router.get("/service-accounts", dependencies=[requires("devapi_view")])
async def list_service_accounts(db: Db, page: Paging) -> list[ServiceAccountView]:
    """List all service accounts by name."""
    rows = await page.read(db, service_accounts.ACCOUNTS)
    return [ServiceAccountView.model_validate(account) for account in rows]


@router.post("/service-accounts", status_code=201, dependencies=[requires("devapi_create")])
async def create_service_account(body: ServiceAccountCreate, change: ChangeDep) -> ServiceAccountView:
    """Create a service account in All Users and in the groups of the request, which the caller must be allowed to
    change. Create an API key for it with its id as `user_id`. An API key that is limited to networks creates only
    service accounts with networks inside of these."""
    change.caller.require_within_networks(body.networks)
    group_ids = [str(group) for group in body.groups]
    await groups.check_membership_changes(change, added=set(group_ids) - {users.ALL_USERS})
    fields = AccountFields(
        description=body.description, contact=body.contact, expires=body.expires, networks=body.networks
    )
    async with change.db.transaction() as connection:
        user = users.UserFields(username=body.name, disabled=not body.enabled)
        user_id = await users.insert_user(connection, user)
        await users.set_groups(connection, user_id, group_ids)
        await service_accounts.insert_account(connection, user_id, fields)
        change.caller.require_right_to_grant((await users.lock_user(connection, user_id)).permissions)
    await change.db.notify(ChangeEvent(Topic.USERS))
    account = await service_accounts.get_account(change.db, user_id)
    change.audit(LogCode.SERVICE_ACCOUNT_CREATED, account.name, after=_audit_values(account))
    return ServiceAccountView.model_validate(account)


@router.get("/service-accounts/{service_account_id}", dependencies=[requires("devapi_view")])
async def get_service_account(service_account_id: UUID, db: Db) -> ServiceAccountView:
    """Return one service account."""
    return ServiceAccountView.model_validate(await service_accounts.get_account(db, str(service_account_id)))


@router.patch("/service-accounts/{service_account_id}", dependencies=[requires("devapi_modify")])
async def update_service_account(
    service_account_id: UUID, body: ServiceAccountPatch, change: ChangeDep
) -> ServiceAccountView:
    """Change a service account. The caller needs all its permissions, unless the change only disables it. An API key
    that expires cannot set a later end, and one that is limited to networks cannot set other networks.

    If it is disabled, its leases and their sessions end, and its webhooks send nothing.
    """
    changes = body.sent_fields()
    account = await service_accounts.get_account(change.db, str(service_account_id))
    if "groups" in changes:
        await _check_groups(change, account, {str(group) for group in changes["groups"]})
    async with access_transaction(change.db, change.logs) as access:
        connection = access.connection
        user = await access.lock_user(account.service_account_id)
        before = await service_accounts.lock_account(connection, user.user_id)
        if changes != {"enabled": False}:
            change.caller.require_right_to_grant(user.permissions)
        if changes.get("expires", before.expires) != before.expires:
            change.caller.require_earlier_expiration(changes["expires"])
        if changes.get("networks", before.networks) != before.networks:
            change.caller.require_within_networks(changes["networks"])
        renamed = replace(
            user,
            username=changes.get("name", user.username),
            disabled=not changes.get("enabled", not user.disabled),
        )
        await users.update_user(connection, renamed)
        if "groups" in changes:
            await users.set_groups(connection, user.user_id, [str(group) for group in changes["groups"]])
            change.caller.require_right_to_grant((await users.lock_user(connection, user.user_id)).permissions)
        fields = values_of(AccountFields, before) | {
            name: value for name, value in changes.items() if name in service_accounts.FIELDS
        }
        await service_accounts.update_account(connection, user.user_id, AccountFields(**fields))
        if "expires" in changes:
            await access.limit_leases(user)
    after = await service_accounts.get_account(change.db, before.service_account_id)
    change.audit(LogCode.SERVICE_ACCOUNT_CHANGED, after.name, before=_audit_values(before), after=_audit_values(after))
    return ServiceAccountView.model_validate(after)


@router.delete("/service-accounts/{service_account_id}", status_code=204, dependencies=[requires("devapi_delete")])
async def delete_service_account(service_account_id: UUID, change: ChangeDep) -> None:
    """Delete a service account. Its sessions and leases end, and its API keys and webhooks are disabled."""
    account = await service_accounts.get_account(change.db, str(service_account_id))
    async with access_transaction(change.db, change.logs) as access:
        user = await access.lock_user(account.service_account_id)
        change.caller.require_right_over(user.permissions)
        await access.delete(user)
    change.audit(LogCode.SERVICE_ACCOUNT_DELETED, account.name, before=_audit_values(account))


async def _check_groups(change: CallerChange, account: ServiceAccount, group_ids: set[str]) -> None:
    before, after = {group.group_id for group in account.groups}, group_ids | {users.ALL_USERS}
    user = await users.get_user(change.db, account.service_account_id)
    await groups.check_membership_changes(change, added=after - before, removed=before - after, user=user)


def _audit_values(account: ServiceAccount) -> LogDetails:
    """Return the fields of a service account that the audit log contains."""
    return {
        "name": account.name,
        "enabled": account.enabled,
        **values_of(AccountFields, account),
        "groups": [group.name for group in account.groups],
    }
