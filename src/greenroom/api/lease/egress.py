"""The egress of a leased session, and the secrets that its web filter adds to requests."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.api.lease.schemas import LeaseOptions
from greenroom.api.secret import routes as named
from greenroom.api.security import Caller
from greenroom.api.session.authorized import settings_of
from greenroom.core.errors import Invalid
from greenroom.core.log_codes import LogCode
from greenroom.core.web_filter import FilterPolicy, Narrowing, domains, narrowed, policy_in_force
from greenroom.db import named_secrets
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease.leases import LeaseRow
from greenroom.db.workspace import filter_policies
from greenroom.db.workspace.images import get_image


@dataclass(frozen=True, slots=True)
class LeaseSubject:
    """The user and the workspace of a session. The same `idempotency_key` means the same lease."""

    user_id: str
    image_id: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class SessionEgress:
    """The `filter_policy` of a session, None = the policy in force; and the names of the secrets that it adds."""

    filter_policy: str | None = None
    secrets: tuple[str, ...] = ()


async def chosen(db: Database, caller: Caller, place: LeaseSubject, options: LeaseOptions) -> SessionEgress:
    """Return the egress that a lease requests.

    Raises:
        Invalid: it would reach more than the web filter in force allows, or it would use a secret without the right to
            it.
    """
    if options.egress is None:
        if options.secrets:
            raise Invalid("A lease with secrets needs options.egress with the hosts of the secrets.")
        return SessionEgress()
    present = await _in_force(db, place)
    allowed = [] if options.egress == "none" else options.egress.allow
    narrowing = Narrowing(wanted=domains(allowed), narrows=present.filter_policy_id if present else None)
    policy = narrowed(present, narrowing.wanted)
    if options.secrets:
        return await _with_secrets(db, caller, place, options, policy, narrowing=narrowing)
    await filter_policies.keep_policy_of_leases(db, policy, narrowing)
    return SessionEgress(policy.filter_policy_id)


async def _in_force(db: Database, place: LeaseSubject) -> FilterPolicy | None:
    image = await get_image(db, place.image_id)
    of_groups = (await settings_of(db, place.user_id))["web_filter_policy"].value or None
    in_force = policy_in_force(image.filter_policy_id, of_groups, force_disabled=image.filter_policy_force_disabled)
    return (await filter_policies.get_filter_policy(db, in_force)).policy if in_force else None


async def _with_secrets(
    db: Database,
    caller: Caller,
    place: LeaseSubject,
    options: LeaseOptions,
    policy: FilterPolicy,
    *,
    narrowing: Narrowing,
) -> SessionEgress:
    granted = await named.of_lease(db, caller, options.secrets)
    zone_id = str(options.zone_id) if options.zone_id else None
    if not await named_secrets.can_be_added(db, zone_id):
        raise Invalid("No Agent can add secrets to requests; Agents in Kubernetes cannot do so.")
    own = await named.own_policy(
        db, policy, narrowing, granted, user_id=place.user_id, idempotency_key=place.idempotency_key
    )
    return SessionEgress(own.filter_policy_id, tuple(one.name for one in granted))


def say_granted(logs: LogWriter, caller: Caller, lease: LeaseRow, reach: SessionEgress) -> None:
    """Write a log row about the secrets of a lease, if it has any."""
    if not reach.secrets:
        return
    logs.write(
        LogCode.SECRETS_GRANTED,
        f"{caller.name} has a lease with the secrets {', '.join(reach.secrets)}: session {lease.session_id}",
        zone_name=lease.zone_name,
        session_id=lease.session_id,
        user_id=lease.user_id,
        details={"who": caller.name, "lease_id": lease.lease_id, "secrets": list(reach.secrets)},
        pressing=True,
    )
