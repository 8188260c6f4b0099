"""What becomes of an order by itself: joined, overdue, gone, released, ended.

A machine may come late: the provider was asked, and answered nothing. So an order without a known machine stays
`releasing` for a while, and a machine that is shown then is ended. What has a session is never released.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from greenroom.core.backoff import Backoff
from greenroom.core.fleet.machines.model import (
    Action,
    Ask,
    EndMachine,
    Found,
    Listing,
    Machine,
    MachinePool,
    Memory,
    Move,
    Order,
    OrderState,
)

BACKOFF: Final = Backoff(first_s=15.0, max_s=900.0)
UNCONFIRMED_S: Final = 180.0
"""A machine that was asked for, not confirmed and is not shown after this time is given up."""
LATE_S: Final = 900.0
"""A machine that was asked for may still appear for this long."""
GONE_S: Final = 180.0
"""A machine that is not shown for the first time may just not be shown yet."""

MAX_RETRY_AFTER_S: Final = 3600.0
"""A provider that wants a longer pause is asked again after this time."""

Said = tuple[OrderState, str, bool]
"""The next state, the reason, and whether it is a failure."""


def follow(order: Order, pool: MachinePool, listing: Listing | None, now: datetime, *, quiet: bool) -> list[Action]:
    """The actions that an order needs by itself."""
    shown = [m for m in listing.machines if m.machine_order_id == order.machine_order_id] if listing else []
    kept = next((m for m in shown if m.ref == order.ref), None) or (shown[0] if shown else None)
    actions: list[Action] = [
        EndMachine(order.machine_order_id, pool.machine_pool_id, machine.ref) for machine in shown if machine != kept
    ]
    if order.state is OrderState.RELEASING:
        return [*actions, *_released(order, pool, listing, kept)]
    absent = listing is not None and kept is None
    said = _next(order, pool, now, kept=kept, absent=absent, quiet=quiet)
    if said is not None:
        to, reason, failed = said
        ref = kept.ref if kept else order.ref
        return [*actions, Move(order.machine_order_id, to, reason, ref, failed)]
    if order.state is OrderState.ORDERED and order.asked is None and listing is not None and not _waits(pool, now):
        actions.append(Ask(order.machine_order_id, pool.machine_pool_id))
    return actions


def _waits(pool: MachinePool, now: datetime) -> bool:
    return pool.memory.next_try is not None and now < pool.memory.next_try


def _next(
    order: Order, pool: MachinePool, now: datetime, *, kept: Machine | None, absent: bool, quiet: bool
) -> Said | None:
    if order.state in (OrderState.JOINED, OrderState.DRAINING):
        return _of_joined(order, absent=absent, quiet=quiet)
    if order.agent is not None:
        return OrderState.JOINED, f"its Agent joined as {order.agent.hostname}", False
    return _of_coming(order, pool, now, kept=kept, absent=absent)


def _of_coming(order: Order, pool: MachinePool, now: datetime, *, kept: Machine | None, absent: bool) -> Said | None:
    if pool.closed:
        why = f"pool {pool.name} was disabled before a machine had joined"
        return (OrderState.ENDED if order.asked is None else OrderState.RELEASING), why, False
    if now >= order.deadline:
        to = OrderState.ENDED if order.asked is None else OrderState.RELEASING
        return to, f"no Agent joined within {pool.limits.order_deadline_s:.0f} s", order.asked is not None
    if order.state is OrderState.ORDERED:
        if kept is not None:
            return OrderState.CREATED, f"the provider shows it as {kept.ref}", False
        if absent and order.asked is not None and _is_older(order.asked, UNCONFIRMED_S, now):
            return OrderState.RELEASING, "the provider was asked for it, did not confirm it and does not show it", True
    elif absent and _is_older(order.changed, GONE_S, now):
        return OrderState.RELEASING, "the provider no longer shows it, and it had not joined", True
    return None


def _of_joined(order: Order, *, absent: bool, quiet: bool) -> Said | None:
    agent = order.agent
    if agent is None:
        return OrderState.RELEASING, "its Agent was deleted", False
    if order.state is OrderState.JOINED and agent.status == "running" and (agent.draining or not agent.enabled):
        return OrderState.DRAINING, f"an administrator takes its Agent {agent.hostname} out", False
    if order.agent_sessions > 0:
        return None
    why = None
    if agent.status == "dead":
        why = f"its Agent {agent.hostname} is dead"
    elif agent.status == "missing" and absent and not quiet:
        why = f"its Agent {agent.hostname} is missing, and the provider does not show it"
    elif order.state is OrderState.DRAINING:
        why = "its last session has ended"
    return None if why is None else (OrderState.RELEASING, why, False)


def _released(order: Order, pool: MachinePool, listing: Listing | None, kept: Machine | None) -> list[Action]:
    """End it, and then its order; only a listing from after it was released says that it is gone."""
    if kept is not None:
        return [EndMachine(order.machine_order_id, pool.machine_pool_id, kept.ref)]
    if listing is None or listing.at <= order.changed:
        return []
    if order.ref is None and order.asked is not None and not _is_older(order.asked, LATE_S, listing.at):
        return []
    return [Move(order.machine_order_id, OrderState.ENDED, "the provider does not show it any more", order.ref)]


def _is_older(at: datetime, than_s: float, now: datetime) -> bool:
    return now - at >= timedelta(seconds=than_s)


def strays(pool: MachinePool, orders: Sequence[Order], listing: Listing | None) -> list[Action]:
    """Machines of this pool that no open order asked for."""
    known = {order.machine_order_id for order in orders}
    machines = listing.machines if listing else ()
    return [
        Found(
            machine.machine_order_id,
            pool.machine_pool_id,
            machine.ref,
            "the provider shows it, and no order is open for it",
        )
        for machine in machines
        if machine.machine_order_id not in known
    ]


def after_orders(memory: Memory, failed: Sequence[str], *, joined: bool, now: datetime) -> Memory:
    """What a pool remembers after orders that failed, each with its reason, or after one whose Agent joined."""
    if failed:
        number = memory.failures + 1  # those ordered together fail together
        again = now + timedelta(seconds=BACKOFF.delay_s(number))
        return replace(memory, failures=number, next_try=again, last_error=failed[-1])
    return replace(memory, failures=0, next_try=None) if joined else memory


def after_calls(memory: Memory, error: str | None, retry_after_s: float, now: datetime) -> Memory:
    """What a pool remembers after its provider was called; `error` None = all went well."""
    if error is None:
        still = memory.last_error if memory.failures else ""
        return replace(memory, call_failures=0, next_call=None, last_error=still)
    number = memory.call_failures + 1
    pause_s = max(BACKOFF.delay_s(number), min(retry_after_s, MAX_RETRY_AFTER_S))
    return replace(memory, call_failures=number, next_call=now + timedelta(seconds=pause_s), last_error=error)
