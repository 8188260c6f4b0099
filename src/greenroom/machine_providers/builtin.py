"""The providers that come with Greenroom."""

from __future__ import annotations

from pathlib import Path

from greenroom.core.fleet.machines import provider as options
from greenroom.kit.config import FromEnvironment, listed
from greenroom.machine_providers.contract import Provider
from greenroom.machine_providers.plugin import PoolContext, ProviderPlugin
from greenroom.machine_providers.simulated import SimulatedCloud, SimulatedProvider


class CommandSettings(FromEnvironment):
    """Settings of the provider `command`."""

    machine_commands: str = ""
    """Comma list: only programs in these folders are run for machine pools; empty = none."""


class CommandPlugin(ProviderPlugin[CommandSettings]):
    """The provider `command`: a program of the administrator."""

    settings_type = CommandSettings
    rules = options.COMMAND

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.command import CommandProvider  # noqa: PLC0415

        folders = [Path(folder) for folder in listed(self.settings.machine_commands)]
        return CommandProvider(pool.options, pool.secrets, folders)


class WebhookPlugin(ProviderPlugin[FromEnvironment]):
    """The provider `webhook`: an address of the administrator."""

    settings_type = FromEnvironment
    rules = options.WEBHOOK

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.webhook import WebhookProvider  # noqa: PLC0415

        return WebhookProvider(pool.options, pool.secrets, pool.call_s, pool.trusted)


class SimulatedCloudPlugin(ProviderPlugin[FromEnvironment]):
    """The provider `simulated`: machines that exist only in this process. Those of a pool stay if its
    settings change.
    """

    settings_type = FromEnvironment
    rules = options.SIMULATED

    def __init__(self, name: str, settings: FromEnvironment) -> None:
        super().__init__(name, settings)
        self._clouds: dict[str, SimulatedCloud] = {}

    def provider(self, pool: PoolContext) -> Provider:
        return SimulatedProvider(self._clouds.setdefault(pool.machine_pool_id, SimulatedCloud()))
