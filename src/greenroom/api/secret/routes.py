"""Secrets that web filters add to requests of leased sessions. The sessions do not receive them.

No answer and no log row contains a value.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Final
from uuid import UUID

from pydantic import SecretStr

from greenroom.api.bodies import Json
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.secret.schemas import SecretCreate, SecretPatch, SecretView
from greenroom.api.security import Caller, requires_one_of
from greenroom.core import named_secrets
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Forbidden, Invalid, NotFound, Refused
from greenroom.core.log_codes import LogCode
from greenroom.core.web_filter import FilterPolicy, LeaseEgress
from greenroom.db import named_secrets as secrets
from greenroom.db.access.roles import read_grants
from greenroom.db.database import Database
from greenroom.db.named_secrets import SecretFields, StoredSecret
from greenroom.db.rows import values_of
from greenroom.db.workspace import filter_policies

MAX_SECRETS: Final = 200
"""The maximum number of secrets of one owner."""
_DESTINATION_FIELDS: Final = ("hosts", "header", "template")
"""The fields that determine to which hosts, and in which header, a value is sent."""
_POLICY_NAMESPACE: Final = uuid.UUID("6d0f7a0e-0b86-4f0b-9d0a-3f6f6a1d7f52")


def _owner_id(caller: Caller) -> str | None:
    """Return the id of the user whose secrets the caller may use; None for an API key without an owner."""
    return caller.user_id or caller.owner_id


router = api_router("secrets")


@router.get("/secrets")
async def list_secrets(
    db: Db, page: Paging, caller: Annotated[Caller, requires_one_of(USER, "secrets_view")]
) -> list[SecretView]:
    """List secrets by name. Callers without `secrets_view` get only their own secrets."""
    owner_id = None if caller.may("secrets_view") else _owner_id(caller)
    found = await page.read(db, secrets.SECRETS, secrets.SECRETS.matching(owner_id=owner_id))
    return [SecretView.model_validate(secret) for secret in found]


@router.post("/secrets", status_code=201, dependencies=[requires_one_of(USER, "secrets_create")])
async def create_secret(body: SecretCreate, change: ChangeDep) -> SecretView:
    """Store a secret.

    The value is encrypted and never returned. To let others use it, the caller needs `secrets_create`.
    """
    caller, value = change.caller, body.value.get_secret_value()
    fields = await _checked_fields(change.db, body.model_dump(exclude={"value"}))
    _require_right_to_share(caller, "secrets_create", fields, ([], [], []))
    named_secrets.header_value(fields.template, value)
    owner_id = _owner_id(caller)
    if owner_id is None and caller.key_id is not None:
        # The first key of the installation has no user who could own the secret.
        fields = replace(fields, keys=sorted({*fields.keys, caller.key_id}))
    async with change.db.transaction() as connection:
        if await secrets.count_secrets(connection, owner_id) >= MAX_SECRETS:
            raise Refused(f"You have {MAX_SECRETS} secrets, which is the maximum. Delete one first.")
        secret_id = await secrets.insert_secret(connection, fields, change.secrets.encrypt(value), owner_id)
    created = await secrets.get_secret(change.db, secret_id)
    change.audit(LogCode.SECRET_CREATED, created.name, after=values_of(SecretFields, created))
    return SecretView.model_validate(created)


@router.get("/secrets/{secret_id}")
async def get_secret(
    secret_id: UUID, db: Db, caller: Annotated[Caller, requires_one_of(USER, "secrets_view")]
) -> SecretView:
    """Return one secret, without its value."""
    return SecretView.model_validate(await _visible_secret(db, caller, secret_id, "secrets_view"))


@router.patch("/secrets/{secret_id}", dependencies=[requires_one_of(USER, "secrets_modify")])
async def update_secret(secret_id: UUID, body: SecretPatch, change: ChangeDep) -> SecretView:
    """Change a secret; omitted fields keep their values. The filters of running leases apply the change within seconds.

    A change of `hosts`, `header` or `template` needs `value`, too. An API key needs `secrets_modify`, also for its
    owner's secrets.
    """
    secret = await _visible_secret(change.db, change.caller, secret_id, "secrets_modify")
    _require_key_permission(change.caller, "secrets_modify")
    await _require_right_over_owner(change.db, change.caller, secret)
    sent = body.sent_fields()
    new_value: SecretStr | None = sent.pop("value", None)
    async with change.db.transaction() as connection:
        before, encrypted = await secrets.lock_secret(connection, str(secret_id))
        fields = await _checked_fields(change.db, values_of(SecretFields, before) | sent)
        if new_value is None and (
            changed_fields := [name for name in _DESTINATION_FIELDS if getattr(fields, name) != getattr(before, name)]
        ):
            raise Invalid(
                f"The stored value of {before.name} is not sent to another host. Set `value` again to change "
                f"{' and '.join(changed_fields)}."
            )
        _require_right_to_share(change.caller, "secrets_modify", fields, (before.users, before.groups, before.keys))
        value = change.secrets.decrypt(encrypted) if new_value is None else new_value.get_secret_value()
        named_secrets.header_value(fields.template, value)
        changed = change.secrets.encrypt(value) if new_value else None
        await secrets.update_secret(connection, before.secret_id, fields, changed)
    after = await secrets.get_secret(change.db, before.secret_id)
    old, new = values_of(SecretFields, before), values_of(SecretFields, after)
    if new_value is not None:
        old, new = old | {"contents": "as before"}, new | {"contents": "changed"}
    change.audit(LogCode.SECRET_CHANGED, after.name, before=old, after=new)
    return SecretView.model_validate(after)


@router.delete("/secrets/{secret_id}", status_code=204, dependencies=[requires_one_of(USER, "secrets_delete")])
async def delete_secret(secret_id: UUID, change: ChangeDep) -> None:
    """Delete a secret. The filters of running leases remove it within seconds.

    An API key needs `secrets_delete`, also for its owner's secrets.
    """
    secret = await _visible_secret(change.db, change.caller, secret_id, "secrets_delete")
    _require_key_permission(change.caller, "secrets_delete")
    await _require_right_over_owner(change.db, change.caller, secret)
    async with change.db.transaction() as connection:
        await secrets.delete_secret(connection, secret.secret_id)
    change.audit(LogCode.SECRET_DELETED, secret.name, before=values_of(SecretFields, secret))


async def _visible_secret(db: Database, caller: Caller, secret_id: UUID, code: str) -> StoredSecret:
    """Return a secret of the caller, or any secret if the caller has the permission `code`. Raises NotFound: the secret
    does not exist, or the caller may not see it."""
    secret = await secrets.get_secret(db, str(secret_id))
    if not caller.may(code) and (secret.owner_id is None or secret.owner_id != _owner_id(caller)):
        raise NotFound(f"There is no secret {secret_id}; it may have been deleted.")
    return secret


async def _require_right_over_owner(db: Database, caller: Caller, secret: StoredSecret) -> None:
    """Require the right over the owner of a secret of another user. Raises Forbidden: the caller lacks it."""
    if secret.owner_id is not None and secret.owner_id != _owner_id(caller):
        caller.require_right_over(await read_grants(db, secret.owner_id))


def _require_key_permission(caller: Caller, code: str) -> None:
    """Require the permission `code` from an API key, which may use the secrets of its owner, but not change them."""
    if caller.kind == "key":
        caller.require(code)


def _require_right_to_share(caller: Caller, code: str, fields: SecretFields, before: tuple[list[str], ...]) -> None:
    if (fields.users, fields.groups, fields.keys) != before and not caller.may(code):
        raise Forbidden(f"Access of others to a secret needs the permission {code}.", required=[code])


async def _checked_fields(db: Database, values: Json) -> SecretFields:
    """Return the validated fields. Raises Invalid: one of the fields is not valid."""
    checked: Json = {
        "hosts": list(named_secrets.validated_hosts(values["hosts"])),
        "header": named_secrets.validated_header(values["header"]),
        "template": named_secrets.validated_template(values["template"]),
        **{name: sorted({str(granted_id) for granted_id in values[name]}) for name in ("users", "groups", "keys")},
    }
    fields = SecretFields(**{**values, **checked})
    if unknown := await secrets.unknown_grantees(db, fields):
        raise Invalid(
            f"There is no {', no '.join(unknown[:5])}; access to a secret needs an existing user, group or API key."
        )
    return fields


async def requested_secrets(db: Database, caller: Caller, names: Sequence[str]) -> list[StoredSecret]:
    """Return the secrets with these names that the caller may use. Raises Invalid: the caller may use no
    secret with one of the names, or only several of other owners; or two secrets use the same header for one host."""
    unique_names = sorted(set(names))
    rows = await secrets.named_secrets(db, unique_names)
    user_id = _owner_id(caller)
    groups = await secrets.group_ids_of_user(db, user_id) if user_id else []
    usable = [
        secret for secret in rows if secret.allowed_users.include(user_id=user_id, key_id=caller.key_id, groups=groups)
    ]
    owned = {secret.name for secret in usable if secret.owner_id == user_id}
    usable = [secret for secret in usable if secret.owner_id == user_id or secret.name not in owned]
    if ambiguous := sorted(
        {secret.name for secret, next_secret in pairwise(usable) if secret.name == next_secret.name}
    ):
        raise Invalid(
            f"You may use several secrets with the name {ambiguous[0]}; ask one of their owners to rename theirs."
        )
    if missing := [name for name in unique_names if name not in {secret.name for secret in usable}]:
        raise Invalid(
            f"There is no secret {', '.join(missing)} that you may use; GET /api/v1/secrets lists your secrets."
        )
    named_secrets.require_distinct(
        [
            named_secrets.FilterSecret(name=secret.name, hosts=tuple(secret.hosts), header=secret.header, value="")
            for secret in usable
        ]
    )
    return usable


async def store_policy_copy(
    db: Database,
    policy: FilterPolicy,
    egress: LeaseEgress,
    granted: Sequence[StoredSecret],
    *,
    user_id: str,
    idempotency_key: str | None,
) -> FilterPolicy:
    """Store a copy of the policy for one lease, with the secrets in its filter.

    A repeated request returns the same copy. Raises Invalid: the policy denies a host of a secret, or a secret was
    deleted meanwhile.
    """
    for secret in granted:
        named_secrets.require_reachable_hosts(policy, secret.name, secret.hosts)
    parts = [
        user_id,
        idempotency_key or str(uuid.uuid4()),
        egress.restricting_policy_id or "",
        *egress.wanted,
        ";",
    ]
    policy_id = uuid.uuid5(_POLICY_NAMESPACE, "\n".join([*parts, *(secret.secret_id for secret in granted)]))
    copy = replace(policy, filter_policy_id=str(policy_id), name=f"Lease with {len(granted)} secrets ({policy_id.hex})")
    await filter_policies.store_lease_policy(db, copy, egress)
    if await secrets.add_to_filter(db, copy.filter_policy_id, [secret.secret_id for secret in granted]) != len(granted):
        raise Invalid("One of the secrets was just deleted. Try again.")
    return copy
