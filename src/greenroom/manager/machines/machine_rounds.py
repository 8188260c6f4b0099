"""The machine rounds, in which the Primary manages the machine pools of its zone. They are not part of the rounds of
the guardian, because calls of providers take seconds or minutes, and may hang.

A machine round requests the providers' lists of machines, plans under the lock of the pools, writes the plan, and then
calls the providers. Every write has the fencing token. If something changes between two writes of a round, the next
round reads the change from the rows and lists.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.machines import orders as core_orders
from greenroom.core.fleet.machines.model import (
    UNJOINED_STATES,
    EndMachine,
    ListedMachines,
    MachinePlan,
    OrderState,
    OrderTransition,
    PlaceOrder,
    RequestMachine,
    StrayMachine,
    Surplus,
    ZoneSnapshot,
)
from greenroom.core.fleet.machines.plan import plan
from greenroom.core.installation import installation_of
from greenroom.core.log_codes import LogCode
from greenroom.core.outgoing import trusted_hosts
from greenroom.db.database import Connection
from greenroom.db.fleet import machine_orders, machine_pools
from greenroom.db.fleet.leadership import Fence, guarded
from greenroom.db.fleet.machine_pools import MachinePoolRow
from greenroom.db.fleet.machine_snapshot import has_pools, read_snapshot
from greenroom.db.installation import installation_id, stored_settings
from greenroom.kit.clock import boottime_s
from greenroom.kit.concurrency import wait_for, warn_of_item_error
from greenroom.kit.secrets import secret_digest
from greenroom.manager.machines.calls import (
    PROVIDER_CALL_TIMEOUT_S,
    Calls,
    CallsInProgress,
    ProviderCallOutcome,
    Providers,
)
from greenroom.manager.tasks.context import PrimaryContext

log = structlog.get_logger(__name__)

ROUND_INTERVAL_S: Final = 5.0
BUSY_LISTING_S: Final = 10.0
"""Interval of listings while machines are being created or ended."""
IDLE_LISTING_S: Final = 60.0
PRUNE_EVERY_S: Final = 3600.0
PROVIDER_WAIT_S: Final = 2.0
"""The time for which a round waits for providers. A later answer starts the next round, which stores it."""


@dataclass(eq=False)
class MachineRounds:
    """Plans machines while this Manager is Primary; `context` is None while it is not."""

    context: Callable[[], PrimaryContext | None]
    providers: Providers
    call_timeout_s: float = PROVIDER_CALL_TIMEOUT_S
    provider_wait_s: float = PROVIDER_WAIT_S

    def __post_init__(self) -> None:
        self._calls: Calls | None = None
        self._woken = asyncio.Event()
        self._calls_in_progress = CallsInProgress(self._woken.set)
        self._calls_fence: Fence | None = None
        """The fence of the term to which the calls in progress belong."""
        self._listings: dict[str, ListedMachines] = {}
        """Machine pool id → the listing for the next plan."""
        self._pruned_at_s = boottime_s()
        self._known_stray_refs = frozenset[str]()
        """The references of the machines without an order in the last listings."""

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Run forever; failures are logged and retried."""
        try:
            while True:
                await wait_for(self._woken, ROUND_INTERVAL_S)
                self._woken.clear()
                if (ctx := self.context()) is None:
                    await self._calls_in_progress.stop()
                    continue
                with warn_of_item_error(log, "the machine pools are deferred to the next round", "machines"):
                    await self.round(ctx)
        finally:
            await self._calls_in_progress.stop()

    async def round(self, ctx: PrimaryContext) -> None:
        """Run one machine round.

        Raises:
            LeaseLost: the term is over; nothing was written afterwards.
            Unavailable: the database cannot be reached.
        """
        if ctx.fence != self._calls_fence:
            await self._calls_in_progress.stop()
            self._calls_fence, self._listings = ctx.fence, {}
        async with ctx.db.connection() as connection:
            if not await has_pools(connection, ctx.zone_id):
                return
            pools = await machine_pools.pools_of_zone(connection, ctx.zone_id)
        if self._calls is None:
            self._calls = Calls(self.providers, await installation_id(ctx.db), self.call_timeout_s)
        if any(pool.provider == "webhook" for pool in pools):
            self.providers.trusted = trusted_hosts(installation_of(await stored_settings(ctx.db)).webhook_hosts)
        listings = await self._list(ctx, self._calls, pools)
        snapshot, machine_plan, stray = await _plan(ctx, listings)
        _log(ctx, snapshot, machine_plan)
        self._log_stray_machines(ctx, snapshot, stray)
        await self._carry_out(ctx, self._calls, pools, machine_plan)
        if boottime_s() - self._pruned_at_s > PRUNE_EVERY_S:
            self._pruned_at_s = boottime_s()
            await machine_orders.prune(ctx.db)
        if machine_plan.orders:
            self.wake()  # they are requested after the next listing

    def _log_stray_machines(self, ctx: PrimaryContext, snapshot: ZoneSnapshot, stray: Sequence[StrayMachine]) -> None:
        """Log each machine without an order once, after the first listing that has it."""
        has_order = {order.machine_order_id for order in snapshot.orders}
        names = {pool.machine_pool_id: pool.name for pool in snapshot.pools}
        for machine in stray:
            if machine.ref not in self._known_stray_refs:
                explanation = (
                    f"{machine.reason}. Both machines end with their order. To end one of them earlier, end"
                    " the machine without an Agent at the provider."
                    if machine.machine_order_id in has_order
                    else "the provider lists it, but the database has no order for it, for example after a restore."
                    " Sessions may run on it; end it at the provider when no session runs on it."
                )
                sentence = (
                    f"Machine {machine.ref} of pool {names[machine.machine_pool_id]} is not changed: {explanation}"
                )
                ctx.logs.write(LogCode.MACHINE_UNKNOWN, sentence)
        if snapshot.listings:
            self._known_stray_refs = frozenset(machine.ref for machine in stray)

    async def _list(
        self, ctx: PrimaryContext, calls: Calls, pools: Sequence[MachinePoolRow]
    ) -> dict[str, ListedMachines]:
        """Request listings that are due, and return all listings that have arrived. A provider with a call in progress
        gets no request."""
        busy = self._calls_in_progress.pools
        for pool in pools:
            if pool.machine_pool_id not in busy and _is_due(pool):
                self._calls_in_progress.begin(pool.machine_pool_id, calls.list(pool))
        await self._store_outcomes(ctx, pools)
        listings, self._listings = self._listings, {}
        return listings

    async def _carry_out(
        self, ctx: PrimaryContext, calls: Calls, pools: Sequence[MachinePoolRow], machine_plan: MachinePlan
    ) -> None:
        busy = self._calls_in_progress.pools
        not_busy = {pool.machine_pool_id: pool for pool in pools if pool.machine_pool_id not in busy}
        for action in machine_plan.actions:
            if isinstance(action, RequestMachine) and action.machine_pool_id in not_busy:
                call = calls.create(ctx, not_busy[action.machine_pool_id], action)
            elif isinstance(action, EndMachine) and action.machine_pool_id in not_busy:
                call = _end(ctx, calls, not_busy[action.machine_pool_id], action)
            else:
                continue
            self._calls_in_progress.begin(action.machine_pool_id, call)
        if self._calls_in_progress.pools & not_busy.keys():
            await self._store_outcomes(ctx, pools)

    async def _store_outcomes(self, ctx: PrimaryContext, pools: Sequence[MachinePoolRow]) -> None:
        """Write the outcomes of calls that have ended, and store the listings."""
        last_call_failed = {pool.machine_pool_id: pool.call_failures > 0 for pool in pools}
        all_outcomes = await self._calls_in_progress.outcomes(self.provider_wait_s)
        outcomes = [outcome for outcome in all_outcomes if outcome.machine_pool_id in last_call_failed]
        self._listings |= {
            outcome.machine_pool_id: outcome.listing for outcome in outcomes if outcome.listing is not None
        }
        await _store_failure_states(
            ctx,
            pools,
            [outcome for outcome in outcomes if outcome.listing is None or last_call_failed[outcome.machine_pool_id]],
        )
        if any(outcome.listing is None for outcome in outcomes):
            await ctx.db.notify(ChangeEvent(Topic.MACHINES))


def _is_due(pool: MachinePoolRow) -> bool:
    """Return True if the provider's machines must be listed now."""
    if pool.next_call is not None and pool.now < pool.next_call:
        return False
    if pool.listed is None or pool.unrequested or (pool.deleted is not None and pool.listed <= pool.deleted):
        return True  # a deleted pool is removed with the next listing
    pause_s = BUSY_LISTING_S if pool.coming or pool.releasing else IDLE_LISTING_S
    return (pool.now - pool.listed).total_seconds() >= pause_s


async def _plan(
    ctx: PrimaryContext, listings: dict[str, ListedMachines]
) -> tuple[ZoneSnapshot, MachinePlan, list[StrayMachine]]:
    """Plan under the lock of the zone's pools, and write the plan. Return the snapshot, the plan, and the machines
    without an order."""
    events = {ChangeEvent(Topic.MACHINES)}
    stray: list[StrayMachine] = []
    async with guarded(ctx.db, ctx.fence) as connection:
        await machine_pools.lock_pools(connection, ctx.zone_id)
        for pool_id, listing in listings.items():
            await machine_pools.record_listing(connection, pool_id, listing)
        rows = await machine_pools.pools_of_zone(connection, ctx.zone_id)
        snapshot = await read_snapshot(
            connection,
            ctx.zone_id,
            [row.plan_input for row in rows],
            listings=listings,
            overcommit=ctx.config.cpu_overcommit,
            quiet=ctx.quiet,
        )
        machine_plan = plan(snapshot)
        for action in machine_plan.actions:
            if not isinstance(action, StrayMachine):
                events |= await _write(ctx, connection, snapshot, action)
            elif not await machine_orders.release_again(connection, action):
                stray.append(action)
        await _store_order_failures(connection, snapshot, machine_plan)
        removed_pools = await machine_pools.remove_deleted_pools(connection, ctx.zone_id)
    if machine_plan.actions or removed_pools:
        await ctx.db.notify(*events)
    return snapshot, machine_plan, stray


async def _write(
    ctx: PrimaryContext, connection: Connection, snapshot: ZoneSnapshot, action: object
) -> set[ChangeEvent]:
    match action:
        case PlaceOrder():
            limits = next(p.limits for p in snapshot.pools if p.machine_pool_id == action.machine_pool_id)
            order_id = str(uuid.uuid4())
            await machine_orders.insert_order(
                connection,
                action.machine_pool_id,
                machine_order_id=order_id,
                token_hash=secret_digest(ctx.secrets.machine_token(order_id)),
                reason=action.reason,
                deadline_s=limits.order_deadline_s,
            )
        case OrderTransition():
            agent_id = await machine_orders.apply_transition(connection, action)
            if agent_id:
                return {ChangeEvent(Topic.AGENTS), ChangeEvent.agent(agent_id), ChangeEvent.zone(ctx.fence.zone_key)}
        case Surplus():
            await machine_orders.record_surplus(connection, action)
        case _:
            pass  # the provider is called after the commit
    return set()


async def _store_order_failures(connection: Connection, snapshot: ZoneSnapshot, machine_plan: MachinePlan) -> None:
    """Store the back-off of each pool after failed orders, or after machines that joined."""
    orders = {order.machine_order_id: order for order in snapshot.orders}
    failed, joined = defaultdict[str, list[str]](list), set[str]()
    for transition in machine_plan.transitions:
        order = orders[transition.machine_order_id]
        if transition.failed:
            failed[order.machine_pool_id].append(transition.reason[:1].upper() + transition.reason[1:] + ".")
        elif transition.to is OrderState.JOINED and order.state in UNJOINED_STATES:
            joined.add(order.machine_pool_id)
    for pool in snapshot.pools:
        pool_id = pool.machine_pool_id
        state = core_orders.failures_after_orders(
            pool.failure_state, failed[pool_id], joined=pool_id in joined, now=snapshot.now
        )
        if state != pool.failure_state:
            await machine_pools.store_failure_state(connection, pool_id, state)


async def _end(ctx: PrimaryContext, calls: Calls, pool: MachinePoolRow, action: EndMachine) -> ProviderCallOutcome:
    """Request the end of a machine. If the provider does not end it, for example because it is protected, only its
    order is retried later; the pool is not affected."""
    outcome = await calls.end(pool, action)
    if outcome.error is None:
        return outcome
    async with guarded(ctx.db, ctx.fence) as connection:
        is_new = await machine_orders.record_failed_end(
            connection, action.machine_order_id, outcome.error, outcome.retry_after_s
        )
    if is_new:
        sentence = f"Machine {action.ref} of machine pool {pool.name} was not ended: {outcome.error}"
        ctx.logs.write(LogCode.MACHINE_PROVIDER_FAILED, sentence)
    return ProviderCallOutcome(pool.machine_pool_id)


async def _store_failure_states(
    ctx: PrimaryContext, pools: Sequence[MachinePoolRow], outcomes: Sequence[ProviderCallOutcome]
) -> None:
    """Store the outcomes of calls with their pools. A failure is logged if it differs from the last failure."""
    by_pool = defaultdict[str, list[ProviderCallOutcome]](list)
    for outcome in outcomes:
        by_pool[outcome.machine_pool_id].append(outcome)
    for pool_id, pool_outcomes in by_pool.items():
        worst = max(pool_outcomes, key=lambda outcome: (outcome.error is not None, outcome.retry_after_s))
        pool_before = next(pool for pool in pools if pool.machine_pool_id == pool_id)
        async with guarded(ctx.db, ctx.fence) as connection:
            row = await machine_pools.lock_pool(connection, pool_id)
            state = core_orders.failures_after_call(
                row.plan_input.failure_state, worst.error, worst.retry_after_s, row.now
            )
            failed = [outcome.order_failure for outcome in pool_outcomes if outcome.order_failure is not None]
            state = core_orders.failures_after_orders(state, failed, joined=False, now=row.now)
            if state != row.plan_input.failure_state:
                await machine_pools.store_failure_state(connection, pool_id, state)
        if worst.error is not None and worst.error != pool_before.last_error:
            next_request = f"{state.next_call:%H:%M:%S} UTC" if state.next_call else "the next round"
            sentence = (
                f"machine pool {pool_before.name}: {worst.error} The next request to its provider is at {next_request}."
            )
            ctx.logs.write(LogCode.MACHINE_PROVIDER_FAILED, sentence[:1].upper() + sentence[1:])


def _log(ctx: PrimaryContext, snapshot: ZoneSnapshot, machine_plan: MachinePlan) -> None:
    names = {pool.machine_pool_id: pool.name for pool in snapshot.pools}
    orders = {order.machine_order_id: order for order in snapshot.orders}
    for action in machine_plan.actions:
        if isinstance(action, PlaceOrder):
            name = names[action.machine_pool_id]
            ctx.logs.write(LogCode.MACHINE_ORDERED, f"Machine pool {name} orders a machine. {action.reason}")
        elif isinstance(action, OrderTransition):
            order = orders[action.machine_order_id]
            ref = action.ref or order.ref or f"of order {order.machine_order_id[:8]}"
            subject = f"The machine {ref} of pool {names[order.machine_pool_id]}"
            code = LogCode.MACHINE_ORDER_FAILED if action.failed else LogCode.MACHINE_MOVED
            ctx.logs.write(code, f"{subject} is {action.to}: {action.reason}.")
