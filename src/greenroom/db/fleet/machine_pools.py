"""Machine pools: their settings, and the state that the Primary stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.errors import require_row
from greenroom.core.fleet.machines.model import ListedMachines, MachinePool, MachinePoolFailures, MachinePoolLimits
from greenroom.core.listing import SortOrder
from greenroom.db.database import Connection, Database, returned_row, rows_as
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, qualified, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFields(MachinePoolLimits):
    """The settings of a pool. `secrets`: name → encrypted text; `approved_by` is empty if the pool is not approved."""

    name: str
    enabled: bool
    provider: str
    options: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)
    join_url: str
    public_url: str
    ca_sha256: str
    edge_url: str
    approved_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePoolRow(PoolFields):
    """A machine pool. `listed` is the time of the last list of machines from its provider. `joined`, `coming` (without
    an Agent), `draining` and `releasing` count open orders; `unrequested` orders were not sent to the provider yet."""

    machine_pool_id: str
    zone_id: str
    zone_name: str
    created: datetime
    deleted: datetime | None
    listed: datetime | None
    now: datetime
    open_orders: int
    unrequested: int
    joined: int
    coming: int
    draining: int
    releasing: int
    failures: int
    next_try: datetime | None
    call_failures: int
    next_call: datetime | None
    last_error: str

    @property
    def plan_input(self) -> MachinePool:
        return MachinePool(
            machine_pool_id=self.machine_pool_id,
            name=self.name,
            limits=MachinePoolLimits(**values_of(MachinePoolLimits, self)),
            disabled=not self.enabled or self.deleted is not None,
            failure_state=MachinePoolFailures(**values_of(MachinePoolFailures, self)),
        )


FIELDS: Final = columns_of(PoolFields)
_FAILURE_COLUMNS: Final = columns_of(MachinePoolFailures)
BY_ZONE: Final = SortOrder("zone")
POOLS: Final = ListDefinition(
    row_type=MachinePoolRow,
    noun="machine pool",
    select=f"""{qualified((*FIELDS, *_FAILURE_COLUMNS), "p")},
    p.machine_pool_id::text, p.zone_id::text, z.zone_name, p.created, p.deleted, p.listed,
    clock_timestamp() AS now, o.open_orders, o.unrequested, o.joined, o.coming, o.draining, o.releasing""",
    source="""
  FROM machine_pools p LEFT JOIN zones z USING (zone_id) LEFT JOIN LATERAL (
    SELECT count(*) AS open_orders, count(*) FILTER (WHERE state = 'ordered' AND asked IS NULL) AS unrequested,
           count(*) FILTER (WHERE state = 'joined') AS joined,
           count(*) FILTER (WHERE state IN ('ordered', 'created')) AS coming,
           count(*) FILTER (WHERE state = 'draining') AS draining,
           count(*) FILTER (WHERE state = 'releasing') AS releasing
      FROM machine_orders WHERE machine_pool_id = p.machine_pool_id AND state <> 'ended') o ON true
""",
    key="p.machine_pool_id",
    columns={"zone": ListColumn("ARRAY[z.zone_name, p.name]", "text[]")},
    order=BY_ZONE,
)
list_pools: Final = POOLS.read
"""Return machine pools by zone and name, also deleted pools that still have machines."""
lock_pool: Final = POOLS.lock
"""Return a pool and lock its row until commit, so that no machine is ordered in the meantime."""
_JSON_FIELDS: Final = ("options", "secrets")


async def pools_of_zone(connection: Connection, zone_id: str) -> list[MachinePoolRow]:
    """Return all machine pools of a zone."""
    cursor = await connection.execute(
        f"{POOLS.query} WHERE p.zone_id = %s ORDER BY p.name, p.machine_pool_id", (zone_id,)
    )
    return rows_as(MachinePoolRow, await cursor.fetchall())


async def find_pool(db: Database, name: str) -> MachinePoolRow:
    """Return the pool with this id or name. Raises NotFound: there is no such pool."""
    where: LiteralString = "p.machine_pool_id::text = %(name)s OR p.name = %(name)s AND p.deleted IS NULL"
    return require_row(await POOLS.find(db, where, {"name": name.replace("\0", "")}), "machine pool", name)


async def lock_pools(connection: Connection, zone_id: str) -> None:
    """Lock the pools of a zone until commit, in the order of their ids."""
    await connection.execute(
        "SELECT 1 FROM machine_pools WHERE zone_id = %s ORDER BY machine_pool_id FOR NO KEY UPDATE", (zone_id,)
    )


def _values(fields: PoolFields) -> dict[str, Any]:
    values = values_of(PoolFields, fields)
    return values | {name: Jsonb(values[name]) for name in _JSON_FIELDS} | {"schedule": Jsonb(list(fields.schedule))}


async def insert_pool(connection: Connection, zone_id: str, fields: PoolFields) -> str:
    """Store a pool; returns its id. Raises Duplicate: the name exists."""
    columns: tuple[LiteralString, ...] = (*FIELDS, "zone_id")
    cursor = await connection.execute(
        "INSERT INTO machine_pools " + insert_values(columns) + " RETURNING machine_pool_id::text",
        {**_values(fields), "zone_id": zone_id},
    )
    return (await returned_row(cursor))["machine_pool_id"]


SECRETS_IN_USE_S: Final = 60.0
"""The time after a change of secrets in which a call of a provider may still use the old secrets."""


async def update_pool(
    connection: Connection, machine_pool_id: str, fields: PoolFields, *, has_new_secrets: bool = False
) -> None:
    """Store a pool and clear its failures. If the pool is not approved, Agents that join with its tokens are not
    enabled automatically. Raises Duplicate: the name exists."""
    await connection.execute(
        f"UPDATE machine_pools SET {assignments(FIELDS)}"
        ", failures = 0, next_try = NULL, call_failures = 0, next_call = NULL, last_error = '', secrets_since = CASE"
        " WHEN %(new_secrets)s THEN clock_timestamp() + make_interval(secs => %(in_use_s)s) ELSE secrets_since END"
        " WHERE machine_pool_id = %(machine_pool_id)s",
        {
            **_values(fields),
            "new_secrets": has_new_secrets,
            "in_use_s": SECRETS_IN_USE_S,
            "machine_pool_id": machine_pool_id,
        },
    )
    if not fields.approved_by:
        await connection.execute(
            "UPDATE join_tokens t SET enable_agent = false FROM machine_orders o"
            " WHERE o.machine_pool_id = %s AND o.state <> 'ended' AND t.token_hash = o.token_hash",
            (machine_pool_id,),
        )


async def mark_deleted(connection: Connection, machine_pool_id: str) -> None:
    """Mark a pool as deleted; its row is removed once its machines are gone."""
    await connection.execute(
        "UPDATE machine_pools SET deleted = coalesce(deleted, clock_timestamp()), enabled = false,"
        " failures = 0, next_try = NULL, call_failures = 0, next_call = NULL WHERE machine_pool_id = %s",
        (machine_pool_id,),
    )


async def store_failure_state(connection: Connection, machine_pool_id: str, state: MachinePoolFailures) -> None:
    """Store the failures after a plan, or after a call of the provider."""
    await connection.execute(
        "UPDATE machine_pools SET " + assignments(_FAILURE_COLUMNS) + " WHERE machine_pool_id = %(machine_pool_id)s",
        {**values_of(MachinePoolFailures, state), "machine_pool_id": machine_pool_id},
    )


async def record_listing(connection: Connection, machine_pool_id: str, listing: ListedMachines) -> None:
    """Store the time of a list of machines from the provider. For each listed machine of an open order, store the first
    time at which it was listed with the current secrets (`shown`)."""
    await connection.execute(
        "UPDATE machine_pools SET listed = %s WHERE machine_pool_id = %s", (listing.at, machine_pool_id)
    )
    await connection.execute(
        "UPDATE machine_orders o SET shown = %(at)s FROM machine_pools p"
        " WHERE p.machine_pool_id = %(pool)s AND o.machine_pool_id = p.machine_pool_id"
        " AND p.secrets_since < %(at)s AND (o.shown IS NULL OR o.shown <= p.secrets_since)"
        " AND o.state <> 'ended' AND o.machine_order_id = ANY(%(orders)s::uuid[])",
        {"at": listing.at, "pool": machine_pool_id, "orders": [m.machine_order_id for m in listing.machines]},
    )


async def remove_deleted_pools(connection: Connection, zone_id: str) -> list[str]:
    """Remove deleted pools whose orders have all ended and whose provider was listed after the deletion; returns their
    names."""
    cursor = await connection.execute(
        "DELETE FROM machine_pools p WHERE p.zone_id = %s AND p.deleted IS NOT NULL"
        " AND (p.listed > p.deleted OR NOT EXISTS (SELECT 1 FROM machine_orders o"
        "   WHERE o.machine_pool_id = p.machine_pool_id AND o.asked IS NOT NULL))"
        " AND NOT EXISTS (SELECT 1 FROM machine_orders o WHERE o.machine_pool_id = p.machine_pool_id"
        "   AND o.state <> 'ended') RETURNING p.name",
        (zone_id,),
    )
    return [row["name"] for row in await cursor.fetchall()]
