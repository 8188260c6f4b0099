"""Provider `simulated`: machines that exist only in this process, and join no zone. It previews the orders of a machine
pool before a cloud charges for them. Tests simulate the joins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from greenroom.machine_providers.contract import NewMachine, ProviderError, ProviderMachine


@dataclass(slots=True)
class SimulatedCloud:
    """The machines, by the provider's reference. `before` is called before each action with its name, and may raise.

    `created` and `ended` are the total numbers; `on_create` and `on_end` are called afterwards.
    """

    machines: dict[str, ProviderMachine] = field(default_factory=dict[str, ProviderMachine])
    created: int = 0
    ended: int = 0
    before: Callable[[str], None] = lambda _: None
    on_create: Callable[[NewMachine, str], None] = lambda _machine, _ref: None
    on_end: Callable[[str], None] = lambda _: None


class SimulatedProvider:
    """A provider of the machines of a cloud."""

    def __init__(self, cloud: SimulatedCloud) -> None:
        self._cloud = cloud

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        self._cloud.before("list")
        return [machine for machine in self._cloud.machines.values() if machine.name.startswith(prefix)]

    async def create(self, machine: NewMachine) -> str:
        self._cloud.before("create")
        if not machine.name:
            raise ProviderError("A machine needs a name.", refused=True)
        for ref, there in self._cloud.machines.items():
            if there.name == machine.name:
                return ref
        self._cloud.created += 1
        ref = f"sim-{self._cloud.created}"
        self._cloud.machines[ref] = ProviderMachine(ref, machine.name)
        self._cloud.on_create(machine, ref)
        return ref

    async def end(self, ref: str, name: str) -> None:
        del name
        self._cloud.before("end")
        if self._cloud.machines.pop(ref, None) is not None:
            self._cloud.ended += 1
            self._cloud.on_end(ref)
