"""The plug-ins of the machine providers that come with Greenroom: `command`, `webhook` and `simulated`.

Machines of the provider `simulated` exist only in this process and join no zone. With them, an administrator can
preview the orders of a machine pool without costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.fleet.machines.provider import Options, ProviderRules
from greenroom.core.outgoing import webhook_url_problem
from greenroom.kit.config import FromEnvironment, comma_parts
from greenroom.machine_providers.contract import NewMachine, Provider, ProviderError, ProviderMachine
from greenroom.machine_providers.plugin import PoolContext, ProviderPlugin


@dataclass(slots=True)
class SimulatedCloud:
    """The machines of a simulated cloud, by the id at the provider (`ProviderMachine.ref`).

    `created` and `ended` are the numbers of machines since the start. `before_action` is called with the name of each
    action before the action, and may raise an error. `on_create` and `on_end` are called after a machine was created or
    ended.
    """

    machines: dict[str, ProviderMachine] = field(default_factory=dict[str, ProviderMachine])
    created: int = 0
    ended: int = 0
    before_action: Callable[[str], None] = lambda _: None
    on_create: Callable[[NewMachine, str], None] = lambda _machine, _ref: None
    on_end: Callable[[str], None] = lambda _: None


class SimulatedProvider:
    """Implements `contract.Provider` with a simulated cloud."""

    def __init__(self, cloud: SimulatedCloud) -> None:
        self._cloud = cloud

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        self._cloud.before_action("list")
        return [machine for machine in self._cloud.machines.values() if machine.name.startswith(prefix)]

    async def create(self, machine: NewMachine) -> str:
        self._cloud.before_action("create")
        if not machine.name:
            raise ProviderError("A machine needs a name.", refused=True)
        for ref, existing in self._cloud.machines.items():
            if existing.name == machine.name:
                return ref
        self._cloud.created += 1
        ref = f"sim-{self._cloud.created}"
        self._cloud.machines[ref] = ProviderMachine(ref, machine.name)
        self._cloud.on_create(machine, ref)
        return ref

    async def end(self, ref: str, name: str) -> None:
        del name
        self._cloud.before_action("end")
        if self._cloud.machines.pop(ref, None) is not None:
            self._cloud.ended += 1
            self._cloud.on_end(ref)


TOKEN_SECRET: Final = "token"  # noqa: S105 -- the name of the secret, not its value
"""The name of the secret that the provider `webhook` sends in the header `Authorization`."""


def _command_problem(options: Options, _trusted_hosts: Sequence[AllowedHost]) -> str | None:
    if Path(options["program"]).is_absolute():
        return None
    return "The option program must be the absolute path of a program in a folder of GREENROOM_MACHINE_COMMANDS."


def _token_problem(secrets: Mapping[str, str]) -> str | None:
    token = secrets.get(TOKEN_SECRET, "")
    if token.isascii() and token.isprintable() and token == token.strip():
        return None
    return (
        f"The secret {TOKEN_SECRET} is sent as a header: it must have only printable ASCII characters, without "
        "spaces at its ends."
    )


COMMAND: Final = ProviderRules(
    required_texts=("program",), destination_options=("program",), has_own_options=True, problem=_command_problem
)
WEBHOOK: Final = ProviderRules(
    required_texts=("url",),
    destination_options=("url",),
    has_own_options=True,
    problem=lambda options, trusted_hosts: webhook_url_problem(options["url"], trusted_hosts),
    secrets_problem=_token_problem,
)
SIMULATED: Final = ProviderRules(has_real_machines=False)


class CommandSettings(FromEnvironment):
    """Settings of the provider `command`."""

    machine_commands: str = ""
    """The folders, separated by commas, whose programs machine pools may run; empty = machine pools run no programs."""


class CommandPlugin(ProviderPlugin[CommandSettings]):
    """The provider `command`, which runs a program of the administrator."""

    settings_type = CommandSettings
    rules = COMMAND

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.exchange import CommandProvider  # noqa: PLC0415

        folders = [Path(folder) for folder in comma_parts(self.settings.machine_commands)]
        return CommandProvider(pool.options, pool.secrets, folders)


class WebhookPlugin(ProviderPlugin[FromEnvironment]):
    """The provider `webhook`, which sends requests to an address of the administrator."""

    settings_type = FromEnvironment
    rules = WEBHOOK

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.exchange import WebhookProvider  # noqa: PLC0415

        return WebhookProvider(pool.options, pool.secrets, pool.call_timeout_s, pool.trusted_hosts)


class SimulatedCloudPlugin(ProviderPlugin[FromEnvironment]):
    """The provider `simulated`. A change of the settings of a pool has no effect on its machines."""

    settings_type = FromEnvironment
    rules = SIMULATED

    def __init__(self, name: str, settings: FromEnvironment) -> None:
        super().__init__(name, settings)
        self._clouds: dict[str, SimulatedCloud] = {}

    def provider(self, pool: PoolContext) -> Provider:
        return SimulatedProvider(self._clouds.setdefault(pool.machine_pool_id, SimulatedCloud()))
