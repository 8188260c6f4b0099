"""The automatic transitions of an order: joined, overdue, gone, released, ended.

A machine may come late if the provider did not answer the request. Therefore an order without a known machine stays
`releasing` for some time, and a machine that is listed in that time is ended. A machine with a session is never
released. If several machines have the name of one order, none of them is ended while an Agent is on one of them,
because the machine of the Agent is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from greenroom.core.fleet.machines.model import (
    COMING,
    Action,
    Ask,
    EndMachine,
    ListedMachines,
    Machine,
    MachineOrder,
    MachinePool,
    MachinePoolFailures,
    OrderState,
    OrderTransition,
    StrayMachine,
)
from greenroom.core.rate_limits import Backoff

BACKOFF: Final = Backoff(first_s=15.0, max_s=900.0)
UNCONFIRMED_S: Final = 180.0
"""The time after which a requested machine that is neither confirmed nor listed is released."""
LATE_S: Final = 900.0
"""The time for which a requested machine may still appear."""
GONE_S: Final = 180.0
"""The time after which a created machine that is not listed is released; new machines may be listed late."""

SERVES_S: Final = 180.0
"""The time after an order's deadline at which its machine is released if its Agent does not serve."""
DOUBTED_S: Final = 7 * 86400.0
"""A machine may exist unlisted for this time after the pool's secrets changed: they may list another account."""

MAX_RETRY_AFTER_S: Final = 3600.0
"""The maximum pause that a provider can request."""

Said = tuple[OrderState, str, bool]
"""The next state, the reason, and True if it is a failure."""


def follow(
    order: MachineOrder, pool: MachinePool, listing: ListedMachines | None, now: datetime, *, quiet: bool
) -> list[Action]:
    """Return the actions for an order that depend only on the order and its machine, not on the demand."""
    shown = [m for m in listing.machines if m.machine_order_id == order.machine_order_id] if listing else []
    if order.state is OrderState.RELEASING:
        return _released(order, pool, listing, now, shown=shown)
    kept = next((m for m in shown if m.ref == order.ref), None) or (shown[0] if shown else None)
    actions = _twins(order, pool, [machine for machine in shown if machine != kept], now)
    absent = listing is not None and kept is None
    said = _next(order, pool, now, kept=kept, absent=absent, quiet=quiet)
    if said is not None:
        to, reason, failed = said
        ref = kept.ref if kept else order.ref
        agent_id = order.agent.agent_id if order.agent else None
        return [*actions, OrderTransition(order.machine_order_id, to, reason, ref, failed, agent_id)]
    is_due = order.asked is None and order.agent is None and listing is not None and not _waits(pool, now)
    if order.state is OrderState.ORDERED and is_due:
        actions.append(Ask(order.machine_order_id, pool.machine_pool_id))
    return actions


def _twins(order: MachineOrder, pool: MachinePool, machines: Sequence[Machine], now: datetime) -> list[Action]:
    """End further machines with the name of the order: a lost answer to a request may cause a second machine."""
    if order.state in COMING and order.agent is None:
        return _ends(order, pool, machines, now)
    why = "another machine has the same name, and the machine of the Agent is unknown"
    return [StrayMachine(order.machine_order_id, pool.machine_pool_id, machine.ref, why) for machine in machines]


def _ends(order: MachineOrder, pool: MachinePool, machines: Sequence[Machine], now: datetime) -> list[Action]:
    """Return the requests to end machines of an order; none before `next_end`, after a failed request."""
    if order.next_end is not None and now < order.next_end:
        return []
    return [EndMachine(order.machine_order_id, pool.machine_pool_id, machine.ref) for machine in machines]


def _waits(pool: MachinePool, now: datetime) -> bool:
    return pool.memory.next_try is not None and now < pool.memory.next_try


def _next(
    order: MachineOrder, pool: MachinePool, now: datetime, *, kept: Machine | None, absent: bool, quiet: bool
) -> Said | None:
    if order.state in (OrderState.JOINED, OrderState.DRAINING):
        return _of_joined(order, absent=absent, quiet=quiet)
    if order.agent is not None and order.agent.status != "pending":
        return OrderState.JOINED, f"its Agent joined as {order.agent.hostname}", False
    if order.agent_sessions > 0:
        return None
    return _of_coming(order, pool, now, kept=kept, absent=absent and order.agent is None, quiet=quiet)


def _of_coming(
    order: MachineOrder, pool: MachinePool, now: datetime, *, kept: Machine | None, absent: bool, quiet: bool
) -> Said | None:
    if pool.closed:
        why = f"pool {pool.name} was disabled before a machine joined"
        return (OrderState.ENDED if order.asked is None else OrderState.RELEASING), why, False
    if (why := _overdue(order, pool, now, quiet=quiet)) is not None:
        return (OrderState.ENDED if order.asked is None else OrderState.RELEASING), why, order.asked is not None
    if order.state is OrderState.ORDERED:
        if kept is not None:
            return OrderState.CREATED, f"the provider lists it as {kept.ref}", False
        if absent and order.asked is not None and _is_older(order.asked, UNCONFIRMED_S, now):
            return OrderState.RELEASING, "the provider did not confirm the request for it and does not list it", True
    elif absent and _is_older(order.changed, GONE_S, now):
        return OrderState.RELEASING, "the provider no longer lists it, and it had not joined", True
    return None


def _overdue(order: MachineOrder, pool: MachinePool, now: datetime, *, quiet: bool) -> str | None:
    """Return the reason why the order is overdue; None if it is not.

    A machine registers first; the rest of its start may still fail.
    """
    within_s = pool.limits.order_deadline_s
    if order.agent is None:
        return f"no Agent joined within {within_s:.0f} s" if now >= order.deadline else None
    if quiet or not _is_older(order.deadline, SERVES_S, now):
        return None
    name, late_s = order.agent.hostname, within_s + SERVES_S
    if not order.agent.enabled:
        return f"its Agent {name} registered, but no administrator enabled it within {late_s:.0f} s of the order"
    return f"its Agent {name} registered, but was not ready {late_s:.0f} s after the order"


def _of_joined(order: MachineOrder, *, absent: bool, quiet: bool) -> Said | None:
    agent = order.agent
    if agent is None:
        return None if order.other_agent else (OrderState.RELEASING, "its Agent was deleted", False)
    if order.state is OrderState.JOINED and agent.status == "running" and (agent.draining or not agent.enabled):
        return OrderState.DRAINING, f"an administrator drains or disables its Agent {agent.hostname}", False
    if order.agent_sessions > 0 or order.other_agent:
        return None
    why = None
    if agent.status == "dead":
        why = f"its Agent {agent.hostname} is dead"
    elif agent.status == "missing" and absent and not quiet:
        why = f"its Agent {agent.hostname} is missing, and the provider does not list it"
    elif order.state is OrderState.DRAINING:
        why = "its last session has ended"
    return None if why is None else (OrderState.RELEASING, why, False)


def _released(
    order: MachineOrder, pool: MachinePool, listing: ListedMachines | None, now: datetime, *, shown: Sequence[Machine]
) -> list[Action]:
    """End the machine, and then its order. The machine is gone if a listing from after its release does not have it."""
    if shown:
        return [] if order.agent_sessions > 0 or order.other_agent else _ends(order, pool, shown, now)
    if order.doubted is not None and not _is_older(order.doubted, DOUBTED_S, now):
        return []
    if listing is None or listing.at <= order.changed:
        return []
    if order.ref is None and order.asked is not None and not _is_older(order.asked, LATE_S, listing.at):
        return []
    return [
        OrderTransition(order.machine_order_id, OrderState.ENDED, "the provider does not list it any more", order.ref)
    ]


def _is_older(at: datetime, than_s: float, now: datetime) -> bool:
    return now - at >= timedelta(seconds=than_s)


def strays(pool: MachinePool, orders: Sequence[MachineOrder], listing: ListedMachines | None) -> list[Action]:
    """Return the listed machines of this pool that belong to no open order."""
    known = {order.machine_order_id for order in orders}
    machines = listing.machines if listing else ()
    why = "the provider lists it without an open order"
    return [
        StrayMachine(machine.machine_order_id, pool.machine_pool_id, machine.ref, why)
        for machine in machines
        if machine.machine_order_id not in known
    ]


def after_orders(
    memory: MachinePoolFailures, failed: Sequence[str], *, joined: bool, now: datetime
) -> MachinePoolFailures:
    """Return the failures of a pool after orders `failed` (their reasons), or an Agent of an order `joined`."""
    if failed:
        number = memory.failures + 1  # orders of one plan fail together and count as one failure
        again = now + timedelta(seconds=BACKOFF.delay_s(number))
        return replace(memory, failures=number, next_try=again, last_error=failed[-1])
    return replace(memory, failures=0, next_try=None) if joined else memory


def next_end(failures: int, retry_after_s: float, now: datetime) -> datetime:
    """Return the time of the next request to end this machine, after `failures` failed requests."""
    return now + timedelta(seconds=max(BACKOFF.delay_s(failures), min(retry_after_s, MAX_RETRY_AFTER_S)))


def after_calls(
    memory: MachinePoolFailures, error: str | None, retry_after_s: float, now: datetime
) -> MachinePoolFailures:
    """Return the failures of a pool after a call of its provider; `error` None = the call succeeded."""
    if error is None:
        still = memory.last_error if memory.failures else ""
        return replace(memory, call_failures=0, next_call=None, last_error=still)
    number = memory.call_failures + 1
    pause_s = max(BACKOFF.delay_s(number), min(retry_after_s, MAX_RETRY_AFTER_S))
    return replace(memory, call_failures=number, next_call=now + timedelta(seconds=pause_s), last_error=error)
