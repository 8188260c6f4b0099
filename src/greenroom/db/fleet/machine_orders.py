"""Machine orders. Only the Primary writes them, in transactions of `db.fleet.leadership.guarded`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.errors import Refused, require_row
from greenroom.core.fleet.machines.model import TRANSITIONS, OrderState, OrderTransition, StrayMachine, Surplus
from greenroom.core.fleet.machines.orders import next_end
from greenroom.core.listing import SortOrder
from greenroom.db.database import Connection, Database
from greenroom.db.fleet.agents import remove_agent
from greenroom.db.fleet.enrollment import add_machine_token, revoke_token
from greenroom.db.listing import ListColumn, ListDefinition

KEPT_DAYS: Final = 90
"""Retention of ended orders."""

_STATES_BEFORE: Final = {
    new: sorted(state for state, next_states in TRANSITIONS.items() if new in next_states) for new in OrderState
}
"""State → the states from which an order can change to it."""
_SET_TIME: Final[dict[OrderState, LiteralString]] = {
    OrderState.ORDERED: "ordered = ordered",  # unchanged: the insertion of the row set it
    OrderState.CREATED: "created = coalesce(created, clock_timestamp())",
    OrderState.JOINED: "joined = coalesce(joined, clock_timestamp()), draining = NULL",
    OrderState.DRAINING: "draining = clock_timestamp()",
    OrderState.RELEASING: "releasing = clock_timestamp()",
    OrderState.ENDED: "ended = clock_timestamp()",
}
"""State → the SQL that stores the time of the change to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOrderRow:
    """An order, for administrators. `reason` is the reason of the order, `state_reason` the reason of its state. `ref`
    is the id of its machine at the provider. `sessions` is the number of sessions on this machine."""

    machine_order_id: str
    machine_pool_id: str | None
    pool_name: str
    zone_name: str
    state: OrderState
    reason: str
    state_reason: str
    failed: bool
    ref: str | None
    agent_id: str | None
    hostname: str
    sessions: int
    ordered: datetime
    deadline: datetime
    joined: datetime | None
    ended: datetime | None
    changed: datetime


# Agents that an administrator added on the machine of order `o`. Machines with copies of one disk may have the same
# machine id. Agents that registered before the order, or belong to another order, are therefore excluded: they are on
# another machine. Dead Agents without a session are excluded too.
ADDITIONAL_AGENTS: Final[LiteralString] = """
  FROM agents b WHERE o.machine_id <> '' AND b.machine_id = o.machine_id AND b.agent_id IS DISTINCT FROM o.agent_id
   AND b.registered > o.ordered AND b.joined_with IS DISTINCT FROM o.token_hash
   AND NOT EXISTS (SELECT 1 FROM machine_orders m
       WHERE m.machine_order_id <> o.machine_order_id AND (m.agent_id = b.agent_id OR m.token_hash = b.joined_with))
   AND (b.status <> 'dead' OR EXISTS (SELECT 1 FROM sessions s WHERE s.agent_id = b.agent_id AND s.status <> 'deleted'))
"""
BY_TIME: Final = SortOrder("ordered", descending=True)
ORDERS: Final = ListDefinition(
    row_type=MachineOrderRow,
    noun="machine order",
    select="""
    o.machine_order_id::text, o.machine_pool_id::text, o.pool_name, o.zone_name, o.state, o.reason, o.state_reason,
    o.failed, o.ref, o.agent_id::text, o.hostname, o.ordered, o.deadline, o.joined, o.ended, o.changed,
    (SELECT count(*) FROM sessions s WHERE s.agent_id = o.agent_id AND s.status <> 'deleted') AS sessions""",
    source="FROM machine_orders o",
    key="o.machine_order_id",
    columns={"ordered": ListColumn("o.ordered", "timestamptz")},
    order=BY_TIME,
    filters={"pool": "o.machine_pool_id = %(pool)s", "is_open": "(o.state <> 'ended') = %(is_open)s"},
)
get_order: Final = ORDERS.get
list_orders: Final = ORDERS.read


async def insert_order(
    connection: Connection,
    machine_pool_id: str,
    *,
    machine_order_id: str,
    token_hash: bytes,
    reason: str,
    deadline_s: float,
) -> None:
    """Store an order and its join token, which is valid until the deadline. If the pool is approved, the token enables
    the Agent that joins with it."""
    cursor = await connection.execute(
        "INSERT INTO machine_orders (machine_order_id, machine_pool_id, pool_name, zone_name, reason, token_hash,"
        " deadline) SELECT %(order)s, p.machine_pool_id, p.name, z.zone_name, %(reason)s, %(token)s,"
        " clock_timestamp() + make_interval(secs => %(deadline_s)s)"
        " FROM machine_pools p JOIN zones z USING (zone_id) WHERE p.machine_pool_id = %(pool)s"
        " RETURNING pool_name, (SELECT zone_id::text FROM machine_pools WHERE machine_pool_id = %(pool)s) AS zone_id,"
        " (SELECT approved_by <> '' FROM machine_pools WHERE machine_pool_id = %(pool)s) AS is_approved",
        {
            "order": machine_order_id,
            "pool": machine_pool_id,
            "reason": reason,
            "token": token_hash,
            "deadline_s": deadline_s,
        },
    )
    row = require_row(await cursor.fetchone(), "machine pool", machine_pool_id)
    await add_machine_token(
        connection,
        token_hash,
        row["zone_id"],
        valid_s=deadline_s,
        enable_agent=row["is_approved"],
        created_by=f"machine pool {row['pool_name']}",
    )


async def apply_transition(connection: Connection, transition: OrderTransition) -> str | None:
    """Change the state of an order. Return the id of its Agent, "" if it has none, or None if nothing was written,
    because the order has changed since the plan.

    The release of a machine revokes its token and removes its Agent. Nothing is written if the Agent has a session or
    has just registered, or if an administrator joined another Agent on the machine.
    """
    cursor = await connection.execute(
        "SELECT o.token_hash, (SELECT a.agent_id::text FROM agents a"
        " WHERE a.agent_id = o.agent_id OR a.joined_with = o.token_hash LIMIT 1) AS agent_id,"
        " coalesce(o.agent_id::text, %s) AS planned_agent_id, EXISTS (SELECT 1"
        + ADDITIONAL_AGENTS
        + ") AS has_other_agent"
        " FROM machine_orders o WHERE machine_order_id = %s AND state = ANY(%s) FOR NO KEY UPDATE OF o",
        (transition.agent_id, transition.machine_order_id, _STATES_BEFORE[transition.to]),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    agent_id: str | None = row["agent_id"]
    if transition.to in (OrderState.RELEASING, OrderState.ENDED):
        is_kept = row["has_other_agent"] and transition.to is OrderState.RELEASING
        if is_kept or not await _remove_agent(
            connection, row["token_hash"], agent_id, is_planned=row["planned_agent_id"] == agent_id
        ):
            return None
    elif agent_id is not None and transition.to in (OrderState.JOINED, OrderState.DRAINING):
        await connection.execute(
            "UPDATE agents SET draining = %s WHERE agent_id = %s", (transition.to is OrderState.DRAINING, agent_id)
        )
    await connection.execute(
        "UPDATE machine_orders o SET state = %(to)s, state_reason = %(reason)s, changed = clock_timestamp(),"
        " ref = coalesce(%(ref)s, ref), failed = failed OR %(failed)s, surplus_since = NULL,"
        " agent_id = (SELECT agent_id FROM agents WHERE agent_id = %(agent)s),"
        " hostname = coalesce((SELECT agent_name(a) FROM agents a WHERE a.agent_id = %(agent)s), hostname),"
        " machine_id = coalesce((SELECT machine_id FROM agents WHERE agent_id = %(agent)s), machine_id), "
        f"{_SET_TIME[transition.to]} WHERE machine_order_id = %(order)s",
        {
            "to": transition.to,
            "reason": transition.reason,
            "ref": transition.ref,
            "failed": transition.failed,
            "agent": agent_id,
            "order": transition.machine_order_id,
        },
    )
    return agent_id or ""


async def _remove_agent(
    connection: Connection, token_hash: bytes | None, agent_id: str | None, *, is_planned: bool
) -> bool:
    """Revoke the token of a released machine and remove its Agent. Return False if the Agent has a session or has just
    registered. `is_planned` is True if the plan has read this Agent."""
    if agent_id is not None and is_planned:
        try:
            await remove_agent(connection, agent_id)
        except Refused:
            return False
    if token_hash is not None:
        await revoke_token(connection, token_hash)
        cursor = await connection.execute("SELECT 1 FROM agents WHERE joined_with = %s", (token_hash,))
        return await cursor.fetchone() is None
    return True


async def record_call(connection: Connection, machine_order_id: str) -> bool:
    """Store the time of the call of the provider. False = it was called before, or the state is not `ordered`."""
    cursor = await connection.execute(
        "UPDATE machine_orders SET asked = clock_timestamp() WHERE machine_order_id = %s AND state = 'ordered'"
        " AND asked IS NULL RETURNING 1",
        (machine_order_id,),
    )
    return await cursor.fetchone() is not None


async def record_unconfirmed_call(connection: Connection, machine_order_id: str, error: str) -> None:
    """Store the reason why the provider did not confirm a machine that may still exist."""
    await connection.execute(
        "UPDATE machine_orders SET state_reason = %s WHERE machine_order_id = %s AND state = 'ordered'",
        (
            f"{error} The machine may exist; the next list of machines from the provider shows whether it does.",
            machine_order_id,
        ),
    )


async def record_failed_end(connection: Connection, machine_order_id: str, error: str, retry_after_s: float) -> bool:
    """Store that the provider failed to end the machine of an order. Return True if the stored error was different."""
    cursor = await connection.execute(
        "SELECT end_failures + 1 AS failures, clock_timestamp() AS now, starts_with(state_reason, %s) AS is_stored"
        " FROM machine_orders WHERE machine_order_id = %s FOR NO KEY UPDATE",
        (error, machine_order_id),
    )
    row = require_row(await cursor.fetchone(), "machine order", machine_order_id)
    next_attempt = next_end(row["failures"], retry_after_s, row["now"])
    await connection.execute(
        "UPDATE machine_orders SET end_failures = %(failures)s, next_end = %(next_attempt)s,"
        " state_reason = CASE WHEN state = 'releasing' THEN %(reason)s ELSE state_reason END"
        " WHERE machine_order_id = %(order)s",
        {
            "failures": row["failures"],
            "next_attempt": next_attempt,
            "reason": f"{error} The provider is asked again at {next_attempt:%H:%M:%S} UTC.",
            "order": machine_order_id,
        },
    )
    return not row["is_stored"]


async def record_surplus(connection: Connection, surplus: Surplus) -> None:
    """Store the time since which a machine is not needed."""
    await connection.execute(
        "UPDATE machine_orders SET surplus_since = %s WHERE machine_order_id = %s",
        (surplus.since, surplus.machine_order_id),
    )


async def release_again(connection: Connection, stray: StrayMachine) -> bool:
    """Release the machine of an ended order again. Return False if there is no ended order with this id.

    The machine of an ended order has no session, because its Agent was removed without a session when the order ended.
    A machine without an order is not released, because it may have sessions: a restored database lacks the orders that
    were written after its backup.
    """
    cursor = await connection.execute(
        "UPDATE machine_orders SET state = 'releasing', state_reason = %(reason)s, ref = %(ref)s, ended = NULL,"
        " releasing = clock_timestamp(), changed = clock_timestamp(), end_failures = 0, next_end = NULL"
        " WHERE machine_order_id = %(order)s AND state = 'ended' RETURNING 1",
        {"order": stray.machine_order_id, "ref": stray.ref, "reason": stray.reason},
    )
    return await cursor.fetchone() is not None


async def prune(db: Database) -> None:
    """Delete orders that ended more than `KEPT_DAYS` ago."""
    await db.write(
        "DELETE FROM machine_orders WHERE state = 'ended' AND ended < now() - make_interval(days => %s)", (KEPT_DAYS,)
    )
