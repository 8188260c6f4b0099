"""A zone with a machine pool of the simulated provider, for tests of the Primary's work with a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support import rows
from tests.support.system import System

from greenroom.db.database import Database
from greenroom.db.fleet import machine_orders, machine_pools
from greenroom.db.fleet.enrollment import read_token
from greenroom.db.fleet.machine_orders import MachineOrderRow
from greenroom.db.fleet.machine_pools import MachinePoolRow, PoolFields
from greenroom.kit.secrets import secret_digest
from greenroom.machine_providers.builtin import SimulatedCloud, SimulatedProvider
from greenroom.machine_providers.contract import NewMachine, Provider
from greenroom.manager.machines.calls import Providers
from greenroom.manager.machines.machine_rounds import MachineRounds

GB = 1_000_000_000
FIELDS = PoolFields(
    name="cloud",
    enabled=True,
    provider="simulated",
    options={},
    secrets={},
    cores=4.0,
    memory=16 * GB,
    max_machines=5,
    idle_s=0.0,
    join_url="https://inside.example:8443",
    public_url="https://desk.example",
    ca_sha256="",
    edge_url="https://{address}:8443",
    approved_by="an administrator",
)


class OneProvider(Providers):
    """The same provider for all pools except those whose names are in `others`."""

    def __init__(self, provider: Provider, **others: Provider) -> None:
        self.provider = provider
        self.others = others

    def of(self, pool: MachinePoolRow) -> Provider:
        return self.others.get(pool.name, self.provider)


@dataclass
class Cloud:
    """A zone with a machine pool, and the machines that its provider made."""

    system: System
    pool_id: str
    cloud: SimulatedCloud = field(default_factory=SimulatedCloud)
    made: dict[str, NewMachine] = field(default_factory=dict[str, NewMachine])

    @classmethod
    async def populate(cls, db: Database, **fields: Any) -> Cloud:
        system = await System.populate(db, agents=())
        async with db.transaction() as connection:
            made = {**{name: getattr(FIELDS, name) for name in FIELDS.__dataclass_fields__}, **fields}
            pool_id = await machine_pools.insert_pool(connection, system.zone_id, PoolFields(**made))
        cloud = cls(system, pool_id)
        cloud.cloud.on_create = lambda machine, ref: cloud.made.update({ref: machine})
        cloud.work = MachineRounds(lambda: system.ctx, OneProvider(SimulatedProvider(cloud.cloud)), provider_wait_s=20)
        return cloud

    work: MachineRounds = field(init=False)

    async def rounds(self, number: int = 1) -> None:
        """Run rounds with listings, as if some time had passed."""
        for _ in range(number):
            await self.system.db.write("UPDATE machine_pools SET listed = NULL, next_call = NULL")
            await self.work.round(self.system.ctx)

    async def orders(self) -> list[MachineOrderRow]:
        return (await machine_orders.list_orders(self.system.db)).rows

    async def states(self) -> list[str]:
        return sorted(str(order.state) for order in await self.orders())

    async def join(self, ref: str, **fields: Any) -> str:
        """Let the Agent of a machine join with its token, report, and be enabled."""
        machine, db = self.made[ref], self.system.db
        agent_id = await rows.agent(db, self.system.zone_id, hostname=ref, cores=64.0, memory=16 * GB, **fields)
        token = secret_digest(machine.join.token)
        assert await read_token(db, token) is not None
        await db.write("UPDATE agents SET joined_with = %s WHERE agent_id = %s", (token, agent_id))
        return agent_id

    async def short(self, number: int, *, cores: float = 1.0) -> None:
        """Insert a staged pool that lacks this number of sessions because of missing capacity."""
        if not await self.system.db.fetch("SELECT 1 FROM staging_configs"):
            await rows.staging_config(self.system.db, self.system.zone_id, self.system.image_id)
        await self.system.db.write(
            "UPDATE staging_configs SET num_sessions = %s, shortfall_code = 'no-agent'", (number,)
        )
        await self.system.db.write("UPDATE images SET cores = %s, memory = %s", (cores, 2 * GB))

    async def at_rest(self) -> None:
        """End the shortage."""
        await self.system.db.write("UPDATE staging_configs SET num_sessions = 0, shortfall_code = NULL")

    async def later(self, seconds: float) -> None:
        """Let this time pass for all orders."""
        await self.system.db.write(
            "UPDATE machine_orders SET ordered = ordered - d, deadline = deadline - d, changed = changed - d,"
            " asked = asked - d, surplus_since = surplus_since - d FROM make_interval(secs => %s) d",
            (seconds,),
        )
