"""Storage of named secrets, and their assignment to the filters of leases.

No answer and no log row contains a value.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from pydantic import SecretStr

from greenroom.api.bodies import Json
from greenroom.api.diagnostics.audit import audit
from greenroom.api.secret.schemas import SecretCreate, SecretPatch
from greenroom.api.security import Caller
from greenroom.core import named_secrets
from greenroom.core.errors import Forbidden, Invalid, NotFound, Refused
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.web_filter import FilterPolicy, Narrowing
from greenroom.db import named_secrets as secrets
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.named_secrets import SecretFields, StoredSecret
from greenroom.db.rows import values_of
from greenroom.db.workspace import filter_policies
from greenroom.kit.secrets import Secrets

MOST_SECRETS: Final = 200
"""The maximum number of secrets of one owner."""
_SENT_BY: Final = ("hosts", "header", "template")
"""The fields that determine where and how a value is sent."""
_OWN_POLICY: Final = uuid.UUID("6d0f7a0e-0b86-4f0b-9d0a-3f6f6a1d7f52")


@dataclass(frozen=True, slots=True)
class Keeping:
    """The parts that the storage of secrets needs."""

    db: Database
    logs: LogWriter
    cipher: Secrets


def owner_of(caller: Caller) -> str | None:
    """Return the user whose secrets the caller manages. For an API key it is the user that the key belongs to."""
    return caller.user_id or caller.owner_id


async def seen(db: Database, caller: Caller, secret_id: str, code: str) -> StoredSecret:
    """Return a secret of the caller, or any secret if the caller has the permission `code`.

    Raises:
        NotFound: the secret does not exist, or the caller may not see it.
    """
    secret = await secrets.get_secret(db, secret_id)
    if not caller.may(code) and (secret.owner_id is None or secret.owner_id != owner_of(caller)):
        raise NotFound(f"There is no secret {secret_id}; it may have been deleted.")
    return secret


async def create_secret(keeping: Keeping, caller: Caller, body: SecretCreate) -> StoredSecret:
    """Create a secret of the caller.

    Raises:
        Invalid: the value cannot be in that header or be sent to those hosts.
        Forbidden: others may use it, and the caller lacks the permission to allow that.
        Duplicate: the name exists.
        Refused: the owner has `MOST_SECRETS`.
    """
    fields = await _checked(keeping.db, body.model_dump(exclude={"value"}))
    _require_to_share(caller, "secrets_create", fields, ([], [], []))
    named_secrets.header_value(fields.template, body.value.get_secret_value())
    owner_id = owner_of(caller)
    if owner_id is None and caller.key_id is not None:  # the installation's first key has no user who would own it
        fields = replace(fields, keys=sorted({*fields.keys, caller.key_id}))
    async with keeping.db.transaction() as connection:
        if await secrets.number_of(connection, owner_id) >= MOST_SECRETS:
            raise Refused(f"You have {MOST_SECRETS} secrets, which is the maximum. Delete one first.")
        encrypted = keeping.cipher.encrypt(body.value.get_secret_value())
        secret_id = await secrets.insert_secret(connection, fields, encrypted, owner_id)
    made = await secrets.get_secret(keeping.db, secret_id)
    audit(keeping.logs, caller, LogCode.SECRET_CREATED, made.name, after=_audited(made))
    return made


async def update_secret(keeping: Keeping, caller: Caller, secret_id: str, body: SecretPatch) -> StoredSecret:
    """Change a secret, also in the filters that contain it.

    Raises:
        NotFound: the secret does not exist, or the caller may not see it.
        Invalid, Forbidden, Duplicate: as for a new one. Also Invalid: the stored value would be sent elsewhere. Also
            Forbidden: the caller is an API key without `secrets_modify`.
    """
    await seen(keeping.db, caller, secret_id, "secrets_modify")
    _require_to_change(caller, "secrets_modify")
    sent = body.sent()
    new: SecretStr | None = sent.pop("value", None)
    async with keeping.db.transaction() as connection:
        before, encrypted = await secrets.lock_secret(connection, secret_id)
        fields = await _checked(keeping.db, values_of(SecretFields, before) | sent)
        if new is None and (moved := [name for name in _SENT_BY if getattr(fields, name) != getattr(before, name)]):
            raise Invalid(
                f"The stored value of {before.name} is not sent to another host. Set `value` again to change "
                f"{' and '.join(moved)}."
            )
        _require_to_share(caller, "secrets_modify", fields, (before.users, before.groups, before.keys))
        value = keeping.cipher.decrypt(encrypted) if new is None else new.get_secret_value()
        named_secrets.header_value(fields.template, value)
        await secrets.update_secret(connection, secret_id, fields, keeping.cipher.encrypt(value) if new else None)
    after = await secrets.get_secret(keeping.db, secret_id)
    old, now = _audited(before), _audited(after)
    if new is not None:
        old, now = old | {"contents": "as before"}, now | {"contents": "changed"}
    audit(keeping.logs, caller, LogCode.SECRET_CHANGED, after.name, before=old, after=now)
    return after


async def delete_secret(keeping: Keeping, caller: Caller, secret_id: str) -> None:
    """Delete a secret, also in the filters that contain it.

    Raises:
        NotFound: the secret does not exist, or the caller may not see it.
        Forbidden: the caller is an API key without `secrets_delete`.
    """
    secret = await seen(keeping.db, caller, secret_id, "secrets_delete")
    _require_to_change(caller, "secrets_delete")
    async with keeping.db.transaction() as connection:
        await secrets.delete_secret(connection, secret_id)
    audit(keeping.logs, caller, LogCode.SECRET_DELETED, secret.name, before=_audited(secret))


def _audited(secret: StoredSecret) -> LogDetails:
    return values_of(SecretFields, secret)


def _require_to_change(caller: Caller, code: str) -> None:
    """Refuse an API key without the permission `code`: it may use the secrets of its owner, but not change them."""
    if caller.kind == "key":
        caller.require(code)


def _require_to_share(caller: Caller, code: str, fields: SecretFields, before: tuple[list[str], ...]) -> None:
    if (fields.users, fields.groups, fields.keys) != before and not caller.may(code):
        raise Forbidden(f"Access of others to a secret needs the permission {code}.", required=[code])


async def _checked(db: Database, values: Json) -> SecretFields:
    """Return the validated fields. Raises Invalid: one of the fields is not valid."""
    checked: Json = {
        "hosts": list(named_secrets.hosts(values["hosts"])),
        "header": named_secrets.header(values["header"]),
        "template": named_secrets.template(values["template"]),
        **{name: sorted({str(one) for one in values[name]}) for name in ("users", "groups", "keys")},
    }
    fields = SecretFields(**{**values, **checked})
    if unknown := await secrets.unknown_users(db, fields):
        raise Invalid(
            f"There is no {', no '.join(unknown[:5])}; access to a secret needs an existing user, group or API key."
        )
    return fields


# For a lease ----------------------------------------------------------------------------------------------------------


async def of_lease(keeping: Keeping, caller: Caller, names: Sequence[str]) -> list[StoredSecret]:
    """Return the secrets that the lease of a caller requests.

    Raises:
        Invalid: no secret of that name exists that the caller may use, or several of other owners do; or two of them
            would be in one header.
    """
    wanted = sorted(set(names))
    found = await secrets.named_secrets(keeping.db, wanted)
    user_id = owner_of(caller)
    groups = await secrets.groups_of(keeping.db, user_id) if user_id else []
    mine = [one for one in found if one.for_users.include(user_id=user_id, key_id=caller.key_id, groups=groups)]
    owned = {one.name for one in mine if one.owner_id == user_id}
    mine = [one for one in mine if one.owner_id == user_id or one.name not in owned]
    if several := sorted({one.name for one, other in pairwise(mine) if one.name == other.name}):
        raise Invalid(
            f"You may use several secrets with the name {several[0]}; ask one of their owners to rename theirs."
        )
    if missing := [name for name in wanted if name not in {one.name for one in mine}]:
        raise Invalid(
            f"There is no secret {', '.join(missing)} that you may use; GET /api/v1/secrets lists your secrets."
        )
    named_secrets.require_distinct(
        [named_secrets.Brokered(name=one.name, hosts=tuple(one.hosts), header=one.header, value="") for one in mine]
    )
    return mine


async def own_policy(
    db: Database,
    policy: FilterPolicy,
    narrowing: Narrowing,
    granted: Sequence[StoredSecret],
    *,
    user_id: str,
    idempotency_key: str | None,
) -> FilterPolicy:
    """Store a copy of the policy for one lease, with the secrets in its filter.

    A repeated request returns the same copy.

    Raises:
        Invalid: a secret is for a host that the policy denies, or it was deleted meanwhile.
    """
    for secret in granted:
        named_secrets.require_reached(policy, secret.name, secret.hosts)
    parts = [user_id, idempotency_key or str(uuid.uuid4()), narrowing.narrows or "", *narrowing.wanted, ";"]
    number = uuid.uuid5(_OWN_POLICY, "\n".join([*parts, *(one.secret_id for one in granted)]))
    own = replace(policy, filter_policy_id=str(number), name=f"Lease with {len(granted)} secrets ({number.hex})")
    await filter_policies.keep_policy_of_leases(db, own, narrowing)
    if await secrets.give_to_filter(db, own.filter_policy_id, [one.secret_id for one in granted]) != len(granted):
        raise Invalid("One of the secrets was just deleted. Try again.")
    return own
