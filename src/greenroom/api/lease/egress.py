"""The egress of a leased session (hosts that it may reach), and the secrets that the web filter adds to requests."""

from __future__ import annotations

from dataclasses import dataclass

from greenroom.api.lease.schemas import LeaseOptions
from greenroom.api.secret import routes as secret_routes
from greenroom.api.security import Caller
from greenroom.api.session.authorized import settings_of
from greenroom.core.errors import Invalid
from greenroom.core.log_codes import LogCode
from greenroom.core.web_filter import FilterPolicy, LeaseEgress, lease_policy, normal_domains, policy_in_force
from greenroom.db import named_secrets
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease.leases import LeaseRow
from greenroom.db.workspace import filter_policies
from greenroom.db.workspace.images import get_image


@dataclass(frozen=True, slots=True)
class LeaseSubject:
    """The user and the workspace of a lease. Requests with the same `idempotency_key` create one lease."""

    user_id: str
    image_id: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class SessionEgress:
    """The web filter of a session: the id of its policy (None = the policy in force), and the names of its secrets."""

    filter_policy: str | None = None
    secrets: tuple[str, ...] = ()


async def requested_egress(db: Database, caller: Caller, subject: LeaseSubject, options: LeaseOptions) -> SessionEgress:
    """Return the egress that a lease requests. Raises Invalid: it requests hosts that the web filter in force does not
    allow, or a secret that the caller may not use."""
    if options.egress is None:
        if options.secrets:
            raise Invalid("A lease with secrets needs options.egress with the hosts of the secrets.")
        return SessionEgress()
    current_policy = await _policy_in_force(db, subject)
    allowed = [] if options.egress == "none" else options.egress.allow
    narrowing = LeaseEgress(
        wanted=normal_domains(allowed),
        restricting_policy_id=current_policy.filter_policy_id if current_policy else None,
    )
    policy = lease_policy(current_policy, narrowing.wanted)
    if options.secrets:
        return await _with_secrets(db, caller, subject, options, policy, narrowing=narrowing)
    await filter_policies.store_lease_policy(db, policy, narrowing)
    return SessionEgress(policy.filter_policy_id)


async def _policy_in_force(db: Database, subject: LeaseSubject) -> FilterPolicy | None:
    image = await get_image(db, subject.image_id)
    group_policy = (await settings_of(db, subject.user_id))["web_filter_policy"].value or None
    in_force = policy_in_force(image.filter_policy_id, group_policy, force_disabled=image.filter_policy_force_disabled)
    return (await filter_policies.get_filter_policy(db, in_force)).policy if in_force else None


async def _with_secrets(
    db: Database,
    caller: Caller,
    subject: LeaseSubject,
    options: LeaseOptions,
    policy: FilterPolicy,
    *,
    narrowing: LeaseEgress,
) -> SessionEgress:
    granted = await secret_routes.requested_secrets(db, caller, options.secrets)
    zone_id = str(options.zone_id) if options.zone_id else None
    if not await named_secrets.can_any_agent_add_secrets(db, zone_id):
        raise Invalid("No Agent can add secrets to requests; Agents in Kubernetes cannot do so.")
    policy_with_secrets = await secret_routes.store_policy_copy(
        db, policy, narrowing, granted, user_id=subject.user_id, idempotency_key=subject.idempotency_key
    )
    return SessionEgress(policy_with_secrets.filter_policy_id, tuple(secret.name for secret in granted))


def log_granted_secrets(logs: LogWriter, caller: Caller, lease: LeaseRow, session_egress: SessionEgress) -> None:
    """Write a log row about the secrets of a lease, if it has any."""
    if not session_egress.secrets:
        return
    logs.write(
        LogCode.SECRETS_GRANTED,
        f"{caller.name} has a lease with the secrets {', '.join(session_egress.secrets)}: session {lease.session_id}",
        zone_name=lease.zone_name,
        session_id=lease.session_id,
        user_id=lease.user_id,
        details={"who": caller.name, "lease_id": lease.lease_id, "secrets": list(session_egress.secrets)},
        urgent=True,
    )
