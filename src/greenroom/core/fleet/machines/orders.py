"""The actions that follow from the state of an order, its Agent and the list of the provider, not from the demand.

If the provider did not answer a request for a machine, the machine may still appear in its list later. Therefore an
order without a known machine stays `releasing` for `LATE_CREATION_S`, and a machine that is listed in that time is
ended. A machine with a session is never released, nor a joined machine with another Agent (`other_agent`). If the
provider lists several machines for an order with an Agent, none is ended: any of them may be the machine of the Agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from greenroom.core.fleet.machines.model import (
    UNJOINED_STATES,
    Action,
    EndMachine,
    ListedMachines,
    Machine,
    MachineOrder,
    MachinePool,
    MachinePoolFailures,
    OrderState,
    OrderTransition,
    RequestMachine,
    StrayMachine,
)
from greenroom.core.rate_limits import Backoff

BACKOFF: Final = Backoff(first_s=15.0, max_s=900.0)
UNCONFIRMED_S: Final = 180.0
"""The time after which a requested machine that is neither confirmed nor listed is released."""
LATE_CREATION_S: Final = 900.0
"""The time after its request in which a machine may still appear in the list of the provider."""
UNLISTED_S: Final = 180.0
"""The time after which a created machine that is not listed is released. A provider may list new machines late."""

SERVE_WITHIN_S: Final = 180.0
"""The time after the deadline of an order within which its Agent must accept sessions. Otherwise the machine is
released.
"""
LIST_UNRELIABLE_S: Final = 7 * 86400.0
"""The time after a change of the pool's secrets in which a machine may exist although it is not listed, because the
provider may list another account for the new secrets.
"""

MAX_RETRY_AFTER_S: Final = 3600.0
"""The maximum pause that a provider can request."""

NextState = tuple[OrderState, str, bool]
"""The next state of an order, the reason, and True if it is a failure."""


def order_actions(
    order: MachineOrder, pool: MachinePool, listing: ListedMachines | None, now: datetime, *, quiet: bool
) -> list[Action]:
    """Return the actions for an order of `pool`. `listing` is None if the provider was not called for this plan."""
    listed = [m for m in listing.machines if m.machine_order_id == order.machine_order_id] if listing else []
    if order.state is OrderState.RELEASING:
        return _release(order, pool, listing, now, listed=listed)
    machine = next((m for m in listed if m.ref == order.ref), None) or (listed[0] if listed else None)
    actions = _end_duplicates(order, pool, [other for other in listed if other != machine], now)
    absent = listing is not None and machine is None
    next_state = _next_state(order, pool, now, machine=machine, absent=absent, quiet=quiet)
    if next_state is not None:
        to, reason, failed = next_state
        ref = machine.ref if machine else order.ref
        agent_id = order.agent.agent_id if order.agent else None
        return [*actions, OrderTransition(order.machine_order_id, to, reason, ref, failed, agent_id)]
    is_due = order.requested is None and order.agent is None and listing is not None and not _is_in_backoff(pool, now)
    if order.state is OrderState.ORDERED and is_due:
        actions.append(RequestMachine(order.machine_order_id, pool.machine_pool_id))
    return actions


def _end_duplicates(order: MachineOrder, pool: MachinePool, machines: Sequence[Machine], now: datetime) -> list[Action]:
    """Return the actions for additional machines of an order, which exist if the answer to a request was lost. They are
    ended if the order has no Agent, which could be on one of them."""
    if order.state in UNJOINED_STATES and order.agent is None:
        return _end_requests(order, pool, machines, now)
    reason = "another machine has the same name, and the machine of the Agent is unknown"
    return [StrayMachine(order.machine_order_id, pool.machine_pool_id, machine.ref, reason) for machine in machines]


def _end_requests(order: MachineOrder, pool: MachinePool, machines: Sequence[Machine], now: datetime) -> list[Action]:
    """Return the requests to end machines of an order; none before `next_end`."""
    if order.next_end is not None and now < order.next_end:
        return []
    return [EndMachine(order.machine_order_id, pool.machine_pool_id, machine.ref) for machine in machines]


def _is_in_backoff(pool: MachinePool, now: datetime) -> bool:
    return pool.failure_state.next_try is not None and now < pool.failure_state.next_try


def _next_state(
    order: MachineOrder, pool: MachinePool, now: datetime, *, machine: Machine | None, absent: bool, quiet: bool
) -> NextState | None:
    """Return the next state; None = no change. `absent`: the list of the provider has no machine of the order."""
    if order.state in (OrderState.JOINED, OrderState.DRAINING):
        return _next_after_join(order, absent=absent, quiet=quiet)
    if order.agent is not None and order.agent.status != "pending":
        return OrderState.JOINED, f"its Agent joined as {order.agent.hostname}", False
    if order.agent_sessions > 0:
        return None
    return _next_before_join(order, pool, now, machine=machine, absent=absent and order.agent is None, quiet=quiet)


def _next_before_join(
    order: MachineOrder, pool: MachinePool, now: datetime, *, machine: Machine | None, absent: bool, quiet: bool
) -> NextState | None:
    if pool.disabled:
        reason = f"pool {pool.name} was disabled before a machine joined"
        return (OrderState.ENDED if order.requested is None else OrderState.RELEASING), reason, False
    if (reason := _overdue_reason(order, pool, now, quiet=quiet)) is not None:
        return (
            (OrderState.ENDED if order.requested is None else OrderState.RELEASING),
            reason,
            order.requested is not None,
        )
    if order.state is OrderState.ORDERED:
        if machine is not None:
            return OrderState.CREATED, f"the provider lists it as {machine.ref}", False
        if absent and order.requested is not None and _is_older(order.requested, UNCONFIRMED_S, now):
            return OrderState.RELEASING, "the provider did not confirm the request for it and does not list it", True
    elif absent and _is_older(order.changed, UNLISTED_S, now):
        return OrderState.RELEASING, "the provider no longer lists it, and it had not joined", True
    return None


def _overdue_reason(order: MachineOrder, pool: MachinePool, now: datetime, *, quiet: bool) -> str | None:
    """Return the reason why the order is overdue; None if it is not.

    An order whose Agent has registered is also overdue if the Agent does not accept sessions in time, because a later
    step of the start of the machine may have failed.
    """
    within_s = pool.limits.order_deadline_s
    if order.agent is None:
        return f"no Agent joined within {within_s:.0f} s" if now >= order.deadline else None
    if quiet or not _is_older(order.deadline, SERVE_WITHIN_S, now):
        return None
    name, late_s = order.agent.hostname, within_s + SERVE_WITHIN_S
    if not order.agent.enabled:
        return f"its Agent {name} registered, but no administrator enabled it within {late_s:.0f} s of the order"
    return f"its Agent {name} registered, but was not ready {late_s:.0f} s after the order"


def _next_after_join(order: MachineOrder, *, absent: bool, quiet: bool) -> NextState | None:
    agent = order.agent
    if agent is None:
        return None if order.other_agent else (OrderState.RELEASING, "its Agent was deleted", False)
    if order.state is OrderState.JOINED and agent.status == "running" and (agent.draining or not agent.enabled):
        return OrderState.DRAINING, f"an administrator drains or disables its Agent {agent.hostname}", False
    if order.agent_sessions > 0 or order.other_agent:
        return None
    reason = None
    if agent.status == "dead":
        reason = f"its Agent {agent.hostname} is dead"
    elif agent.status == "missing" and absent and not quiet:
        reason = f"its Agent {agent.hostname} is missing, and the provider does not list it"
    elif order.state is OrderState.DRAINING:
        reason = "its last session has ended"
    return None if reason is None else (OrderState.RELEASING, reason, False)


def _release(
    order: MachineOrder, pool: MachinePool, listing: ListedMachines | None, now: datetime, *, listed: Sequence[Machine]
) -> list[Action]:
    """Return the actions that end the machine of an order, and then the order. The machine has ended if a list that was
    requested after its release does not contain it."""
    if listed:
        return [] if order.agent_sessions > 0 or order.other_agent else _end_requests(order, pool, listed, now)
    if order.list_unreliable_since is not None and not _is_older(order.list_unreliable_since, LIST_UNRELIABLE_S, now):
        return []
    if listing is None or listing.at <= order.changed:
        return []
    if order.ref is None and order.requested and not _is_older(order.requested, LATE_CREATION_S, listing.at):
        return []
    return [
        OrderTransition(order.machine_order_id, OrderState.ENDED, "the provider does not list it any more", order.ref)
    ]


def _is_older(at: datetime, min_age_s: float, now: datetime) -> bool:
    return now - at >= timedelta(seconds=min_age_s)


def stray_machines(pool: MachinePool, orders: Sequence[MachineOrder], listing: ListedMachines | None) -> list[Action]:
    """Return an action for each listed machine of this pool that belongs to no open order."""
    known = {order.machine_order_id for order in orders}
    machines = listing.machines if listing else ()
    reason = "the provider lists it without an open order"
    return [
        StrayMachine(machine.machine_order_id, pool.machine_pool_id, machine.ref, reason)
        for machine in machines
        if machine.machine_order_id not in known
    ]


def failures_after_orders(
    state: MachinePoolFailures, failed: Sequence[str], *, joined: bool, now: datetime
) -> MachinePoolFailures:
    """Return the failures of a pool after a plan. `failed` has the reasons of the orders that failed in the plan;
    `joined` is True if the Agent of an order joined."""
    if failed:
        number = state.failures + 1  # Failed orders of one plan count as one failure.
        next_try = now + timedelta(seconds=BACKOFF.delay_s(number))
        return replace(state, failures=number, next_try=next_try, last_error=failed[-1])
    return replace(state, failures=0, next_try=None) if joined else state


def next_end(failures: int, retry_after_s: float, now: datetime) -> datetime:
    """Return the time of the next request to end a machine after `failures` failed requests. `retry_after_s` is the
    pause that the provider requested."""
    return now + timedelta(seconds=max(BACKOFF.delay_s(failures), min(retry_after_s, MAX_RETRY_AFTER_S)))


def failures_after_call(
    state: MachinePoolFailures, error: str | None, retry_after_s: float, now: datetime
) -> MachinePoolFailures:
    """Return the failures of a pool after a call of its provider; `error` None = the call succeeded."""
    if error is None:
        last_error = state.last_error if state.failures else ""
        return replace(state, call_failures=0, next_call=None, last_error=last_error)
    number = state.call_failures + 1
    pause_s = max(BACKOFF.delay_s(number), min(retry_after_s, MAX_RETRY_AFTER_S))
    return replace(state, call_failures=number, next_call=now + timedelta(seconds=pause_s), last_error=error)
