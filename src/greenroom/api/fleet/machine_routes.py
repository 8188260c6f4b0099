"""Machine pools, the preview of their next actions, and machine orders."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.fleet.joining import read_authority
from greenroom.api.fleet.machine_schemas import (
    MachinePoolCreate,
    MachinePoolPatch,
    MachinePoolView,
    MachinePreview,
    PlannedAction,
)
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Invalid, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.machines.model import (
    MachineOrder,
    OrderState,
    OrderTransition,
    PlaceOrder,
    format_schedule_entry,
    parse_schedule_entry,
)
from greenroom.core.fleet.machines.plan import plan
from greenroom.core.fleet.machines.provider import (
    APPROVAL_PERMISSIONS,
    address_problem,
    edge_problem,
    is_same_destination,
    lists_same_machines,
    options_problem,
    stays_approved,
)
from greenroom.core.installation import Installation
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.outgoing import trusted_hosts
from greenroom.db.fleet import machine_orders, machine_pools, zones
from greenroom.db.fleet.machine_orders import ORDERS, MachineOrderRow
from greenroom.db.fleet.machine_pools import MachinePoolRow, PoolFields
from greenroom.db.fleet.machine_snapshot import read_snapshot
from greenroom.db.rows import values_of
from greenroom.kit.certificates import fingerprint
from greenroom.machine_providers.plugin import find_provider

_ACTIONS: Final = {
    OrderState.JOINED: "take back",
    OrderState.DRAINING: "drain",
    OrderState.RELEASING: "release",
    OrderState.ENDED: "release",
}


def pool_view(row: MachinePoolRow) -> MachinePoolView:
    """Return the view of a pool, without its secrets."""
    return MachinePoolView.of(
        row, secret_names=sorted(row.secrets), schedule=[format_schedule_entry(entry) for entry in row.schedule]
    )


def _approved_by(caller: Caller, sent: dict[str, Any], before: MachinePoolRow, after: PoolFields) -> str:
    """Return the value of `approved_by` after a change. Raises Forbidden: the caller may not approve pools."""
    if sent.get("approved"):
        caller.require(*APPROVAL_PERMISSIONS)
        return caller.name
    is_kept = stays_approved(
        asdict(before), asdict(after), has_new_secrets="secrets" in sent, by_approver=caller.may(*APPROVAL_PERMISSIONS)
    )
    return before.approved_by if is_kept and "approved" not in sent else ""


def _open_orders_refusal(pool: MachinePoolRow, *, changes_destination: bool) -> str:
    machines = "1 machine" if pool.open_orders == 1 else f"{pool.open_orders} machines"
    reason = (
        "which only this provider can end"
        if changes_destination
        else (
            f"and with other options the provider {pool.provider} may not list them any more, so that they "
            "would not be ended"
        )
    )
    return (
        f"Machine pool {pool.name} has {machines} at its provider, {reason}. Disable the pool and wait until "
        "they are gone, or create another pool."
    )


def _planned_transition(transition: OrderTransition, order: MachineOrder) -> list[PlannedAction]:
    """Return a list with the action of a transition; empty for a transition that is no action, such as the transition
    of a machine that has just joined."""
    if transition.to not in _ACTIONS or (transition.to is OrderState.JOINED and order.state is not OrderState.DRAINING):
        return []
    machine = order.agent.hostname if order.agent else order.ref or order.machine_order_id
    reason = transition.reason[:1].upper() + transition.reason[1:] + "."
    return [PlannedAction.model_validate({"action": _ACTIONS[transition.to], "machine": machine, "reason": reason})]


def _pool_fields(body: dict[str, Any], before: MachinePoolRow | None, change: CallerChange) -> PoolFields:
    config = change.config
    values = values_of(PoolFields, before) if before else {}
    changed = {name: value for name, value in body.items() if name in {field.name for field in fields(PoolFields)}}
    if "schedule" in body:
        changed["schedule"] = tuple(parse_schedule_entry(line) for line in body["schedule"])
    if "secrets" in body:
        if problem := find_provider((values | changed)["provider"]).rules.secrets_problem(body["secrets"]):
            raise Invalid(problem)
        changed["secrets"] = {name: change.secrets.seal(secret) for name, secret in body["secrets"].items()}
    values |= changed
    values["join_url"] = (values["join_url"] or config.public_url).rstrip("/")
    values["public_url"] = config.public_url
    values.setdefault("approved_by", "")
    values["ca_sha256"] = fingerprint(read_authority(config.ca_file)) if config.ca_file is not None else ""
    return PoolFields(**values)


def _checked_pool(pool: PoolFields, before: MachinePoolRow | None, installation: Installation) -> PoolFields:
    """Return the fields if they are valid. Raises Invalid: they are not valid.

    Unchanged options are not checked, because `webhook_hosts` may have changed since they were set.
    """
    rules, trusted = find_provider(pool.provider).rules, trusted_hosts(installation.webhook_hosts)
    this_host = installation.machines_on_this_host or not rules.has_real_machines
    is_unchanged = before is not None and (before.provider, before.options) == (pool.provider, pool.options)
    problem = (
        (None if is_unchanged else options_problem(pool.provider, rules, pool.options, trusted))
        or address_problem(pool.join_url, this_host=this_host)
        or edge_problem(pool.edge_url)
    )
    if problem:
        raise Invalid(problem)
    if pool.min_machines > pool.max_machines:
        raise Invalid(f"min_machines {pool.min_machines} is more than max_machines {pool.max_machines}.")
    return pool


def _audit_values(row: MachinePoolRow) -> LogDetails:
    """Return the values for the audit log, without secrets and encrypted secrets."""
    values = pool_view(row).model_dump(mode="json", exclude={"joined", "coming", "draining", "releasing", "listed"})
    return {name: value for name, value in values.items() if name not in ("last_error", "next_try", "next_call")}


router = api_router("machines")


class MachineOrderView(View, row=MachineOrderRow):
    """An order of a machine. It ends when the provider no longer lists the machine."""

    machine_order_id: UUID
    machine_pool_id: UUID | None
    state: Literal["ordered", "created", "joined", "draining", "releasing", "ended"]
    reason: Annotated[str, Field(description="reason for the order")]
    state_reason: Annotated[str, Field(description="reason for the state")]
    failed: Annotated[bool, Field(description="true = no machine of the order joined")]
    ref: Annotated[str | None, Field(description="name of the machine at the provider")]
    agent_id: UUID | None


@router.get("/machine-pools", dependencies=[requires("machines_view")])
async def list_machine_pools(db: Db, page: Paging) -> list[MachinePoolView]:
    """List the machine pools by zone and name. Deleted pools are included while they have machines."""
    return [pool_view(row) for row in await page.read(db, machine_pools.POOLS)]


@router.post("/machine-pools", status_code=201, dependencies=[requires("machines_create")])
async def create_machine_pool(body: MachinePoolCreate, change: ChangeDep) -> MachinePoolView:
    """Create a machine pool. It orders nothing until it is enabled.

    Its machines join as pending Agents unless the caller has `agents_create` and `agents_modify`, or a user with these
    permissions approves the pool.
    """
    zone = await zones.get_zone(change.db, str(body.zone_id))
    pool = _checked_pool(_pool_fields(body.model_dump(exclude={"zone_id"}), None, change), None, change.installation)
    pool = replace(pool, approved_by=change.caller.name if change.caller.may(*APPROVAL_PERMISSIONS) else "")
    async with change.db.transaction() as connection:
        pool_id = await machine_pools.insert_pool(connection, zone.zone_id, pool)
    row = await machine_pools.find_pool(change.db, pool_id)
    await change.db.notify(ChangeEvent(Topic.MACHINES))
    change.audit(LogCode.MACHINE_POOL_CREATED, row.name, after=_audit_values(row), zone_name=row.zone_name)
    return pool_view(row)


@router.get("/machine-pools/{machine_pool_id}", dependencies=[requires("machines_view")])
async def get_machine_pool(machine_pool_id: str, db: Db) -> MachinePoolView:
    """Return one machine pool, by its id or name."""
    return pool_view(await machine_pools.find_pool(db, machine_pool_id))


@router.get("/machine-pools/{machine_pool_id}/preview", dependencies=[requires("machines_view")])
async def preview_machine_pool(machine_pool_id: str, db: Db) -> MachinePreview:
    """Return the actions that Greenroom would take now if the pool were enabled. Nothing is changed."""
    row = await machine_pools.find_pool(db, machine_pool_id)
    async with db.connection() as connection:
        pools = await machine_pools.pools_of_zone(connection, row.zone_id)
        plan_inputs = [
            replace(pool.plan_input, disabled=pool.deleted is not None)
            if pool.machine_pool_id == row.machine_pool_id
            else pool.plan_input
            for pool in pools
        ]
        snapshot = await read_snapshot(connection, row.zone_id, plan_inputs, listings={}, quiet=True)
    zone_plan = plan(snapshot)
    orders = {order.machine_order_id: order for order in snapshot.orders}
    actions: list[PlannedAction] = []
    for action in zone_plan.actions:
        if isinstance(action, PlaceOrder) and action.machine_pool_id == row.machine_pool_id:
            actions.append(PlannedAction(action="order", machine=None, reason=action.reason))
        elif (
            isinstance(action, OrderTransition)
            and orders[action.machine_order_id].machine_pool_id == row.machine_pool_id
        ):
            actions += _planned_transition(action, orders[action.machine_order_id])
    sentence = next(r.sentence for r in zone_plan.reports if r.machine_pool_id == row.machine_pool_id)
    return MachinePreview(sentence=sentence, actions=actions)


@router.patch("/machine-pools/{machine_pool_id}", dependencies=[requires("machines_modify")])
async def update_machine_pool(machine_pool_id: str, body: MachinePoolPatch, change: ChangeDep) -> MachinePoolView:
    """Change, enable or disable a machine pool; 409 if its provider would change while it has machines.

    If the program, address, driver or account changes, the secrets must be set again. A change of `provider`,
    `options`, `secrets`, `join_url` or `edge_url` withdraws the approval of the pool, unless the caller has
    `agents_create` and `agents_modify`.
    """
    pool = await machine_pools.find_pool(change.db, machine_pool_id)
    async with change.db.transaction() as connection:
        before = await machine_pools.lock_pool(connection, pool.machine_pool_id)
        if before.deleted is not None:
            raise Refused(f"Machine pool {before.name} was deleted; it is removed with its last machine.")
        sent = body.sent_fields()
        after = _checked_pool(_pool_fields(sent, before, change), before, change.installation)
        after = replace(after, approved_by=_approved_by(change.caller, sent, before, after))
        rules_and_options = (find_provider(after.provider).rules, before.options, after.options)
        changes_destination = before.provider != after.provider or not is_same_destination(*rules_and_options)
        if before.open_orders and (changes_destination or not lists_same_machines(*rules_and_options)):
            raise Refused(_open_orders_refusal(before, changes_destination=changes_destination))
        if changes_destination and before.secrets and "secrets" not in sent:
            raise Invalid("Stored secrets are not sent to another address. Set the secrets of the new provider, too.")
        await machine_pools.update_pool(connection, before.machine_pool_id, after, has_new_secrets="secrets" in sent)
    row = await machine_pools.find_pool(change.db, before.machine_pool_id)
    await change.db.notify(ChangeEvent(Topic.MACHINES))
    old, new = _audit_values(before), _audit_values(row)
    if "secrets" in sent:
        new["secrets"] = "entered again"
    change.audit(LogCode.MACHINE_POOL_CHANGED, row.name, before=old, after=new, zone_name=row.zone_name)
    return pool_view(row)


@router.delete("/machine-pools/{machine_pool_id}", status_code=204, dependencies=[requires("machines_delete")])
async def delete_machine_pool(machine_pool_id: str, change: ChangeDep) -> None:
    """Delete a machine pool.

    Its machines are released after their last session; the pool is removed with its last machine.
    """
    row = await machine_pools.find_pool(change.db, machine_pool_id)
    async with change.db.transaction() as connection:
        await machine_pools.mark_deleted(connection, row.machine_pool_id)
    await change.db.notify(ChangeEvent(Topic.MACHINES))
    change.audit(LogCode.MACHINE_POOL_DELETED, row.name, before=_audit_values(row), zone_name=row.zone_name)


@router.get("/machine-orders", dependencies=[requires("machines_view")])
async def list_machine_orders(
    db: Db,
    page: Paging,
    machine_pool_id: Annotated[UUID | None, Query(description="only orders of this machine pool")] = None,
    is_open: Annotated[
        bool | None, Query(alias="open", description="true = only orders whose machine exists or may exist")
    ] = None,
) -> list[MachineOrderView]:
    """List machine orders, newest first, each with its reasons. Ended orders are kept for 90 days."""
    found = await page.read(db, ORDERS, ORDERS.matching(pool=machine_pool_id, is_open=is_open))
    return [MachineOrderView.model_validate(row) for row in found]


@router.get("/machine-orders/{machine_order_id}", dependencies=[requires("machines_view")])
async def get_machine_order(machine_order_id: UUID, db: Db) -> MachineOrderView:
    """Return one order."""
    return MachineOrderView.model_validate(await machine_orders.get_order(db, str(machine_order_id)))
